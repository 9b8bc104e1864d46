//! Runs `cargo install --locked --path host/cli`, and then `adapt` and `run` with the installed binary.

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::tutorial::{self, Server};
use xtask::workspace::Workspace;
use xtask::{guests, shell};

/// Installs the binary into the target directory, then adapts and runs the tutorial with it. Returns the directory of the binary.
pub fn check(workspace: &Workspace) -> Result<PathBuf> {
    shell::say("installing the command-line tool");
    let root = workspace.target.join("installed");
    shell::run(
        workspace
            .cargo()
            .args([
                "install", "--locked", "--path", "host/cli", "--debug", "--force", "--quiet",
                "--root",
            ])
            .arg(&root),
    )?;
    let tidegate = root
        .join("bin")
        .join(format!("tidegate{}", env::consts::EXE_SUFFIX));

    let [component] = guests::build(workspace, &["istio-tutorial"])?
        .try_into()
        .ok()
        .context("expected one component")?;
    let adapted = root.join("istio-tutorial.wasm");
    shell::run(
        Command::new(&tidegate)
            .arg("adapt")
            .arg(&component)
            .arg("-o")
            .arg(&adapted),
    )?;
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    for (plugin, engine) in [(&component, "component"), (&adapted, "proxy-wasm")] {
        let server = Server::start(&tidegate, plugin, Some(engine), any_port)?;
        tutorial::send_three(server.address).with_context(|| format!("in engine {engine}"))?;
    }
    Ok(root.join("bin"))
}
