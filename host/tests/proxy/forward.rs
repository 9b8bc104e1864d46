//! Forwarding of requests and responses.

use std::sync::mpsc;

use serde_json::{Value, json};

use crate::peers::{Origin, PATIENCE, Peer, before, before_echo};

/// Returns the request that the echo server has received.
fn told(body: &[u8]) -> Value {
    let mut told: Value = serde_json::from_slice(body).expect("JSON from the echo server");
    // Fields with different names come in any order. The sort is stable, so fields with the same name keep their order.
    let headers = told["headers"].as_array_mut().expect("a list of fields");
    headers.sort_by_key(|field| field[0].as_str().map(str::to_owned));
    told
}

#[test]
fn request_is_forwarded_intact() {
    let server = before_echo();
    let (head, body) = Peer::connect(&server).ask(
        b"POST /a/b?c=d&e HTTP/1.1\r\nHost: example.com:81\r\nX-Name: one\r\nContent-Length: 5\r\nx-name: two\r\nx-bytes: \xff\\\r\n\r\nhello",
    );
    assert_eq!(head.first, "HTTP/1.1 200 OK");
    assert_eq!(
        told(&body),
        json!({
            "method": "POST",
            "path": "/a/b?c=d&e",
            "headers": [
                ["content-length", "5"],
                ["host", "example.com:81"],
                ["x-bytes", r"\xff\\"],
                ["x-name", "one"],
                ["x-name", "two"],
            ],
            "body": "hello",
        }),
    );
}

#[test]
fn request_without_body_gets_no_framing_headers() {
    let server = before_echo();
    let (_, body) = Peer::connect(&server).ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(told(&body)["headers"], json!([["host", "h"]]));
}

#[test]
fn request_hop_by_hop_headers_are_removed() {
    let server = before_echo();
    let (_, body) = Peer::connect(&server).ask(
        "GET /a HTTP/1.1\r\nhost: h\r\nconnection: x-hop, keep-alive\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: close\r\n\r\n",
    );
    assert_eq!(told(&body)["headers"], json!([["host", "h"]]));
}

#[test]
fn h2c_upgrade_offer_is_ignored() {
    let server = before_echo();
    let mut client = Peer::connect(&server);
    // The settings belong to the offer, whether `connection` names them or not.
    for connection in ["Upgrade, HTTP2-Settings", "keep-alive, upgrade"] {
        let (head, body) = client.ask(format!(
            "GET /a HTTP/1.1\r\nhost: h\r\nconnection: {connection}\r\nupgrade: H2C\r\nhttp2-settings: AAMAAABk\r\n\r\n",
        ));
        assert_eq!(head.first, "HTTP/1.1 200 OK", "{connection}");
        assert_eq!(
            told(&body)["headers"],
            json!([["host", "h"]]),
            "{connection}"
        );
    }
}

#[test]
fn body_of_any_method_is_forwarded() {
    let server = before_echo();
    let mut client = Peer::connect(&server);
    for method in ["GET", "DELETE", "OPTIONS", "TRACE", "POST"] {
        let (_, body) = client.ask(format!(
            "{method} /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        ));
        let told = told(&body);
        assert_eq!(told["body"], "hello", "{method}");
        assert_eq!(
            told["headers"],
            json!([["host", "h"], ["transfer-encoding", "chunked"]]),
            "{method}"
        );
    }
}

#[test]
fn body_of_head_request_is_forwarded() {
    let (seen, saw) = mpsc::channel();
    let origin = Origin::new(move |mut peer| {
        let head = peer.head().expect("a request");
        assert_eq!(head.get("transfer-encoding").as_deref(), Some("chunked"));
        seen.send(peer.chunked().0).expect("a test that listens");
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
    });
    let server = before(&origin);
    let mut client = Peer::connect(&server);
    client.send(
        "HEAD /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
    assert_eq!(client.head().expect("a response").first, "HTTP/1.1 200 OK");
    assert_eq!(
        saw.recv_timeout(PATIENCE).expect("a body upstream"),
        b"hello"
    );
}

#[test]
fn absolute_form_request_target_overrides_host() {
    let server = before_echo();
    let (_, body) =
        Peer::connect(&server).ask("GET http://other:81/x?y HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(
        (&told(&body)["path"], &told(&body)["headers"]),
        (&json!("/x?y"), &json!([["host", "other:81"]]))
    );
    let (_, body) = Peer::connect(&server).ask("GET http://other HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(told(&body)["path"], "/");
}

#[test]
fn expect_100_continue_gets_an_interim_response() {
    let server = before_echo();
    let mut client = Peer::connect(&server);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    assert_eq!(
        client.head().expect("an interim response").first,
        "HTTP/1.1 100 Continue"
    );
    let (head, body) = client.ask("hello");
    assert_eq!(head.first, "HTTP/1.1 200 OK");
    assert_eq!(told(&body)["body"], "hello");
    assert_eq!(
        told(&body)["headers"],
        json!([["content-length", "5"], ["host", "h"]])
    );
}

#[test]
fn trailers_are_forwarded_in_both_directions() {
    let origin = Origin::new(|mut peer| {
        let head = peer.head().expect("a request");
        assert_eq!(head.get("te").as_deref(), Some("trailers"));
        assert_eq!(
            peer.chunked(),
            (b"hello".to_vec(), vec!["x-sum: 1".to_owned()])
        );
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-total\r\n\r\n3\r\nabc\r\n0\r\nx-total: 3\r\n\r\n");
    });
    let server = before(&origin);
    let mut client = Peer::connect(&server);
    client.send(
        "POST /a HTTP/1.1\r\nhost: h\r\nte: trailers\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
    );
    assert_eq!(client.head().expect("a response").first, "HTTP/1.1 200 OK");
    assert_eq!(
        client.chunked(),
        (b"abc".to_vec(), vec!["x-total: 3".to_owned()])
    );
}

#[test]
fn response_trailers_are_forwarded_without_te() {
    let origin =
        Origin::answering(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-total\r\n\r\n3\r\nabc\r\n0\r\nx-total: 3\r\n\r\n");
    let server = before(&origin);
    let mut client = Peer::connect(&server);
    for _ in 0..2 {
        client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
        client.head().expect("a response");
        assert_eq!(
            client.chunked(),
            (b"abc".to_vec(), vec!["x-total: 3".to_owned()])
        );
    }
}

#[test]
fn response_is_forwarded_intact() {
    let origin = Origin::answering(
        b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 2\r\nset-cookie: a\r\nset-cookie: b\r\nx-bytes: \xff\r\nkeep-alive: timeout=5\r\nconnection: keep-alive\r\n\r\nhi",
    );
    let server = before(&origin);
    let (head, body) = Peer::connect(&server).ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert!(head.first.starts_with("HTTP/1.1 418 "));
    assert_eq!(
        head.names(),
        [
            "content-length",
            "date",
            "set-cookie",
            "set-cookie",
            "x-bytes"
        ]
    );
    assert_eq!(head.get("set-cookie").as_deref(), Some("a, b"));
    assert!(head.fields.contains(&("x-bytes".to_owned(), vec![0xff])));
    assert_eq!(body, b"hi");
}

#[test]
fn head_response_keeps_content_length_without_a_body() {
    let origin = Origin::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
    let server = before(&origin);
    let mut client = Peer::connect(&server);
    for _ in 0..2 {
        client.send("HEAD /a HTTP/1.1\r\nhost: h\r\n\r\n");
        assert_eq!(
            client
                .head()
                .expect("a response")
                .get("content-length")
                .as_deref(),
            Some("1000")
        );
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn bodiless_responses_leave_the_connection_reusable() {
    for status in ["204 No Content", "304 Not Modified"] {
        let response = format!("HTTP/1.1 {status}\r\nx-a: b\r\n\r\n").into_bytes();
        let origin = Origin::answering(response.leak());
        let server = before(&origin);
        let mut client = Peer::connect(&server);
        for _ in 0..2 {
            client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
            let head = client.head().expect("a response");
            assert_eq!(head.first, format!("HTTP/1.1 {status}"));
            assert_eq!(head.names(), ["date", "x-a"], "{status}");
        }
        assert_eq!(origin.connections(), 1, "{status}");
    }
}

#[test]
fn close_delimited_response_is_complete() {
    let origin = Origin::new(|mut peer| {
        peer.head().expect("a request");
        peer.send("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end");
    });
    let server = before(&origin);
    let (_, body) = Peer::connect(&server).ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(body, b"to the end");
}

#[test]
fn requests_share_one_upstream_connection() {
    let origin = Origin::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    let server = before(&origin);
    for _ in 0..3 {
        let mut client = Peer::connect(&server);
        for _ in 0..3 {
            assert_eq!(client.ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n").1, b"hi");
        }
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn request_reconnects_after_upstream_closes_idle_connection() {
    let (closes, closed) = mpsc::channel();
    let origin = Origin::new(move |mut peer| {
        peer.head().expect("a request");
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
        drop(peer);
        closes.send(()).expect("the test waits");
    });
    let server = before(&origin);
    let mut client = Peer::connect(&server);
    for _ in 0..5 {
        assert_eq!(
            client.ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n").0.first,
            "HTTP/1.1 200 OK"
        );
        // A request that is sent while its connection is being closed is lost in any proxy. This one is sent afterwards.
        closed.recv().expect("upstream closes");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = before_echo();
    let mut client = Peer::connect(&server);
    client.send("GET /1 HTTP/1.1\r\nhost: h\r\n\r\nGET /2 HTTP/1.1\r\nhost: h\r\n\r\n");
    for path in ["/1", "/2"] {
        let head = client.head().expect("a response");
        assert_eq!(told(&client.body(&head))["path"], path);
    }
}

#[test]
fn echo_endpoints_return_requested_responses() {
    let server = before_echo();
    let mut client = Peer::connect(&server);
    let mut get = |path: &str| {
        client.ask(format!(
            "GET {path} HTTP/1.1\r\nhost: h\r\nte: trailers\r\n\r\n"
        ))
    };
    assert_eq!(
        get("/status/503").0.first,
        "HTTP/1.1 503 Service Unavailable"
    );
    assert_eq!(get("/status/99").0.first, "HTTP/1.1 400 Bad Request");
    assert_eq!(get("/bytes/30").1, b"abcdefghijklmnopqrstuvwxyzabcd");
    assert_eq!(get("/chunks/2").1, b"chunk 1\nchunk 2\n");
    let (head, _) = get("/response-headers?x-a=1&x-a=%ff&x-b");
    assert_eq!(head.get("x-a").as_deref(), Some("1, \u{fffd}"));
    assert_eq!(head.get("x-b").as_deref(), Some(""));
}

#[test]
fn echo_rejects_oversized_requests() {
    let server = before_echo();
    let mut client = Peer::connect(&server);
    for path in [
        "/bytes/9000000000000",
        "/bytes/100000001",
        "/chunks/1000001",
    ] {
        let (head, _) = client.ask(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n"));
        assert_eq!(head.first, "HTTP/1.1 400 Bad Request", "{path}");
    }
    let size = 10_000_001;
    client.send(format!(
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: {size}\r\n\r\n"
    ));
    let (head, _) = client.ask(vec![b'x'; size]);
    assert_eq!(head.first, "HTTP/1.1 413 Payload Too Large");
    // The body has been read to its end nevertheless, so the next request can be parsed.
    let (_, body) = client.ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(told(&body)["path"], "/a");
}
