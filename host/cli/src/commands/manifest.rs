//! `tidegate manifest`: what a proxy needs to run plugins.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use tidegate_deploy::envoy::{self, Bootstrap, Module};

use crate::file;
use crate::plugin::{self, Plugin, PluginArg};
use crate::upstream::UpstreamUrl;

/// Write a complete configuration for a proxy that runs plugins
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Manifest {
    /// Which proxy it is for
    #[arg(long, value_name = "KIND")]
    kind: Kind,

    /// Plugins, in the order that requests pass them; CONFIG is a JSON file or, beginning with `{`, JSON itself.
    /// Components are adapted first
    #[arg(required = true, value_name = "PLUGIN.wasm[=CONFIG]")]
    plugins: Vec<PluginArg>,

    /// Where requests go: `http://HOST[:PORT]`
    #[arg(long, value_name = "URL", value_parser = UpstreamUrl::parse)]
    upstream: UpstreamUrl,

    /// Where the proxy listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Where the proxy's admin interface listens; it has none if not given
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,

    /// How it is written; Envoy tells by the file's ending, and reads a path without one as JSON
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    format: Format,

    /// Write modules into this folder, as `NAME.proxy.wasm`, and name them in the manifest, instead of putting them into it
    #[arg(long, value_name = "DIR")]
    module_dir: Option<PathBuf>,

    /// Where the manifest goes; `-` for stdout
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// An Envoy bootstrap
    Envoy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

const EXAMPLES: &str = "\
Examples:
  envoy -c <(tidegate manifest --kind envoy greeter.wasm --upstream http://127.0.0.1:9000)
  tidegate manifest --kind envoy rate-limit.wasm=limits.json headers.wasm='{}' --upstream http://httpbin.org -o envoy.json
  tidegate manifest --kind envoy greeter.wasm --upstream http://127.0.0.1:9000 --format yaml --module-dir modules

The plugins fail as they do in `tidegate run`: one that traps is started afresh. That needs Envoy 1.33 or newer.";

// === impl Manifest ===

impl Manifest {
    pub fn execute(self) -> anyhow::Result<()> {
        let plugins = plugin::read(&self.plugins)?;
        let text = match self.kind {
            Kind::Envoy => self.envoy(&plugins)?,
        };
        file::write(&self.output, text.as_bytes())
    }

    fn envoy(&self, plugins: &[Plugin]) -> anyhow::Result<String> {
        let upstream = envoy::Upstream::new(&self.upstream.host, self.upstream.port);
        let mut bootstrap = Bootstrap::new(self.listen, upstream);
        bootstrap.admin = self.admin;
        // Nothing is written before everything is known to be good: half a folder is of no use.
        let modules = plugins
            .iter()
            .map(Plugin::adapted)
            .collect::<anyhow::Result<Vec<_>>>()?;
        let folder = self.module_dir.as_deref().map(folder).transpose()?;
        let mut files = Vec::new();
        for (plugin, module) in plugins.iter().zip(modules) {
            let module = match &folder {
                None => Module::Inline(module.to_vec()),
                Some(folder) => {
                    // Not `.wasm` alone: the folder may be the one that the component lies in.
                    let path = folder.join(format!("{}.proxy.wasm", plugin.name));
                    refuse_input(&path, plugins)?;
                    files.push((path.clone(), module));
                    Module::File(path)
                }
            };
            let mut entry = envoy::Plugin::new(&plugin.name, module);
            entry.configuration = Some(plugin.configuration.clone());
            bootstrap.plugins.push(entry);
        }
        let text = match self.format {
            Format::Json => format!("{:#}\n", bootstrap.to_json()),
            Format::Yaml => bootstrap.to_yaml()?,
        };
        for (path, module) in files {
            file::write(&path, &module)?;
        }
        Ok(text)
    }
}

/// Refuses to write over a file that was read.
fn refuse_input(path: &Path, plugins: &[Plugin]) -> anyhow::Result<()> {
    // What is not there yet cannot have been read.
    let Ok(target) = fs::canonicalize(path) else {
        return Ok(());
    };
    let read = plugins
        .iter()
        .flat_map(|plugin| [Some(&plugin.path), plugin.configuration_file.as_ref()])
        .flatten();
    for input in read {
        if fs::canonicalize(input).is_ok_and(|input| input == target) {
            bail!(
                "the module would be written over `{}`, which it is made from: choose another folder",
                input.display()
            );
        }
    }
    Ok(())
}

/// The folder, made if it is not there, as a path that holds wherever the proxy is started.
fn folder(path: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(path)
        .with_context(|| format!("cannot make the folder `{}`", path.display()))?;
    let full = fs::canonicalize(path)
        .with_context(|| format!("cannot find the folder `{}`", path.display()))?;
    if full.to_str().is_none() {
        bail!(
            "the folder `{}` has a name that is not UTF-8, and the manifest could not name it",
            path.display()
        );
    }
    Ok(full)
}
