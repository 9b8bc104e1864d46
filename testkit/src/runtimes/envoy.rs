//! A real Envoy as a runtime: one process, one worker, the bootstrap that `tidegate manifest` gives too.
//!
//! Nothing is polled: Envoy logs its admin address and that it starts its workers, and a listener that was bound takes
//! connections from then on. What plugins log is read from its standard error, in a format of ours: fields behind
//! control characters, the message escaped as JSON, so that a message of two lines stays one.

use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tidegate_deploy::envoy::{Bootstrap, FailPolicy, Module, Plugin, Profile, Upstream};
use tidegate_deploy::module::Facts;

use super::{Deployed, Runtime, Started};
use crate::client::{self, Outgoing, OutgoingBody};
use crate::logbook::{LogBook, PATIENCE};
use crate::scenario;
use crate::transcript::Line;

/// Thread, level, logger, message.
const FORMAT: &str = "\x1f%t\x1f%l\x1f%n\x1f%j";

/// As many Envoys as run at once, so that a machine with two cores does not start forty.
struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

static SLOTS: Slots = Slots {
    free: Mutex::new(3),
    freed: Condvar::new(),
};

struct Slot;

struct Envoy {
    process: Child,
    admin: SocketAddr,
    address: SocketAddr,
    watch: Arc<Watch>,
    reader: Option<JoinHandle<()>>,
    start_lines: usize,
    _slot: Slot,
}

/// What was read from Envoy's standard error.
#[derive(Default)]
struct Watch {
    /// Plugins' lines on the worker's thread.
    worker: LogBook,
    /// Plugins' lines on the main thread: each plugin starts there twice, once to be tried and once to stay.
    main: LogBook,
    stage: Mutex<Stage>,
    moved: Condvar,
}

#[derive(Default)]
struct Stage {
    main_thread: Option<String>,
    admin: Option<SocketAddr>,
    workers: bool,
    ended: bool,
    /// Envoy's own complaints, for messages.
    complaints: Vec<String>,
}

/// Starts Envoy and waits until it serves or has given up.
pub fn start(binary: &Path, plugins: &[Deployed], upstream: SocketAddr) -> Result<Started> {
    let slot = SLOTS.take();
    let bootstrap = bootstrap(plugins, upstream)?;
    let mut process = Command::new(binary)
        .args([
            // Too long for an argument, and nobody's business in a file.
            "--config-path",
            "/dev/fd/0",
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-format",
            FORMAT,
        ])
        // Plugins' lines of every level, and of Envoy's own what tells how far it is and what it complains of.
        .args([
            "--log-level",
            "warning",
            "--component-log-level",
            "main:info,admin:info,config:info,wasm:trace",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start Envoy, `{}`", binary.display()))?;
    let mut stdin = process
        .stdin
        .take()
        .context("Envoy has no standard input")?;
    // One that ends before it has read all of it says why by itself.
    std::thread::spawn(move || _ = stdin.write_all(&bootstrap));
    let watch = Arc::new(Watch::default());
    let stderr = process
        .stderr
        .take()
        .context("Envoy has no standard error")?;
    let reader = {
        let watch = watch.clone();
        std::thread::spawn(move || watch.read(stderr))
    };
    let mut envoy = Envoy {
        process,
        admin: SocketAddr::from(([127, 0, 0, 1], 0)),
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        watch,
        reader: Some(reader),
        start_lines: 0,
        _slot: slot,
    };
    let Some(admin) = envoy.watch.wait_for_workers()? else {
        envoy.join()?;
        let complaints = envoy.watch.complaints();
        return Ok(Started::Refused {
            lines: envoy.watch.main.lines(),
            reason: complaints,
        });
    };
    envoy.admin = admin;
    envoy.address = listener(admin)?;
    let twice = envoy.watch.main.len();
    ensure!(
        twice.is_multiple_of(2),
        "plugins logged {twice} lines on Envoy's main thread, where each starts twice"
    );
    envoy.start_lines = twice / 2;
    Ok(Started::Serving(Box::new(envoy)))
}

/// The bootstrap, in JSON.
fn bootstrap(plugins: &[Deployed], upstream: SocketAddr) -> Result<Vec<u8>> {
    let any_port: SocketAddr = "127.0.0.1:0".parse()?;
    let mut bootstrap = Bootstrap::new(
        any_port,
        Upstream::new(upstream.ip().to_string(), upstream.port()),
    );
    bootstrap.admin = Some(any_port);
    bootstrap.profile = Profile::Comparable;
    bootstrap.plugins = plugins.iter().map(plugin).collect();
    Ok(serde_json::to_vec(&bootstrap.to_json())?)
}

fn plugin(plugin: &Deployed) -> Plugin {
    let mut deployed = Plugin::new(plugin.name.clone(), Module::Inline(plugin.wasm.to_vec()));
    deployed.configuration = Some(plugin.configuration.clone()).filter(|bytes| !bytes.is_empty());
    deployed.environment = plugin.environment.clone();
    deployed.fail_policy = match plugin.fail_policy {
        scenario::FailPolicy::Reload => FailPolicy::Reload,
        scenario::FailPolicy::Closed => FailPolicy::Closed,
        scenario::FailPolicy::Open => FailPolicy::Open,
    };
    // As it is shipped: with no more capabilities than its module shows that it uses.
    if let Ok(inspection) = tidegate_adapter::inspect(&plugin.wasm) {
        let facts = Facts {
            callbacks: inspection.callbacks,
            hostcalls: inspection.hostcalls,
            wasi: inspection.wasi.into_iter().map(|it| it.function).collect(),
            sha256: String::new(),
        };
        deployed.capabilities = Some(facts.capabilities());
    }
    deployed
}

/// Where the one listener listens, which the admin interface knows.
fn listener(admin: SocketAddr) -> Result<SocketAddr> {
    let body = call_admin(admin, "GET", "/listeners?format=json")?;
    let listeners: serde_json::Value =
        serde_json::from_slice(&body).context("Envoy's list of listeners is not JSON")?;
    let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
    let port = address["port_value"]
        .as_u64()
        .with_context(|| format!("no address in {listeners}"))?;
    Ok(SocketAddr::new(admin.ip(), u16::try_from(port)?))
}

fn call_admin(admin: SocketAddr, method: &str, path: &str) -> Result<Vec<u8>> {
    let reply = client::ask(
        admin,
        Outgoing {
            method,
            path,
            headers: &[],
            body: OutgoingBody::None,
            trailers: &[],
        },
    )?;
    ensure!(
        reply.status == Some(200),
        "Envoy's admin interface answers {method} {path} with {:?}",
        reply.status
    );
    Ok(reply.body.0)
}

// === impl Envoy ===

impl Envoy {
    /// Waits for the process and for the last of its lines.
    fn join(&mut self) -> Result<()> {
        self.watch.wait_for_end()?;
        self.process.wait().context("failed to wait for Envoy")?;
        if let Some(reader) = self.reader.take() {
            reader
                .join()
                .map_err(|_| anyhow::anyhow!("the reader of Envoy's log panicked"))?;
        }
        Ok(())
    }
}

impl Runtime for Envoy {
    fn address(&self) -> SocketAddr {
        self.address
    }

    /// Envoy's clock is the machine's. Time itself is what is waited for here, nothing that could be waited for otherwise.
    fn advance(&self, by: Duration) {
        std::thread::sleep(by);
    }

    fn log(&self) -> &LogBook {
        &self.watch.worker
    }

    fn start_lines(&self) -> usize {
        self.start_lines
    }

    fn stop(&mut self) -> Result<()> {
        call_admin(self.admin, "POST", "/quitquitquit")?;
        self.join()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if self.reader.is_some() {
            // Only a failing scenario comes here; its own error is what matters.
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

// === impl Watch ===

impl Watch {
    fn read(&self, stderr: ChildStderr) {
        for line in BufReader::new(stderr).split(b'\n') {
            let Ok(line) = line else { break };
            self.line(&String::from_utf8_lossy(&line));
        }
        self.stage(|stage| stage.ended = true);
    }

    fn line(&self, line: &str) {
        let fields: Vec<&str> = line.split('\x1f').collect();
        let ["", thread, level, logger, message] = fields[..] else {
            // From before logging is set up, or from a crash.
            return self.stage(|stage| stage.complaints.push(line.to_owned()));
        };
        let message: String =
            serde_json::from_str(&format!("\"{message}\"")).unwrap_or_else(|_| message.to_owned());
        if let ("wasm", Some(line)) = (logger, plugin_line(level, &message)) {
            let main = self.locked().main_thread.as_deref() == Some(thread);
            return if main {
                self.main.push(line)
            } else {
                self.worker.push(line)
            };
        }
        self.stage(|stage| {
            if stage.main_thread.is_none() {
                stage.main_thread = Some(thread.to_owned());
            }
            if let Some(address) = message.strip_prefix("admin address: ") {
                stage.admin = address.parse().ok();
            }
            stage.workers |= message.contains("starting workers");
            if ["error", "critical"].contains(&level) {
                stage.complaints.push(message);
            }
        });
    }

    /// Waits until Envoy starts its workers and tells its admin address; nothing if it ended before.
    fn wait_for_workers(&self) -> Result<Option<SocketAddr>> {
        self.wait("start its workers", |stage| {
            match (stage.workers, stage.admin) {
                (true, Some(admin)) => Some(Some(admin)),
                _ if stage.ended => Some(None),
                _ => None,
            }
        })
    }

    fn wait_for_end(&self) -> Result<()> {
        self.wait("end", |stage| stage.ended.then_some(()))
    }

    fn wait<T>(&self, what: &str, of: impl Fn(&Stage) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut stage = self.locked();
        loop {
            if let Some(reached) = of(&stage) {
                return Ok(reached);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(
                !left.is_zero(),
                "Envoy did not {what} within {PATIENCE:?}:\n{}",
                stage.complaints.join("\n")
            );
            stage = self
                .moved
                .wait_timeout(stage, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn complaints(&self) -> String {
        self.locked().complaints.join("\n")
    }

    fn stage(&self, change: impl FnOnce(&mut Stage)) {
        change(&mut self.locked());
        self.moved.notify_all();
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `wasm log NAME ROOT-ID VM-ID: MESSAGE`, each of the three only if it is not empty.
fn plugin_line(level: &str, message: &str) -> Option<Line> {
    let rest = message.strip_prefix("wasm log ")?;
    let (ids, message) = rest.split_once(": ")?;
    let plugin = ids.split(' ').next()?;
    let level = if level == "warning" { "warn" } else { level };
    Some(Line {
        plugin: plugin.to_owned(),
        level: level.to_owned(),
        message: message.to_owned(),
    })
}

// === impl Slots ===

impl Slots {
    fn take(&'static self) -> Slot {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self
                .freed
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Slot
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *SLOTS.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        SLOTS.freed.notify_one();
    }
}
