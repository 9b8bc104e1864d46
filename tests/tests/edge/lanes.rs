//! Runs cases in both proxies. Envoy is started once, and has listeners for each lane, one for each set of settings. They lead
//! to the upstream of that lane. A lane runs one case at a time, so that what arrives at its upstream belongs to that case. Tidegate's
//! proxy is started once for each lane, and again for each case that states settings.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use tidegate_deploy::envoy::{Bootstrap, UPSTREAM_CLUSTER, Upstream as BootstrapUpstream};
use tidegate_host::{
    Clusters, ManualClock, Profile, Server, ServerConfig, Upstream as HostUpstream,
};
use tidegate_testkit::client::{self as http, Outgoing, OutgoingBody};
use tidegate_testkit::envoy::Release;
use tidegate_testkit::logbook::LogBook;

use crate::case::{Case, Outcomes};
use crate::client::{self, Surroundings};
use crate::settings::{Reachability, Settings};
use crate::time::Time;
use crate::trace;
use crate::upstream::{DeadEnds, Upstream};

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
    dead_ends: DeadEnds,
    /// The settings of all cases.
    settings: BTreeSet<Settings>,
    servers: [OnceLock<Result<Server, String>>; COUNT],
    envoys: [OnceLock<Result<Envoy, String>>; Release::ALL.len()],
}

/// A running Envoy. Dropping it ends the process.
struct Envoy {
    process: Child,
    /// The addresses of the listeners, by name.
    addresses: BTreeMap<String, SocketAddr>,
}

/// A proxy for one case.
struct Started {
    address: SocketAddr,
    time: Time,
    /// A proxy that stops after the case.
    _server: Option<Server>,
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
    /// Starts the upstreams. Proxies have the settings of these cases.
    pub fn new<'a>(cases: impl Iterator<Item = &'a Case>) -> Result<Self> {
        let upstreams = (0..COUNT).map(|_| Upstream::start());
        Ok(Self {
            free: Mutex::new((0..COUNT).collect()),
            freed: Condvar::new(),
            upstreams: upstreams.collect::<Result<_>>()?,
            dead_ends: DeadEnds::new()?,
            settings: cases.map(|case| case.settings.clone()).collect(),
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
        let started = self.started(lane, &case.settings, proxy)?;
        let upstream = &self.upstreams[lane];
        let expected = case.expected(proxy).unwrap_or_default();
        let patience = |silent: &str| match expected.lines().any(|line| line == silent) {
            true => SILENCE,
            false => PATIENCE,
        };
        upstream.begin(case, PATIENCE)?;
        let surroundings = Surroundings {
            proxy: started.address,
            upstream,
            time: &started.time,
            patience: patience("< waits"),
        };
        let received = client::run(case, surroundings);
        // In any case, because the next case needs the lane.
        let arrived = upstream.finish(patience("> waits"))?;
        Ok(trace::requests(&arrived) + &trace::responses(&received?))
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

    /// Returns a proxy for a lane. Starts it if necessary.
    fn started(&self, lane: usize, settings: &Settings, proxy: Proxy) -> Result<Started> {
        let failed = |error: &String| anyhow!("{error}");
        match proxy {
            Proxy::Tidegate if *settings == Settings::default() => {
                let upstream = self.upstreams[lane].address();
                // Time does not pass.
                let clock = Arc::new(ManualClock::new(1));
                let start = || start_server(upstream, settings, clock);
                let server = self.servers[lane]
                    .get_or_init(|| start().map_err(|error| format!("{error:#}")));
                Ok(Started {
                    address: server.as_ref().map_err(failed)?.local_addr(),
                    // Nothing waits for time to pass.
                    time: Time::Real,
                    _server: None,
                })
            }
            Proxy::Tidegate => {
                let clock = Arc::new(ManualClock::new(1));
                let upstream = self.upstream_address(lane, settings);
                let server = start_server(upstream, settings, clock.clone())?;
                Ok(Started {
                    address: server.local_addr(),
                    time: Time::Manual(clock),
                    _server: Some(server),
                })
            }
            Proxy::Envoy(release) => {
                let start = || Envoy::start(release, &self.bootstrap()?);
                let envoy = self.envoys[release as usize]
                    .get_or_init(|| start().map_err(|error| format!("{error:#}")));
                let name = self.listener(lane, settings)?;
                let address = envoy.as_ref().map_err(failed)?.addresses.get(&name);
                Ok(Started {
                    address: *address.with_context(|| format!("Envoy has no listener {name}"))?,
                    time: Time::Real,
                    _server: None,
                })
            }
        }
    }

    fn upstream_address(&self, lane: usize, settings: &Settings) -> SocketAddr {
        match settings.upstream {
            Reachability::Accepts => self.upstreams[lane].address(),
            Reachability::Refuses => self.dead_ends.refuses,
            Reachability::Silent => self.dead_ends.silent,
        }
    }

    /// Returns the name of a listener in Envoy.
    fn listener(&self, lane: usize, settings: &Settings) -> Result<String> {
        let number = self.settings.iter().position(|other| other == settings);
        Ok(format!("{}-{lane}", number.context("unknown settings")?))
    }

    /// Returns the bootstrap of Envoy: that of a deployed proxy, with a copy of the listener and of the upstream's cluster for each lane and
    /// settings.
    fn bootstrap(&self) -> Result<Value> {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut whole = Value::Null;
        let (mut listeners, mut clusters) = (Vec::new(), Vec::new());
        for settings in &self.settings {
            for lane in 0..COUNT {
                let address = self.upstream_address(lane, settings);
                let name = self.listener(lane, settings)?;
                let upstream = BootstrapUpstream::new(address.ip().to_string(), address.port());
                let mut bootstrap = Bootstrap::new(any_port, upstream);
                bootstrap.admin = Some(any_port);
                // The cluster's name occurs in the listener, too.
                let text = bootstrap.to_json().to_string();
                let cluster = format!("\"{UPSTREAM_CLUSTER}\"");
                let mut own: Value =
                    serde_json::from_str(&text.replace(&cluster, &format!("\"{name}\"")))?;
                let resources = &mut own["static_resources"];
                let mut listener = resources["listeners"][0].take();
                let mut cluster = resources["clusters"][0].take();
                listener["name"] = json!(name);
                settings.apply(&mut listener, &mut cluster);
                listeners.push(listener);
                clusters.push(cluster);
                whole = own;
            }
        }
        whole["static_resources"] = json!({ "listeners": listeners, "clusters": clusters });
        Ok(whole)
    }
}

fn start_server(
    upstream: SocketAddr,
    settings: &Settings,
    clock: Arc<ManualClock>,
) -> Result<Server> {
    let server = Server::start(ServerConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        admin: None,
        upstream: HostUpstream::Http {
            host: upstream.ip().to_string(),
            port: upstream.port(),
        },
        workers: 1,
        timeouts: settings.timeouts(),
        circuit_breakers: settings.circuit_breakers(),
        profile: Profile::default(),
        plugins: Vec::new(),
        clock,
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
    fn start(release: Release, bootstrap: &Value) -> Result<Self> {
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
            addresses: BTreeMap::new(),
        };
        let bootstrap = serde_json::to_vec(bootstrap)?;
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
fn listeners(admin: SocketAddr) -> Result<BTreeMap<String, SocketAddr>> {
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
    let statuses = reply["listener_statuses"].as_array();
    let address = |status: &Value| {
        let name = status["name"].as_str()?.to_owned();
        let port = status["local_address"]["socket_address"]["port_value"].as_u64()?;
        Some((name, SocketAddr::new(admin.ip(), u16::try_from(port).ok()?)))
    };
    let addresses: Option<_> = statuses.and_then(|it| it.iter().map(address).collect());
    addresses.with_context(|| format!("no listeners in {reply}"))
}
