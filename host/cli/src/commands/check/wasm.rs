//! Checks modules, components and images as Istio's agent and Envoy would.

use std::borrow::Cow;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};
use tidegate_adapter::{Options, check, check_for, inspect};
use tidegate_deploy::istio::validate::Severity;
use tidegate_host::EngineKind;
use tidegate_oci::{Digest, Error, Examined, Reference, Refusal};

use super::Question;
use super::report::Report;
use crate::plugin::{adapt, unsupported};
use crate::{file, logs};

const AGENT: &str = "agent";
const ENVOY: &str = "envoy";

/// The SHA-256 of a module, in hexadecimal digits; of a component, that of the module to which it is adapted.
pub(super) fn checksum(path: &Path) -> anyhow::Result<String> {
    let bytes = file::read(path)?;
    let module = match EngineKind::detect(&bytes) {
        Some(EngineKind::Component) => adapt(&bytes, &Options::default())
            .with_context(|| format!("cannot adapt `{}`", path.display()))?,
        Some(EngineKind::ProxyWasm) => bytes,
        None => bail!("`{}` is not a WebAssembly binary", path.display()),
    };
    Ok(Digest::of(&module).hex().to_owned())
}

pub(super) fn file(name: &str, bytes: &[u8], question: &Question<'_>, report: &mut Report) {
    let is_component = EngineKind::detect(bytes) == Some(EngineKind::Component);
    let mut facts = Map::new();
    let module = match is_component {
        false => Cow::Borrowed(bytes),
        true => match adapt(bytes, &Options::default()) {
            Ok(module) => Cow::Owned(module),
            Err(error) => {
                report.add_input(name, "component", facts);
                return report.add(Severity::Error, "adapt", error.to_string());
            }
        },
    };
    if EngineKind::detect(bytes).is_some() {
        of_module(&module, &mut facts);
    }
    let kind = match is_component {
        true => "component",
        false => "module",
    };
    report.add_input(name, kind, facts);
    let digest = Digest::of(&module);
    if let Some(given) = question.args.sha256.as_ref().filter(|it| **it != digest) {
        let message = format!("`{given}` is not the digest of this module, which is `{digest}`");
        report.add(Severity::Error, AGENT, message);
    }
    if is_component {
        let message = "Envoy loads the module to which `tidegate adapt` and `tidegate push` convert it, and not the component itself";
        report.add(Severity::Note, "component", message.to_owned());
    }
    loads(&module, question, report);
}

pub(super) fn image(
    reference: &Reference,
    question: &Question<'_>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let name = reference.to_string();
    let failed = || format!("cannot check `{reference}`");
    let args = question.args;
    let examined = match args.registry.examine(reference, args.sha256.as_ref()) {
        Ok(examined) => examined,
        Err(error) => match error.downcast_ref::<Error>() {
            // This is a decision of the agent, and not a failure of the registry.
            Some(error @ (Error::InnerRedirect { .. } | Error::LinkLocal { .. })) => {
                report.add_input(&name, "image", Map::new());
                report.add(Severity::Error, AGENT, error.to_string());
                return Ok(());
            }
            _ => return Err(error.context(failed())),
        },
    };
    let Examined {
        digest,
        index,
        layout,
        wasm,
        annotations,
        unsafe_realm,
        refusals,
        ..
    } = examined;
    let mut facts = Map::new();
    facts.insert("digest".to_owned(), json!(digest));
    if let Some(index) = index {
        facts.insert("index".to_owned(), json!(index));
    }
    if let Some(layout) = layout {
        facts.insert("layout".to_owned(), json!(layout));
    }
    // Envoy does not receive a file that the agent rejects because it is not WebAssembly.
    let is_wasm = |it: &Refusal| !matches!(it, Refusal::NotWasm { .. });
    let wasm = wasm.filter(|_| refusals.iter().all(is_wasm));
    if let Some(wasm) = &wasm {
        of_module(wasm, &mut facts);
    }
    if !annotations.is_empty() {
        facts.insert("annotations".to_owned(), json!(annotations));
    }
    report.add_input(&name, "image", facts);
    if let Some(realm) = unsafe_realm {
        let message = format!(
            "the registry requires authentication with the realm `{realm}`, and agents since 1.28.5 and 1.29.1 contact only public http and https addresses; use a public realm, or allow anonymous reads"
        );
        report.add(Severity::Error, AGENT, message);
    }
    for refusal in refusals {
        report.add(Severity::Error, AGENT, refusal.to_string());
    }
    if let Some(wasm) = wasm {
        loads(&wasm, question, report);
    }
    Ok(())
}

fn of_module(module: &[u8], facts: &mut Map<String, Value>) {
    facts.insert("module".to_owned(), json!(Digest::of(module)));
    facts.insert("size".to_owned(), json!(module.len()));
    if let Some(abi) = inspect(module).ok().and_then(|it| it.abi) {
        facts.insert("abi".to_owned(), json!(abi));
    }
}

/// Checks whether Envoy loads a module, and which of its hostcalls Tidegate's proxy does not implement.
fn loads(module: &[u8], question: &Question<'_>, report: &mut Report) {
    logs::detail(|| match question.args.envoy {
        Some(release) => format!("checking the module against Envoy {release}"),
        None => "checking the module against all supported Envoy releases".to_owned(),
    });
    let errors = match question.args.envoy {
        Some(release) => check_for(module, release),
        None => check(module),
    };
    for error in errors {
        report.add(Severity::Error, ENVOY, error.to_string());
    }
    let hostcalls = inspect(module).map_or_else(|_| Vec::new(), |it| it.hostcalls);
    let missing = unsupported(&hostcalls);
    if !missing.is_empty() {
        let message = format!(
            "`tidegate run` and `tidegate test` do not implement {}: run it in Envoy",
            missing.join(", ")
        );
        report.add(Severity::Note, "run", message);
    }
}
