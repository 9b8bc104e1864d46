//! Graceful shutdown on a signal.

use std::process::exit;
use std::time::Duration;

use anyhow::Context as _;
use tidegate_host::Server;

use crate::logs::note;

/// The time that requests in flight have to finish.
const GRACE: Duration = Duration::from_secs(10);

/// Ctrl-C, or the signal that a supervisor sends. Once this exists, these signals no longer end the process immediately.
pub struct StopSignal {
    runtime: tokio::runtime::Runtime,
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 2],
}

/// Stops the server after the first signal. The next signal ends the process immediately.
pub fn stop(server: Server, mut signal: StopSignal) {
    note("stopping: waiting for requests in flight; press Ctrl-C again to stop immediately");
    std::thread::spawn(move || {
        signal.wait();
        // The exit code that a shell reports for an interrupted program.
        exit(130);
    });
    server.shutdown(GRACE);
}

// === impl StopSignal ===

#[cfg(unix)]
impl StopSignal {
    /// Starts to listen for signals.
    pub fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let runtime = runtime()?;
        let signals = {
            let _inside = runtime.enter();
            let listen = |kind| signal(kind).context("cannot listen for signals");
            [
                listen(SignalKind::interrupt())?,
                listen(SignalKind::terminate())?,
            ]
        };
        Ok(Self { runtime, signals })
    }

    /// Waits for the next signal.
    pub fn wait(&mut self) {
        let [interrupt, terminate] = &mut self.signals;
        self.runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
    }
}

#[cfg(not(unix))]
impl StopSignal {
    /// Starts to listen for signals.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            runtime: runtime()?,
        })
    }

    /// Waits for the next signal.
    pub fn wait(&mut self) {
        // If signals cannot be received, only the system can end the process.
        if self.runtime.block_on(tokio::signal::ctrl_c()).is_err() {
            self.runtime.block_on(std::future::pending::<()>());
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for signals")
}
