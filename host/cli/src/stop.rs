//! How what serves is told to stop, and stops.

use std::process::exit;
use std::time::Duration;

use anyhow::Context as _;
use tidegate_host::Server;

use crate::logs::note;

/// How long requests that are under way may take when the proxy is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// The wish that the proxy stop: ctrl-c, or what a supervisor sends. From when it is there, neither ends the process by itself.
pub struct StopSignal {
    runtime: tokio::runtime::Runtime,
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 2],
}

/// Stops when the first wish has come; at once with the next.
pub fn stop(server: Server, mut signal: StopSignal) {
    note("stopping: waiting for requests in flight; press Ctrl-C again to stop immediately");
    std::thread::spawn(move || {
        signal.wait();
        // What a shell reports of a program that was interrupted.
        exit(130);
    });
    server.shutdown(GRACE);
}

// === impl StopSignal ===

#[cfg(unix)]
impl StopSignal {
    /// Begins to listen.
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

    /// Waits for the next.
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
    /// Begins to listen.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            runtime: runtime()?,
        })
    }

    /// Waits for the next.
    pub fn wait(&mut self) {
        // Without a way to listen there is none to stop politely either; the process is ended from outside.
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
