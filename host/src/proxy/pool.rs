//! Connections to one server, and the requests that wait for one.
//!
//! Each worker has its own pool, so no request waits for another worker's lock. All idle connections of a pool are watched by one task,
//! which closes those that the server has closed, and those that were not used for some time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http::uri::Authority;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::proxy::circuit_breakers::CircuitBreakers;
use crate::proxy::respond::Failure;
use crate::proxy::socket::Socket;
use crate::proxy::timeouts::nanoseconds;

/// How long an idle connection is kept. It is shorter than what common servers allow, so that a request does not meet a
/// connection that is being closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often the pool looks for idle connections that have expired.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The connections of a worker to one server.
pub(super) struct Pool {
    authority: Authority,
    max_idle: usize,
    connect_timeout: Duration,
    clock: Arc<dyn Clock>,
    limits: CircuitBreakers,
    /// The connection that was used last is at the end.
    idle: RefCell<VecDeque<Idle>>,
    /// The number of connections with a request.
    open: Cell<usize>,
    /// The number of connections that are being established, each for a request.
    connecting: Cell<usize>,
    /// The requests that wait for a connection, in the order in which they get one.
    waiting: RefCell<VecDeque<Entry>>,
    /// Why a connection could not be established the last time. The requests that waited then have lost their place.
    last_error: Cell<io::ErrorKind>,
    last_ticket: Cell<u64>,
    /// Wakes the task that watches the idle connections. `None` if it does not run.
    watcher: RefCell<Option<Waker>>,
}

struct Idle {
    socket: Socket,
    since: Instant,
}

/// A request that waits for a connection.
struct Entry {
    ticket: u64,
    /// `None` before its first poll.
    waker: Option<Waker>,
}

/// A connection for a request, or the wait for one.
pub(super) enum Acquired {
    Open(Socket, InUse),
    Connecting(Connecting),
    Waiting(Waiting),
}

/// Counts a connection with a request.
pub(super) struct InUse(Rc<Pool>);

/// A connection that is being established.
pub(super) struct Connecting {
    connect: Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>,
    /// Counts it.
    pending: Pending,
}

struct Pending(Rc<Pool>);

/// The place of a request among those that wait for a connection.
pub(super) struct Waiting {
    pool: Rc<Pool>,
    ticket: u64,
}

// === impl Pool ===

impl Pool {
    /// Creates a pool for one server, with a maximum number of idle connections and a connect timeout.
    pub(super) fn new(
        authority: Authority,
        max_idle: usize,
        connect_timeout: Duration,
        clock: Arc<dyn Clock>,
        limits: CircuitBreakers,
    ) -> Rc<Self> {
        Rc::new(Self {
            authority,
            max_idle,
            connect_timeout,
            clock,
            limits,
            idle: RefCell::default(),
            open: Cell::new(0),
            connecting: Cell::new(0),
            waiting: RefCell::default(),
            last_error: Cell::new(io::ErrorKind::Other),
            last_ticket: Cell::new(0),
            watcher: RefCell::default(),
        })
    }

    /// Returns a connection for a request, or the wait for one.
    pub(super) fn acquire(self: &Rc<Self>) -> Result<Acquired, Failure> {
        // Requests that already wait are first.
        let is_first = self.waiting.borrow().is_empty();
        if is_first && let Some(socket) = self.take() {
            return self.use_for_request(socket);
        }
        let pending = self.connecting.get() + self.waiting.borrow().len();
        if pending >= self.limits.max_pending_requests {
            return Err(Failure::Overflow);
        }
        if is_first && self.can_connect() {
            return Ok(Acquired::Connecting(self.connect()));
        }
        let ticket = self.last_ticket.get() + 1;
        self.last_ticket.set(ticket);
        let waker = None;
        self.waiting.borrow_mut().push_back(Entry { ticket, waker });
        let pool = self.clone();
        Ok(Acquired::Waiting(Waiting { pool, ticket }))
    }

    fn use_for_request(self: &Rc<Self>, socket: Socket) -> Result<Acquired, Failure> {
        if self.open.get() >= self.limits.max_requests {
            self.put(socket);
            return Err(Failure::Overflow);
        }
        self.open.set(self.open.get() + 1);
        Ok(Acquired::Open(socket, InUse(self.clone())))
    }

    /// Returns whether there can be another connection. None is idle.
    fn can_connect(&self) -> bool {
        // As in Envoy, there is one in any case.
        self.open.get() + self.connecting.get() < self.limits.max_connections.max(1)
    }

    fn connect(self: &Rc<Self>) -> Connecting {
        self.connecting.set(self.connecting.get() + 1);
        let deadline = self
            .clock
            .monotonic()
            .saturating_add(nanoseconds(self.connect_timeout));
        let expired = self.clock.sleep_until(deadline);
        Connecting {
            connect: Box::pin(connect(self.authority.clone(), expired)),
            pending: Pending(self.clone()),
        }
    }

    /// Takes an idle connection that is still open.
    fn take(&self) -> Option<Socket> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { socket, .. }) = idle.pop_back() {
            if socket.is_idle() {
                return Some(socket);
            }
        }
        None
    }

    /// Returns a connection for other requests.
    pub(super) fn put(self: &Rc<Self>, mut socket: Socket) {
        socket.release_buffers();
        let is_watched = match &*self.watcher.borrow() {
            Some(watcher) => {
                if !socket.poll_idle(&mut Context::from_waker(watcher)) {
                    return;
                }
                true
            }
            None => false,
        };
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= self.max_idle {
            idle.pop_front();
        }
        idle.push_back(Idle {
            socket,
            since: Instant::now(),
        });
        if !is_watched {
            // Its first poll sets the waker.
            *self.watcher.borrow_mut() = Some(Waker::noop().clone());
            tokio::task::spawn_local(watch(Rc::downgrade(self)));
        }
    }

    /// Closes connections that are idle for too long, or that the server has closed. Returns whether any are left.
    fn sweep(&self, cx: &mut Context<'_>) -> bool {
        let now = Instant::now();
        let is_fresh = |since| now.saturating_duration_since(since) < POOL_IDLE_TIMEOUT;
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|it| is_fresh(it.since) && it.socket.poll_idle(cx));
        let any_left = !idle.is_empty();
        *self.watcher.borrow_mut() = any_left.then(|| cx.waker().clone());
        any_left
    }

    /// Fails all requests that wait, as Envoy does: otherwise, each of them would wait for another attempt to connect.
    fn fail_waiting(&self, error: io::ErrorKind) {
        self.last_error.set(error);
        for waker in self.waiting.take().into_iter().filter_map(|it| it.waker) {
            waker.wake();
        }
    }

    /// Wakes the request that is the next one to get a connection.
    fn wake_first(&self) {
        if let Some(waker) = self
            .waiting
            .borrow()
            .front()
            .and_then(|it| it.waker.as_ref())
        {
            waker.wake_by_ref();
        }
    }
}

/// Watches the idle connections until none are left.
async fn watch(pool: Weak<Pool>) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    std::future::poll_fn(|cx| {
        loop {
            let any_left = pool.upgrade().is_some_and(|pool| pool.sweep(cx));
            if !any_left {
                return Poll::Ready(());
            }
            ready!(interval.poll_tick(cx));
        }
    })
    .await;
}

/// Connects to a server. Tries all of its addresses.
async fn connect(
    authority: Authority,
    expired: Pin<Box<dyn Future<Output = ()>>>,
) -> io::Result<TcpStream> {
    let host = authority.host().trim_matches(['[', ']']);
    let port = authority.port_u16().unwrap_or(80);
    let connecting = async {
        let mut failure = None;
        for address in tokio::net::lookup_host((host, port)).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    };
    let stream = tokio::select! {
        biased;
        connected = connecting => connected?,
        () = expired => return Err(io::ErrorKind::TimedOut.into()),
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn connect_failure(error: io::ErrorKind) -> Failure {
    match error {
        io::ErrorKind::TimedOut => Failure::ConnectTimeout,
        _ => Failure::Connect,
    }
}

// === impl InUse ===

impl InUse {
    /// Returns the connection for other requests.
    pub(super) fn put(&self, socket: Socket) {
        self.0.put(socket);
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let Self(pool) = self;
        pool.open.set(pool.open.get().saturating_sub(1));
        pool.wake_first();
    }
}

// === impl Connecting ===

impl Connecting {
    /// Waits until the connection is established.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Acquired, Failure>> {
        let connected = ready!(self.connect.as_mut().poll(cx));
        Poll::Ready(match connected {
            Ok(stream) => self.pending.0.use_for_request(Socket::new(stream)),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "cannot connect");
                self.pending.0.fail_waiting(error.kind());
                Err(connect_failure(error.kind()))
            }
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Self(pool) = self;
        pool.connecting.set(pool.connecting.get().saturating_sub(1));
        pool.wake_first();
    }
}

// === impl Waiting ===

impl Waiting {
    /// Waits until it is this request's turn, and there is, or can be, a connection for it. Must not be called again then.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Acquired, Failure>> {
        let pool = &self.pool;
        let mut waiting = pool.waiting.borrow_mut();
        let is_first = waiting.front().is_some_and(|it| it.ticket == self.ticket);
        let Some(entry) = waiting.iter_mut().find(|it| it.ticket == self.ticket) else {
            return Poll::Ready(Err(connect_failure(pool.last_error.get())));
        };
        match &mut entry.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            waker => *waker = Some(cx.waker().clone()),
        }
        drop(waiting);
        if !is_first {
            return Poll::Pending;
        }
        // Dropping `self` removes the entry, and wakes the next one.
        match pool.take() {
            Some(socket) => Poll::Ready(pool.use_for_request(socket)),
            None if pool.can_connect() => Poll::Ready(Ok(Acquired::Connecting(pool.connect()))),
            None => Poll::Pending,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.pool
            .waiting
            .borrow_mut()
            .retain(|it| it.ticket != self.ticket);
        self.pool.wake_first();
    }
}
