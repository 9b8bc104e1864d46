//! What Envoy's log says: the lines and calls of plugins, and the state of Envoy.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::ChildStderr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};

use super::SentCall;
use crate::logbook::{LogBook, PATIENCE};
use crate::transcript::Line;

/// The data read from Envoy's standard error.
#[derive(Default)]
pub(super) struct Watch {
    pub(super) lines: Mutex<Arc<Lines>>,
    pub(super) stage: Mutex<Stage>,
    pub(super) moved: Condvar,
}

/// The log lines of a scenario's plugins.
#[derive(Default)]
pub(super) struct Lines {
    /// Those on the worker thread.
    pub(super) worker: LogBook,
    /// Those on the main thread. Each plugin starts there twice: once for validation and once permanently.
    pub(super) main: LogBook,
}

#[derive(Default)]
pub(super) struct Stage {
    pub(super) main_thread: Option<String>,
    pub(super) admin: Option<SocketAddr>,
    /// The number of plugin log lines on the main thread before the workers started. Its timers start to run later.
    pub(super) lines_before_workers: Option<usize>,
    /// How often Envoy has taken a listener from a file.
    pub(super) listeners: usize,
    /// The number of plugin log lines on the main thread before Envoy took its last listener from a file.
    pub(super) lines_before_listener: usize,
    /// How often Envoy has taken the clusters from a file.
    pub(super) clusters: usize,
    /// Why Envoy has not taken a listener or the clusters from a file.
    pub(super) rejected: Option<String>,
    /// The number of virtual machines: for each module one that is only compiled, and one on each thread.
    pub(super) machines: usize,
    pub(super) ended: bool,
    /// The calls that plugins sent, on any thread.
    pub(super) calls: Vec<SentCall>,
    /// Envoy's own error messages, for use in errors.
    pub(super) complaints: Vec<String>,
}

// === impl Watch ===

impl Watch {
    pub(super) fn read(&self, stderr: ChildStderr) {
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
        let is_main = self.locked().main_thread.as_deref() == Some(thread);
        if let ("wasm", Some(line)) = (logger, plugin_line(level, &message)) {
            let lines = self.lines();
            return if is_main {
                lines.main.push(line)
            } else {
                lines.worker.push(line)
            };
        }
        if let ("wasm", Some(is_new)) = (logger, machine_line(&message)) {
            return self.stage(|stage| match is_new {
                true => stage.machines += 1,
                false => stage.machines = stage.machines.saturating_sub(1),
            });
        }
        if (logger, level) == ("router", "debug") {
            if let Some((cluster, path)) = call_line(&message) {
                self.stage(|stage| {
                    stage.calls.push(SentCall {
                        cluster,
                        path,
                        is_apart: is_main,
                    });
                });
            }
            return;
        }
        self.stage(|stage| {
            if stage.main_thread.is_none() {
                stage.main_thread = Some(thread.to_owned());
            }
            if let Some(address) = message.strip_prefix("admin address: ") {
                stage.admin = address.parse().ok();
            }
            if message.contains("starting workers") && stage.lines_before_workers.is_none() {
                stage.lines_before_workers = Some(self.lines().main.len());
            }
            if message.starts_with("lds: add/update listener ") {
                stage.listeners += 1;
                stage.lines_before_listener = self.lines().main.len();
            }
            if message.starts_with("cds: added/updated ") {
                stage.clusters += 1;
            }
            if let Some(reason) = message.strip_prefix("Filesystem config update rejected: ") {
                stage.rejected = Some(reason.trim_end().to_owned());
            }
            if ["error", "critical"].contains(&level) {
                stage.complaints.push(message);
            }
        });
    }

    /// Waits until Envoy has started its workers and logged its admin address. Returns the address and the number of
    /// plugin log lines on the main thread at that time, or `None` if Envoy exits first.
    pub(super) fn wait_for_workers(&self) -> Result<Option<(SocketAddr, usize)>> {
        self.wait("start its workers", |stage| {
            match (stage.admin, stage.lines_before_workers) {
                (Some(admin), Some(lines)) => Some(Some((admin, lines))),
                _ if stage.ended => Some(None),
                _ => None,
            }
        })
    }

    /// Waits until Envoy has taken this number of listeners from a file. Fails if it has rejected one.
    pub(super) fn wait_for_listener(&self, number: usize) -> Result<()> {
        let taken = self.wait("take its listener from a file", |stage| {
            match &stage.rejected {
                Some(reason) => Some(Err(format!("Envoy rejected the plugins: {reason}"))),
                None if stage.listeners >= number => Some(Ok(())),
                None => stage.ended.then(|| Err("Envoy has ended".to_owned())),
            }
        })?;
        taken.map_err(|reason| anyhow!("{reason}\n{}", self.complaints()))
    }

    /// Waits until Envoy has taken the clusters from a file this number of times.
    pub(super) fn wait_for_clusters(&self, number: usize) -> Result<()> {
        let taken = self.wait("take its clusters from a file", |stage| {
            match &stage.rejected {
                Some(reason) => Some(Err(format!("Envoy rejected the clusters: {reason}"))),
                None if stage.clusters >= number => Some(Ok(())),
                None => stage.ended.then(|| Err("Envoy has ended".to_owned())),
            }
        })?;
        taken.map_err(|reason| anyhow!("{reason}\n{}", self.complaints()))
    }

    /// Waits until this number of virtual machines is left. Then, everything that the others logged has been read.
    pub(super) fn wait_for_machines(&self, number: usize) -> Result<()> {
        let are_left = self.wait("end the plugins", |stage| match stage.machines {
            machines if machines == number => Some(true),
            _ => stage.ended.then_some(false),
        })?;
        ensure!(are_left, "Envoy has ended\n{}", self.complaints());
        Ok(())
    }

    pub(super) fn wait_for_end(&self) -> Result<()> {
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

    pub(super) fn lines(&self) -> Arc<Lines> {
        let lines = self.lines.lock();
        lines.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts to record the lines and calls of another scenario. The plugins of the previous one must have ended.
    pub(super) fn begin(&self) -> Arc<Lines> {
        let lines = Arc::<Lines>::default();
        lines.clone_into(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        self.stage(|stage| {
            stage.calls.clear();
            stage.complaints.clear();
        });
        lines
    }

    pub(super) fn complaints(&self) -> String {
        self.locked().complaints.join("\n")
    }

    fn stage(&self, change: impl FnOnce(&mut Stage)) {
        change(&mut self.locked());
        self.moved.notify_all();
    }

    pub(super) fn locked(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parses `wasm log NAME ROOT-ID VM-ID: MESSAGE`. Each of the three fields is present only if it is not empty.
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

/// Parses `Base Wasm created 1 now active`, `Thread-Local Wasm created 2 now active` and `~Wasm 1 remaining active`. Returns whether a
/// virtual machine was created. The numbers of different threads are not in order.
fn machine_line(message: &str) -> Option<bool> {
    if message.ends_with(" now active") && message.contains("Wasm created ") {
        Some(true)
    } else if message.starts_with("~Wasm ") && message.ends_with(" remaining active") {
        Some(false)
    } else {
        None
    }
}

/// Parses `… cluster 'NAME' match for URL 'PATH'`, which Envoy's router logs for every request.
fn call_line(message: &str) -> Option<(String, String)> {
    let (_, rest) = message.split_once("cluster '")?;
    let (cluster, path) = rest.split_once("' match for URL '")?;
    Some((cluster.to_owned(), path.strip_suffix('\'')?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_recorded_with_their_thread() {
        let watch = Watch::default();
        let line = |thread: &str, logger: &str, level: &str, message: &str| {
            watch.line(&format!("\x1f{thread}\x1f{level}\x1f{logger}\x1f{message}"));
        };
        let call = r#"[Tags: \"ConnectionId\":\"0\"] cluster 'auth' match for URL '/check?a='"#;
        line("1", "main", "info", "initializing");
        line("1", "wasm", "info", "wasm log plugin: configured");
        line(
            "1",
            "config",
            "info",
            "all dependencies initialized. starting workers",
        );
        line("1", "wasm", "info", "wasm log plugin: tick");
        line("1", "router", "debug", call);
        line("2", "router", "debug", call);
        line("2", "wasm", "info", "wasm log plugin: tick");
        let stage = watch.locked();
        assert_eq!(stage.lines_before_workers, Some(1));
        let call = |is_apart| SentCall {
            cluster: "auth".to_owned(),
            path: "/check?a=".to_owned(),
            is_apart,
        };
        assert_eq!(stage.calls, [call(true), call(false)]);
        let lines = watch.lines();
        assert_eq!((lines.main.len(), lines.worker.len()), (2, 1));
    }

    #[test]
    fn scenarios_in_one_envoy_have_their_own_lines_and_calls() {
        let watch = Watch::default();
        let line = |logger: &str, level: &str, message: &str| {
            watch.line(&format!("\x1f1\x1f{level}\x1f{logger}\x1f{message}"));
        };
        line("main", "info", "initializing");
        let first = watch.lines();
        line("wasm", "info", "wasm log plugin: configured");
        line("upstream", "info", "lds: add/update listener 'listener'");
        line("router", "debug", "cluster 'auth' match for URL '/'");
        line("wasm", "debug", "Base Wasm created 1 now active");
        line("wasm", "debug", "Thread-Local Wasm created 2 now active");
        line("wasm", "debug", "~Wasm 1 remaining active");
        watch.wait_for_machines(1).expect("one virtual machine");
        assert_eq!(watch.locked().lines_before_listener, 1);
        let second = watch.begin();
        line("wasm", "info", "wasm log plugin: configured again");
        assert!(watch.locked().calls.is_empty());
        let messages = |lines: &Lines| -> Vec<String> {
            let lines = lines.main.lines().into_iter();
            lines.map(|line| line.message).collect()
        };
        assert_eq!(messages(&first), ["configured"]);
        assert_eq!(messages(&second), ["configured again"]);
    }

    #[test]
    fn listener_from_a_file_is_taken_or_rejected() {
        let watch = Watch::default();
        let line = |level: &str, logger: &str, message: &str| {
            watch.line(&format!("\x1f1\x1f{level}\x1f{logger}\x1f{message}"));
        };
        line("info", "upstream", "lds: add/update listener 'listener'");
        watch.wait_for_listener(1).expect("a listener");
        line(
            "warning",
            "config",
            r"Filesystem config update rejected: Error adding/updating listener(s) listener: x\n",
        );
        let error = watch.wait_for_listener(2).expect_err("no listener");
        let error = error.to_string();
        assert!(
            error.starts_with("Envoy rejected the plugins: Error adding/updating listener(s)"),
            "{error}"
        );
    }
}
