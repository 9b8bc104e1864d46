//! An upstream that records requests and responds with the bytes of a case.
//!
//! Each lane has one upstream, which serves one case after the other. After a case, all connections are closed on both sides, so that the
//! next case starts with a new one.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::case::{Case, Step};
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
    /// Whether no case uses the upstream, so that a connection that a proxy opens late is closed.
    is_closing: bool,
    /// The open connections.
    connections: Vec<TcpStream>,
    /// The number of threads that serve them.
    threads: usize,
}

#[derive(Default)]
struct Script {
    steps: Vec<Action>,
    is_early: bool,
}

enum Action {
    Send(Vec<u8>),
    HalfClose,
}

/// One connection.
struct Connection {
    stream: TcpStream,
    shared: Arc<Shared>,
    /// The bytes that have arrived and do not belong to an earlier request.
    buffer: Vec<u8>,
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
        let steps = case.response.iter().filter_map(|step| match step {
            Step::Send(bytes) => Some(Action::Send(bytes.0.clone())),
            Step::HalfClose => Some(Action::HalfClose),
            // Only clients wait.
            Step::Await { .. } => None,
        });
        let script = Arc::new(Script {
            steps: steps.collect(),
            is_early: case.early,
        });
        let mut state = self
            .shared
            .wait(patience, |state| state.threads == 0)
            .context("the proxy did not close a connection that the upstream had closed")?;
        state.script = script;
        state.requests.clear();
        state.is_closing = false;
        Ok(())
    }

    /// Waits until no request is in progress, starts to close the connections, and returns the requests that were complete.
    pub fn finish(&self, patience: Duration) -> Result<Vec<Message>> {
        let idle = self.shared.wait(patience, |state| state.in_progress == 0);
        let how = match idle {
            Ok(_) => Shutdown::Write,
            // The next case needs the lane.
            Err(_) => Shutdown::Both,
        };
        let idle = idle.map(drop);
        let mut state = self.shared.locked();
        state.is_closing = true;
        for connection in state.connections.drain(..) {
            // Fails only if the proxy has closed it.
            let _ = connection.shutdown(how);
        }
        let requests = std::mem::take(&mut state.requests);
        drop(state);
        idle.context("a request to the upstream did not end")?;
        Ok(requests.into_iter().flatten().collect())
    }
}

/// Serves a connection on a new thread.
fn serve(stream: TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut state = shared.locked();
    if state.is_closing {
        stream.shutdown(Shutdown::Write)?;
    } else {
        state.connections.push(stream.try_clone()?);
    }
    state.threads += 1;
    drop(state);
    let mut connection = Connection {
        stream,
        shared: shared.clone(),
        buffer: Vec::new(),
    };
    std::thread::spawn(move || {
        // `None` is the end of the connection.
        while connection.serve_one().is_some() {}
        let _ = connection.stream.shutdown(Shutdown::Write);
        while connection.read().is_some() {}
        connection.shared.change(|state| state.threads -= 1);
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
        for step in &script.steps {
            match step {
                Action::Send(bytes) => self.stream.write_all(bytes).ok()?,
                Action::HalfClose => {
                    self.stream.shutdown(Shutdown::Write).ok()?;
                    return None;
                }
            }
        }
        Some(())
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
        self.buffer.extend_from_slice(&buffer[..length]);
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
