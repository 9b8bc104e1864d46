//! `tidegate check`: would this be accepted?
//!
//! `check/wasm.rs` checks modules, components and images, `check/manifests.rs` YAML, and `check/report.rs` reports the findings.

use std::path::{Path, PathBuf};

use clap::Args;
use tidegate_adapter::Envoy;
use tidegate_deploy::istio::release::Istio;
use tidegate_oci::Digest;

use crate::format::FormatArgs;
use crate::manifests::within;
use crate::place::Place;
use crate::plugin::{stdin_once, usage};
use crate::registry::{RegistryArgs, sha256};
use crate::{file, logs, plugin};

mod manifests;
mod report;
mod wasm;

use report::Report;

/// Check whether Envoy and Istio would accept plugins and manifests, and warn about likely mistakes
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Check {
    /// Components, Proxy-Wasm modules, images (`oci://…`), manifests in YAML or JSON, and directories of manifests; `-` for stdin. The
    /// type of a file is detected from its contents, and files with the extension `.wasm` must be WebAssembly
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<Place>,

    /// Validate manifests with the rules of this Istio release (its newest patch release). Default: 1.31
    #[arg(long, value_name = "RELEASE")]
    istio: Option<Istio>,

    /// Check modules against this Envoy release. Default: all releases from 1.36 to 1.40
    #[arg(long, value_name = "RELEASE")]
    envoy: Option<Envoy>,

    /// The module that the manifests refer to. Used to warn if `sha256` is the digest of the module instead of the image
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,

    /// Expected SHA-256 digest of the image manifest, or of the module (for a component, of the adapted module), as in a WasmPlugin's `sha256`
    /// field. Allowed with a single input only
    #[arg(long, value_name = "DIGEST", value_parser = sha256)]
    sha256: Option<Digest>,

    /// Fail on warnings
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    format: FormatArgs,

    #[command(flatten)]
    registry: RegistryArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidegate check greeter.wasm
  tidegate check manifests/ --strict --istio 1.30
  tidegate check oci://127.0.0.1:5000/greeter:1.0.0 --envoy 1.37
  tidegate check greeter.yaml --module greeter.proxy.wasm
  kubectl get wasmplugins -A -o yaml | tidegate check - --format json

Text output has one line for each finding: `INPUT[:LINE:COLUMN]: SEVERITY: [FIELD: ]MESSAGE [RULE]`. The brackets around \
RULE are part of the line. An error means that the API server, istiod's webhook, Istio's agent (rule `agent`), Envoy (rule `envoy`) or `tidegate adapt` \
(rule `adapt`) would reject the input. Only WasmPlugins and TrafficExtensions are \
validated; documents of other kinds are skipped. Images are pulled as Istio's agent pulls them. Components are adapted first.";

/// What inputs are checked against.
struct Question<'a> {
    args: &'a Check,
    /// The SHA-256 of the module that manifests refer to.
    module: Option<String>,
}

/// The type of an input.
enum Input {
    Manifests,
    Wasm,
}

// === impl Check ===

impl Check {
    pub fn execute(self) -> anyhow::Result<()> {
        self.refuse_useless()?;
        let module = self.module.as_deref().map(wasm::checksum).transpose()?;
        let question = Question {
            args: &self,
            module,
        };
        let mut report = Report::new(self.istio.unwrap_or_default(), self.envoy);
        // If an input cannot be read, the others are checked all the same.
        let mut unread = None;
        for place in &self.inputs {
            if let Err(error) = question.place(place, &mut report) {
                match unread {
                    None => unread = Some(error),
                    Some(_) => logs::complain(&error),
                }
            }
        }
        if unread.is_none() {
            self.refuse_without_effect(&report)?;
        }
        if let Some(error) = unread.take_if(|_| report.is_empty()) {
            return Err(error);
        }
        let text = match self.format.is_json() {
            true => format!("{:#}\n", report.json()),
            false => report.text(),
        };
        file::write(Path::new("-"), text.as_bytes())?;
        logs::note(&report.summary());
        match unread {
            Some(error) => Err(error),
            None if report.is_failure(self.strict) => Err(logs::Reported.into()),
            None => Ok(()),
        }
    }

    /// Rejects options that apply only to other types of input.
    fn refuse_without_effect(&self, report: &Report) -> anyhow::Result<()> {
        let (manifests, plugins) = (report.has_manifests(), report.has_plugins());
        let is_image = |place: &Place| matches!(place, Place::Image(_));
        let images = self.inputs.iter().any(is_image);
        let useless = [
            (
                "--module",
                self.module.is_some() && !manifests,
                "a manifest",
            ),
            ("--sha256", self.sha256.is_some() && manifests, "a plugin"),
            ("--envoy", self.envoy.is_some() && !plugins, "a plugin"),
            (
                "--istio",
                self.istio.is_some() && !manifests && !images,
                "a manifest or an image",
            ),
        ];
        match useless.iter().find(|(_, is_useless, _)| *is_useless) {
            None => Ok(()),
            Some((option, _, input)) => Err(usage(format!(
                "`{option}` has no effect without {input}: add one, or remove `{option}`"
            ))),
        }
    }

    /// Rejects options that have no effect, or conflict with each other, before any input is read.
    fn refuse_useless(&self) -> anyhow::Result<()> {
        if self.sha256.is_some() && self.inputs.len() > 1 {
            return Err(usage(
                "`--sha256` can be used with a single input only: check the inputs one by one"
                    .into(),
            ));
        }
        let is_image = |place: &Place| matches!(place, Place::Image(_));
        if let Some(option) = self.registry.given()
            && !self.inputs.iter().any(is_image)
        {
            return Err(usage(format!(
                "`{option}` has no effect: none of the inputs is an image"
            )));
        }
        let inputs = self.inputs.iter().filter(|it| it.is_stdin()).count();
        let module = self.module.as_deref().is_some_and(file::is_stdio);
        stdin_once(inputs + usize::from(module) + usize::from(self.registry.takes_stdin()))
    }
}

// === impl Question ===

impl Question<'_> {
    fn place(&self, place: &Place, report: &mut Report) -> anyhow::Result<()> {
        match place {
            Place::Image(reference) => wasm::image(reference, self, report),
            Place::File(path) => {
                for path in within(path)? {
                    self.file(&path, report)?;
                }
                Ok(())
            }
        }
    }

    fn file(&self, path: &Path, report: &mut Report) -> anyhow::Result<()> {
        let bytes = file::read(path)?;
        let name = Place::File(path.to_owned()).to_string();
        let input = Input::of(path, &bytes);
        logs::detail(|| {
            let what = match input {
                Input::Wasm => plugin::description(&bytes),
                Input::Manifests => "manifests".to_owned(),
            };
            format!("`{name}`: {what}")
        });
        match input {
            Input::Wasm => wasm::file(&name, &bytes, self, report),
            Input::Manifests => manifests::check(&name, &bytes, self, report),
        }
        Ok(())
    }
}

// === impl Input ===

impl Input {
    /// Detects the type from the contents. A file with the extension `.wasm` is always treated as WebAssembly.
    fn of(path: &Path, bytes: &[u8]) -> Self {
        let is_named_wasm = path.extension().is_some_and(|it| it == "wasm");
        match bytes.starts_with(b"\0asm") || is_named_wasm {
            true => Self::Wasm,
            false => Self::Manifests,
        }
    }
}
