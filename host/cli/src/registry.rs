//! The options of commands that access a registry: credentials, TLS and the time limit. `progress` shows the progress.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::ProgressDrawTarget;
use tidegate_oci::{
    Access, Component, Credentials, Digest, Examined, Reference, Registry, Transfer, component,
    examine,
};

use crate::progress::Bar;
use crate::{file, logs, output};

/// How a registry is accessed.
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

/// The default of `--timeout`.
const TIMEOUT: Duration = Duration::from_secs(120);

// === impl RegistryArgs ===

impl Default for RegistryArgs {
    /// The defaults of all options.
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
    /// Whether the password is read from stdin.
    pub fn takes_stdin(&self) -> bool {
        self.password_stdin
    }

    /// One of the options that were given, if any.
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
        // The progress bar is shown only on a terminal.
        let bar = (!ProgressDrawTarget::stderr().is_hidden() && !output::is_quiet())
            .then(|| Bar::on(ProgressDrawTarget::stderr));
        let credentials = self.credentials(reference)?;
        logs::detail(|| {
            format!(
                "registry `{}`, repository `{}`, credentials: {}",
                reference.registry(),
                reference.repository(),
                match &credentials {
                    Credentials::Anonymous => "none".to_owned(),
                    Credentials::Password { username, .. } => format!("user `{username}`"),
                    Credentials::IdentityToken(_) => "identity token".to_owned(),
                }
            )
        });
        let access = Access {
            credentials,
            plain_http: self.plain_http,
            timeout: self.timeout,
            watcher: bar.map(|bar| -> Box<dyn Fn(Transfer<'_>)> {
                Box::new(move |transfer| bar.show(transfer))
            }),
        };
        Ok(Registry::open(reference, access))
    }

    /// Pulls the component of an image in the layout for components. `None` if the image has another layout.
    pub fn component(&self, reference: &Reference) -> anyhow::Result<Option<Component>> {
        let mut registry = self.open(reference)?;
        let found = component(&mut registry, reference)?;
        // This removes its progress bar before anything is printed.
        drop(registry);
        logs::detail(|| match &found {
            None => format!("`{reference}` does not have the layout for components"),
            Some(it) => format!(
                "pulled `{reference}`: image {}, component of {} bytes",
                it.digest,
                it.wasm.len()
            ),
        });
        Ok(found)
    }

    /// Pulls the module of an image as Istio's agent does, and fails where the agent would reject the image.
    pub fn pull(&self, reference: &Reference, sha256: Option<&Digest>) -> anyhow::Result<Pulled> {
        let failed = || format!("cannot pull `{reference}`");
        let examined = self.examine(reference, sha256).with_context(failed)?;
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

    /// Examines an image as Istio's agent does.
    pub fn examine(
        &self,
        reference: &Reference,
        sha256: Option<&Digest>,
    ) -> anyhow::Result<Examined> {
        let begun = Instant::now();
        let mut registry = self.open(reference)?;
        let examined = examine(&mut registry, reference, sha256)?;
        // This removes its progress bar before anything is printed.
        drop(registry);
        logs::detail(|| {
            format!(
                "pulled `{reference}`: image {}, {} in {} ms",
                examined.digest,
                match &examined.wasm {
                    Some(wasm) => format!("module {}, {} bytes,", Digest::of(wasm), wasm.len()),
                    None => "no module".to_owned(),
                },
                begun.elapsed().as_millis()
            )
        });
        Ok(examined)
    }

    fn credentials(&self, reference: &Reference) -> anyhow::Result<Credentials> {
        let Some(username) = &self.username else {
            return Ok(Credentials::from_configuration(reference.registry())?);
        };
        let password = file::read_secret("-".as_ref())?;
        let password =
            String::from_utf8(password).context("the password on stdin is not valid UTF-8")?;
        // A newline at the end is not part of the password.
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

/// Parses a digest with `sha256:`, as in a reference, or without, as in a `WasmPlugin`.
pub fn sha256(text: &str) -> Result<Digest, String> {
    Digest::from_hex(text.strip_prefix("sha256:").unwrap_or(text)).map_err(|_| {
        "expected 64 lowercase hexadecimal digits, with or without `sha256:`".to_owned()
    })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0.0);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    // At most one day.
    let duration = duration.filter(|duration| *duration <= Duration::from_secs(86_400));
    duration.ok_or_else(|| "expected a number of seconds from 1 to 86400".to_owned())
}
