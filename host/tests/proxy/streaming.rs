//! Streaming of bodies: chunks are forwarded when they arrive, and no faster than they are read.

use std::sync::mpsc;

use crate::peers::{Origin, PATIENCE, Peer, before, before_echo};

#[test]
fn request_body_is_streamed_chunk_by_chunk() {
    let (seen, saw) = mpsc::channel();
    let origin = Origin::new(move |mut peer| {
        peer.head().expect("a request");
        for _ in 0..2 {
            assert_eq!(peer.line(), "5");
            seen.send(peer.bytes(5)).expect("a test that listens");
            peer.line();
        }
        assert_eq!(peer.line(), "0");
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    let server = before(&origin);
    let mut client = Peer::connect(&server);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n");
    for piece in ["first", "other"] {
        client.send(format!("5\r\n{piece}\r\n"));
        // The next chunk is sent only after this one has arrived.
        assert_eq!(
            saw.recv_timeout(PATIENCE).expect("a piece upstream"),
            piece.as_bytes()
        );
    }
    assert_eq!(client.ask("0\r\n\r\n").0.first, "HTTP/1.1 200 OK");
}

#[test]
fn response_body_is_streamed_chunk_by_chunk() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::new(move |mut peer| {
        peer.head().expect("a request");
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        for piece in ["first", "other"] {
            peer.send(format!("5\r\n{piece}\r\n"));
            wait.lock()
                .expect("a lock")
                .recv_timeout(PATIENCE)
                .expect("a client that goes on");
        }
        peer.send("0\r\n\r\n");
    });
    let server = before(&origin);
    let mut client = Peer::connect(&server);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    client.head().expect("a head before the body");
    for piece in ["first", "other"] {
        assert_eq!(
            (client.line(), client.bytes(5)),
            ("5".to_owned(), piece.as_bytes().to_vec())
        );
        client.line();
        go.send(()).expect("an upstream that waits");
    }
    assert_eq!(client.line(), "0");
}

#[test]
fn request_is_read_although_the_client_does_not_read_the_response() {
    const REQUEST: usize = 64 << 20;
    const RESPONSE: usize = 24 << 20;
    let (sent, received) = mpsc::channel();
    let origin = Origin::new(move |mut peer| {
        peer.head().expect("a request");
        let mut writer = peer.second_handle();
        let writing = std::thread::spawn(move || {
            writer.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {RESPONSE}\r\n\r\n"
            ));
            writer.send(vec![b'y'; RESPONSE]);
        });
        assert!(peer.bytes(REQUEST).iter().all(|byte| *byte == b'x'));
        sent.send(()).expect("a test that listens");
        writing.join().expect("a response that is read");
    });
    let server = before(&origin);
    let mut client = Peer::connect(&server);
    client.send(format!(
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: {REQUEST}\r\n\r\n"
    ));
    client.send(vec![b'x'; REQUEST]);
    received
        .recv_timeout(PATIENCE)
        .expect("the whole request upstream");
    let head = client.head().expect("a response");
    assert_eq!(client.body(&head).len(), RESPONSE);
}

#[test]
fn large_bodies_are_forwarded_completely() {
    let server = before_echo();
    let mut client = Peer::connect(&server);
    let body: Vec<u8> = (0..3_000_000).map(|at| b'a' + (at % 23) as u8).collect();
    let mut request = format!(
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend(&body);
    let (_, told) = client.ask(request);
    let told: serde_json::Value = serde_json::from_slice(&told).expect("JSON");
    assert!(
        told["body"].as_str().expect("a body").as_bytes() == body,
        "the body differs"
    );
    let (_, bytes) = client.ask("GET /bytes/3000000 HTTP/1.1\r\nhost: h\r\n\r\n");
    assert!(
        bytes
            .iter()
            .zip((b'a'..=b'z').cycle())
            .all(|(is, should)| *is == should)
            && bytes.len() == 3_000_000
    );
}

#[test]
fn slow_upstream_slows_the_client() {
    let (ready, wait) = mpsc::channel::<()>();
    let origin = Origin::new(move |mut peer| {
        peer.head().expect("a request");
        ready.send(()).expect("a test that listens");
        // Keeps the connection open without reading from it.
        std::thread::park();
    });
    let server = before(&origin);
    let mut client = Peer::connect(&server);
    let limit = 256 << 20;
    client.send(format!(
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: {limit}\r\n\r\n"
    ));
    wait.recv_timeout(PATIENCE).expect("a request upstream");
    let sent = client.send_until_full(limit);
    assert!(
        sent < limit / 4,
        "{sent} bytes went into the proxy though upstream reads none"
    );
}

#[test]
fn slow_client_slows_upstream() {
    let (report, reported) = mpsc::channel();
    let limit = 256 << 20;
    let origin = Origin::new(move |mut peer| {
        peer.head().expect("a request");
        peer.send(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {limit}\r\n\r\n"
        ));
        report
            .send(peer.send_until_full(limit))
            .expect("a test that listens");
        std::thread::park();
    });
    let server = before(&origin);
    let mut client = Peer::connect(&server);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    let sent = reported
        .recv_timeout(PATIENCE)
        .expect("a report from upstream");
    assert!(
        sent < limit / 4,
        "{sent} bytes went into the proxy though the client reads none"
    );
}

#[test]
fn client_disconnect_during_request_aborts_upstream() {
    let (report, reported) = mpsc::channel();
    let origin = Origin::new(move |mut peer| {
        peer.head().expect("a request");
        report.send(peer.bytes(5)).expect("a test that listens");
        report.send(peer.rest()).expect("a test that listens");
    });
    let server = before(&origin);
    let mut client = Peer::connect(&server);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\nhello");
    assert_eq!(
        reported.recv_timeout(PATIENCE).expect("a body upstream"),
        b"hello"
    );
    drop(client);
    assert_eq!(
        reported
            .recv_timeout(PATIENCE)
            .expect("the connection's end upstream"),
        b""
    );
}

#[test]
fn client_disconnect_while_waiting_aborts_upstream() {
    let (report, reported) = mpsc::channel();
    let (asked, wait) = mpsc::channel();
    let origin = Origin::new(move |mut peer| {
        peer.head().expect("a request");
        asked.send(()).expect("a test that listens");
        report.send(peer.rest()).expect("a test that listens");
    });
    let server = before(&origin);
    let mut client = Peer::connect(&server);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    wait.recv_timeout(PATIENCE).expect("a request upstream");
    drop(client);
    assert_eq!(
        reported
            .recv_timeout(PATIENCE)
            .expect("the end of the connection upstream"),
        b""
    );
}

#[test]
fn response_before_end_of_request_is_forwarded() {
    let origin = Origin::new(|mut peer| {
        peer.head().expect("a request");
        peer.send("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 6\r\n\r\nenough");
        // Upstream continues to read, so that only the proxy can lose the response.
        peer.rest();
    });
    let server = before(&origin);
    let mut client = Peer::connect(&server);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 10000000\r\n\r\nhello");
    let head = client.head().expect("a response");
    assert_eq!(head.first, "HTTP/1.1 413 Payload Too Large");
    assert_eq!(client.body(&head), b"enough");
    // The next request would start within the rest of this one, so the connection is closed after the response.
    assert_eq!(client.rest(), b"");
}
