//! The upstream that all proxies of the load comparison have: it responds as [`Messages`] states, with little work of its own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result};

use crate::messages::Messages;

/// Starts the upstream, and returns its address. It runs, with a thread for each connection, until the process ends.
pub fn start() -> Result<SocketAddr> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to start the upstream")?;
    let address = listener.local_addr()?;
    let kinds: Vec<Kind> = Messages::ALL.map(Kind::new).into();
    let kinds: &'static [Kind] = kinds.leak();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A proxy that closes a connection ends its thread. Wrong responses are noticed by the load generator.
            thread::spawn(move || serve(stream, kinds));
        }
    });
    Ok(address)
}

/// How to respond to requests of one kind.
struct Kind {
    path: &'static [u8],
    response: Vec<u8>,
}

impl Kind {
    fn new(messages: Messages) -> Self {
        Kind {
            path: messages.path().as_bytes(),
            response: messages.response(),
        }
    }
}

/// Responds to the requests of a connection until it is closed, or a request is not one of the load generator.
fn serve(mut stream: TcpStream, kinds: &[Kind]) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        let mut filled = 0;
        let (head, length) = loop {
            filled += read(&mut stream, &mut buffer[filled..])?;
            let end = buffer[..filled].windows(4).position(|it| it == b"\r\n\r\n");
            if let Some(end) = end {
                break (end + 4, content_length(&buffer[..end]));
            }
        };
        while filled < head + length {
            filled += read(&mut stream, &mut buffer[filled..])?;
        }
        let path = buffer[..head].split(|byte| *byte == b' ').nth(1)?;
        let kind = kinds.iter().find(|kind| kind.path == path)?;
        stream.write_all(&kind.response).ok()?;
    }
}

/// Reads at least one byte.
fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> Option<usize> {
    stream.read(buffer).ok().filter(|count| *count > 0)
}

/// Returns the value of `content-length`, or 0.
fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length:";
    let lines = head.split(|byte| *byte == b'\n');
    let value = |line: &[u8]| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        let value = std::str::from_utf8(value).ok()?.trim();
        name.eq_ignore_ascii_case(NAME)
            .then(|| value.parse().ok())?
    };
    lines.filter_map(value).next().unwrap_or(0)
}
