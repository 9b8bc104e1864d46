//! What the commands that speak to a registry have in common: who asks, how, for how long. How far it is, is for `progress`.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::ProgressDrawTarget;
use tidegate_oci::{Access, Credentials, Digest, Reference, Registry, Transfer};

use crate::file;
use crate::progress::Bar;

/// How a registry is spoken to.
#[derive(Args)]
pub struct RegistryArgs {
    /// Username. Default: credentials from the configuration of Docker or Podman, or anonymous access
    #[arg(long, value_name = "NAME", requires = "password_stdin")]
    username: Option<String>,

    /// Read the password from stdin
    #[arg(long, requires = "username")]
    password_stdin: bool,

    /// Use HTTP without TLS. Registries on loopback addresses are always accessed without TLS
    #[arg(long)]
    plain_http: bool,

    /// Time limit of the whole operation
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    timeout: Duration,
}

// === impl RegistryArgs ===

impl RegistryArgs {
    /// Whether stdin is for the password.
    pub fn takes_stdin(&self) -> bool {
        self.password_stdin
    }

    /// The repository of a reference.
    pub fn open(&self, reference: &Reference) -> anyhow::Result<Registry> {
        // A bar on a terminal, and none elsewhere.
        let bar = (!ProgressDrawTarget::stderr().is_hidden())
            .then(|| Bar::on(ProgressDrawTarget::stderr));
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

    fn credentials(&self, reference: &Reference) -> anyhow::Result<Credentials> {
        let Some(username) = &self.username else {
            return Ok(Credentials::from_configuration(reference.registry())?);
        };
        let password = file::read("-".as_ref())?;
        let password =
            String::from_utf8(password).context("the password on stdin is not valid UTF-8")?;
        // Whoever pipes a line in means what is on it.
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
