//! Envoys in which scenarios run one after another.
//!
//! Most of the time of an Envoy that runs one scenario is spent compiling the modules. V8 shares compiled code between virtual machines with
//! the same module in a process. So an Envoy keeps each module in a virtual machine of its own, in which no callback is called, and
//! scenarios with these modules run in further ones.
//!
//! A scenario has its own listener, clusters and virtual machines, with an ID of their own, so that shared data and queues are empty. Envoy
//! reads the listener and the clusters from files, and ends them before the next scenario. Metrics outlast plugins: counters are set to
//! zero after a scenario, and an Envoy in which another metric is not zero is not used again. Neither is one in which a scenario has failed.
//!
//! A scenario has an Envoy of its own if it contains reloads, if its start fails, if a plugin is configured with the name of the
//! property that contains the ID, or if a configuration mentions queues. The instance that registered a queue last is notified of new values.
//! In an Envoy that is already running, the worker may register before the main thread, whose instance is then notified.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_deploy::envoy::{Bootstrap, Module, Plugin, Purpose, Upstream};

use super::watch::Lines;
use super::{
    Envoy, LEVELS, SLOTS, Slot, bootstrap, call_admin, final_metrics, items, launch,
    listener_addresses, replace, start, start_lines, wait_for_worker,
};
use crate::logbook::LogBook;
use crate::runtimes::{Deployed, Runtime, SentCall, Servers, Started};
use crate::scenario::{MetricValue, Profile, Scenario};

/// The number of Envoys that wait for another scenario. Each takes about 100 MB.
const WAITING: usize = 4;

/// The virtual machines of a kept module: one that is only compiled, and one each on the main thread and the worker.
const KEPT_MACHINES: usize = 3;

/// A name that can be allowed without effect, since a set without names allows everything.
const NO_CALLBACK: &str = "proxy_on_memory_allocate";

/// The property that contains the ID of the virtual machine.
const MACHINE_ID: &str = "plugin_vm_id";

/// A word in the configuration of every plugin that registers queues.
const QUEUE: &str = "queue";

/// The name of a scenario's listener.
const LISTENER: &str = "listener";

/// Envoys in which no scenario is running. Dropping this ends them.
#[derive(Default)]
pub struct Reused {
    waiting: Arc<Waiting>,
    /// The number of scenarios so far, for the IDs of their virtual machines.
    scenarios: AtomicUsize,
}

/// The Envoys, the one that was used last at the end.
#[derive(Default)]
struct Waiting(Mutex<Vec<Process>>);

/// An Envoy that keeps modules.
struct Process {
    envoy: Envoy,
    binary: PathBuf,
    modules: BTreeSet<Bytes>,
    /// The address of the listener of a kept module. Its connections are handled by the same worker.
    kept: SocketAddr,
    files: Files,
}

/// The files from which Envoy reads a scenario's listener and clusters.
struct Files(TempDir);

/// A scenario that runs in a process.
struct Run {
    /// `None` after `stop`.
    process: Option<Process>,
    waiting: Arc<Waiting>,
    address: SocketAddr,
    lines: Arc<Lines>,
    start_lines: usize,
    /// The calls that plugins sent, after `stop`.
    calls: Vec<SentCall>,
    /// The values of metrics, after `stop`. `None` if they are not wanted.
    metrics: Option<BTreeMap<String, Vec<MetricValue>>>,
    _slot: Slot,
}

// === impl Reused ===

impl Reused {
    /// Starts the scenario in an Envoy that waits, or in a new one.
    pub fn start(
        &self,
        binary: &Path,
        plugins: &[Deployed],
        servers: &Servers,
        scenario: &Scenario,
    ) -> Result<Started> {
        if !is_suitable(scenario, plugins) {
            return start(binary, plugins, servers, scenario);
        }
        let slot = SLOTS.take();
        let modules = plugins.iter().map(|plugin| plugin.wasm.clone()).collect();
        let process = match self.waiting.take(binary, &modules) {
            Some(process) => process,
            None => match Process::start(binary, modules)? {
                Some(process) => process,
                None => {
                    drop(slot);
                    return start(binary, plugins, servers, scenario);
                }
            },
        };
        let number = self.scenarios.fetch_add(1, Ordering::Relaxed);
        let lines = process.envoy.watch.begin();
        let bootstrap = bootstrap(plugins, servers, &scenario.metadata, Profile::default())?;
        let machine = format!("scenario-{number}");
        if let Err(error) = process.add(&bootstrap, &machine) {
            return Ok(Started::Refused {
                lines: lines.main.lines(),
                reason: format!("{error:#}"),
            });
        }
        Ok(Started::Serving(Box::new(Run {
            address: process.address(LISTENER)?,
            start_lines: process.start_lines()?,
            process: Some(process),
            waiting: self.waiting.clone(),
            lines,
            calls: Vec::new(),
            metrics: (!scenario.metrics.is_empty()).then(BTreeMap::new),
            _slot: slot,
        })))
    }
}

/// Whether the scenario can run in an Envoy in which others ran.
fn is_suitable(scenario: &Scenario, plugins: &[Deployed]) -> bool {
    let mentions = |plugin: &Deployed, text: &str| {
        let mut parts = plugin.configuration.windows(text.len());
        parts.any(|part| part == text.as_bytes())
    };
    let needs_own = |plugin: &Deployed| mentions(plugin, MACHINE_ID) || mentions(plugin, QUEUE);
    // Some settings of a profile apply to the whole process.
    let has_default_profile = scenario.profile.unwrap_or_default() == Profile::default();
    has_default_profile
        && !scenario.start.refused
        && scenario.reloads().next().is_none()
        && !plugins.iter().any(needs_own)
}

// === impl Waiting ===

impl Waiting {
    /// Takes an Envoy that keeps these modules.
    fn take(&self, binary: &Path, modules: &BTreeSet<Bytes>) -> Option<Process> {
        let mut waiting = self.locked();
        let is_right = |process: &Process| process.binary == binary && process.modules == *modules;
        let at = waiting.iter().rposition(is_right)?;
        Some(waiting.remove(at))
    }

    /// Adds an Envoy in which a scenario has ended, and ends the ones that were not used for the longest time.
    fn add(&self, process: Process) {
        let mut waiting = self.locked();
        waiting.push(process);
        let too_many = waiting.len().saturating_sub(WAITING);
        let ended: Vec<Process> = waiting.drain(..too_many).collect();
        drop(waiting);
        drop(ended);
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Process>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Process ===

impl Process {
    /// Starts Envoy with the modules. Returns `None` if one of them does not start without callbacks.
    fn start(binary: &Path, modules: BTreeSet<Bytes>) -> Result<Option<Self>> {
        let files = Files(tempfile::tempdir().context("cannot create a directory for Envoy")?);
        files.write_listeners(&[])?;
        files.write_clusters(&[])?;
        let kept = modules.iter().enumerate();
        let kept = kept
            .map(|(number, module)| kept_listener(number, module))
            .collect::<Result<Vec<_>>>()?;
        let bootstrap = json!({
            // Otherwise, Envoy would collect the values of histograms from its worker every five seconds.
            "stats_flush_on_admin": true,
            "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } },
            // Required for any configuration that does not come with the bootstrap.
            "node": { "id": "tidegate", "cluster": "tidegate" },
            "static_resources": { "listeners": kept },
            "dynamic_resources": { "lds_config": files.listeners(), "cds_config": files.clusters() },
        });
        let levels = format!("{LEVELS},router:debug,upstream:info");
        // Without a drain time, a listener ends at once. No request is in progress then, unless the scenario leaves it to the end.
        let mut envoy = launch(binary, &bootstrap, &levels, "0", None)?;
        let Some((admin, _)) = envoy.watch.wait_for_workers()? else {
            envoy.join()?;
            return Ok(None);
        };
        envoy.admin = admin;
        let kept = listener_addresses(admin)?.into_values().next();
        Ok(Some(Self {
            envoy,
            binary: binary.to_owned(),
            modules,
            kept: kept.context("Envoy has no listener")?,
            files,
        }))
    }

    /// Adds the clusters, and then the listener, whose route refers to one of them.
    fn add(&self, bootstrap: &Bootstrap, machine: &str) -> Result<()> {
        let watch = &self.envoy.watch;
        let (listeners, clusters) = {
            let stage = watch.locked();
            (stage.listeners, stage.clusters)
        };
        let json = bootstrap.to_json();
        let added: Vec<Value> = items(&json["static_resources"]["clusters"])
            .map(|cluster| {
                let mut cluster = cluster.clone();
                cluster["@type"] = "type.googleapis.com/envoy.config.cluster.v3.Cluster".into();
                cluster
            })
            .collect();
        self.files.write_clusters(&added)?;
        watch.wait_for_clusters(clusters + 1)?;
        self.files
            .write_listeners(&[listener(bootstrap, LISTENER, machine)?])?;
        watch.wait_for_listener(listeners + 1)?;
        // The plugins have started on the worker.
        wait_for_worker(self.kept).context("Envoy's worker does not respond")
    }

    /// Removes the listener, waits until its plugins have ended, and removes the clusters, with the connections to them.
    fn remove(&self) -> Result<()> {
        let watch = &self.envoy.watch;
        self.files.write_listeners(&[])?;
        watch.wait_for_machines(KEPT_MACHINES * self.modules.len())?;
        let clusters = watch.locked().clusters;
        self.files.write_clusters(&[])?;
        watch.wait_for_clusters(clusters + 1)
    }

    fn address(&self, listener: &str) -> Result<SocketAddr> {
        let addresses = listener_addresses(self.envoy.admin)?;
        let address = addresses.get(listener).copied();
        address.context("Envoy does not have the scenario's listener")
    }

    fn start_lines(&self) -> Result<usize> {
        start_lines(self.envoy.watch.locked().lines_before_listener)
    }

    /// Sets all counters to zero. Returns whether all metrics are zero, as if plugins had just defined them.
    fn reset_metrics(&self) -> Result<bool> {
        let is_zero = |value: &MetricValue| match value {
            MetricValue::Number(value) => *value == 0,
            MetricValue::Histogram(histogram) => histogram.count == 0,
        };
        call_admin(self.envoy.admin, "POST", "/reset_counters")?;
        let values = final_metrics(self.envoy.admin, self.kept)?;
        Ok(values.values().flatten().all(is_zero))
    }
}

/// Returns a listener that keeps the module: one whose plugin is started, and never called.
fn kept_listener(number: usize, module: &Bytes) -> Result<Value> {
    let any_port: SocketAddr = "127.0.0.1:0".parse()?;
    let mut bootstrap = Bootstrap::new(any_port, Upstream::new("127.0.0.1", 1));
    bootstrap.purpose = Purpose::Comparing;
    let name = format!("kept-{number}");
    let mut plugin = Plugin::new(name.clone(), Module::Inline(module.to_vec()));
    plugin.capabilities = Some([NO_CALLBACK.to_owned()].into());
    bootstrap.plugins = vec![plugin];
    let mut listener = listener(&bootstrap, &name, &name)?;
    connection_manager(&mut listener)?["route_config"] = json!({ "virtual_hosts": [] });
    // Not `Any`, in a bootstrap.
    if let Value::Object(fields) = &mut listener {
        fields.remove("@type");
    }
    Ok(listener)
}

/// Returns a listener in which the plugins have virtual machines with this ID.
fn listener(bootstrap: &Bootstrap, name: &str, machine: &str) -> Result<Value> {
    let file = bootstrap.listener_to_json();
    let mut listener = items(&file["resources"])
        .next()
        .context("no listener")?
        .clone();
    listener["name"] = name.into();
    let manager = connection_manager(&mut listener)?;
    let Some(Value::Array(filters)) = manager.get_mut("http_filters") else {
        bail!("the listener has no filters")
    };
    for filter in filters {
        if let Some(config) = filter.pointer_mut("/typed_config/config/vm_config") {
            config["vm_id"] = machine.into();
        }
    }
    Ok(listener)
}

fn connection_manager(listener: &mut Value) -> Result<&mut Value> {
    let manager = listener.pointer_mut("/filter_chains/0/filters/0/typed_config");
    manager.context("the listener has no connection manager")
}

// === impl Files ===

impl Files {
    fn listeners(&self) -> Value {
        source(&self.path("listeners.json"))
    }

    fn clusters(&self) -> Value {
        source(&self.path("clusters.json"))
    }

    fn write_listeners(&self, listeners: &[Value]) -> Result<()> {
        let path = self.path("listeners.json");
        replace(&path, &json!({ "resources": listeners }))
    }

    fn write_clusters(&self, clusters: &[Value]) -> Result<()> {
        let path = self.path("clusters.json");
        replace(&path, &json!({ "resources": clusters }))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn source(path: &Path) -> Value {
    json!({
        "path_config_source": { "path": path.to_string_lossy() },
        "resource_api_version": "V3",
    })
}

// === impl Run ===

impl Runtime for Run {
    fn address(&self) -> SocketAddr {
        self.address
    }

    /// Envoy uses the system clock, so this waits for real time to pass. There is no other event to wait for.
    fn advance(&self, by: Duration) {
        std::thread::sleep(by);
    }

    fn reload(&self, _: &[Deployed]) -> Result<()> {
        bail!("Envoy was started with a listener that cannot be replaced")
    }

    fn log(&self) -> &LogBook {
        &self.lines.worker
    }

    fn start_lines(&self) -> usize {
        self.start_lines
    }

    fn stop(&mut self) -> Result<()> {
        let process = self.process.take().context("the proxy was stopped")?;
        if let Some(values) = &mut self.metrics {
            *values = final_metrics(process.envoy.admin, self.address)?;
        }
        process.remove()?;
        self.calls.clone_from(&process.envoy.watch.locked().calls);
        if process.reset_metrics()? {
            self.waiting.add(process);
        }
        Ok(())
    }

    fn metrics(&self) -> BTreeMap<String, Vec<MetricValue>> {
        self.metrics.clone().unwrap_or_default()
    }

    fn sent_calls(&self) -> Vec<SentCall> {
        self.calls.clone()
    }
}
