//! [`Proxy`]: one worker with one plugin.

use std::{
    cell::{Cell, RefCell},
    error, fmt,
    marker::PhantomData,
    net::SocketAddr,
    rc::{Rc, Weak},
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use tidegate_semantics::{
    clock::{Clock as _, ManualClock, after},
    error::StartError,
    instances::{ChainConfig, ChainInstances, LoadedChain, LoadedModule, LoadedPlugin},
    metrics::{Metric, MetricKind},
    plugin::EngineKind,
    port::manual::ManualPort,
};

use crate::{
    EndOfStream, Plugin,
    testing::{
        Builder, LogLine, Message, Stream,
        builder::{Parts, nanoseconds},
        engine::Native,
        log::LogBook,
        services::Services,
        stream::Exchange,
    },
};

/// One worker of a proxy, with one plugin.
///
/// Dropping the proxy ends the plugin, as soon as the last [`Stream`] has been dropped. See the [module](super) for examples.
pub struct Proxy<P> {
    worker: Rc<Worker>,
    plugin: PhantomData<fn() -> P>,
}

/// The plugin has rejected its configuration. The message is the reason.
#[derive(Clone, PartialEq, Eq)]
pub struct Refused {
    reason: String,
}

/// What the streams of a proxy share.
pub(super) struct Worker {
    chain: RefCell<Option<Rc<ChainInstances>>>,
    port: Rc<ManualPort>,
    clock: Arc<ManualClock>,
    config: ChainConfig,
    log: Arc<LogBook>,
    services: Services,
    /// The calls that the plugin has sent since the test last took them.
    calls: RefCell<Vec<Message>>,
    streams: RefCell<Vec<Weak<Exchange>>>,
    client: SocketAddr,
    last_connection: Cell<u64>,
}

/// The maximum number of events in a row, each of which causes the next one. More of them are an endless loop.
const MAX_EVENTS: usize = 100_000;

// === impl Proxy ===

impl<P: Plugin> Proxy<P> {
    /// Starts a proxy whose plugin has this configuration. The plugin can call no services; a [`builder`](Self::builder) can define some.
    ///
    /// ```
    /// use tidegate_guest::prelude::*;
    /// use tidegate_guest::testing::Proxy;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Config {
    ///     limit: u32,
    /// }
    ///
    /// struct Limited;
    ///
    /// #[plugin]
    /// impl Plugin for Limited {
    ///     type Config = Config;
    ///     type Stream = ();
    ///
    ///     fn configure(config: Config) -> Result<Self, ConfigError> {
    ///         match config.limit {
    ///             0 => Err(ConfigError::at("limit", "expected at least 1")),
    ///             _ => Ok(Limited),
    ///         }
    ///     }
    ///
    ///     fn on_log(&self, _: &mut (), _: &mut HttpStream) {}
    /// }
    ///
    /// assert!(Proxy::<Limited>::new(r#"{"limit": 1}"#).is_ok());
    /// let refused = Proxy::<Limited>::new(r#"{"limit": 0}"#).expect_err("a refusal");
    /// assert_eq!(refused.to_string(), "limit: expected at least 1");
    /// ```
    pub fn new(configuration: impl AsRef<[u8]>) -> Result<Self, Refused> {
        Self::builder().build(configuration)
    }

    /// Returns a builder, for services and other things that the proxy has before its plugin is configured.
    pub fn builder() -> Builder<P> {
        Builder::new(Self::start)
    }

    fn start(mut parts: Parts) -> Result<Self, Refused> {
        let (config, clock, log) = parts.chain_config();
        let loaded = LoadedChain {
            config: config.clone(),
            plugins: vec![LoadedPlugin {
                spec: parts.spec,
                engine: EngineKind::Component,
                module: 0,
                index_in_module: 0,
            }],
            modules: vec![LoadedModule {
                compiled: Arc::new(Native::<P>::new()),
                plugins: vec![0],
            }],
        };
        let port = Rc::new(ManualPort::default());
        let chain = ChainInstances::start(Arc::new(loaded), 0, port.clone())?;
        let worker = Worker {
            chain: RefCell::new(Some(Rc::new(chain))),
            port,
            clock,
            config,
            log,
            services: parts.services,
            calls: RefCell::default(),
            streams: RefCell::default(),
            client: parts.client,
            last_connection: Cell::new(0),
        };
        worker.settle();
        Ok(Proxy {
            worker: Rc::new(worker),
            plugin: PhantomData,
        })
    }

    /// Opens a stream that has received nothing yet.
    pub fn open(&self) -> Stream {
        Stream::new(self.worker.clone())
    }

    /// Opens a stream, and passes it a request.
    #[track_caller]
    pub fn request(&self, request: Message) -> Stream {
        let stream = self.open();
        let has_trailers = !request.trailers().is_empty();
        let end = EndOfStream::from(request.chunks().is_empty() && !has_trailers);
        stream.request_headers(request.clone(), end);
        let mut chunks = request.chunks().iter().peekable();
        while let Some(chunk) = chunks.next() {
            let end = EndOfStream::from(chunks.peek().is_none() && !has_trailers);
            stream.request_body(chunk.clone(), end);
        }
        if has_trailers {
            stream.request_trailers(request);
        }
        stream
    }

    /// Returns the time that the plugin sees.
    pub fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.worker.clock.now())
    }

    /// Advances the clock. Timers fire, calls are answered, and calls without an answer reach their timeouts, in order.
    pub fn advance(&self, time: Duration) {
        self.worker.advance(time);
    }

    /// Sets the system time, as an administrator would. The monotonic time does not change, so no timers fire.
    pub fn set_time(&self, time: SystemTime) {
        self.worker.clock.set_now(nanoseconds(time));
    }

    /// Returns the log lines that the plugin has written since the last call. The reason why a configuration is rejected is not among them:
    /// [`new`](Self::new) returns it as an error.
    pub fn take_log(&self) -> Vec<LogLine> {
        self.worker.log.take()
    }

    /// Returns the HTTP calls that the plugin has sent since the last call of this method, in order.
    pub fn take_calls(&self) -> Vec<Message> {
        self.worker.calls.take()
    }

    /// Returns the value of a counter, if the plugin has defined it.
    pub fn counter(&self, name: &str) -> Option<u64> {
        let metric = self.worker.metric(MetricKind::Counter, name);
        metric.map(|it| it.value())
    }

    /// Returns the value of a gauge, if the plugin has defined it.
    pub fn gauge(&self, name: &str) -> Option<u64> {
        let metric = self.worker.metric(MetricKind::Gauge, name);
        metric.map(|it| it.value())
    }

    /// Returns the number of values of a histogram and their sum, if the plugin has defined it.
    pub fn histogram(&self, name: &str) -> Option<(u64, u64)> {
        let metric = self.worker.metric(MetricKind::Histogram, name);
        metric.map(|it| (it.count(), it.value()))
    }

    /// Returns what is stored in the [shared data](crate::shared_data) under a key.
    pub fn shared_data(&self, key: &str) -> Option<Vec<u8>> {
        let stored = self.worker.config.shared_data.get(key.as_bytes());
        stored.map(|it| it.value.into())
    }

    /// Stores a value in the shared data, as another worker would. Returns `false` if it is too large.
    pub fn set_shared_data(&self, key: &str, value: impl Into<Vec<u8>>) -> bool {
        let value = value.into().into();
        let stored = self.worker.config.shared_data.set(key.as_bytes(), value, 0);
        stored.is_ok()
    }

    /// Adds a value to a [queue](crate::shared_queues), as another worker would. The queue is created if it does not exist. Returns `false`
    /// if the queues are full.
    pub fn enqueue(&self, queue: &str, value: impl Into<Vec<u8>>) -> bool {
        let queues = &self.worker.config.queues;
        let queue = queues.create(queue.as_bytes());
        let is_added = queue.is_some_and(|it| queues.enqueue(it, value.into().into()).is_ok());
        self.worker.settle();
        is_added
    }

    /// Removes the first value of a queue, as another worker would. Returns `None` if the queue does not exist or is empty.
    pub fn dequeue(&self, queue: &str) -> Option<Vec<u8>> {
        let queues = &self.worker.config.queues;
        let queue = queues.find(queue.as_bytes())?;
        queues.dequeue(queue).ok().flatten().map(Vec::from)
    }

    /// Ends the plugin, and returns the log lines that it has written since the last [`take_log`](Self::take_log). A plugin with open streams
    /// does not end before they do.
    ///
    /// A proxy that stops does not wait for a plugin whose [`on_plugin_done`](Plugin::on_plugin_done) returns
    /// [`Completion::Pending`](crate::Completion::Pending).
    pub fn stop(self) -> Vec<LogLine> {
        self.worker.end();
        self.worker.log.take()
    }
}

impl<P> Drop for Proxy<P> {
    fn drop(&mut self) {
        self.worker.end();
    }
}

// === impl Worker ===

impl Worker {
    /// Returns the plugin, unless the proxy has stopped.
    pub(super) fn chain(&self) -> Option<Rc<ChainInstances>> {
        self.chain.borrow().clone()
    }

    pub(super) fn client(&self) -> SocketAddr {
        self.client
    }

    /// Returns the number of a new connection.
    pub(super) fn next_connection(&self) -> u64 {
        let next = self.last_connection.get() + 1;
        self.last_connection.set(next);
        next
    }

    pub(super) fn add_stream(&self, stream: &Rc<Exchange>) {
        let mut streams = self.streams.borrow_mut();
        streams.retain(|it| it.strong_count() > 0);
        streams.push(Rc::downgrade(stream));
    }

    /// Does what is due: takes what streams have emitted, passes calls to services and their answers to the plugin, and reports values in
    /// queues.
    #[track_caller]
    pub(super) fn settle(&self) {
        for _ in 0..MAX_EVENTS {
            if !self.settle_one() {
                return;
            }
        }
        panic!(
            "each of {MAX_EVENTS} events in a row has caused another event: the plugin seems to be in an endless loop"
        );
    }

    /// Returns whether something was due.
    #[track_caller]
    fn settle_one(&self) -> bool {
        let streams = self.streams.borrow().clone();
        for stream in streams.iter().filter_map(Weak::upgrade) {
            stream.take_effects();
        }
        let now = self.clock.monotonic();
        if let Some(sent) = self.port.take_call() {
            let request = self.services.receive(sent, now);
            self.calls.borrow_mut().push(request);
            return true;
        }
        self.port.pass_queue_event() || self.services.end_call(now)
    }

    #[track_caller]
    fn advance(&self, time: Duration) {
        let until = after(self.clock.monotonic(), time);
        loop {
            let next = [self.port.next_time(), self.services.next_time()];
            let next = next.into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= until) else {
                break;
            };
            self.pass(at);
            if !self.services.end_call(at) {
                self.port.fire_until(at);
            }
            self.settle();
        }
        self.pass(until);
    }

    /// Advances the clock to a monotonic time.
    fn pass(&self, until: u64) {
        let time = until.saturating_sub(self.clock.monotonic());
        self.clock.advance(Duration::from_nanos(time));
    }

    fn metric(&self, kind: MetricKind, name: &str) -> Option<Arc<Metric>> {
        let all = self.config.metrics.all().into_iter();
        let mut found =
            all.filter(|(it, metric)| **it == *name.as_bytes() && metric.kind() == kind);
        found.next().map(|(_, metric)| metric)
    }

    /// Ends the plugin, unless a stream keeps it.
    fn end(&self) {
        let chain = self.chain.take();
        drop(chain);
        if !thread::panicking() {
            self.settle();
        }
    }
}

/// A plugin that is not done is kept by what the port would do later.
impl Drop for Worker {
    fn drop(&mut self) {
        self.port.stop();
    }
}

// === impl Refused ===

impl Refused {
    /// Returns the reason: the message of the [`ConfigError`](crate::ConfigError).
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl From<StartError> for Refused {
    fn from(error: StartError) -> Self {
        let reason = match error {
            StartError::Refused { reason, .. } => reason,
            error => error.to_string(),
        };
        Refused { reason }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Tests that return errors print them like this.
impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the plugin has rejected its configuration: {}",
            self.reason
        )
    }
}

impl error::Error for Refused {}

impl<P> fmt::Debug for Proxy<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").finish_non_exhaustive()
    }
}
