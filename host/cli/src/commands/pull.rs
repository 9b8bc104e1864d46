//! `tidegate pull`: a plugin comes from a registry, by the way that Istio's agent goes.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use tidegate_adapter::VerifyError;
use tidegate_oci::{Digest, Reference, examine};

use crate::registry::{RegistryArgs, sha256};
use crate::{file, logs};

/// Pull a plugin's module from a registry, as Istio does
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Pull {
    /// The image to pull
    #[arg(value_name = "oci://REGISTRY/REPOSITORY[:TAG][@DIGEST]")]
    reference: Reference,

    /// The file to write; `-` for stdout. Default: the last part of the repository with `.proxy.wasm`, in this directory
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Expected digest of the image manifest, as in the field `sha256` of a WasmPlugin
    #[arg(long, value_name = "DIGEST", value_parser = sha256)]
    sha256: Option<Digest>,

    #[command(flatten)]
    registry: RegistryArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidegate pull oci://127.0.0.1:5000/greeter:1.0.0
  tidegate pull oci://ghcr.io/me/greeter:1.0.0 -o - | tidegate inspect -

An image that Istio's agent would refuse is refused here too: see `tidegate verify`. If the agent would refuse the registry \
itself, for example because of its certificate, a warning is printed. FILE is written atomically.";

// === impl Pull ===

impl Pull {
    pub fn execute(self) -> anyhow::Result<()> {
        let failed = || format!("cannot pull `{}`", self.reference);
        let mut registry = self.registry.open(&self.reference).with_context(failed)?;
        let examined = examine(&mut registry, &self.reference, self.sha256.as_ref());
        let examined = examined.with_context(failed)?;
        // With its bar, which would stand in the way.
        drop(registry);
        if !examined.refusals.is_empty() {
            let refusals: Vec<_> = examined.refusals.iter().map(ToString::to_string).collect();
            bail!(
                "Istio would refuse `{}`: {}",
                self.reference,
                refusals.join("; ")
            );
        }
        if examined.unsafe_realm.is_some() {
            logs::note(
                "warning: newer versions of the agent do not authenticate with this registry: see `tidegate verify`",
            );
        }
        let module = examined.wasm.with_context(failed)?;
        let output = self.output.unwrap_or_else(|| {
            let repository = self.reference.repository();
            let name = repository.rsplit('/').next().unwrap_or(repository);
            PathBuf::from(format!("{name}.proxy.wasm"))
        });
        file::write_binary(&output, &module)?;
        if !file::is_stdio(&output) {
            logs::note(&format!(
                "pulled {} bytes into `{}` from the image `{}`",
                module.len(),
                output.display(),
                examined.digest
            ));
        }
        // It is what was asked for, and whoever asked may not know what it is.
        if tidegate_adapter::check(&module) == [VerifyError::Component] {
            logs::note("it is a component: Istio passes it on, but Envoy does not load it");
        }
        Ok(())
    }
}
