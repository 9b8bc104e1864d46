//! Errors as clients see them.

use std::net::TcpListener;

use tidegate_host::ServeError;

use crate::peers::{Origin, Peer, before, before_echo, start, to};

const GET: &str = "GET /a HTTP/1.1\r\nhost: h\r\n\r\n";

#[test]
fn refused_upstream_connection_returns_503() {
    let address = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address");
    let server = start(to(address)).expect("a proxy");
    let mut client = Peer::connect(&server);
    for _ in 0..2 {
        let (head, body) = client.ask(GET);
        assert_eq!(head.first, "HTTP/1.1 503 Service Unavailable");
        assert!(body.starts_with(b"upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"));
    }
}

#[test]
fn upstream_close_before_response_returns_503() {
    let origin = Origin::new(|mut peer| drop(peer.head()));
    let server = before(&origin);
    let (head, body) = Peer::connect(&server).ask(GET);
    assert_eq!(head.first, "HTTP/1.1 503 Service Unavailable");
    assert!(body.ends_with(b"reset reason: connection termination"));
}

#[test]
fn non_http_upstream_response_returns_502() {
    let origin = Origin::answering(b"220 mail.example.com ready\r\n\r\n");
    let server = before(&origin);
    let (head, body) = Peer::connect(&server).ask(GET);
    assert_eq!(head.first, "HTTP/1.1 502 Bad Gateway");
    assert!(body.ends_with(b"reset reason: protocol error"));
}

#[test]
fn unsolicited_101_from_upstream_returns_502() {
    let origin = Origin::answering(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    );
    let server = before(&origin);
    assert_eq!(
        Peer::connect(&server).ask(GET).0.first,
        "HTTP/1.1 502 Bad Gateway"
    );
}

#[test]
fn truncated_upstream_response_is_truncated_downstream() {
    for (head, framed) in [
        ("content-length: 100\r\n\r\nhello", "hello"),
        (
            "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "5\r\nhello\r\n",
        ),
    ] {
        let origin = Origin::new(move |mut peer| {
            peer.head().expect("a request");
            peer.send(format!("HTTP/1.1 200 OK\r\n{head}"));
        });
        let server = before(&origin);
        let mut client = Peer::connect(&server);
        client.send(GET);
        assert_eq!(client.head().expect("a head").first, "HTTP/1.1 200 OK");
        assert_eq!(client.rest(), framed.as_bytes(), "{head}");
    }
}

#[test]
fn invalid_or_unsupported_requests_are_rejected() {
    let server = before_echo();
    for (request, status) in [
        ("GET /a HTTP/1.1\r\n\r\n", "400 Bad Request"),
        ("GET\r\n\r\n", "400 Bad Request"),
        (
            "GET /a HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            "403 Forbidden",
        ),
        (
            "GET /a HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: h2c, websocket\r\n\r\n",
            "403 Forbidden",
        ),
        ("GET /a HTTP/1.1\r\nhost: a b\r\n\r\n", "400 Bad Request"),
        (
            "GET http://h/a HTTP/1.0\r\nhost: h\r\n\r\n",
            "426 Upgrade Required",
        ),
        (
            "CONNECT h:80 HTTP/1.1\r\nhost: h:80\r\n\r\n",
            "404 Not Found",
        ),
        ("OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n", "404 Not Found"),
    ] {
        let head = Peer::connect(&server).ask(request).0;
        let (_, answered) = head.first.split_once(' ').expect("a status line");
        assert_eq!(answered, status, "{request:?}");
    }
}

#[test]
fn oversized_request_headers_return_431() {
    let server = before_echo();
    let large = format!(
        "GET /a HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n",
        "y".repeat(70_000)
    );
    let many = format!(
        "GET /a HTTP/1.1\r\nhost: h\r\n{}\r\n",
        "x: y\r\n".repeat(120)
    );
    for request in [large, many] {
        let head = Peer::connect(&server).ask(request).0;
        assert_eq!(head.first, "HTTP/1.1 431 Request Header Fields Too Large");
    }
}

#[test]
fn listen_error_names_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let mut config = to(address);
    config.listen = address;
    match start(config).err() {
        Some(ServeError::Listen { address: at, .. }) => assert_eq!(at, address),
        other => panic!("expected that it cannot listen, got {other:?}"),
    }
}
