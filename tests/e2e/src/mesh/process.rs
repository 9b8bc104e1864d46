//! The processes of the mesh: started with a log, awaited with a time limit.
//!
//! They are not stopped at the end: they run in a process namespace that ends with this program (see `namespaces`).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The interval at which a condition is checked again.
const PAUSE: Duration = Duration::from_millis(50);

/// A running process.
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

/// Repeats `ask` until it succeeds. At the deadline, returns its last error.
pub fn eventually<T>(within: Duration, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(reason) if Instant::now() >= deadline => {
                return Err(reason.context(format!("timeout after {} s", within.as_secs())));
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

// === impl Process ===

impl Process {
    /// Starts a process whose output is written to `logs/NAME.log`.
    pub fn start(name: &'static str, command: &mut Command, logs: &Path) -> Result<Process> {
        fs::create_dir_all(logs).with_context(|| format!("failed to create {}", logs.display()))?;
        let path = logs.join(format!("{name}.log"));
        // Envoy reopens its standard output by path. The log is opened in append mode, so that nothing is overwritten.
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("failed to open {}", path.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(
                log.try_clone()
                    .context("failed to duplicate the log file handle")?,
            )
            .stderr(log)
            .spawn()
            .with_context(|| format!("failed to start {name}: {command:?}"))?;
        Ok(Process {
            name,
            child,
            log: path,
        })
    }

    /// Waits until `ask` succeeds. Returns an error if the process ends before that.
    pub fn ready<T>(&mut self, within: Duration, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
        let answer = eventually(within, || match self.child.try_wait()? {
            // A process that has ended will not become ready, so stop waiting.
            Some(status) => Ok(Err(status)),
            None => ask().map(Ok),
        });
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => bail!(
                "{} ended with {status}: see {}",
                self.name,
                self.log.display()
            ),
            Err(reason) => Err(reason.context(format!(
                "{} is not ready: see {}",
                self.name,
                self.log.display()
            ))),
        }
    }

    /// Waits until the process has ended.
    pub fn ended(&mut self, within: Duration) -> Result<()> {
        eventually(within, || match self.child.try_wait()? {
            Some(_) => Ok(()),
            None => bail!("{} is still running", self.name),
        })
    }

    /// Returns the log so far.
    pub fn log(&self) -> Result<String> {
        let bytes = fs::read(&self.log)
            .with_context(|| format!("failed to read {}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
