//! The HTTP/1.1 proxy.
//!
//! `accept` distributes connections to workers. A `worker` is a thread with its own plugin instances, which
//! [`Server::reload`] replaces; `worker_state` is what its connections share. `connection` serves a downstream connection.
//! `exchange` handles one request and its response, with `head` for the rules about message heads, `upstream` for the
//! client, and `pool` for its connections. `http1` is the codec, `socket` a TCP connection with its buffers, and `alarm` a
//! timer. `port` sends the HTTP calls of plugins and runs their timers. `respond` turns errors into responses, and
//! [`profile`] imitates the proxies of control planes. [`echo`] is an upstream for trying out plugins. `admin` serves
//! metrics, which `prometheus` writes, and the readiness of the proxy.
//!
//! The semantics of plugin callbacks are in [`tidegate_semantics::stream`]. HTTP/2 would be another codec beside `http1`,
//! another way to serve a connection, and another client; the semantics do not depend on the protocol version.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tidegate_semantics::attributes::Attributes;
use tidegate_semantics::clusters::{self, Clusters};
use tidegate_semantics::instances::ChainConfig;
use tidegate_semantics::logs::LogSink;
use tidegate_semantics::metrics::Metrics;
use tidegate_semantics::observe::Observer;
use tidegate_semantics::plugin::PluginSpec;
use tidegate_semantics::plugin_stats::PluginStats;
use tidegate_semantics::shared_data::SharedData;
use tidegate_semantics::shared_queues::SharedQueues;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use crate::clock::Clock;
use crate::config::RuntimeConfig;
use crate::engine::{CodeCache, CodeCacheStats};
use crate::error::{LoadError, StartError};
use crate::proxy::admin::Admin;
use crate::proxy::pool::Pool;
use crate::proxy::port::WorkerPort;
use crate::proxy::profile::Profile;
use crate::proxy::worker::{Worker, WorkerMessage};
use crate::proxy::worker_state::WorkerState;
use crate::runtime::{Chain, Runtime};

mod accept;
mod admin;
mod alarm;
mod circuit_breakers;
mod connection;
pub mod echo;
mod exchange;
mod head;
mod http1;
mod pool;
mod port;
pub mod profile;
mod prometheus;
mod respond;
mod socket;
mod timeouts;
mod upstream;
mod worker;
mod worker_state;

pub use circuit_breakers::CircuitBreakers;
pub use echo::EchoServer;
pub use timeouts::Timeouts;

/// The longest grace period. Clocks and timers do not support every duration that a caller may pass.
const MAX_GRACE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A running proxy. Dropping it aborts active requests.
pub struct Server {
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    stop: watch::Sender<Option<Instant>>,
    threads: Vec<JoinHandle<()>>,
    /// The senders of the workers' channels. The lock is held while plugins are replaced; requests do not take it.
    workers: Mutex<Vec<mpsc::UnboundedSender<WorkerMessage>>>,
    // The fields below are dropped after the threads have ended: upstream and the plugins' code are in use until then.
    _echo: Option<EchoServer>,
    runtime: Runtime,
}

/// The configuration of a proxy.
#[derive(Clone)]
pub struct ServerConfig {
    /// The address to listen on. With port 0, the operating system chooses the port.
    pub listen: SocketAddr,
    /// The address on which to serve `/metrics`, in Prometheus' text format, and `/ready`. There is no access control. If `None`, they are
    /// not served, and plugins are not measured.
    pub admin: Option<SocketAddr>,
    /// The server to which requests are forwarded.
    pub upstream: Upstream,
    /// The number of worker threads, at least one. Each has its own plugin instances, which share no state.
    pub workers: usize,
    /// How long to wait for clients and for the upstream.
    pub timeouts: Timeouts,
    /// How many connections and requests to the upstream there can be.
    pub circuit_breakers: CircuitBreakers,
    /// The proxy that is imitated. It determines how paths are normalized, and which fields are added and removed.
    pub profile: Profile,
    /// The plugins, in the order in which requests pass through them.
    pub plugins: Vec<PluginSpec>,
    /// The clock that plugins see.
    pub clock: Arc<dyn Clock>,
    /// The destination of plugin log lines.
    pub logs: Arc<dyn LogSink>,
    /// Data shared by the plugins of all workers.
    pub shared_data: Arc<SharedData>,
    /// Queues shared by the plugins of all workers.
    pub queues: Arc<SharedQueues>,
    /// Metrics that plugins define.
    pub metrics: Arc<Metrics>,
    /// The clusters that plugins can send HTTP calls to.
    pub clusters: Clusters,
    /// Attributes that add to, or override, those that the host provides for a stream.
    pub attributes: Arc<Attributes>,
    /// Receives what plugins see and change.
    pub observer: Option<Arc<dyn Observer>>,
    /// A cache of code compiled by other servers. An observer that wants fuel needs a separate cache.
    pub code: Option<Arc<CodeCache>>,
    /// A directory in which compiled code is kept for later runs: see [`RuntimeConfig::code_cache_dir`].
    pub code_cache_dir: Option<PathBuf>,
}

/// The server to which the proxy forwards requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// An [`EchoServer`] that starts and stops with the proxy.
    Echo,
    /// An HTTP/1.1 server.
    Http {
        /// Its host name or IP address.
        host: String,
        /// Its TCP port.
        port: u16,
    },
}

/// The error for a proxy that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A plugin cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A plugin cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The upstream host is invalid.
    #[error("upstream `{host}` is neither a name nor an IP address")]
    Upstream {
        /// The given host.
        host: String,
    },
    /// The listening socket cannot be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error reported by the operating system.
        source: io::Error,
    },
    /// The operating system cannot create another thread or event loop.
    #[error("cannot start thread `{thread}`")]
    Thread {
        /// The name of the thread.
        thread: String,
        /// The error reported by the operating system.
        source: io::Error,
    },
    /// A worker ended before it was ready.
    #[error("worker {worker} ended before its plugins were ready")]
    Lost {
        /// The number of the worker.
        worker: usize,
    },
}

// === impl Server ===

impl Server {
    /// Loads the plugins, starts the workers and then opens the port, so that every accepted connection is served. The admin port is open
    /// before plugin code runs, and reports that the proxy is not ready.
    pub fn start(config: ServerConfig) -> Result<Server, ServeError> {
        let clock = config.clock;
        let stats = config.admin.map(|_| Arc::<PluginStats>::default());
        let runtime = Runtime::new(RuntimeConfig {
            chain: ChainConfig {
                shared_data: config.shared_data,
                queues: config.queues,
                metrics: config.metrics.clone(),
                stats: stats.clone(),
                clusters: Arc::new(config.clusters),
                attributes: config.attributes,
                observer: config.observer,
                ..ChainConfig::new(clock.clone(), config.logs)
            },
            code: config.code,
            code_cache_dir: config.code_cache_dir,
        })?;
        let chain = runtime.load(&config.plugins)?;
        let (timeouts, limits) = (config.timeouts, config.circuit_breakers);
        let edge = config.profile.settings();
        let (echo, host, port) = match config.upstream {
            Upstream::Http { host, port } => (None, host, port),
            Upstream::Echo => {
                let address = SocketAddr::from(([127, 0, 0, 1], 0));
                let echo = EchoServer::start(address)
                    .map_err(|source| ServeError::Listen { address, source })?;
                let address = echo.local_addr();
                (Some(echo), address.ip().to_string(), address.port())
            }
        };
        let authority = clusters::authority(&host, port).ok_or(ServeError::Upstream { host })?;

        // From here on, an early return drops the server, which stops the threads that have been started.
        let mut server = Server {
            address: config.listen,
            admin_address: None,
            stop: watch::Sender::new(None),
            threads: Vec::new(),
            workers: Mutex::new(Vec::new()),
            _echo: echo,
            runtime,
        };
        let is_ready = Arc::new(AtomicBool::new(false));
        if let Some((address, stats)) = config.admin.zip(stats) {
            let admin = Admin {
                metrics: config.metrics,
                stats,
                ready: is_ready.clone(),
            };
            server.start_admin(address, admin)?;
        }
        let mut worker_senders = Vec::new();
        let mut starting = Vec::new();
        let wait = |worker, ready: &Receiver<Result<(), StartError>>| {
            ready.recv().map_err(|_| ServeError::Lost { worker })
        };
        for worker in 0..config.workers.max(1) {
            let (sender, inbox) = mpsc::unbounded_channel();
            let (started, ready) = sync_channel(1);
            let (chain, authority, clock) = (chain.clone(), authority.clone(), clock.clone());
            let stop = server.stop.subscribe();
            server.spawn(format!("tidegate-worker-{worker}"), move |runtime| {
                // Tasks that are dropped with the set may need the runtime.
                let _inside = runtime.enter();
                let tasks = Rc::new(LocalSet::new());
                let port = Rc::new(WorkerPort::new(&tasks, clock.clone()));
                let worker_chain = chain.start_worker_with(worker, port.clone());
                // A reload may replace the worker's chain, and then this thread must not keep the old one alive.
                drop(chain);
                match worker_chain {
                    Ok(chain) => {
                        let _ = started.send(Ok(()));
                        let timeout = timeouts.connect_timeout;
                        let upstream =
                            Pool::new(authority, usize::MAX, timeout, clock.clone(), limits);
                        let state = WorkerState::new(chain, upstream, clock, timeouts, edge);
                        let worker = Worker::new(worker, state, port);
                        worker.run(runtime, &tasks, inbox, stop);
                    }
                    Err(error) => _ = started.send(Err(error)),
                }
            })?;
            worker_senders.push(sender);
            if worker == 0 {
                // The first worker starts alone, so that plugins that cannot start log their error only once.
                wait(worker, &ready)??;
            } else {
                starting.push((worker, ready));
            }
        }
        for (worker, ready) in &starting {
            wait(*worker, ready)??;
        }

        let listen = |source| ServeError::Listen {
            address: config.listen,
            source,
        };
        let listener = accept::listen(config.listen).map_err(listen)?;
        server.address = listener.local_addr().map_err(listen)?;
        let stop = server.stop.subscribe();
        server.workers = Mutex::new(worker_senders.clone());
        server.spawn("tidegate-accept".into(), move |runtime| {
            accept::run(runtime, listener, &worker_senders, stop)
        })?;
        is_ready.store(true, Ordering::Release);
        Ok(server)
    }

    /// Returns the address on which the proxy listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address on which the proxy serves metrics and its readiness, if it does.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Returns how the directory of compiled code was used, if there is one.
    pub fn code_cache_stats(&self) -> Option<CodeCacheStats> {
        self.runtime.code_cache_stats()
    }

    /// Replaces the plugins on every worker or, if an error occurs, on none. When this function returns, no new request
    /// uses the old plugins. Active streams keep the old plugins until they end.
    ///
    /// Plugins are compiled on the calling thread and instantiated on the worker threads, which serve nothing else in
    /// the meantime: for microseconds with most plugins, and at most as long as [`Limits`](crate::Limits) allow for
    /// starting a plugin. Concurrent calls are serialized.
    pub fn reload(&self, plugins: &[PluginSpec]) -> Result<(), ServeError> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let chain = self.runtime.load(plugins)?;
        let prepared = prepare(&workers, &chain);
        if prepared.is_err() {
            for worker in workers.iter() {
                let _ = worker.send(WorkerMessage::DropPrepared);
            }
            return prepared;
        }
        let (done, all) = sync_channel(workers.len());
        for worker in workers.iter() {
            let _ = worker.send(WorkerMessage::Commit { done: done.clone() });
        }
        drop(done);
        // The loop ends when the last worker has switched, or has ended and dropped its message.
        for () in all {}
        Ok(())
    }

    /// Stops accepting connections and requests, waits at most `grace` for active requests to finish, and aborts the
    /// rest.
    pub fn shutdown(mut self, grace: Duration) {
        let now = Instant::now();
        self.stop_and_join(now.checked_add(grace.min(MAX_GRACE)).unwrap_or(now));
    }

    /// Serves until the process ends.
    pub fn wait(mut self) {
        self.join();
    }

    fn start_admin(&mut self, address: SocketAddr, admin: Admin) -> Result<(), ServeError> {
        let failed = |source| ServeError::Listen { address, source };
        let listener = accept::listen(address).map_err(failed)?;
        self.admin_address = Some(listener.local_addr().map_err(failed)?);
        let stop = self.stop.subscribe();
        self.spawn("tidegate-admin".into(), move |runtime| {
            admin::run(runtime, listener, admin, stop);
        })
    }

    fn spawn(
        &mut self,
        thread: String,
        body: impl FnOnce(&tokio::runtime::Runtime) + Send + 'static,
    ) -> Result<(), ServeError> {
        let failed = |source| ServeError::Thread {
            thread: thread.clone(),
            source,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let handle = std::thread::Builder::new()
            .name(thread.clone())
            .spawn(move || {
                body(&runtime);
                // Dropping the runtime would wait for its blocking threads, and so for a name server that does not respond.
                runtime.shutdown_background();
            })
            .map_err(failed)?;
        self.threads.push(handle);
        Ok(())
    }

    fn stop_and_join(&mut self, deadline: Instant) {
        // When the listener drops the other senders, the workers know that no connection follows.
        let workers = self.workers.get_mut();
        workers.unwrap_or_else(PoisonError::into_inner).clear();
        self.stop.send_replace(Some(deadline));
        self.join();
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!(thread = name, "thread panicked");
            }
        }
    }
}

/// Starts plugins on one worker after the other, so that plugins that cannot start log their error only once.
fn prepare(
    workers: &[mpsc::UnboundedSender<WorkerMessage>],
    chain: &Chain,
) -> Result<(), ServeError> {
    for (worker, inbox) in workers.iter().enumerate() {
        let lost = ServeError::Lost { worker };
        let (answer, answered) = sync_channel(1);
        let chain = chain.clone();
        if inbox
            .send(WorkerMessage::Prepare { chain, answer })
            .is_err()
        {
            return Err(lost);
        }
        answered.recv().map_err(|_| lost)??;
    }
    Ok(())
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_and_join(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use tidegate_semantics::logs::LogLine;

    struct NoLogs;

    impl LogSink for NoLogs {
        fn line(&self, _: &LogLine<'_>) {}
    }

    #[test]
    fn shutdown_does_not_wait_for_blocking_tasks() {
        let patience = Duration::from_secs(20);
        let mut server = Server::start(ServerConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: None,
            upstream: Upstream::Echo,
            workers: 1,
            timeouts: Timeouts::default(),
            circuit_breakers: CircuitBreakers::default(),
            profile: Profile::default(),
            plugins: Vec::new(),
            clock: Arc::new(SystemClock),
            logs: Arc::new(NoLogs),
            shared_data: Arc::default(),
            queues: Arc::default(),
            metrics: Arc::default(),
            clusters: Clusters::default(),
            attributes: Arc::default(),
            observer: None,
            code: None,
            code_cache_dir: None,
        })
        .expect("a proxy");
        // Stands for a name server that does not respond: the client resolves host names on such a thread.
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (begin, begun) = std::sync::mpsc::channel();
        server
            .spawn("test".into(), move |runtime| {
                runtime.spawn_blocking(move || {
                    begin.send(()).expect("a test that listens");
                    held.recv()
                });
            })
            .expect("a thread");
        begun.recv_timeout(patience).expect("a thread that blocks");
        let (stop, stopped) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            server.shutdown(Duration::ZERO);
            stop.send(())
        });
        stopped
            .recv_timeout(patience)
            .expect("a stop that does not wait");
        drop(release);
    }
}
