//! What the commands that speak to a registry have in common: who asks, how, for how long. How far it is, is for `progress`.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::ProgressDrawTarget;
use tidegate_oci::{
    Access, Component, Credentials, Digest, Reference, Registry, Transfer, component, examine,
};

use crate::progress::Bar;
use crate::{file, logs, output};

/// How a registry is spoken to.
#[derive(Args)]
pub struct RegistryArgs {
    /// Username for the registry. Default: credentials from the configuration of Docker or Podman, or else anonymous access
    #[arg(long, value_name = "NAME", requires = "password_stdin")]
    username: Option<String>,

    /// Read the password for the registry from stdin
    #[arg(long, requires = "username")]
    password_stdin: bool,

    /// Access the registry over HTTP without TLS. Registries on loopback addresses are always accessed without TLS
    #[arg(long)]
    plain_http: bool,

    /// Time limit for the whole operation
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    timeout: Duration,
}

/// A module that was pulled.
pub struct Pulled {
    /// The module's bytes.
    pub module: Vec<u8>,
    /// The digest of the image's manifest.
    pub digest: Digest,
}

/// The value of `--timeout` if it is not given.
const TIMEOUT: Duration = Duration::from_secs(120);

// === impl RegistryArgs ===

impl Default for RegistryArgs {
    /// Without any of the options.
    fn default() -> Self {
        Self {
            username: None,
            password_stdin: false,
            plain_http: false,
            timeout: TIMEOUT,
        }
    }
}

impl RegistryArgs {
    /// Whether stdin is for the password.
    pub fn takes_stdin(&self) -> bool {
        self.password_stdin
    }

    /// An option that was given, if any was.
    pub fn given(&self) -> Option<&'static str> {
        if self.username.is_some() {
            return Some("--username");
        }
        if self.plain_http {
            return Some("--plain-http");
        }
        (self.timeout != TIMEOUT).then_some("--timeout")
    }

    /// The repository of a reference.
    pub fn open(&self, reference: &Reference) -> anyhow::Result<Registry> {
        // A bar on a terminal, and none elsewhere.
        let bar = (!ProgressDrawTarget::stderr().is_hidden() && !output::is_quiet())
            .then(|| Bar::on(ProgressDrawTarget::stderr));
        logs::detail(&format!(
            "registry {}, repository {}",
            reference.registry(),
            reference.repository()
        ));
        let access = Access {
            credentials: self.credentials(reference)?,
            plain_http: self.plain_http,
            timeout: self.timeout,
            watcher: bar.map(|bar| -> Box<dyn Fn(Transfer<'_>)> {
                Box::new(move |transfer| bar.show(transfer))
            }),
        };
        Ok(Registry::open(reference, access))
    }

    /// The component in an image of the layout for components, none if it has another.
    pub fn component(&self, reference: &Reference) -> anyhow::Result<Option<Component>> {
        let mut registry = self.open(reference)?;
        Ok(component(&mut registry, reference)?)
    }

    /// Pulls the module of an image as Istio's agent does, and fails where the agent would reject the image.
    pub fn pull(&self, reference: &Reference, sha256: Option<&Digest>) -> anyhow::Result<Pulled> {
        let failed = || format!("cannot pull `{reference}`");
        let mut registry = self.open(reference).with_context(failed)?;
        let examined = examine(&mut registry, reference, sha256).with_context(failed)?;
        // This removes its progress bar before anything is printed.
        drop(registry);
        if !examined.refusals.is_empty() {
            let refusals: Vec<_> = examined.refusals.iter().map(ToString::to_string).collect();
            bail!("Istio would reject `{reference}`: {}", refusals.join("; "));
        }
        if examined.unsafe_realm.is_some() {
            logs::note(&format!(
                "warning: newer versions of Istio's agent do not authenticate with the registry of `{reference}`: see `tidegate check`"
            ));
        }
        Ok(Pulled {
            module: examined.wasm.with_context(failed)?,
            digest: examined.digest,
        })
    }

    fn credentials(&self, reference: &Reference) -> anyhow::Result<Credentials> {
        let Some(username) = &self.username else {
            return Ok(Credentials::from_configuration(reference.registry())?);
        };
        let password = file::read("-".as_ref())?;
        let password =
            String::from_utf8(password).context("the password on stdin is not valid UTF-8")?;
        // A line piped in ends with a newline that is not part of the password.
        let password = password.strip_suffix('\n').unwrap_or(&password);
        let password = password.strip_suffix('\r').unwrap_or(password);
        if password.is_empty() {
            bail!("the password is missing: `--password-stdin` reads it from stdin");
        }
        Ok(Credentials::Password {
            username: username.clone(),
            password: password.to_owned(),
        })
    }
}

/// Reads a digest, as a `WasmPlugin` and as a reference has it: with `sha256:` or without.
pub fn sha256(text: &str) -> Result<Digest, String> {
    Digest::from_hex(text.strip_prefix("sha256:").unwrap_or(text)).map_err(|_| {
        "expected 64 lowercase hexadecimal digits, with or without `sha256:`".to_owned()
    })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0.0);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    // What is longer than a day is no limit.
    let duration = duration.filter(|duration| *duration <= Duration::from_secs(86_400));
    duration.ok_or_else(|| "expected a number of seconds from 1 to 86400".to_owned())
}
