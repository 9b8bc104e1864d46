//! The tutorial's three requests: two pass with two added headers, the third is over the limit.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use xtask::http;

/// Long enough for a debug build of Cranelift to compile a plugin on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// A running `tidegate run`, ended when dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts `tidegate run PLUGIN` with one worker, because the tutorial counts requests in one, before the built-in
    /// upstream, and waits until it says where it listens.
    pub fn start(
        tidegate: &Path,
        plugin: &Path,
        engine: Option<&str>,
        listen: SocketAddr,
    ) -> Result<Server> {
        let mut command = Command::new(tidegate);
        command
            .arg("run")
            .arg(plugin)
            .args(["--upstream", "echo", "--workers", "1", "--listen"])
            .arg(listen.to_string());
        if let Some(engine) = engine {
            command.args(["--engine", engine]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start {}", tidegate.display()))?;
        let stdout = child.stdout.take();
        let mut server = Server {
            child,
            address: listen,
        };
        let stdout = stdout.context("the server has no standard output")?;
        server.address = ready(stdout, &mut server.child)?;
        Ok(server)
    }

    /// Waits until the server ends: on Ctrl-C, which reaches it as well as us.
    pub fn wait(mut self) -> Result<()> {
        let status = self.child.wait().context("failed to wait for the server")?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing to report to if it has ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Reads lines until one ends in `http://ADDRESS`, shows them all, and goes on showing them afterwards.
fn ready(stdout: impl Read + Send + 'static, child: &mut Child) -> Result<SocketAddr> {
    let (found, listening) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            println!("{line}");
            let address = line
                .split_whitespace()
                .find_map(|word| word.strip_prefix("http://")?.parse().ok());
            if let Some(address) = address {
                // The receiver is gone once it has an address.
                _ = found.send(address);
            }
        }
    });
    match listening.recv_timeout(READY_WITHIN) {
        Ok(address) => Ok(address),
        Err(_) => match child.try_wait()? {
            Some(status) => bail!("the server ended with {status} before it was ready"),
            None => bail!(
                "the server was not ready within {} s",
                READY_WITHIN.as_secs()
            ),
        },
    }
}

/// Sends the three requests, shows each answer, and fails unless they are what the tutorial says.
pub fn send_three(address: SocketAddr) -> Result<()> {
    for (number, expected) in [200, 200, 403].into_iter().enumerate() {
        let answer =
            http::get(address, "/get").with_context(|| format!("request {} failed", number + 1))?;
        println!("\n{}. GET /get -> {}", number + 1, answer.status);
        for name in ["who-am-i", "injected-by", "powered-by"] {
            for value in answer.values(name) {
                println!("   {name}: {value}");
            }
        }
        println!("   {}", answer.body.trim_end().replace('\n', "\n   "));
        ensure!(
            answer.status == expected,
            "request {} should get {expected}, got {}",
            number + 1,
            answer.status
        );
        answer.expect("who-am-i", "wasm-extension")?;
        answer.expect("injected-by", "istio-api!")?;
        if expected == 403 {
            answer.expect("powered-by", "proxy-wasm-go-sdk!!")?;
            ensure!(
                answer.body == "rate limited, wait and retry.",
                "an unexpected body: `{}`",
                answer.body
            );
        }
    }
    println!();
    Ok(())
}
