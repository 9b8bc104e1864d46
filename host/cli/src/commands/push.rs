//! `tidegate push`: a plugin goes to a registry, laid out as Istio's agent takes it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde_json::json;
use tidegate_adapter::{Inspection, Kind, Options, adapt, check, inspect, interfaces};
use tidegate_deploy::module::Facts;
use tidegate_oci::{Digest, Image, Interfaces, Labels, Reference, push};

use crate::commands::adapt::note_refusals;
use crate::registry::RegistryArgs;
use crate::{file, logs};

/// Put a plugin into a registry, where Istio fetches it from
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Push {
    /// The plugin, `-` for stdin; a component is adapted first, a Proxy-Wasm module is checked to be one that Envoy loads
    #[arg(value_name = "PLUGIN.wasm")]
    plugin: PathBuf,

    /// Where it goes
    #[arg(value_name = "oci://REGISTRY/REPOSITORY:TAG", value_parser = place)]
    reference: Reference,

    /// How it is laid out
    #[arg(long, value_name = "LAYOUT", default_value = "compat")]
    layout: Layout,

    /// Where its source is, for the image's annotations
    #[arg(long, value_name = "URL")]
    source: Option<String>,

    /// Which state of the source it was built from, for the image's annotations
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,

    /// Put the component beside it, as TAG-component, for runtimes that take components
    #[arg(long)]
    with_component: bool,

    /// Write JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// An OCI image with a compressed layer
    Compat,
    /// A Docker image (schema 2), for old registries
    Docker,
    /// An OCI artifact with the bare module
    Artifact,
}

const EXAMPLES: &str = "\
Examples:
  tidegate push greeter.wasm oci://127.0.0.1:5000/greeter:1.0.0
  tidegate push greeter.wasm oci://ghcr.io/me/greeter:1 --revision 4f2a6d1
  pass ghcr | tidegate push greeter.wasm oci://ghcr.io/me/greeter:1 --username me --password-stdin
  tidegate push greeter.wasm oci://ghcr.io/me/greeter:1 --with-component --json | jq -r .sha256

It writes what a WasmPlugin takes as `url` and `sha256`: the reference pinned to what was pushed, and the digest of the image's \
manifest, which is not that of the module. The same file always gives the same digest. The tag appears, or moves, when all is \
there, so that a push that is broken off leaves nothing broken behind.

Without --username, docker's configuration (DOCKER_CONFIG, else ~/.docker) and its credential helpers are asked.";

/// What is pushed.
struct Plugin {
    module: Vec<u8>,
    /// What it was made from, if it was.
    component: Option<Vec<u8>>,
    labels: Labels,
}

// === impl Push ===

impl Push {
    pub fn execute(self) -> anyhow::Result<()> {
        if self.registry.takes_stdin() && file::is_stdio(&self.plugin) {
            bail!("stdin cannot be both the plugin and the password: give the plugin as a file");
        }
        let plugin = self.read()?;
        let tag = self.reference.tag().unwrap_or_default();
        let layout = match self.layout {
            Layout::Compat => tidegate_oci::Layout::Compat,
            Layout::Docker => tidegate_oci::Layout::Docker,
            Layout::Artifact => tidegate_oci::Layout::Artifact,
        };
        let image = Image::plugin(&plugin.module, layout, &plugin.labels);
        let beside = match (&plugin.component, self.with_component) {
            (Some(component), true) => Some(self.beside(component, tag, &plugin.labels)?),
            (None, true) => bail!(
                "{} is a module and no component, so there is none to put beside it",
                named(&self.plugin)
            ),
            (_, false) => None,
        };
        let failed = || format!("cannot push to `{}`", self.reference);
        let mut registry = self.registry.open(&self.reference).with_context(failed)?;
        // The component first: where the plugin is, it is too.
        let beside = match beside {
            Some((reference, image)) => {
                let tag = reference.tag().unwrap_or_default();
                let digest = push(&mut registry, &image, tag)
                    .with_context(|| format!("cannot push to `{reference}`"))?;
                Some(reference.pinned(digest))
            }
            None => None,
        };
        let digest = push(&mut registry, &image, tag).with_context(failed)?;
        // With its bar, which would stand in the way.
        drop(registry);
        let pinned = self.reference.pinned(digest.clone());
        let text = if self.json {
            let mut result = json!({
                "url": pinned.to_string(),
                "sha256": digest.hex(),
                "layout": layout,
                "size": plugin.module.len(),
            });
            if let Some(beside) = beside {
                result["component"] = json!({ "url": beside.to_string() });
            }
            format!("{result:#}\n")
        } else {
            // As it goes into YAML, where digits alone would become a number.
            let mut text = format!("url: {pinned}\nsha256: \"{}\"\n", digest.hex());
            if let Some(beside) = beside {
                text.push_str(&format!("component: {beside}\n"));
            }
            text
        };
        file::write(Path::new("-"), text.as_bytes())
    }

    /// Reads the plugin, and makes it what Envoy loads.
    fn read(&self) -> anyhow::Result<Plugin> {
        let bytes = file::read(&self.plugin)?;
        let about =
            inspect(&bytes).with_context(|| format!("cannot push {}", named(&self.plugin)))?;
        let (module, component) = match about.kind {
            Kind::Component => {
                let module = adapt(&bytes, &Options::default())
                    .with_context(|| format!("cannot adapt {}", named(&self.plugin)))?;
                note_refusals(&bytes);
                let (from, to) = (bytes.len(), module.len());
                logs::note(&format!("adapted {from} bytes to {to}"));
                (module, Some(bytes))
            }
            Kind::ProxyWasm | Kind::CoreModule => {
                let errors = check(&bytes);
                if !errors.is_empty() {
                    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
                    bail!(
                        "Envoy would not load {}: {}",
                        named(&self.plugin),
                        errors.join("; ")
                    );
                }
                (bytes, None)
            }
        };
        let labels = self.labels(about, &module)?;
        Ok(Plugin {
            module,
            component,
            labels,
        })
    }

    fn labels(&self, about: Inspection, module: &[u8]) -> anyhow::Result<Labels> {
        // What Envoy sees. The annotation is all that it has to be told to allow, as in the manifests that restrict a plugin.
        let seen = inspect(module).context("the module cannot be read again")?;
        let facts = Facts {
            callbacks: seen.callbacks,
            hostcalls: seen.hostcalls,
            wasi: seen.wasi.into_iter().map(|it| it.function).collect(),
            sha256: Digest::of(module).hex().to_owned(),
        };
        Ok(Labels {
            title: about.name,
            version: about.version,
            source: self.source.clone(),
            revision: self.revision.clone(),
            world: about.world,
            capabilities: facts.capabilities().into_iter().collect(),
            schema: about.schema.map(|schema| schema.to_string()),
        })
    }

    /// The component as an image of its own, and where that goes.
    fn beside(
        &self,
        component: &[u8],
        tag: &str,
        labels: &Labels,
    ) -> anyhow::Result<(Reference, Image)> {
        let reference = self.reference.with_tag(&format!("{tag}-component"))?;
        let tidegate_adapter::Interfaces { imports, exports } = interfaces(component);
        let interfaces = Interfaces { exports, imports };
        // What it calls by its own names is among its imports.
        let labels = Labels {
            capabilities: Vec::new(),
            ..labels.clone()
        };
        Ok((reference, Image::component(component, &interfaces, &labels)))
    }
}

/// A reference under which something can be put.
fn place(text: &str) -> Result<Reference, String> {
    let reference: Reference = text.parse().map_err(|error| format!("{error}"))?;
    match (reference.tag(), reference.digest()) {
        (_, Some(_)) => {
            Err("it has a digest, which comes of what is pushed: name a tag alone".into())
        }
        (None, None) => Err("it names no tag: write `:TAG` behind the repository".into()),
        (Some(_), None) => Ok(reference),
    }
}

fn named(path: &Path) -> String {
    match file::is_stdio(path) {
        true => "what came from stdin".to_owned(),
        false => format!("`{}`", path.display()),
    }
}
