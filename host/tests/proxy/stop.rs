//! Shutdown of the proxy.

use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::peers::{Origin, PATIENCE, Peer, before, before_echo};

#[test]
fn shutdown_closes_idle_connections_and_the_listener() {
    // Some clients send an empty line after a request.
    for after in ["", "\r\n"] {
        let server = before_echo();
        let address = server.local_addr();
        let mut client = Peer::connect(&server);
        client.ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
        client.send(after);
        let begun = Instant::now();
        server.shutdown(PATIENCE);
        assert!(
            begun.elapsed() < PATIENCE / 2,
            "an idle connection held up the stop"
        );
        assert_eq!(client.rest(), b"");
        assert!(
            TcpStream::connect(address).is_err(),
            "the port is still open"
        );
    }
}

#[test]
fn shutdown_waits_for_requests_in_progress() {
    let (asked, wait) = mpsc::channel();
    let (go, release) = mpsc::channel::<()>();
    let release = std::sync::Mutex::new(release);
    let origin = Origin::new(move |mut peer| {
        peer.head().expect("a request");
        asked.send(()).expect("a test that listens");
        release
            .lock()
            .expect("a lock")
            .recv_timeout(PATIENCE)
            .expect("the word to answer");
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    });
    let server = before(&origin);
    let address = server.local_addr();
    let mut client = Peer::connect(&server);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    wait.recv_timeout(PATIENCE).expect("a request upstream");
    let stopping = std::thread::spawn(move || server.shutdown(PATIENCE));
    let begun = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "the port stays open");
        std::thread::yield_now();
    }
    go.send(()).expect("an upstream that waits");
    let head = client.head().expect("the response that was under way");
    assert_eq!(head.get("connection").as_deref(), Some("close"));
    assert_eq!(client.body(&head), b"hi");
    stopping.join().expect("a stop that ends");
}

#[test]
fn shutdown_serves_connections_that_were_queued() {
    let server = before_echo();
    let mut clients: Vec<_> = (0..200)
        .map(|_| {
            let mut client = Peer::connect(&server);
            client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
            client
        })
        .collect();
    let stopping = std::thread::spawn(move || server.shutdown(PATIENCE));
    for client in &mut clients {
        let head = client.head().expect("a response");
        assert_eq!(head.first, "HTTP/1.1 200 OK");
    }
    stopping.join().expect("a stop that ends");
}

#[test]
fn shutdown_aborts_requests_after_the_timeout() {
    let (asked, wait) = mpsc::channel();
    let origin = Origin::new(move |mut peer| {
        peer.head().expect("a request");
        asked.send(()).expect("a test that listens");
        std::thread::park();
    });
    let server = before(&origin);
    let mut client = Peer::connect(&server);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    wait.recv_timeout(PATIENCE).expect("a request upstream");
    let begun = Instant::now();
    server.shutdown(Duration::from_millis(100));
    assert!(
        begun.elapsed() < PATIENCE / 2,
        "it waited for longer than it was told"
    );
    assert_eq!(client.rest(), b"");
}

#[test]
fn shutdown_accepts_the_maximum_timeout() {
    let server = before_echo();
    let mut client = Peer::connect(&server);
    client.ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    server.shutdown(Duration::MAX);
    assert_eq!(client.rest(), b"");
}

#[test]
fn dropping_the_server_closes_the_listener() {
    let server = before_echo();
    let address = server.local_addr();
    drop(server);
    assert!(
        TcpStream::connect(address).is_err(),
        "the port is still open"
    );
}
