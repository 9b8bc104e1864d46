//! Clients that leave while nothing of what they send is read.

use std::sync::{Arc, Mutex, mpsc};

use tidegate_host::{LogLine, LogSink, PluginSpec, Server, ServerConfig};

use crate::peers::{Origin, PATIENCE, Peer, to};

/// Reports each line.
struct Lines(mpsc::Sender<()>);

impl LogSink for Lines {
    fn line(&self, _: &LogLine<'_>) {
        // The test may have ended.
        let _ = self.0.send(());
    }
}

/// Starts a proxy with a plugin that logs a line when a stream ends, and whose headers callback returns `action`.
fn start(origin: &Origin, action: i32) -> (Server, mpsc::Receiver<()>) {
    let module = format!(
        r#"(module
          (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "the end")
          (func (export "proxy_abi_version_0_2_1"))
          (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 4096)
          (func (export "proxy_on_context_create") (param i32 i32))
          (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) i32.const {action})
          (func (export "proxy_on_log") (param i32)
            (drop (call $log (i32.const 2) (i32.const 0) (i32.const 7)))))"#
    );
    let (line, lines) = mpsc::channel();
    let plugin = wat::parse_str(module).expect("a module");
    let server = Server::start(ServerConfig {
        plugins: vec![PluginSpec::new("plugin", plugin)],
        logs: Arc::new(Lines(line)),
        ..to(origin.address)
    });
    (server.expect("a proxy"), lines)
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
