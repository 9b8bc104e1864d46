//! Restarts under load: what clients see while one proxy stops and another one starts on the same port.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tidegate_host::Server;

use crate::peers::{Origin, PATIENCE, to};

/// The number of restarts. `cargo xtask soak restart` sets a higher one in `TIDEGATE_RESTARTS`.
const RESTARTS: usize = 10;

const CLIENTS: usize = 16;

/// What the clients count.
#[derive(Default)]
struct Counts {
    responses: AtomicU64,
    refused: AtomicU64,
    /// Connections that the operating system has reset because they were in the queue of a listener that was closed.
    reset_in_queue: AtomicU64,
    failed: AtomicU64,
}

#[test]
fn restart_under_load_fails_no_request() {
    let restarts = match std::env::var("TIDEGATE_RESTARTS") {
        Ok(restarts) => restarts.parse().expect("TIDEGATE_RESTARTS is a number"),
        Err(_) => RESTARTS,
    };
    let origin = Origin::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    let mut config = to(origin.address);
    config.workers = 2;
    let mut server = Server::start(config.clone()).expect("a proxy");
    config.listen = server.local_addr();
    let address = server.local_addr();
    let counts = Arc::new(Counts::default());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    send_requests(address, &counts, &done);
                }
            });
        }
        for restart in 1..=restarts {
            // Each proxy serves for a while.
            let served = counts.responses.load(Ordering::Relaxed);
            while counts.responses.load(Ordering::Relaxed) < served + 500 {
                std::thread::yield_now();
            }
            server.shutdown(PATIENCE);
            server = Server::start(config.clone()).expect("another proxy on the same port");
            if restart == restarts {
                done.store(true, Ordering::Relaxed);
            }
        }
    });
    let responses = counts.responses.load(Ordering::Relaxed);
    let failed = counts.failed.load(Ordering::Relaxed);
    let refused = counts.refused.load(Ordering::Relaxed);
    println!(
        "{restarts} restarts: {responses} responses, {refused} connections refused, {failed} requests failed"
    );
    assert_eq!(failed, 0, "of {responses} requests");
}

/// Sends requests on one connection until the proxy closes it.
fn send_requests(address: SocketAddr, counts: &Counts, done: &AtomicBool) {
    let mut stream = match TcpStream::connect(address) {
        Ok(stream) => stream,
        Err(error) => {
            // Nothing listens on the port.
            let count = match error.kind() {
                ErrorKind::ConnectionRefused => &counts.refused,
                ErrorKind::ConnectionReset => &counts.reset_in_queue,
                _ => &counts.failed,
            };
            count.fetch_add(1, Ordering::Relaxed);
            std::thread::yield_now();
            return;
        }
    };
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    let mut is_first = true;
    loop {
        let head = match request(&mut stream) {
            Ok(head) => head,
            Err(error) => {
                // No proxy can avoid this: the operating system completes connections up to the moment at which the listener is
                // closed. The proxy itself never resets a connection whose first request it has not read.
                let count = match is_first && error.kind() == ErrorKind::ConnectionReset {
                    true => &counts.reset_in_queue,
                    false => &counts.failed,
                };
                eprintln!("request failed: {error}, the first on its connection: {is_first}");
                count.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        is_first = false;
        counts.responses.fetch_add(1, Ordering::Relaxed);
        if head.contains("connection: close") || done.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Sends a request, and returns the head of the response.
fn request(stream: &mut TcpStream) -> io::Result<String> {
    stream.write_all(b"GET /a HTTP/1.1\r\nhost: h\r\n\r\n")?;
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\nhi") {
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        received.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(received).map_err(|_| ErrorKind::InvalidData.into())
}
