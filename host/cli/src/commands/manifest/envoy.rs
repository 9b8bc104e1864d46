//! The bootstrap of a standalone Envoy, with modules inlined or in separate files.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use tidegate_deploy::configuration::Way;
use tidegate_deploy::envoy::{self, Bootstrap, Module};

use super::Ready;
use crate::file;
use crate::logs;
use crate::place::Place;
use crate::plugin::{self, Plugin, PluginArg};
use crate::profile::ProfileArg;
use crate::serve::address;
use crate::upstream::{ClusterArg, UpstreamUrl};

/// Generate a bootstrap configuration for a standalone Envoy, with each plugin restricted to the capabilities it needs
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct EnvoyArgs {
    /// Plugins, in the order in which requests pass through them. PLUGIN is a file, `-` for stdin, or an `oci://` reference. CONFIG is the
    /// configuration itself, or `@FILE` to read it from a file
    #[arg(required = true, value_name = plugin::SYNTAX)]
    plugins: Vec<PluginArg>,

    /// The upstream: `http://HOST[:PORT]`
    #[arg(long, value_name = "URL", value_parser = UpstreamUrl::parse)]
    upstream: UpstreamUrl,

    /// Cluster to which plugins can send HTTP calls: its name, and the URL of its server, `http://HOST[:PORT]`. Repeat the option for
    /// several clusters
    #[arg(long = "cluster", value_name = "NAME=URL", value_parser = ClusterArg::parse)]
    clusters: Vec<ClusterArg>,

    /// Address of the listener
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    listen: SocketAddr,

    /// Address of the admin interface. Default: none
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    admin: Option<SocketAddr>,

    /// Configure Envoy as this proxy is configured by default: path normalization, fields that are added and removed, and `server` in
    /// responses
    #[arg(long, default_value = "envoy")]
    profile: ProfileArg,

    /// Format of the bootstrap. Envoy determines the format from the file extension, and reads files without one as JSON
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    format: Format,

    /// Write modules to this directory, as `NAME.proxy.wasm`, and refer to them, instead of inlining them
    #[arg(long, value_name = "DIR")]
    module_dir: Option<PathBuf>,

    /// The file to write; `-` for stdout
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

const EXAMPLES: &str = "\
Examples:
  envoy -c <(tidegate manifest envoy greeter.wasm --upstream http://127.0.0.1:9000)
  tidegate manifest envoy rate-limit.wasm=@limits.json headers.wasm='{}' \\
      --upstream http://httpbin.org -o envoy.json
  tidegate manifest envoy greeter.wasm --upstream http://127.0.0.1:9000 \\
      --format yaml --module-dir modules
  tidegate manifest envoy greeter.wasm --upstream http://127.0.0.1:9000 \\
      --cluster auth=http://127.0.0.1:9001
  tidegate manifest envoy greeter.wasm --upstream http://127.0.0.1:9000 --profile istio

A plugin that traps is restarted after about a second; until then, requests get 503. The bootstrap requires Envoy 1.33 or newer.";

// === impl EnvoyArgs ===

impl EnvoyArgs {
    pub fn execute(self) -> anyhow::Result<()> {
        ClusterArg::distinct(&self.clusters)?;
        let plugins = plugin::read(&self.plugins, &[])?;
        let text = self.bootstrap(&plugins)?;
        file::write(&self.output, text.as_bytes())
    }

    fn bootstrap(&self, plugins: &[Plugin]) -> anyhow::Result<String> {
        let upstream = envoy::Upstream::new(&self.upstream.host, self.upstream.port);
        let mut bootstrap = Bootstrap::new(self.listen, upstream);
        bootstrap.admin = self.admin;
        bootstrap.profile = self.profile.into();
        let clusters = self.clusters.iter().map(|it| envoy::Cluster {
            name: it.name.clone(),
            endpoints: vec![envoy::Upstream::new(&it.url.host, it.url.port)],
        });
        bootstrap.clusters = clusters.collect();
        // Nothing is written until everything has been validated, so that no incomplete output is left.
        let ready = plugins
            .iter()
            .map(|plugin| Ready::new(plugin, Way::Bytes))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let folder = self.module_dir.as_deref().map(folder).transpose()?;
        let mut files = Vec::new();
        let mut callers = Vec::new();
        for (plugin, ready) in plugins.iter().zip(ready) {
            let module = match &folder {
                None => Module::Inline(ready.module.to_vec()),
                Some(folder) => {
                    // Not just `.wasm`: the directory may contain the component.
                    let path = folder.join(format!("{}.proxy.wasm", plugin.name));
                    refuse_input(&path, plugins)?;
                    files.push((path.clone(), ready.module));
                    Module::File(path)
                }
            };
            if plugin::sends_calls(&ready.facts.hostcalls) {
                callers.push(&plugin.place);
            }
            let mut entry = envoy::Plugin::new(&plugin.name, module);
            entry.configuration = Some(plugin.configuration.clone());
            entry.capabilities = Some(ready.facts.capabilities());
            bootstrap.plugins.push(entry);
        }
        let text = match self.format {
            Format::Json => format!("{:#}\n", bootstrap.to_json()),
            Format::Yaml => bootstrap.to_yaml()?,
        };
        for (path, module) in files {
            file::write(&path, &module)?;
        }
        if self.clusters.is_empty() {
            for place in callers {
                logs::note(&format!(
                    "warning: `{place}` sends HTTP calls, but the bootstrap has no cluster for them: add it with --cluster NAME=URL"
                ));
            }
        }
        Ok(text)
    }
}

/// Fails if the output would overwrite an input.
fn refuse_input(path: &Path, plugins: &[Plugin]) -> anyhow::Result<()> {
    // A file that does not exist was not an input.
    let Ok(target) = fs::canonicalize(path) else {
        return Ok(());
    };
    let read = plugins.iter().flat_map(|plugin| {
        let file = match &plugin.place {
            Place::File(file) => Some(file),
            Place::Image(_) => None,
        };
        [file, plugin.configuration_file.as_ref()]
    });
    for input in read.flatten() {
        if fs::canonicalize(input).is_ok_and(|input| input == target) {
            bail!(
                "the module would overwrite its source `{}`: choose another directory",
                input.display()
            );
        }
    }
    Ok(())
}

/// Creates the directory if it does not exist. Returns its absolute path, which is valid wherever the proxy is started.
fn folder(path: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(path)
        .with_context(|| format!("cannot create the directory `{}`", path.display()))?;
    let full = fs::canonicalize(path)
        .with_context(|| format!("cannot find the directory `{}`", path.display()))?;
    if full.to_str().is_none() {
        bail!(
            "the path of the directory `{}` is not valid UTF-8",
            path.display()
        );
    }
    Ok(full)
}
