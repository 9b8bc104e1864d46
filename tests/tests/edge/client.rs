//! A client that sends raw bytes and records what it receives.
//!
//! When the response is complete, the client sends one more request, a probe, whose response has a field that no other response has. The
//! probe shows whether the connection is still open and in step. Thus, nothing waits for time to pass, except for an outcome in which the
//! proxy does not respond. If the client has left, another one sends the probe.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use socket2::SockRef;

use crate::case::{Case, Step, Then};
use crate::message::{self, Message, Parsed};
use crate::settings::Reachability;
use crate::time::{TICK, Time};
use crate::upstream::Upstream;

/// The target of a probe.
pub const PROBE_TARGET: &str = "/edge-probe";

/// The field that marks the response to a probe.
pub const PROBE_FIELD: &str = "x-edge-probe";

/// What a client received.
pub struct Received {
    /// The complete responses, without that to the probe.
    pub responses: Vec<Message>,
    /// What followed and is not a complete response.
    pub rest: Vec<u8>,
    /// Whether `rest` responds to a `HEAD` request.
    pub rest_is_to_head: bool,
    /// What happened to the connection.
    pub end: End,
    /// What other clients received, sorted.
    pub others: Vec<String>,
}

/// What happened to a connection after the request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The probe was answered.
    Open,
    /// The proxy closed the connection.
    Closed,
    /// Neither: the proxy waits for more, or does not respond.
    Waits,
    /// The client closed or reset the connection.
    Left,
}

/// The surroundings of a client.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    pub proxy: SocketAddr,
    pub upstream: &'a Upstream,
    pub time: &'a Time,
    /// The longest time between two events.
    pub patience: Duration,
}

/// Runs the client of a case.
pub fn run(case: &Case, around: Surroundings<'_>) -> Result<Received> {
    let steps = &case.request;
    let connect = || TcpStream::connect(around.proxy).context("cannot connect to the proxy");
    let stream = connect()?;
    stream.set_nodelay(true)?;
    let inbox = Inbox::default();
    let is_paused = matches!(steps.first(), Some(Step::Then(Then::StopReading)));
    inbox.change(|arrived| arrived.is_paused = is_paused);
    let others = Others::default();
    let received = std::thread::scope(|scope| {
        let (reader, writer) = (stream.try_clone()?, stream.try_clone()?);
        let reader = scope.spawn(|| inbox.fill(reader, around.upstream));
        let (output, queue) = mpsc::channel();
        let writer = scope.spawn(|| write(writer, queue));
        let client = Client {
            output,
            inbox: &inbox,
            others: &others,
            around,
            to_head: starts_with_head(steps),
            expects_probe_field: case.settings.upstream == Reachability::Accepts,
            before: Cell::default(),
        };
        let end = client.run(scope, steps);
        let received = client.received(end);
        if let Some(Step::Then(Then::Reset)) = steps.last() {
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        }
        // Ends the threads. The connection is closed when they, too, have dropped their handles.
        let how = match end {
            End::Left => Shutdown::Read,
            _ => Shutdown::Both,
        };
        let _ = stream.shutdown(how);
        inbox.change(|arrived| arrived.is_paused = false);
        drop(client);
        let joined = (reader.join().is_ok(), writer.join().is_ok());
        ensure!(joined == (true, true), "a thread panicked");
        drop(stream);
        Ok(received)
    })?;
    if received.end == End::Left {
        // The answer depends on the upstream only if there is one.
        let answer = ask(around.proxy, probe().as_bytes(), around.patience)?;
        let is_served = match case.settings.upstream {
            Reachability::Accepts => answer.starts_with("HTTP/1.1 200"),
            _ => answer.starts_with("HTTP/1.1"),
        };
        ensure!(is_served, "the next client receives: {answer}");
    }
    let mut received = received;
    received.others = others.sorted();
    Ok(received)
}

fn starts_with_head(steps: &[Step]) -> bool {
    matches!(steps.first(), Some(Step::Send(bytes)) if bytes.0.starts_with(b"HEAD "))
}

fn probe() -> String {
    format!("GET {PROBE_TARGET} HTTP/1.1\r\nhost: probe\r\n\r\n")
}

/// Sends a request on a new connection. Returns the HTTP version and status of the response; `closed` if the connection was closed without
/// a response, or `waits` if nothing was received in time.
fn ask(proxy: SocketAddr, request: &[u8], patience: Duration) -> Result<String> {
    let mut stream = TcpStream::connect(proxy).context("cannot connect to the proxy")?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(request)?;
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        if let Parsed::Complete(response, _) = message::response(&bytes, false) {
            let start = String::from_utf8_lossy(&response.start);
            return Ok(start.chars().take(12).collect());
        }
        match stream.read(&mut buffer) {
            Ok(length @ 1..) => bytes.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
                return Ok("waits".to_owned());
            }
            Ok(_) | Err(_) => return Ok("closed".to_owned()),
        }
    }
}

struct Client<'a> {
    output: Sender<Output>,
    inbox: &'a Inbox,
    others: &'a Others,
    around: Surroundings<'a>,
    to_head: bool,
    /// Whether the response to a probe comes from the upstream.
    expects_probe_field: bool,
    /// How many bytes had been received, and how many connections to the upstream closed, before the last step that causes more.
    before: Cell<(usize, usize)>,
}

/// What the writer does. It is a thread, because the proxy may not read.
enum Output {
    Bytes(Vec<u8>),
    HalfClose,
    /// Reports that everything before has been written.
    Flush(Sender<()>),
}

/// Writes until the client or the connection has ended.
fn write(mut stream: TcpStream, queue: Receiver<Output>) {
    for output in queue {
        match output {
            // If the proxy has closed the connection, that is the outcome.
            Output::Bytes(bytes) => _ = stream.write_all(&bytes),
            Output::HalfClose => _ = stream.shutdown(Shutdown::Write),
            Output::Flush(done) => _ = done.send(()),
        }
    }
}

/// What other clients have received.
#[derive(Default)]
struct Others {
    answers: Mutex<Vec<String>>,
    changed: Condvar,
}

/// The bytes that have arrived.
#[derive(Default)]
struct Inbox {
    state: Mutex<Arrived>,
    changed: Condvar,
}

#[derive(Default)]
struct Arrived {
    bytes: Vec<u8>,
    is_closed: bool,
    /// Whether nothing is read.
    is_paused: bool,
}

/// The responses so far, and what follows them.
struct Responses {
    messages: Vec<Message>,
    rest: Vec<u8>,
    rest_is_to_head: bool,
}

// === impl Client ===

impl<'a> Client<'a> {
    fn run<'scope>(&self, scope: &'scope Scope<'scope, '_>, steps: &[Step]) -> End
    where
        'a: 'scope,
    {
        let mut is_half_closed = false;
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    self.remember();
                    self.send(Output::Bytes(bytes.0.clone()));
                }
                Step::Await(bytes) => {
                    self.wait(false, |arrived| {
                        message::find(&arrived.bytes, &bytes.0).is_some()
                    });
                    self.remember();
                }
                Step::Reached(bytes) => {
                    self.around.upstream.reached(&bytes.0, self.around.patience);
                }
                Step::Elapse(duration) => self.elapse(*duration),
                Step::Others { count, request } => {
                    for _ in 0..*count {
                        let (others, around) = (self.others, self.around);
                        let request = request.0.clone();
                        scope.spawn(move || others.ask(around, &request));
                    }
                }
                Step::Answered(count) => self.others.wait(*count, self.around.patience),
                Step::Then(Then::HalfClose) => is_half_closed = self.half_close(),
                Step::Then(Then::Close | Then::Reset) => {
                    self.flush();
                    return End::Left;
                }
                Step::Then(Then::Expire) => self.expire(),
                Step::Then(Then::Read) => self.inbox.change(|arrived| arrived.is_paused = false),
                Step::Then(Then::Release) => self.around.upstream.release(),
                Step::Then(Then::AwaitEnd) => {
                    self.around.upstream.await_end(self.around.patience);
                }
                // The first step, which is already done.
                Step::Then(Then::StopReading) => {}
                // For upstreams, as `Case::check` has ensured.
                Step::Then(Then::AwaitRelease | Then::AwaitClose | Then::Stall) => {}
            }
        }
        // The number of responses before the probe.
        let mut before_probe = None;
        loop {
            let is_answered = |responses: &Responses| match before_probe {
                Some(before) if !self.expects_probe_field => responses.final_count() > before,
                _ => responses.is_probe_answered(),
            };
            let is_next = |responses: &Responses| {
                is_answered(responses)
                    || responses.last().is_some_and(|last| {
                        !is_half_closed && (before_probe.is_none() || last.closes())
                    })
            };
            // Without an upstream, the probe may have to wait for a timeout.
            let ticks = before_probe.is_some() && !self.expects_probe_field;
            let found = self.wait(ticks, |arrived| is_next(&self.parse(&arrived.bytes)));
            let arrived = self.inbox.locked();
            let responses = self.parse(&arrived.bytes);
            if is_answered(&responses) {
                return End::Open;
            }
            if arrived.is_closed {
                return End::Closed;
            }
            drop(arrived);
            if !found {
                return End::Waits;
            }
            if responses.last().is_some_and(Message::closes) {
                // A proxy may wait for the client to close the connection, too.
                is_half_closed = self.half_close();
            } else {
                before_probe = Some(responses.final_count());
                self.send(Output::Bytes(probe().into_bytes()));
            }
        }
    }

    fn send(&self, output: Output) {
        // Fails only if the writer has panicked, which is reported when it is joined.
        let _ = self.output.send(output);
    }

    fn half_close(&self) -> bool {
        self.send(Output::HalfClose);
        true
    }

    /// Waits until everything has been written.
    fn flush(&self) {
        let (done, is_done) = mpsc::channel();
        self.send(Output::Flush(done));
        let _ = is_done.recv_timeout(self.around.patience);
    }

    /// Remembers what the proxy has done so far. What it does from now on ends the step `expire`.
    fn remember(&self) {
        let received = self.inbox.locked().bytes.len();
        self.before.set((received, self.around.upstream.closed()));
    }

    /// Lets this much time pass, or less if the proxy closes the connection.
    fn elapse(&self, duration: Duration) {
        self.flush();
        match &self.around.time {
            Time::Manual(clock) => clock.advance(duration),
            Time::Real => {
                let arrived = self.inbox.locked();
                let is_open = |arrived: &mut Arrived| !arrived.is_closed;
                let changed = &self.inbox.changed;
                drop(changed.wait_timeout_while(arrived, duration, is_open));
            }
        }
    }

    /// Lets time pass until the proxy does something on either side.
    fn expire(&self) {
        let (received, closed) = self.before.get();
        let deadline = Instant::now() + self.around.patience;
        loop {
            let arrived = self.inbox.locked();
            let has_happened = arrived.is_closed || arrived.bytes.len() > received;
            if has_happened || self.around.upstream.closed() > closed || Instant::now() > deadline {
                drop(arrived);
                self.remember();
                return;
            }
            drop(
                self.inbox
                    .changed
                    .wait_timeout(arrived, TICK)
                    .unwrap_or_else(PoisonError::into_inner),
            );
            self.around.time.tick();
        }
    }

    /// Waits for a condition, or for the end of the connection. Returns whether either occurred. `ticks` lets time pass meanwhile.
    fn wait(&self, ticks: bool, is_met: impl Fn(&Arrived) -> bool) -> bool {
        let patience = self.around.patience;
        let mut arrived = self.inbox.locked();
        let mut deadline = Instant::now() + patience;
        loop {
            if arrived.is_closed || is_met(&arrived) {
                return true;
            }
            let length = arrived.bytes.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let slice = if ticks { left.min(TICK) } else { left };
            arrived = self
                .inbox
                .changed
                .wait_timeout(arrived, slice)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if ticks {
                self.around.time.tick();
            }
            if arrived.bytes.len() > length {
                deadline = Instant::now() + patience;
            }
        }
    }

    fn parse(&self, bytes: &[u8]) -> Responses {
        let mut messages: Vec<Message> = Vec::new();
        let mut at = 0;
        loop {
            let has_final = messages.iter().any(is_final);
            let to_head = self.to_head && !has_final;
            match message::response(&bytes[at..], to_head) {
                Parsed::Complete(message, length) => {
                    messages.push(message);
                    at += length;
                }
                Parsed::UntilClose(..) | Parsed::Partial(..) | Parsed::Nothing => {
                    return Responses {
                        messages,
                        rest: bytes[at..].to_vec(),
                        rest_is_to_head: to_head,
                    };
                }
            }
        }
    }

    fn received(&self, end: End) -> Received {
        let mut responses = self.parse(&self.inbox.locked().bytes);
        responses.messages.retain(|it| !is_probe_answer(it));
        if end == End::Open && !self.expects_probe_field {
            responses.messages.pop();
        }
        Received {
            responses: responses.messages,
            rest: responses.rest,
            rest_is_to_head: responses.rest_is_to_head,
            end,
            others: Vec::new(),
        }
    }
}

fn is_final(message: &Message) -> bool {
    message.status().is_some_and(|status| status >= 200)
}

fn is_probe_answer(message: &Message) -> bool {
    !message.values(PROBE_FIELD).is_empty()
}

// === impl Responses ===

impl Responses {
    fn is_probe_answered(&self) -> bool {
        self.messages.iter().any(is_probe_answer)
    }

    /// Returns the last response with a final status.
    fn last(&self) -> Option<&Message> {
        self.messages.iter().rfind(|it| is_final(it))
    }

    /// Returns the number of responses with a final status.
    fn final_count(&self) -> usize {
        self.messages.iter().filter(|it| is_final(it)).count()
    }
}

// === impl Others ===

impl Others {
    fn ask(&self, around: Surroundings<'_>, request: &[u8]) {
        let answer = ask(around.proxy, request, around.patience);
        let answer = answer.unwrap_or_else(|error| format!("{error:#}"));
        self.locked().push(answer);
        self.changed.notify_all();
    }

    /// Waits until this many have been answered.
    fn wait(&self, count: usize, patience: Duration) {
        let waiting = self
            .changed
            .wait_timeout_while(self.locked(), patience, |answers| answers.len() < count);
        drop(waiting.unwrap_or_else(PoisonError::into_inner));
    }

    fn sorted(&self) -> Vec<String> {
        let mut answers = std::mem::take(&mut *self.locked());
        answers.sort();
        answers
    }

    fn locked(&self) -> MutexGuard<'_, Vec<String>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inbox ===

impl Inbox {
    fn fill(&self, mut stream: TcpStream, upstream: &Upstream) {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let reading = self
                .changed
                .wait_while(self.locked(), |arrived| arrived.is_paused);
            drop(reading.unwrap_or_else(PoisonError::into_inner));
            // A reset and the end of the stream look the same to the other side, because a reset may overtake data.
            let length = stream.read(&mut buffer).unwrap_or(0);
            upstream.record_client(&buffer[..length]);
            self.change(|arrived| {
                arrived.bytes.extend_from_slice(&buffer[..length]);
                arrived.is_closed = length == 0;
            });
            if length == 0 {
                return;
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Arrived)) {
        change(&mut self.locked());
        self.changed.notify_all();
    }

    fn locked(&self) -> MutexGuard<'_, Arrived> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
