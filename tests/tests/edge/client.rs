//! A client that sends raw bytes and records what it receives.
//!
//! When the response is complete, the client sends one more request, a probe, whose response has a field that no other response has. The
//! probe shows whether the connection is still open and in step. Thus, nothing waits for time to pass, except for an outcome in which the
//! proxy does not respond.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::case::Step;
use crate::message::{self, Message, Parsed};

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
}

/// Runs the steps of a client. `patience` is the longest time between two events.
pub fn run(proxy: SocketAddr, steps: &[Step], patience: Duration) -> Result<Received> {
    let stream = TcpStream::connect(proxy).context("cannot connect to the proxy")?;
    stream.set_nodelay(true)?;
    let inbox = Inbox::default();
    std::thread::scope(|scope| {
        let reader = stream.try_clone()?;
        scope.spawn(|| inbox.fill(reader));
        let client = Client {
            stream: &stream,
            inbox: &inbox,
            to_head: starts_with_head(steps),
            patience,
        };
        let end = client.run(steps);
        // Ends the reader.
        let _ = stream.shutdown(Shutdown::Both);
        Ok(client.received(end))
    })
}

fn starts_with_head(steps: &[Step]) -> bool {
    matches!(steps.first(), Some(Step::Send(bytes)) if bytes.0.starts_with(b"HEAD "))
}

struct Client<'a> {
    stream: &'a TcpStream,
    inbox: &'a Inbox,
    to_head: bool,
    patience: Duration,
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
}

/// The responses so far, and what follows them.
struct Responses {
    messages: Vec<Message>,
    rest: Vec<u8>,
    rest_is_to_head: bool,
}

// === impl Client ===

impl Client<'_> {
    fn run(&self, steps: &[Step]) -> End {
        let mut is_half_closed = false;
        for step in steps {
            match step {
                // If the proxy has closed the connection, that is the outcome.
                Step::Send(bytes) => _ = (&mut &*self.stream).write_all(&bytes.0),
                Step::Await { bytes } => {
                    self.wait(|arrived| message::find(&arrived.bytes, &bytes.0).is_some());
                }
                Step::HalfClose => is_half_closed = self.half_close(),
            }
        }
        let mut is_probed = false;
        loop {
            let is_next = |responses: &Responses| {
                responses.is_probe_answered()
                    || responses
                        .last()
                        .is_some_and(|last| !is_half_closed && (!is_probed || last.closes()))
            };
            let found = self.wait(|arrived| is_next(&self.parse(&arrived.bytes)));
            let arrived = self.inbox.locked();
            let responses = self.parse(&arrived.bytes);
            if responses.is_probe_answered() {
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
                let probe = format!("GET {PROBE_TARGET} HTTP/1.1\r\nhost: probe\r\n\r\n");
                let _ = (&mut &*self.stream).write_all(probe.as_bytes());
                is_probed = true;
            }
        }
    }

    fn half_close(&self) -> bool {
        // Fails only if the connection is already closed.
        let _ = self.stream.shutdown(Shutdown::Write);
        true
    }

    /// Waits for a condition, or for the end of the connection. Returns whether either occurred.
    fn wait(&self, is_met: impl Fn(&Arrived) -> bool) -> bool {
        let mut arrived = self.inbox.locked();
        let mut deadline = Instant::now() + self.patience;
        loop {
            if arrived.is_closed || is_met(&arrived) {
                return true;
            }
            let length = arrived.bytes.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            arrived = self
                .inbox
                .changed
                .wait_timeout(arrived, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if arrived.bytes.len() > length {
                deadline = Instant::now() + self.patience;
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
        Received {
            responses: responses.messages,
            rest: responses.rest,
            rest_is_to_head: responses.rest_is_to_head,
            end,
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
}

// === impl Inbox ===

impl Inbox {
    fn fill(&self, mut stream: TcpStream) {
        let mut buffer = vec![0; 1 << 16];
        loop {
            // A reset and the end of the stream look the same to the other side, because a reset may overtake data.
            let length = stream.read(&mut buffer).unwrap_or(0);
            let mut arrived = self.locked();
            arrived.bytes.extend_from_slice(&buffer[..length]);
            arrived.is_closed = length == 0;
            self.changed.notify_all();
            if length == 0 {
                return;
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, Arrived> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
