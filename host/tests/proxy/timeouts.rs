//! Deadlines, on a clock that the test advances.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use tidegate_host::{ManualClock, Server, ServerConfig, Timeouts};

use crate::peers::{Origin, PATIENCE, Peer, to};

/// Advances the clock of a proxy again and again, because the proxy may read it after it was advanced.
struct Advancing {
    clock: Arc<ManualClock>,
    by: Duration,
}

impl Advancing {
    /// Returns what the client receives.
    fn receive<R: Send>(&self, receive: impl FnOnce() -> R + Send) -> R {
        let (done, is_done) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let timeout = Duration::from_millis(20);
                while is_done.recv_timeout(timeout) == Err(mpsc::RecvTimeoutError::Timeout) {
                    self.clock.advance(self.by);
                }
            });
            let received = receive();
            drop(done);
            received
        })
    }
}

fn start(origin: &Origin, by: Option<Duration>) -> (Server, Advancing) {
    let by = by.expect("a limit by default");
    start_with(origin, Timeouts::default(), by)
}

fn start_with(origin: &Origin, timeouts: Timeouts, by: Duration) -> (Server, Advancing) {
    let clock = Arc::new(ManualClock::new(1));
    let server = Server::start(ServerConfig {
        timeouts,
        clock: clock.clone(),
        ..to(origin.address)
    });
    (server.expect("a proxy"), Advancing { clock, by })
}

/// An upstream that sends this much of a response, and then nothing.
fn silent(response: &'static str) -> (Origin, mpsc::Receiver<()>) {
    let (asked, wait) = mpsc::channel();
    let origin = Origin::new(move |mut peer| {
        peer.head().expect("a request");
        peer.send(response);
        asked.send(()).expect("a test that listens");
        // Until the proxy closes the connection.
        peer.rest();
    });
    (origin, wait)
}

#[test]
fn upstream_that_does_not_respond_leads_to_504() {
    let (origin, asked) = silent("");
    let (server, time) = start(&origin, Timeouts::default().route_timeout);
    let mut client = Peer::connect(&server);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    asked.recv_timeout(PATIENCE).expect("a request upstream");
    let (first, body) = time.receive(|| {
        let head = client.head().expect("a response");
        let body = client.body(&head);
        (head.first, body)
    });
    assert_eq!(first, "HTTP/1.1 504 Gateway Timeout");
    assert_eq!(body, b"upstream request timeout");
    // The connection can still be used.
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    asked
        .recv_timeout(PATIENCE)
        .expect("another request upstream");
}

#[test]
fn response_that_stops_is_broken_off() {
    let (origin, asked) = silent("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe");
    let (server, time) = start(&origin, Timeouts::default().route_timeout);
    let mut client = Peer::connect(&server);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    asked.recv_timeout(PATIENCE).expect("a request upstream");
    assert_eq!(client.head().expect("a head").first, "HTTP/1.1 200 OK");
    assert_eq!(time.receive(|| client.rest()), b"he");
}

#[test]
fn client_that_does_not_send_the_body_gets_408() {
    let (origin, asked) = silent("");
    let (server, time) = start(&origin, Timeouts::default().stream_idle_timeout);
    let body = timed_out(&server, &time, INCOMPLETE_BODY, || {
        asked.recv_timeout(PATIENCE).expect("a request upstream");
    });
    assert_eq!(body, b"stream timeout");
}

#[test]
fn client_that_does_not_send_the_head_gets_408() {
    let (origin, _asked) = silent("");
    let (server, time) = start(&origin, Timeouts::default().stream_idle_timeout);
    let body = timed_out(&server, &time, INCOMPLETE_HEAD, || {});
    assert_eq!(body, b"stream timeout");
}

#[test]
fn idle_connection_is_closed() {
    let origin = Origin::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    let (server, time) = start(&origin, Timeouts::default().idle_timeout);
    let mut client = Peer::connect(&server);
    let (head, _) = client.ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(head.first, "HTTP/1.1 200 OK");
    assert_eq!(time.receive(|| client.rest()), b"");
}

/// Sends an incomplete request. Returns the body of the response, which must be 408 and close the connection.
fn timed_out(server: &Server, time: &Advancing, request: &str, asked: impl FnOnce()) -> Vec<u8> {
    let mut client = Peer::connect(server);
    client.send(request);
    asked();
    let head = time.receive(|| client.head()).expect("a response");
    assert_eq!(head.first, "HTTP/1.1 408 Request Timeout");
    assert_eq!(head.get("connection").as_deref(), Some("close"));
    client.body(&head)
}

const INCOMPLETE_HEAD: &str = "GET /a HTTP/1.1\r\nhost:";
const INCOMPLETE_BODY: &str = "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhe";
const LIMIT: Duration = Duration::from_secs(1);

#[test]
fn request_head_that_takes_too_long_gets_408() {
    let (origin, _asked) = silent("");
    let mut timeouts = Timeouts::default();
    timeouts.request_headers_timeout = Some(LIMIT);
    let (server, time) = start_with(&origin, timeouts, LIMIT);
    let body = timed_out(&server, &time, INCOMPLETE_HEAD, || {});
    assert_eq!(body, b"request header timeout");
}

#[test]
fn request_that_takes_too_long_gets_408() {
    let (origin, asked) = silent("");
    let mut timeouts = Timeouts::default();
    timeouts.request_timeout = Some(LIMIT);
    let (server, time) = start_with(&origin, timeouts, LIMIT);
    let body = timed_out(&server, &time, INCOMPLETE_HEAD, || {});
    assert_eq!(body, b"request timeout");
    let body = timed_out(&server, &time, INCOMPLETE_BODY, || {
        asked.recv_timeout(PATIENCE).expect("a request upstream");
    });
    assert_eq!(body, b"request timeout");
}
