//! An upstream that records requests and responds with the bytes of a case.
//!
//! Each lane has one upstream, which serves one case after the other. After a case, all connections are closed on both sides, so that the
//! next case starts with a new one.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::case::{Case, Step, Then};
use crate::client::{PROBE_FIELD, PROBE_TARGET};
use crate::message::{self, Message, Parsed};

/// An upstream. Its threads run until the process ends.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The response of the current case, as steps whose bytes have been copied.
    script: Arc<Script>,
    /// The complete requests, in the order in which their heads arrived.
    requests: Vec<Option<Message>>,
    /// The number of requests that are not complete, or not answered.
    in_progress: usize,
    /// What the upstream and the client have received in this case, up to [`RECORDED`].
    reached_upstream: Vec<u8>,
    reached_client: Vec<u8>,
    /// How many times the client has let the upstream continue.
    releases: usize,
    /// The number of connections that scripts have ended.
    ended: usize,
    /// The number of connections that the proxy has closed while the upstream waited for it.
    closed: usize,
    /// The number of connections of which the upstream waits for that.
    awaiting_close: usize,
    /// Whether no case uses the upstream, so that a connection that a proxy opens late is closed.
    is_closing: bool,
    /// The open connections, by number.
    connections: BTreeMap<u64, TcpStream>,
    last_connection: u64,
    /// The number of threads that serve them.
    threads: usize,
}

#[derive(Default)]
struct Script {
    steps: Vec<Step>,
    is_early: bool,
}

/// What arrived at the upstream in one case.
pub struct Arrived {
    /// The complete requests.
    pub requests: Vec<Message>,
    /// The number of connections that the proxy has closed while the upstream waited for it.
    pub closed: usize,
    /// Whether the upstream has waited for it in vain.
    pub waits: bool,
}

/// Addresses at which nothing accepts connections.
pub struct DeadEnds {
    /// Connections are refused.
    pub refuses: SocketAddr,
    /// There is no reaction.
    pub silent: SocketAddr,
    /// Holds the addresses.
    _sockets: [Socket; 3],
}

/// One connection.
struct Connection {
    stream: TcpStream,
    number: u64,
    /// Whether the script has ended the connection.
    is_abandoned: bool,
    shared: Arc<Shared>,
    /// The bytes that have arrived and do not belong to an earlier request.
    buffer: Vec<u8>,
}

/// How much of what arrives is recorded for the steps that wait for it.
const RECORDED: usize = 1 << 16;

/// How long a step waits for what is expected to happen.
const PATIENCE: Duration = Duration::from_secs(30);

// === impl DeadEnds ===

impl DeadEnds {
    pub fn new() -> Result<Self> {
        let bind = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
            socket.bind(&SockAddr::from(any_port))?;
            let address = socket.local_addr()?.as_socket();
            Ok::<_, anyhow::Error>((socket, address.context("not an IP address")?))
        };
        // Without a call of `listen`, the port is taken, but refuses connections.
        let (refusing, refuses) = bind()?;
        let (listening, silent) = bind()?;
        // One pending connection fills the backlog. The kernel then drops further connection requests.
        listening.listen(0)?;
        let queued = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        queued.connect(&SockAddr::from(silent))?;
        Ok(Self {
            refuses,
            silent,
            _sockets: [refusing, listening, queued],
        })
    }
}

// === impl Upstream ===

impl Upstream {
    /// Starts an upstream on a port that the operating system chooses.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("the upstream cannot listen")?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A connection that is already lost is not served.
                let _ = stream.and_then(|stream| serve(stream, &accepting));
            }
        });
        Ok(Self { address, shared })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to respond as a case says, once no connection is left from the case before.
    pub fn begin(&self, case: &Case, patience: Duration) -> Result<()> {
        let script = Arc::new(Script {
            steps: case.response.clone(),
            is_early: case.early,
        });
        let mut state = self
            .shared
            .wait(patience, |state| state.threads == 0)
            .context("the proxy did not close a connection that the upstream had closed")?;
        state.script = script;
        state.requests.clear();
        state.reached_upstream.clear();
        state.reached_client.clear();
        state.releases = 0;
        state.ended = 0;
        state.closed = 0;
        state.is_closing = false;
        Ok(())
    }

    /// Waits until these bytes have arrived. Returns whether they have.
    pub fn reached(&self, bytes: &[u8], patience: Duration) -> bool {
        let has_arrived = |state: &State| message::find(&state.reached_upstream, bytes).is_some();
        self.shared.wait(patience, has_arrived).is_ok()
    }

    /// Records what a client has received.
    pub fn record_client(&self, bytes: &[u8]) {
        self.shared
            .change(|state| record(&mut state.reached_client, bytes));
    }

    /// Lets scripts continue.
    pub fn release(&self) {
        self.shared.change(|state| state.releases += 1);
    }

    /// Waits until a script has ended its connection.
    pub fn await_end(&self, patience: Duration) -> bool {
        self.shared.wait(patience, |state| state.ended > 0).is_ok()
    }

    /// Returns the number of connections that the proxy has closed while the upstream waited for it.
    pub fn closed(&self) -> usize {
        self.shared.locked().closed
    }

    /// Waits until no request is in progress, starts to close the connections, and returns what has arrived.
    pub fn finish(&self, patience: Duration) -> Result<Arrived> {
        let idle = self.shared.wait(patience, |state| state.in_progress == 0);
        let how = match idle {
            Ok(_) => Shutdown::Write,
            // The next case needs the lane.
            Err(_) => Shutdown::Both,
        };
        let idle = idle.map(drop);
        let mut state = self.shared.locked();
        state.is_closing = true;
        for connection in std::mem::take(&mut state.connections).into_values() {
            // Fails only if the proxy has closed it.
            let _ = connection.shutdown(how);
        }
        let requests = std::mem::take(&mut state.requests);
        let closed = state.closed;
        let waits = state.awaiting_close > 0;
        drop(state);
        self.shared.changed.notify_all();
        if !waits {
            idle.context("a request to the upstream did not end")?;
        }
        Ok(Arrived {
            requests: requests.into_iter().flatten().collect(),
            closed,
            waits,
        })
    }
}

fn record(recorded: &mut Vec<u8>, bytes: &[u8]) {
    let room = RECORDED.saturating_sub(recorded.len());
    recorded.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// Serves a connection on a new thread.
fn serve(stream: TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut state = shared.locked();
    state.last_connection += 1;
    let number = state.last_connection;
    if state.is_closing {
        stream.shutdown(Shutdown::Write)?;
    } else {
        state.connections.insert(number, stream.try_clone()?);
    }
    state.threads += 1;
    drop(state);
    let mut connection = Connection {
        stream,
        number,
        is_abandoned: false,
        shared: shared.clone(),
        buffer: Vec::new(),
    };
    std::thread::spawn(move || {
        // `None` is the end of the connection.
        while connection.serve_one().is_some() {}
        let shared = connection.shared.clone();
        if !connection.is_abandoned {
            let _ = connection.stream.shutdown(Shutdown::Write);
            shared.change(|state| state.ended += 1);
            while connection.read().is_some() {}
        }
        let is_abandoned = connection.is_abandoned;
        // Closes the connection.
        drop(connection);
        shared.change(|state| {
            state.threads -= 1;
            state.ended += usize::from(is_abandoned);
        });
    });
    Ok(())
}

// === impl Connection ===

impl Connection {
    /// Reads and answers one request.
    fn serve_one(&mut self) -> Option<()> {
        let head = loop {
            match message::request(&self.buffer) {
                Parsed::Nothing => self.read()?,
                Parsed::Complete(head, _)
                | Parsed::Partial(head, _)
                | Parsed::UntilClose(head, _) => {
                    break head;
                }
            }
        };
        // A probe that the proxy has changed, or has put behind other bytes, is part of the outcome.
        let is_probe = message::find(&head.start, PROBE_TARGET.as_bytes()).is_some();
        if head.start == format!("GET {PROBE_TARGET} HTTP/1.1").as_bytes() {
            self.take_request()?;
            return self.answer_probe();
        }
        let shared = self.shared.clone();
        let mut number = 0;
        let mut script = Arc::default();
        shared.change(|state| {
            number = state.requests.len();
            state.requests.push(None);
            state.in_progress += 1;
            script = state.script.clone();
        });
        let answered = self.answer(&script, is_probe, number);
        shared.change(|state| state.in_progress -= 1);
        answered
    }

    fn answer(&mut self, script: &Script, is_probe: bool, number: usize) -> Option<()> {
        if script.is_early {
            self.respond(script)?;
        }
        let request = self.take_request()?;
        self.shared.change(|state| {
            // Without this entry, the case has ended.
            if let Some(entry) = state.requests.get_mut(number) {
                *entry = Some(request);
            }
        });
        match is_probe {
            true => self.answer_probe(),
            false if script.is_early => Some(()),
            false => self.respond(script),
        }
    }

    fn answer_probe(&mut self) -> Option<()> {
        let response = format!("HTTP/1.1 200 OK\r\n{PROBE_FIELD}: 1\r\ncontent-length: 0\r\n\r\n");
        self.stream.write_all(response.as_bytes()).ok()
    }

    fn respond(&mut self, script: &Script) -> Option<()> {
        let mut awaited_releases = 0;
        for (index, step) in script.steps.iter().enumerate() {
            match step {
                Step::Send(bytes) => {
                    if self.stream.write_all(&bytes.0).is_err() {
                        let mut rest = script.steps[index..].iter();
                        if rest.any(|it| matches!(it, Step::Then(Then::AwaitClose))) {
                            self.shared.change(|state| state.closed += 1);
                        }
                        return None;
                    }
                }
                Step::Then(Then::AwaitRelease) => {
                    awaited_releases += 1;
                    self.wait(|state| state.releases >= awaited_releases)?;
                }
                Step::Reached(bytes) => {
                    self.wait(|state| message::find(&state.reached_client, &bytes.0).is_some())?
                }
                Step::Then(then) => self.then(*then)?,
                // For clients, as `Case::check` has ensured.
                Step::Await(_) | Step::Elapse(_) | Step::Others { .. } | Step::Answered(_) => {}
            }
        }
        Some(())
    }

    fn then(&mut self, then: Then) -> Option<()> {
        match then {
            Then::HalfClose => self.stream.shutdown(Shutdown::Write).ok().and(None),
            Then::Close => self.abandon(),
            Then::Reset => {
                // Closing the connection resets it.
                let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
                self.abandon()
            }
            Then::AwaitClose => {
                self.shared.change(|state| state.awaiting_close += 1);
                while self.read().is_some() {}
                self.shared.change(|state| {
                    state.awaiting_close -= 1;
                    state.closed += 1;
                });
                None
            }
            Then::Stall => {
                // The case does not wait for this request.
                self.shared.change(|state| state.in_progress -= 1);
                let _ = self.wait(|state| state.is_closing);
                self.shared.change(|state| state.in_progress += 1);
                None
            }
            // The caller has waited.
            Then::AwaitRelease => Some(()),
            // For clients, as `Case::check` has ensured.
            Then::Expire | Then::StopReading | Then::Read | Then::Release | Then::AwaitEnd => {
                Some(())
            }
        }
    }

    /// Makes this thread close the connection as soon as it ends.
    fn abandon(&mut self) -> Option<()> {
        self.is_abandoned = true;
        let other_handle = self.shared.locked().connections.remove(&self.number);
        drop(other_handle);
        None
    }

    /// Waits for a condition, or for the end of the case. Returns `None` if the condition is not met.
    fn wait(&self, is_met: impl Fn(&State) -> bool) -> Option<()> {
        let state = self
            .shared
            .wait(PATIENCE, |state| is_met(state) || state.is_closing)
            .ok()?;
        is_met(&state).then_some(())
    }

    /// Reads the rest of a request.
    fn take_request(&mut self) -> Option<Message> {
        loop {
            match message::request(&self.buffer) {
                Parsed::Complete(request, length) => {
                    self.buffer.drain(..length);
                    return Some(request);
                }
                Parsed::Nothing | Parsed::Partial(..) | Parsed::UntilClose(..) => self.read()?,
            }
        }
    }

    fn read(&mut self) -> Option<()> {
        let mut buffer = vec![0; 1 << 16];
        let length = self.stream.read(&mut buffer).ok().filter(|it| *it > 0)?;
        let bytes = &buffer[..length];
        self.buffer.extend_from_slice(bytes);
        self.shared
            .change(|state| record(&mut state.reached_upstream, bytes));
        Some(())
    }
}

// === impl Shared ===

impl Shared {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.locked());
        self.changed.notify_all();
    }

    fn wait(
        &self,
        patience: Duration,
        is_met: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'_, State>> {
        let deadline = Instant::now() + patience;
        let mut state = self.locked();
        while !is_met(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "nothing happened within {patience:?}");
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Ok(state)
    }
}
