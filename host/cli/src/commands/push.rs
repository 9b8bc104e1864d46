//! `tidegate push`: pushes a plugin to a registry, in a layout that Istio's agent accepts.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde_json::json;
use tidegate_adapter::{Inspection, Kind, Options, check, inspect, interfaces};
use tidegate_deploy::module::Facts;
use tidegate_oci::{Digest, Image, Interfaces, Labels, Reference, push};

use crate::commands::adapt::note_refusals;
use crate::format::FormatArgs;
use crate::plugin::{self, usage};
use crate::registry::RegistryArgs;
use crate::{file, logs};

/// Push a plugin to a registry, in a format that Istio can pull
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Push {
    /// The plugin; `-` for stdin. A component is adapted first; a Proxy-Wasm module is checked as Envoy checks it
    #[arg(value_name = "FILE")]
    plugin: PathBuf,

    /// The image to push
    #[arg(value_name = "oci://REGISTRY/REPOSITORY:TAG", value_parser = place)]
    reference: Reference,

    /// Layout of the image
    #[arg(long, value_name = "LAYOUT", default_value = "compat")]
    layout: Layout,

    /// URL of the source, for the image's annotations
    #[arg(long, value_name = "URL")]
    source: Option<String>,

    /// Source revision, for the image's annotations
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,

    /// Also push the component, with the tag `TAG-component`, for hosts that run components directly
    #[arg(long)]
    with_component: bool,

    #[command(flatten)]
    format: FormatArgs,

    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// OCI image with a compressed layer
    Compat,
    /// Docker image (manifest schema 2), for old registries
    Docker,
    /// OCI artifact that contains the module itself
    Artifact,
}

const EXAMPLES: &str = "\
Examples:
  tidegate push greeter.wasm oci://127.0.0.1:5000/greeter:1.0.0
  tidegate push greeter.wasm oci://ghcr.io/me/greeter:1 --revision 4f2a6d1
  pass ghcr | tidegate push greeter.wasm oci://ghcr.io/me/greeter:1 \\
      --username me --password-stdin
  tidegate push greeter.wasm oci://ghcr.io/me/greeter:1 --with-component \\
      --format json | jq -r .sha256

The output contains the `url` and `sha256` for a WasmPlugin. `sha256` is the digest of the image manifest, not of the module. Pushing the same file with the same options and the same version of Tidegate always yields the same digest. The tag is written \
last, so that an interrupted push leaves no incomplete image.

Without --username, credentials come from Docker's configuration (DOCKER_CONFIG, or ~/.docker) or Podman's (REGISTRY_AUTH_FILE, or \
containers/auth.json in XDG_RUNTIME_DIR or XDG_CONFIG_HOME), and their credential helpers.";

/// What is pushed.
struct Plugin {
    module: Vec<u8>,
    /// The component that it was adapted from, if any.
    component: Option<Vec<u8>>,
    labels: Labels,
}

// === impl Push ===

impl Push {
    pub fn execute(self) -> anyhow::Result<()> {
        if self.registry.takes_stdin() && file::is_stdio(&self.plugin) {
            return Err(usage(
                "stdin cannot be used for both the plugin and the password: pass the plugin as a file"
                    .into(),
            ));
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
                "--with-component requires a component, and {} is a module",
                file::quoted(&self.plugin)
            ),
            (_, false) => None,
        };
        let failed = || format!("cannot push to `{}`", self.reference);
        let mut registry = self.registry.open(&self.reference).with_context(failed)?;
        // The component first, so that it exists whenever the module exists.
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
        // This removes its progress bar before anything is printed.
        drop(registry);
        logs::detail(|| {
            let blobs: Vec<_> = image.blobs.iter().map(|it| it.digest.to_string()).collect();
            format!(
                "pushed `{}`: image {digest}, blobs {}",
                self.reference,
                blobs.join(", ")
            )
        });
        let pinned = self.reference.pinned(digest.clone());
        let text = if self.format.is_json() {
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
            // Quoted for YAML, in which digits alone are a number.
            let mut text = format!("url: {pinned}\nsha256: \"{}\"\n", digest.hex());
            if let Some(beside) = beside {
                text.push_str(&format!("component: {beside}\n"));
            }
            text
        };
        file::write(Path::new("-"), text.as_bytes())
    }

    /// Reads the plugin, and adapts it if it is a component.
    fn read(&self) -> anyhow::Result<Plugin> {
        let bytes = file::read(&self.plugin)?;
        logs::detail(|| {
            let name = file::quoted(&self.plugin);
            format!("{name}: {}", plugin::description(&bytes))
        });
        let about = inspect(&bytes)
            .with_context(|| format!("cannot push {}", file::quoted(&self.plugin)))?;
        let (module, component) = match about.kind {
            Kind::Component => {
                let module = plugin::adapt(&bytes, &Options::default())
                    .with_context(|| format!("cannot adapt {}", file::quoted(&self.plugin)))?;
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
                        file::quoted(&self.plugin),
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
        // The capabilities of the module, which are the ones that manifests allow.
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

    /// The image of the component, and its reference.
    fn beside(
        &self,
        component: &[u8],
        tag: &str,
        labels: &Labels,
    ) -> anyhow::Result<(Reference, Image)> {
        let reference = self.reference.with_tag(&format!("{tag}-component"))?;
        let tidegate_adapter::Interfaces { imports, exports } = interfaces(component);
        let interfaces = Interfaces { exports, imports };
        // The capabilities of a component are its imports.
        let labels = Labels {
            capabilities: Vec::new(),
            ..labels.clone()
        };
        Ok((reference, Image::component(component, &interfaces, &labels)))
    }
}

/// Parses a reference that can be pushed to.
fn place(text: &str) -> Result<Reference, String> {
    let reference: Reference = text.parse().map_err(|error| format!("{error}"))?;
    match (reference.tag(), reference.digest()) {
        (_, Some(_)) => {
            Err("it contains a digest, which is determined by the push: specify only a tag".into())
        }
        (None, None) => Err("the tag is missing: append `:TAG` to the repository".into()),
        (Some(_), None) => Ok(reference),
    }
}
