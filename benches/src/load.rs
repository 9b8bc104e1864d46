//! The load generator: a closed loop over a few persistent HTTP/1.1 connections, on one thread.
//!
//! Each connection has one request in progress. The thread serves the connections in turn: it reads a response and sends the next request,
//! so that the server always has other requests waiting and never waits for the load generator. No HTTP library is used, because it would
//! cost more than some of the candidates.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Socket, Type};

use crate::messages::Messages;

/// The time limit for a response.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// The maximum size of a response, in bytes.
const BUFFER: usize = 128 << 10;

/// Connections to a server.
pub struct Load {
    connections: Vec<Connection>,
    request: Vec<u8>,
}

/// When to stop sending.
#[derive(Clone, Copy)]
pub enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After this number of requests.
    Requests(u64),
}

impl Load {
    /// Opens the connections and sends one request on each.
    pub fn connect(server: SocketAddr, connections: usize, messages: Messages) -> Result<Load> {
        let connections = (0..connections)
            .map(|_| Connection::open(server))
            .collect::<Result<_>>()?;
        let mut load = Load {
            connections,
            request: messages.request(),
        };
        load.run(Until::Requests(load.connections.len() as u64))?;
        Ok(load)
    }

    /// Sends requests and returns the number of responses. On return, all requests have been answered. A status other than 200 is an
    /// error, because the server would not do the measured work.
    pub fn run(&mut self, until: Until) -> Result<u64> {
        let begun = Instant::now();
        let mut sent = 0;
        let mut over = move || {
            let over = match until {
                Until::Elapsed(time) => begun.elapsed() >= time,
                Until::Requests(count) => sent >= count,
            };
            sent += 1;
            over
        };
        let mut answered = 0;
        let mut waiting: Vec<bool> = Vec::with_capacity(self.connections.len());
        for connection in &mut self.connections {
            let send = !over();
            if send {
                connection.send(&self.request)?;
            }
            waiting.push(send);
        }
        while waiting.contains(&true) {
            for (connection, waits) in self
                .connections
                .iter_mut()
                .zip(&mut waiting)
                .filter(|(_, waits)| **waits)
            {
                let status = connection.receive()?.status;
                ensure!(
                    status == 200,
                    "the server responded with {status} under load"
                );
                answered += 1;
                *waits = !over();
                if *waits {
                    connection.send(&self.request)?;
                }
            }
        }
        Ok(answered)
    }
}

/// A persistent connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    /// Connects.
    pub fn open(server: SocketAddr) -> Result<Connection> {
        let stream =
            TcpStream::connect(server).with_context(|| format!("failed to connect to {server}"))?;
        Connection::new(stream)
    }

    /// Connects from an address of this machine, so that the server sees another client.
    pub fn open_from(client: IpAddr, server: SocketAddr) -> Result<Connection> {
        let connect = || {
            let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
            socket.bind(&SocketAddr::from((client, 0)).into())?;
            socket.connect(&server.into())?;
            Ok::<_, std::io::Error>(socket.into())
        };
        let stream =
            connect().with_context(|| format!("failed to connect to {server} from {client}"))?;
        Connection::new(stream)
    }

    fn new(stream: TcpStream) -> Result<Connection> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Connection {
            stream,
            buffer: vec![0; BUFFER],
            filled: 0,
        })
    }

    /// Returns the descriptor of the socket, to wait for responses.
    #[cfg(target_os = "linux")]
    pub(crate) fn descriptor(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.stream)
    }

    /// Sends a whole request.
    pub fn send(&mut self, request: &[u8]) -> Result<()> {
        self.stream
            .write_all(request)
            .context("failed to send a request")
    }

    /// Reads a response with its body.
    pub fn receive(&mut self) -> Result<Received<'_>> {
        loop {
            if let Some(head) = find(&self.buffer[..self.filled], b"\r\n\r\n") {
                let head = head + 4;
                let length = content_length(&self.buffer[..head])?;
                let whole = head + length;
                ensure!(
                    whole <= self.buffer.len(),
                    "a response of {whole} bytes is too large"
                );
                while self.filled < whole {
                    self.fill()?;
                }
                ensure!(
                    self.filled == whole,
                    "the server sent more data than requested"
                );
                self.filled = 0;
                let status = status(&self.buffer[..head])?;
                return Ok(Received {
                    status,
                    head: &self.buffer[..head],
                    body: &self.buffer[head..whole],
                });
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        ensure!(
            self.filled < self.buffer.len(),
            "the headers of a response are too large"
        );
        let read = self
            .stream
            .read(&mut self.buffer[self.filled..])
            .context("failed to read an answer")?;
        if read == 0 {
            bail!("the server closed a persistent connection");
        }
        self.filled += read;
        Ok(())
    }
}

/// A response, valid until the next one is read.
pub struct Received<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The bytes of the status line and the headers.
    pub head: &'a [u8],
    /// The bytes of the body.
    pub body: &'a [u8],
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

fn status(head: &[u8]) -> Result<u16> {
    let digits = head
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .context("not an answer in HTTP/1.1")?;
    let digits = std::str::from_utf8(digits).context("the status is no number")?;
    digits.parse().context("the status is no number")
}

fn content_length(head: &[u8]) -> Result<usize> {
    const NAME: &[u8] = b"content-length:";
    for line in head.split(|byte| *byte == b'\n') {
        if line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            let value = std::str::from_utf8(&line[NAME.len()..])
                .context("`content-length` is no number")?;
            return value
                .trim()
                .parse()
                .context("`content-length` is no number");
        }
    }
    bail!("a response has no `content-length`, which the load generator requires")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_head_is_parsed() {
        let head = b"HTTP/1.1 403 Forbidden\r\nserver: x\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(find(head, b"\r\n\r\n"), Some(head.len() - 4));
        assert_eq!(status(head).expect("valid status"), 403);
        assert_eq!(content_length(head).expect("valid length"), 12);
        assert!(content_length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
