//! Runs cases in both proxies. Each proxy is started once, and has one listener for each lane, which leads to the upstream of that lane. A
//! lane runs one case at a time, so that what arrives at its upstream belongs to that case.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use tidegate_deploy::envoy::{Bootstrap, UPSTREAM_CLUSTER, Upstream as BootstrapUpstream};
use tidegate_host::{
    Clusters, ManualClock, Profile, Server, ServerConfig, Timeouts, Upstream as HostUpstream,
};
use tidegate_testkit::client::{self as http, Outgoing, OutgoingBody};
use tidegate_testkit::envoy::Release;
use tidegate_testkit::logbook::LogBook;

use crate::case::{Case, Outcomes};
use crate::upstream::Upstream;
use crate::{client, trace};

/// The number of lanes, and of cases at the same time.
pub const COUNT: usize = 8;

/// The timeout for everything that is expected to happen. Only a failing case waits this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a client waits for more if the recorded outcome is that nothing more happens.
const SILENCE: Duration = Duration::from_secs(2);

/// A proxy that cases run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    /// Tidegate's proxy, in this process and without plugins.
    Tidegate,
    /// Envoy, with the configuration of `tidegate manifest envoy` without plugins.
    Envoy(Release),
}

/// The lanes, and the proxies, which are started when they are needed.
pub struct Lanes {
    /// The free lanes. The one that has been free for longest is used first.
    free: Mutex<VecDeque<usize>>,
    freed: Condvar,
    upstreams: Vec<Upstream>,
    servers: [OnceLock<Result<Server, String>>; COUNT],
    envoys: [OnceLock<Result<Envoy, String>>; Release::ALL.len()],
}

/// A running Envoy. Dropping it ends the process.
struct Envoy {
    process: Child,
    /// The address of each lane's listener.
    addresses: Vec<SocketAddr>,
}

// === impl Proxy ===

impl Proxy {
    /// All proxies.
    pub const ALL: [Self; 1 + Release::ALL.len()] = [
        Self::Tidegate,
        Self::Envoy(Release::ALL[0]),
        Self::Envoy(Release::ALL[1]),
    ];

    /// Returns the name, as in the names of tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tidegate => "tidegate",
            Self::Envoy(release) => release.runtime(),
        }
    }
}

/// Returns why a proxy is not available on this platform.
pub fn missing(proxy: Proxy) -> Option<String> {
    let Proxy::Envoy(release) = proxy else {
        return None;
    };
    // A failed download is reported by the tests that need it, which fail.
    let no_wheel = tidegate_tests::envoy(release).ok()?.err()?;
    Some(no_wheel.to_string())
}

// === impl Lanes ===

impl Lanes {
    /// Starts the upstreams.
    pub fn new() -> Result<Self> {
        let upstreams = (0..COUNT).map(|_| Upstream::start());
        Ok(Self {
            free: Mutex::new((0..COUNT).collect()),
            freed: Condvar::new(),
            upstreams: upstreams.collect::<Result<_>>()?,
            servers: [const { OnceLock::new() }; COUNT],
            envoys: [const { OnceLock::new() }; Release::ALL.len()],
        })
    }

    /// Runs a case in every available proxy.
    pub fn run_in_all(&self, case: &Case) -> Result<Outcomes> {
        let available = Proxy::ALL
            .into_iter()
            .filter(|proxy| missing(*proxy).is_none());
        available
            .map(|proxy| Ok((proxy, self.run(case, proxy)?)))
            .collect()
    }

    /// Runs a case in a proxy, and returns the outcome.
    pub fn run(&self, case: &Case, proxy: Proxy) -> Result<String> {
        let lane = self.take();
        let outcome = self.run_in(lane, case, proxy);
        self.give_back(lane);
        outcome.with_context(|| format!("{} in {}", case.name, proxy.name()))
    }

    fn run_in(&self, lane: usize, case: &Case, proxy: Proxy) -> Result<String> {
        let address = self.address(lane, proxy)?;
        let upstream = &self.upstreams[lane];
        let is_silent = case
            .expected(proxy)
            .is_ok_and(|outcome| outcome.ends_with("< waits\n"));
        let patience = if is_silent { SILENCE } else { PATIENCE };
        upstream.begin(case, PATIENCE)?;
        let received = client::run(address, &case.request, patience);
        // In any case, because the next case needs the lane.
        let requests = upstream.finish(PATIENCE)?;
        Ok(trace::requests(&requests) + &trace::responses(&received?))
    }

    fn take(&self) -> usize {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(lane) = free.pop_front() {
                return lane;
            }
            free = self
                .freed
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, lane: usize) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push_back(lane);
        self.freed.notify_one();
    }

    /// Returns the address of a proxy for a lane. Starts it if it does not run yet.
    fn address(&self, lane: usize, proxy: Proxy) -> Result<SocketAddr> {
        match proxy {
            Proxy::Tidegate => self.servers[lane]
                .get_or_init(|| {
                    let server = start_server(self.upstreams[lane].address());
                    server.map_err(|error| format!("{error:#}"))
                })
                .as_ref()
                .map(Server::local_addr),
            Proxy::Envoy(release) => self.envoys[release as usize]
                .get_or_init(|| {
                    Envoy::start(release, &self.upstreams).map_err(|error| format!("{error:#}"))
                })
                .as_ref()
                .map(|envoy| envoy.addresses[lane]),
        }
        .map_err(|error| anyhow!("{error}"))
    }
}

fn start_server(upstream: SocketAddr) -> Result<Server> {
    let server = Server::start(ServerConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        admin: None,
        upstream: HostUpstream::Http {
            host: upstream.ip().to_string(),
            port: upstream.port(),
        },
        workers: 1,
        timeouts: Timeouts::default(),
        profile: Profile::default(),
        plugins: Vec::new(),
        clock: Arc::new(ManualClock::new(1)),
        logs: Arc::new(LogBook::default()),
        shared_data: Arc::default(),
        queues: Arc::default(),
        metrics: Arc::default(),
        clusters: Clusters::default(),
        attributes: Arc::default(),
        observer: None,
        code: None,
        code_cache_dir: None,
    });
    server.context("Tidegate's proxy did not start")
}

// === impl Envoy ===

impl Envoy {
    fn start(release: Release, upstreams: &[Upstream]) -> Result<Self> {
        let binary = match tidegate_tests::envoy(release)? {
            Ok(binary) => binary,
            Err(no_wheel) => bail!("{no_wheel}"),
        };
        let mut process = Command::new(&binary)
            .args(["--config-path", "/dev/fd/0", "--concurrency", "1"])
            .args(["--disable-hot-restart", "--log-format", "%v"])
            .args(["--log-level", "warning"])
            .args(["--component-log-level", "main:info,admin:info,config:info"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start {}", binary.display()))?;
        let stdin = process.stdin.take();
        let stderr = process.stderr.take();
        // From here on, an early return ends the process.
        let mut envoy = Self {
            process,
            addresses: Vec::new(),
        };
        let bootstrap = serde_json::to_vec(&bootstrap(upstreams)?)?;
        stdin
            .context("Envoy has no standard input")?
            .write_all(&bootstrap)?;
        let admin = admin_address(stderr.context("Envoy has no standard error")?)?;
        envoy.addresses = listeners(admin)?;
        Ok(envoy)
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // If the process has already ended, there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the bootstrap: that of a deployed proxy, with a copy of the listener and of the upstream's cluster for each lane.
fn bootstrap(upstreams: &[Upstream]) -> Result<Value> {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut whole = Value::Null;
    let (mut listeners, mut clusters) = (Vec::new(), Vec::new());
    for (lane, upstream) in upstreams.iter().enumerate() {
        let address = upstream.address();
        let upstream = BootstrapUpstream::new(address.ip().to_string(), address.port());
        let mut bootstrap = Bootstrap::new(any_port, upstream);
        bootstrap.admin = Some(any_port);
        // The cluster's name occurs in the listener, too.
        let text = bootstrap.to_json().to_string();
        let cluster = format!("\"{UPSTREAM_CLUSTER}\"");
        let mut own: Value =
            serde_json::from_str(&text.replace(&cluster, &format!("\"lane-{lane}\"")))?;
        let resources = &mut own["static_resources"];
        let mut listener = resources["listeners"][0].take();
        listener["name"] = json!(lane.to_string());
        listeners.push(listener);
        clusters.push(resources["clusters"][0].take());
        whole = own;
    }
    whole["static_resources"] = json!({ "listeners": listeners, "clusters": clusters });
    Ok(whole)
}

/// Reads Envoy's log until its workers have started. Returns the address of its admin interface, which it has logged before.
fn admin_address(stderr: std::process::ChildStderr) -> Result<SocketAddr> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut admin = None;
        let mut log = String::new();
        // Reads to the end, because Envoy would stop if nobody read its log.
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("admin address: ") {
                admin = address.parse().ok();
            }
            if line.contains("starting workers") {
                let _ = sender.send(admin.ok_or_else(|| log.clone()));
            }
            log.push_str(&line);
            log.push('\n');
        }
        let _ = sender.send(Err(log));
    });
    let started = receiver.recv_timeout(tidegate_testkit::logbook::PATIENCE);
    started
        .context("Envoy did not start in time")?
        .map_err(|log| anyhow!("Envoy did not start:\n{log}"))
}

/// Returns the addresses of the listeners, as reported by the admin interface.
fn listeners(admin: SocketAddr) -> Result<Vec<SocketAddr>> {
    let reply = http::ask(
        admin,
        Outgoing {
            method: "GET",
            path: "/listeners?format=json",
            headers: &[],
            body: OutgoingBody::None,
            trailers: &[],
        },
    )?;
    let reply: Value =
        serde_json::from_slice(&reply.body.0).context("Envoy's list of listeners is not JSON")?;
    let port = |lane: usize| {
        let statuses = reply["listener_statuses"].as_array()?;
        let name = json!(lane.to_string());
        let listener = statuses.iter().find(|it| it["name"] == name)?;
        let port = listener["local_address"]["socket_address"]["port_value"].as_u64()?;
        Some(SocketAddr::new(admin.ip(), u16::try_from(port).ok()?))
    };
    (0..COUNT)
        .map(|lane| port(lane).with_context(|| format!("no listener {lane} in {reply}")))
        .collect()
}
