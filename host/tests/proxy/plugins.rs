//! Operations of plugins that need a proxy: responding early, resetting, and resuming another stream.

use std::sync::{Arc, Mutex, mpsc};

use tidegate_host::{LogLine, LogSink, Server};

use crate::modules;
use crate::peers::{Origin, PATIENCE, Peer, to};

/// Starts a proxy with a plugin. `text` is added to the part that all modules have.
fn with_plugin(origin: &Origin, text: &str) -> Server {
    let imports = r#"
      (import "env" "proxy_send_local_response"
        (func $answer (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
      (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
      (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
      (import "env" "proxy_set_effective_context" (func $enter (param i32) (result i32)))
      (import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))"#;
    let state = r#"(data (i32.const 0) "refused") (global $waiting (mut i32) (i32.const 0))"#;
    let mut config = to(origin.address);
    config.plugins = vec![modules::plugin(
        "plugin",
        imports,
        &format!("{state} {text}"),
    )];
    Server::start(config).expect("a proxy")
}

const ANSWER: &str =
    "(drop (call $answer (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 7)
    (i32.const 0) (i32.const 0) (i32.const -1)))";

#[test]
fn local_response_keeps_the_request_from_upstream() {
    let origin = Origin::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let plugin = format!(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {ANSWER} i32.const 1)"#
    );
    let server = with_plugin(&origin, &plugin);
    let mut client = Peer::connect(&server);
    for _ in 0..2 {
        let (head, body) = client.ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
        assert_eq!(
            (head.first.as_str(), body.as_slice()),
            ("HTTP/1.1 403 Forbidden", &b"refused"[..])
        );
    }
    // The proxy does not wait for the rest of a request that is still being sent.
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 10000000\r\n\r\nhello");
    let head = client.head().expect("a response");
    assert_eq!(
        (head.first.as_str(), client.body(&head).as_slice()),
        ("HTTP/1.1 403 Forbidden", &b"refused"[..])
    );
    assert_eq!(client.rest(), b"");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn local_response_during_request_body_aborts_upstream() {
    let (report, reported) = mpsc::channel();
    let origin = Origin::new(move |mut peer| {
        peer.head().expect("a request");
        report.send(()).expect("a test that listens");
        peer.rest();
        report.send(()).expect("a test that listens");
    });
    let plugin = format!(
        r#"(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) {ANSWER} i32.const 1)"#
    );
    let server = with_plugin(&origin, &plugin);
    let mut client = Peer::connect(&server);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\n");
    reported.recv_timeout(PATIENCE).expect("a request upstream");
    client.send("hello");
    let head = client.head().expect("a response");
    assert_eq!(
        (head.first.as_str(), client.body(&head).as_slice()),
        ("HTTP/1.1 403 Forbidden", &b"refused"[..])
    );
    reported
        .recv_timeout(PATIENCE)
        .expect("the end of the connection upstream");
}

#[test]
fn reset_by_plugin_closes_the_connection() {
    let origin = Origin::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let server = with_plugin(
        &origin,
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (drop (call $close (i32.const 0))) i32.const 1)"#,
    );
    let mut client = Peer::connect(&server);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(client.rest(), b"");
}

#[test]
fn reset_in_response_body_truncates_the_response() {
    let origin = Origin::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    let server = with_plugin(
        &origin,
        r#"(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
          (drop (call $close (i32.const 1))) i32.const 1)"#,
    );
    let mut client = Peer::connect(&server);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    let rest = String::from_utf8(client.rest()).expect("text");
    assert!(!rest.contains("hello"), "{rest}");
}

#[test]
fn plugin_can_resume_another_stream() {
    let (asked, wait) = mpsc::channel();
    let origin = Origin::new(move |mut peer| {
        while let Some(head) = peer.head() {
            asked.send(head.first).expect("a test that listens");
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    // The first stream pauses. The second one continues, and resumes the first.
    let server = with_plugin(
        &origin,
        r#"(func (export "proxy_on_request_headers") (param $stream i32) (param i32 i32) (result i32)
          (if (i32.eqz (global.get $waiting)) (then
            (global.set $waiting (local.get $stream))
            (return (i32.const 1))))
          (drop (call $enter (global.get $waiting)))
          (drop (call $continue (i32.const 0)))
          i32.const 0)"#,
    );
    let mut first = Peer::connect(&server);
    first.send("GET /first HTTP/1.1\r\nhost: h\r\n\r\n");
    // Whichever of the two is served first is paused until the other is served.
    let mut second = Peer::connect(&server);
    second.send("GET /second HTTP/1.1\r\nhost: h\r\n\r\n");
    let mut seen: Vec<_> = (0..2)
        .map(|_| wait.recv_timeout(PATIENCE).expect("a request upstream"))
        .collect();
    seen.sort();
    assert_eq!(seen, ["GET /first HTTP/1.1", "GET /second HTTP/1.1"]);
    assert_eq!(first.head().expect("a response").first, "HTTP/1.1 200 OK");
    assert_eq!(second.head().expect("a response").first, "HTTP/1.1 200 OK");
}

#[test]
fn request_plugin_can_remove_content_length() {
    let (seen, saw) = mpsc::channel();
    let origin = Origin::new(move |mut peer| {
        while let Some(head) = peer.head() {
            assert_eq!(head.names(), ["host", "transfer-encoding"]);
            seen.send((head.first, peer.chunked().0))
                .expect("a test that listens");
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let server = with_plugin(
        &origin,
        r#"(data (i32.const 16) "content-length")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (drop (call $remove (i32.const 0) (i32.const 16) (i32.const 14))) i32.const 0)"#,
    );
    let mut client = Peer::connect(&server);
    for method in ["GET", "POST"] {
        client.ask(format!(
            "{method} /a HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello"
        ));
        assert_eq!(
            saw.recv_timeout(PATIENCE).expect("a request upstream"),
            (format!("{method} /a HTTP/1.1"), b"hello".to_vec())
        );
    }
}

/// Collects what the proxy reports about plugins.
#[derive(Default)]
struct Mistakes(Mutex<Vec<String>>);

impl LogSink for Mistakes {
    fn line(&self, _: &LogLine<'_>) {}

    fn mistake(&self, line: &LogLine<'_>) {
        let text = format!("{}: {}", line.plugin, line.message);
        self.0.lock().expect("a lock").push(text);
    }
}

#[test]
fn body_that_does_not_have_the_announced_size_is_sent_and_reported() {
    let plugin = modules::plugin(
        "grows",
        r#"(import "env" "proxy_set_buffer_bytes"
          (func $append (param i32 i32 i32 i32 i32) (result i32)))"#,
        r#"(data (i32.const 0) "more")
          (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
            (if (local.get 2) (then
              (drop (call $append (i32.const 0) (local.get 1) (i32.const 0) (i32.const 0) (i32.const 4)))))
            i32.const 0)
          (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
            (if (local.get 2) (then
              (drop (call $append (i32.const 1) (local.get 1) (i32.const 0) (i32.const 0) (i32.const 4)))))
            i32.const 0)"#,
    );
    let (sent, received) = mpsc::channel();
    let origin = Origin::new(move |mut peer| {
        while peer.head().is_some() {
            sent.send(peer.bytes("hello, more".len()))
                .expect("a test that listens");
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
        }
    });
    let mistakes = Arc::new(Mistakes::default());
    let mut config = to(origin.address);
    config.plugins = vec![plugin];
    config.logs = mistakes.clone();
    let server = Server::start(config).expect("a proxy");
    let mut client = Peer::connect(&server);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 7\r\n\r\nhello, ");
    assert_eq!(
        received.recv_timeout(PATIENCE).expect("a request upstream"),
        b"hello, more"
    );
    let head = client.head().expect("a response");
    assert_eq!(head.get("content-length").as_deref(), Some("2"));
    // The client cannot find another response on this connection, so it is closed.
    assert_eq!(client.rest(), b"himore");
    let reported = mistakes.0.lock().expect("a lock").join("\n");
    for part in [
        "grows: `content-length` of the request is 7, but 11 bytes",
        "grows: `content-length` of the response is 2, but 6 bytes",
    ] {
        assert!(reported.contains(part), "{reported}");
    }
}

/// Whether a response has a body depends on the request that the upstream received.
#[test]
fn method_that_a_plugin_changes_decides_about_the_body_from_upstream() {
    let plugin = |method: &str| {
        let callback = format!(
            r#"(data (i32.const 0) ":method{method}")
              (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (drop (call $set (i32.const 0) (i32.const 0) (i32.const 7) (i32.const 7) (i32.const {})))
                i32.const 0)"#,
            method.len()
        );
        let import = r#"(import "env" "proxy_replace_header_map_value"
          (func $set (param i32 i32 i32 i32 i32) (result i32)))"#;
        modules::plugin("method", import, &callback)
    };
    let origin = Origin::new(|mut peer| {
        while let Some(head) = peer.head() {
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
            if head.first.starts_with("GET") {
                peer.send("hello");
            }
        }
    });
    for (sent, received) in [("HEAD", "GET"), ("GET", "HEAD")] {
        let mut config = to(origin.address);
        config.plugins = vec![plugin(received)];
        let server = Server::start(config).expect("a proxy");
        for _ in 0..3 {
            let mut client = Peer::connect(&server);
            client.send(format!(
                "{sent} /a HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
            ));
            let head = client.head().expect("a response");
            assert_eq!(head.first, "HTTP/1.1 200 OK", "{sent} as {received}");
            assert_eq!(client.rest(), b"", "{sent} as {received}");
        }
    }
}

#[test]
fn pipelined_requests_are_not_served_faster_than_responses_are_read() {
    let origin = Origin::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let plugin = format!(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {ANSWER} i32.const 1)"#
    );
    let server = with_plugin(&origin, &plugin);
    let mut client = Peer::connect(&server);
    const LIMIT: usize = 64 << 20;
    let request = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";
    assert!(client.send_until_full_with(request, LIMIT) < LIMIT);
}
