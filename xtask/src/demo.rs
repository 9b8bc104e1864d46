//! `cargo xtask demo`: builds and runs the tutorial's plugin.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};

use crate::tutorial::{self, Server};
use xtask::workspace::Workspace;
use xtask::{guests, setup, shell};

/// The arguments.
pub struct Options {
    /// Whether to stop after the three requests.
    once: bool,
    /// The loopback port to listen on; 0 for any free port.
    port: u16,
}

impl Options {
    /// `[--once] [--port PORT]`
    pub fn parse(arguments: &[String]) -> Result<Options> {
        let mut once = false;
        let mut port = None;
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--once" => once = true,
                "--port" => {
                    let value = rest.next().context("--port requires a value")?;
                    port = Some(
                        value
                            .parse()
                            .with_context(|| format!("`{value}` is not a port"))?,
                    );
                }
                unknown => bail!("demo takes `--once` and `--port PORT`, not `{unknown}`"),
            }
        }
        // A server that keeps running needs an address that is easy to type. One that stops uses a free port, to avoid conflicts.
        Ok(Options {
            once,
            port: port.unwrap_or(if once { 0 } else { 8080 }),
        })
    }
}

/// Runs the setup, builds the plugin, starts the server and sends the three requests.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    setup::targets(workspace)?;
    workspace.build_tool()?;
    let [plugin] = guests::build(workspace, &["istio-tutorial"])?
        .try_into()
        .ok()
        .context("expected one component")?;
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let server = Server::start(&workspace.dev_binary("tidegate"), &plugin, None, listen)?;
    tutorial::send_three(server.address)?;
    if options.once {
        return Ok(());
    }
    shell::say(&format!(
        "still serving; try `curl -i http://{}/get`, stop with Ctrl-C",
        server.address
    ));
    server.wait()
}
