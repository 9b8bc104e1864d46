//! The tutorial's three requests: two are allowed and get two headers, the third exceeds the limit.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use xtask::http;

/// The time limit for compiling a plugin with a debug build of Cranelift on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// A running `tidegate run`. It is killed when dropped.
pub struct Server {
    child: Child,
    /// The address on which it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts `tidegate run PLUGIN` with the built-in upstream and with one worker, because the tutorial counts the requests of one
    /// worker. Waits until it prints its address.
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

    /// Waits until the server exits: on Ctrl-C, which both processes receive.
    pub fn wait(mut self) -> Result<()> {
        let status = self.child.wait().context("failed to wait for the server")?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // This fails if the process has already exited.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Reads and shows lines until one ends in `http://ADDRESS`, and continues to show lines after that.
fn ready(stdout: impl Read + Send + 'static, child: &mut Child) -> Result<SocketAddr> {
    let (found, listening) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            println!("{line}");
            let address = line
                .split_whitespace()
                .find_map(|word| word.strip_prefix("http://")?.parse().ok());
            if let Some(address) = address {
                // The receiver is dropped once it has the address.
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

/// Sends the three requests, shows the responses, and fails unless they are as documented.
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
            "expected status {expected} for request {}, got {}",
            number + 1,
            answer.status
        );
        answer.expect("who-am-i", "wasm-extension")?;
        answer.expect("injected-by", "istio-api!")?;
        if expected == 403 {
            answer.expect("powered-by", "proxy-wasm-go-sdk!!")?;
            ensure!(
                answer.body == "rate limited, wait and retry.",
                "unexpected body: `{}`",
                answer.body
            );
        }
    }
    println!();
    Ok(())
}
