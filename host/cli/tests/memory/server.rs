//! A running `tidegate run`, and the memory of its process.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

/// The timeout for everything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The soft limit on open file descriptors with which the tool is started. It has to raise the limit itself.
const DESCRIPTORS: u32 = 128;

pub struct Server {
    child: Child,
    pub address: SocketAddr,
    // The file is read when plugins are reloaded, too.
    _module: NamedTempFile,
}

/// The memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub resident: u64,
    /// The largest resident size since the process began, or since `reset_peak`.
    pub peak: u64,
}

impl Server {
    /// Starts the tool with two workers and one plugin.
    pub fn start(component: &[u8], configuration: &str, options: &[&str]) -> Result<Self> {
        let mut module = NamedTempFile::with_suffix(".wasm")?;
        module.write_all(component)?;
        let tool = std::env::var("TIDEGATE_TOOL")
            .unwrap_or_else(|_| env!("CARGO_BIN_EXE_tidegate").to_owned());
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -Sn {DESCRIPTORS} && exec \"$@\""))
            .args(["sh", &tool, "run"])
            .arg(format!("{}={configuration}", module.path().display()))
            .args(["--workers", "2", "--listen", "127.0.0.1:0"])
            .args(["--log-level", "error"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start {tool}"))?;
        let output = child.stdout.take();
        // From here on, the child is killed if an error occurs.
        let mut server = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            _module: module,
        };
        let (found, listening) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = output.map(|it| BufReader::new(it).lines());
            for line in lines.into_iter().flatten().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("listening on http://") {
                    // The receiver waits for one address.
                    _ = found.send(address.parse());
                }
            }
        });
        server.address = listening
            .recv_timeout(PATIENCE)
            .context("the tool did not start to serve")??;
        Ok(server)
    }

    pub fn connect(&self) -> Result<TcpStream> {
        connect(self.address)
    }

    /// Makes the current size the largest one: the process is larger while it compiles the plugin.
    pub fn reset_peak(&self) -> Result<()> {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").context("clear_refs")
    }

    pub fn memory(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let size = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let size = line.and_then(|line| line.trim().strip_suffix(" kB"));
            let size: u64 = size.with_context(|| format!("no {name}"))?.parse()?;
            Ok(size * 1024)
        };
        Ok(Memory {
            resident: size("VmRSS:")?,
            peak: size("VmHWM:")?,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // This fails if the process has already exited.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream =
        TcpStream::connect(address).with_context(|| format!("no connection to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Reads the head of a message, and returns its first line and the length of its body.
pub fn read_head(reader: &mut impl BufRead) -> Result<(String, u64)> {
    let mut line = || -> Result<String> {
        let mut line = String::new();
        ensure!(
            reader.read_line(&mut line)? > 0,
            "the connection was closed"
        );
        Ok(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut length = 0;
    loop {
        let line = line()?;
        if line.is_empty() {
            return Ok((first, length));
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse()?;
        }
    }
}
