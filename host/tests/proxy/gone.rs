//! Clients that leave while nothing of what they send is read.

use std::sync::{Arc, Mutex, mpsc};

use tidegate_host::{Server, ServerConfig};

use crate::modules::{self, LOG, Reports};
use crate::peers::{Origin, PATIENCE, Peer, to};

/// Starts a proxy with a plugin that logs a line when a stream ends, and whose headers callback returns `action`.
fn start(origin: &Origin, action: i32) -> (Server, mpsc::Receiver<()>) {
    let callbacks = format!(
        r#"(data (i32.const 0) "the end")
          (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) i32.const {action})
          (func (export "proxy_on_log") (param i32)
            (drop (call $log (i32.const 2) (i32.const 0) (i32.const 7))))"#
    );
    let (ended, ends) = mpsc::channel();
    let server = Server::start(ServerConfig {
        plugins: vec![modules::plugin("plugin", LOG, &callbacks)],
        logs: Arc::new(Reports {
            message: "the end",
            to: ended,
        }),
        ..to(origin.address)
    });
    (server.expect("a proxy"), ends)
}

const ENDLESS: &str = "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000000\r\n\r\n";

/// More than a plugin can hold back, so that the proxy stops reading. The rest fits into the buffers of the operating system; otherwise, the
/// end of the connection would not arrive.
const ENOUGH: usize = (1 << 20) + (64 << 10);

/// More than all buffers on the way hold.
const MUCH: usize = 256 << 20;

/// Starts a proxy whose plugin never resumes a request, and a client that has sent enough to fill its buffer.
fn paused(origin: &Origin) -> (Server, mpsc::Receiver<()>, Peer) {
    let (server, lines) = start(origin, 4);
    let mut client = Peer::connect(&server);
    client.send(ENDLESS);
    client.send(vec![b'x'; ENOUGH]);
    (server, lines, client)
}

fn idle_origin() -> Origin {
    Origin::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
}

#[test]
fn client_that_closes_while_a_plugin_pauses_its_request_is_noticed() {
    let origin = idle_origin();
    let (_server, lines, client) = paused(&origin);
    drop(client);
    lines.recv_timeout(PATIENCE).expect("the end of the stream");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn client_that_closes_only_for_writing_has_left() {
    let origin = idle_origin();
    let (_server, lines, mut client) = paused(&origin);
    client.half_close();
    lines.recv_timeout(PATIENCE).expect("the end of the stream");
    assert_eq!(client.rest(), b"");
}

#[test]
fn client_that_resets_while_a_plugin_pauses_its_request_is_noticed() {
    let origin = idle_origin();
    let (server, lines) = start(&origin, 4);
    let mut client = Peer::connect(&server);
    client.send(ENDLESS);
    assert!(client.send_until_full(MUCH) < MUCH);
    client.reset();
    lines.recv_timeout(PATIENCE).expect("the end of the stream");
}

#[test]
fn client_that_resets_while_the_upstream_does_not_read_is_noticed() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let origin = Origin::new(move |mut peer| {
        peer.head().expect("a request");
        // Until the end of the test.
        let _ = released.lock().map(|it| it.recv());
    });
    let (server, lines) = start(&origin, 0);
    let mut client = Peer::connect(&server);
    client.send(ENDLESS);
    assert!(client.send_until_full(MUCH) < MUCH);
    client.reset();
    lines.recv_timeout(PATIENCE).expect("the end of the stream");
    drop(release);
}
