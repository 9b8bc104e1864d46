//! `tidegate verify`: whether Istio and Envoy take what is in a registry or a file, and why they do not.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::{Value, json};
use tidegate_adapter::{check, inspect};
use tidegate_oci::{Digest, Examined, Reference, examine};
use tidegate_testkit::report::terminal;

use crate::format::FormatArgs;
use crate::registry::{RegistryArgs, sha256};
use crate::{file, logs};

/// Check whether Istio and Envoy would accept a plugin
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Verify {
    /// An image, or a module file; `-` for stdin
    #[arg(value_name = "oci://REGISTRY/REPOSITORY[:TAG][@DIGEST]|FILE.wasm")]
    plugin: Target,

    /// Expected SHA-256 digest of the image manifest, or of the file, as in the field `sha256` of a WasmPlugin
    #[arg(long, value_name = "DIGEST", value_parser = sha256)]
    sha256: Option<Digest>,

    #[command(flatten)]
    format: FormatArgs,

    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Clone, Debug)]
enum Target {
    Image(Reference),
    File(PathBuf),
}

const EXAMPLES: &str = "\
Examples:
  tidegate verify oci://127.0.0.1:5000/greeter:1.0.0
  tidegate verify oci://ghcr.io/me/greeter:1 --format json | jq .refusals
  tidegate verify greeter.proxy.wasm

An image is pulled as Istio's agent pulls it, and its module is checked against the rules by which Envoy 1.36 to 1.40 load \
modules. Each reason for a refusal is one line on stderr, and the exit code is 1.";

/// What was found.
#[derive(Default)]
struct Findings {
    /// What is good to know, by name.
    facts: Vec<(&'static str, Value)>,
    refusals: Vec<Refusal>,
}

struct Refusal {
    by: &'static str,
    message: String,
}

const AGENT: &str = "Istio";
const ENVOY: &str = "Envoy";

// === impl Target ===

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            None => Ok(Self::File(text.into())),
            Some(("oci", _)) => text
                .parse()
                .map(Self::Image)
                .map_err(|error| format!("{error}")),
            Some(_) => {
                Err("only files and `oci://` references can be verified: download it first".into())
            }
        }
    }
}

// === impl Verify ===

impl Verify {
    pub fn execute(self) -> anyhow::Result<()> {
        let (name, findings) = match &self.plugin {
            Target::Image(reference) => (reference.to_string(), self.image(reference)?),
            Target::File(path) => (path.display().to_string(), self.file(path)?),
        };
        let Findings { facts, refusals } = findings;
        if self.format.is_json() {
            let mut result: serde_json::Map<_, _> = facts
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect();
            let refusals = refusals.iter();
            let refusals = refusals.map(|it| json!({ "by": it.by, "message": it.message }));
            result.insert("plugin".to_owned(), json!(name));
            result.insert("refusals".to_owned(), refusals.collect());
            let text = format!("{:#}\n", Value::Object(result));
            file::write(Path::new("-"), text.as_bytes())?;
        } else if refusals.is_empty() {
            let mut text = format!("{:<10} {}\n", "taken", shown(&json!(name)));
            for (key, value) in &facts {
                text.push_str(&format!("{key:<10} {}\n", shown(value)));
            }
            file::write(Path::new("-"), text.as_bytes())?;
        }
        let mut errors: Vec<anyhow::Error> = refusals
            .iter()
            .map(|it| anyhow!("{} refuses `{name}`: {}", it.by, it.message))
            .collect();
        match errors.pop() {
            None => Ok(()),
            Some(last) => {
                errors.iter().for_each(logs::complain);
                Err(last)
            }
        }
    }

    fn image(&self, reference: &Reference) -> anyhow::Result<Findings> {
        let failed = || format!("cannot verify `{reference}`");
        let mut registry = self.registry.open(reference).with_context(failed)?;
        let examined = examine(&mut registry, reference, self.sha256.as_ref());
        let Examined {
            digest,
            index,
            layout,
            wasm,
            annotations,
            unsafe_realm,
            refusals,
            ..
        } = examined.with_context(failed)?;
        let mut findings = Findings::default();
        findings.fact("digest", json!(digest));
        if let Some(index) = index {
            findings.fact("index", json!(index));
        }
        if let Some(layout) = layout {
            findings.fact("layout", json!(layout));
        }
        if let Some(realm) = unsafe_realm {
            let message = format!(
                "the registry requires authentication with the realm `{realm}`, and agents since the patch releases of 1.28 contact only public http and https addresses; use a public realm, or allow anonymous reads"
            );
            findings.refusal(AGENT, &message);
        }
        // What the agent refuses as no WebAssembly does not reach Envoy.
        let is_wasm =
            |it: &tidegate_oci::Refusal| !matches!(it, tidegate_oci::Refusal::NotWasm { .. });
        let wasm = wasm.filter(|_| refusals.iter().all(is_wasm));
        for refusal in refusals {
            findings.refusal(AGENT, &refusal);
        }
        if let Some(wasm) = wasm {
            findings.module(&wasm);
        }
        if !annotations.is_empty() {
            findings.fact("says", json!(annotations));
        }
        Ok(findings)
    }

    fn file(&self, path: &Path) -> anyhow::Result<Findings> {
        let bytes = file::read(path)?;
        let mut findings = Findings::default();
        let found = Digest::of(&bytes);
        if let Some(given) = self.sha256.as_ref().filter(|given| **given != found) {
            let message = format!("`{given}` is not the digest of this module, which is `{found}`");
            findings.refusal(AGENT, &message);
        }
        findings.module(&bytes);
        Ok(findings)
    }
}

// === impl Findings ===

impl Findings {
    fn fact(&mut self, name: &'static str, value: Value) {
        self.facts.push((name, value));
    }

    fn refusal(&mut self, by: &'static str, message: &dyn ToString) {
        self.refusals.push(Refusal {
            by,
            message: message.to_string(),
        });
    }

    /// What Envoy makes of a module.
    fn module(&mut self, wasm: &[u8]) {
        self.fact("module", json!(Digest::of(wasm)));
        self.fact("size", json!(wasm.len()));
        if let Ok(inspection) = inspect(wasm) {
            self.fact("abi", json!(inspection.abi));
        }
        for error in check(wasm) {
            self.refusal(ENVOY, &error);
        }
    }
}

/// A value for a person to read, each member in a line of its own. It may come from a registry.
fn shown(value: &Value) -> String {
    let escaped = |text: &str| {
        let mut shown = String::new();
        terminal::escape(text, &mut shown);
        shown
    };
    match value {
        Value::String(text) => escaped(text),
        Value::Object(members) => {
            let members = members.iter();
            let members = members.map(|(key, value)| format!("{}={}", escaped(key), shown(value)));
            members.collect::<Vec<_>>().join("\n           ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_cannot_look_like_lines_of_ours() {
        let text = shown(&json!({ "a\nb": "x\nmodule     sha256:0000", "c": "\u{202e}d" }));
        assert_eq!(
            text,
            "a\\nb=x\\nmodule     sha256:0000\n           c=\\u{202e}d"
        );
    }
}
