//! `tidegate pull`: pulls a plugin from a registry, as Istio's agent does.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tidegate_adapter::VerifyError;
use tidegate_oci::{Digest, Reference};

use crate::place::last_segment;
use crate::plugin::usage;
use crate::registry::{RegistryArgs, sha256};
use crate::{file, logs};

/// Pull a plugin's module from a registry, as Istio does
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Pull {
    /// The image to pull
    #[arg(value_name = "oci://REGISTRY/REPOSITORY[:TAG][@DIGEST]")]
    reference: Reference,

    /// The file to write; `-` for stdout. Default: a file in this directory, named after the last segment of the repository
    /// name, with the extension `.proxy.wasm`, or `.wasm` for a component
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Pull the component instead of the module. `push --with-component` pushes it with the tag `TAG-component`
    #[arg(long, conflicts_with = "sha256")]
    component: bool,

    /// Expected digest of the image manifest, as in a WasmPlugin's `sha256` field
    #[arg(long, value_name = "DIGEST", value_parser = sha256)]
    sha256: Option<Digest>,

    #[command(flatten)]
    registry: RegistryArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidegate pull oci://127.0.0.1:5000/greeter:1.0.0
  tidegate pull oci://ghcr.io/me/greeter:1.0.0 -o - | tidegate inspect -
  tidegate pull oci://ghcr.io/me/greeter:1.0.0 --component

An image that Istio's agent would reject is rejected here too: see `tidegate check`. If the agent would reject the registry \
itself because of its authentication realm, a warning is printed. FILE is written atomically.";

// === impl Pull ===

impl Pull {
    pub fn execute(self) -> anyhow::Result<()> {
        if self.component {
            return self.pull_component();
        }
        let pulled = self.registry.pull(&self.reference, self.sha256.as_ref())?;
        self.write(&pulled.module, "proxy.wasm", &pulled.digest)?;
        // The user may not know what the reference refers to.
        if tidegate_adapter::check(&pulled.module) == [VerifyError::Component] {
            logs::note(
                "the image contains a component: Istio passes it to Envoy, but Envoy does not load it",
            );
        }
        Ok(())
    }

    fn pull_component(&self) -> anyhow::Result<()> {
        if self.reference.digest().is_some() {
            return Err(usage(format!(
                "--component cannot be used with `{}`: the digest is that of the module's image; remove it",
                self.reference
            )));
        }
        let Some(tag) = self.reference.tag() else {
            return Err(usage(format!(
                "--component requires a tag, and `{}` has none: append `:TAG`",
                self.reference
            )));
        };
        let reference = self.reference.with_tag(&format!("{tag}-component"))?;
        let failed = || format!("cannot pull `{reference}`");
        let found = self.registry.component(&reference).with_context(failed)?;
        let found = found.with_context(|| format!("`{reference}` contains no component"))?;
        self.write(&found.wasm, "wasm", &found.digest)
    }

    fn write(&self, wasm: &[u8], ending: &str, image: &Digest) -> anyhow::Result<()> {
        let name = last_segment(&self.reference);
        let output = match &self.output {
            Some(output) => output.clone(),
            None => PathBuf::from(format!("{name}.{ending}")),
        };
        file::write_binary(&output, wasm)?;
        if !file::is_stdio(&output) {
            logs::note(&format!(
                "pulled {} bytes into `{}` from the image `{image}`",
                wasm.len(),
                output.display(),
            ));
        }
        Ok(())
    }
}
