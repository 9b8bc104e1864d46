//! A bootstrap of a plain Envoy, with the modules in it or in files beside it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tidegate_deploy::configuration::Way;
use tidegate_deploy::envoy::{self, Bootstrap, Module};

use super::{EnvoyArgs, Format, Ready};
use crate::file;
use crate::plugin::Plugin;

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

pub(super) fn manifest(args: &EnvoyArgs, plugins: &[Plugin]) -> anyhow::Result<String> {
    let upstream = args.upstream.as_ref().context("--upstream is not given")?;
    let upstream = envoy::Upstream::new(&upstream.host, upstream.port);
    let mut bootstrap = Bootstrap::new(args.listen.unwrap_or(LISTEN), upstream);
    bootstrap.admin = args.admin;
    // Nothing is written before everything is known to be good: half a folder is of no use.
    let ready = plugins
        .iter()
        .map(|plugin| Ready::new(plugin, Way::Bytes))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let folder = args.module_dir.as_deref().map(folder).transpose()?;
    let mut files = Vec::new();
    for (plugin, ready) in plugins.iter().zip(ready) {
        let module = match &folder {
            None => Module::Inline(ready.module.to_vec()),
            Some(folder) => {
                // Not `.wasm` alone: the folder may be the one that the component lies in.
                let path = folder.join(format!("{}.proxy.wasm", plugin.name));
                refuse_input(&path, plugins)?;
                files.push((path.clone(), ready.module));
                Module::File(path)
            }
        };
        let mut entry = envoy::Plugin::new(&plugin.name, module);
        entry.configuration = Some(plugin.configuration.clone());
        entry.capabilities = Some(ready.facts.capabilities());
        bootstrap.plugins.push(entry);
    }
    let text = match args.format.unwrap_or(Format::Json) {
        Format::Json => format!("{:#}\n", bootstrap.to_json()),
        Format::Yaml => bootstrap.to_yaml()?,
    };
    for (path, module) in files {
        file::write(&path, &module)?;
    }
    Ok(text)
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
                "the module would overwrite its source `{}`: choose another directory",
                input.display()
            );
        }
    }
    Ok(())
}

/// The folder, made if it is not there, as a path that holds wherever the proxy is started.
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
