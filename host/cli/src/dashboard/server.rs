//! Serves the page, the requests and events as JSON, and updates as server-sent events.
//!
//! Only browsers on this machine have access. The socket is on a loopback address. A page of another site whose name resolves to this
//! machine (DNS rebinding) is rejected because of the `Host` header that its browser sends. Scripts of other sites cannot read responses,
//! because there are no CORS headers. Everything runs on one thread, so that the data needs no lock.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::{IpAddr, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::MissedTickBehavior;

use crate::dashboard::events::{Events, MOST_EVENTS};
use crate::dashboard::ring::{MOST_RECORDS, Ring};
use crate::dashboard::view::{View, plugin_event};
use crate::dashboard::{Backlog, Message};

/// The page, its style and its script.
const PAGE: &str = include_str!("page.html");

/// The maximum number of connections. A page uses two or three.
const MOST_CONNECTIONS: usize = 64;

/// The number of messages that can wait for a reader. A slower reader is disconnected, and its browser reconnects.
const MOST_WAITING: usize = 16;

/// The interval at which readers are notified. Requests that are added and dropped within an interval, possibly thousands, are not
/// reported.
const TURN: Duration = Duration::from_millis(50);

/// The number of events that are processed in one batch.
const BATCH: usize = 256;

/// The idle timeout of connections, also while a request is incomplete.
const HEAD: Duration = Duration::from_secs(30);

/// The delay after the process has run out of file descriptors.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// The content security policy allows only what the page contains, and its API.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |tag: &str| {
        let text = PAGE
            .split_once(&format!("<{tag}>"))
            .and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
        let digest = Sha256::digest(text.map_or("", |(text, _)| text));
        format!("'sha256-{}'", STANDARD.encode(digest))
    };
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
        hash("script"),
        hash("style")
    );
    // The header is ASCII without control characters.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// The data of the dashboard's thread.
pub struct Collector {
    inbox: mpsc::UnboundedReceiver<Message>,
    store: Store,
}

/// The data that connections can access.
struct Store {
    ring: Ring,
    events: Events,
    view: View,
    backlog: Arc<Backlog>,
    readers: Vec<mpsc::Sender<Bytes>>,
    /// The requests that have changed since readers were last notified.
    changed: BTreeSet<u64>,
    /// The number of the last event of which readers were notified.
    last_sent: u64,
}

/// A response body: complete, or a stream of events.
enum Reply {
    Whole(Bytes),
    Events(mpsc::Receiver<Bytes>),
}

// === impl Collector ===

impl Collector {
    pub fn new(
        inbox: mpsc::UnboundedReceiver<Message>,
        backlog: Arc<Backlog>,
        secrets: bool,
    ) -> Self {
        let store = Store::new(backlog, secrets);
        Self { inbox, store }
    }
}

/// Records and serves until it is stopped.
pub fn run(
    runtime: &tokio::runtime::Runtime,
    listener: TcpListener,
    collector: Collector,
    stopped: oneshot::Receiver<()>,
) {
    let Collector { inbox, store } = collector;
    let store = Rc::new(RefCell::new(store));
    LocalSet::new().block_on(runtime, async {
        tokio::select! {
            _ = stopped => {}
            () = collect(inbox, &store) => {}
            () = accept(listener, &store) => {}
        }
    });
}

/// Records messages, and notifies readers.
async fn collect(mut inbox: mpsc::UnboundedReceiver<Message>, store: &RefCell<Store>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut turns = tokio::time::interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = turns.tick() => store.borrow_mut().notify_readers(),
            taken = inbox.recv_many(&mut batch, BATCH) => match taken {
                // All workers have ended. The recorded data remains accessible.
                0 => break,
                _ => store.borrow_mut().record(batch.drain(..)),
            },
        }
        // Connections are served in between, even if there are many messages.
        tokio::task::yield_now().await;
    }
    store.borrow_mut().notify_readers();
    std::future::pending().await
}

async fn accept(listener: TcpListener, store: &Rc<RefCell<Store>>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            crate::logs::note(&format!("the dashboard cannot accept connections: {error}"));
            return std::future::pending().await;
        }
    };
    let places = Arc::new(tokio::sync::Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(EXHAUSTED).await;
            continue;
        };
        let store = Rc::clone(store);
        let service = service_fn(move |request: Request<Incoming>| {
            let response = answer(&store, &request);
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(stream), service);
        spawn_local(async move {
            // A browser that disconnects is not an error.
            let _ = connection.await;
            drop(place);
        });
    }
}

fn answer<B>(store: &RefCell<Store>, request: &Request<B>) -> Response<Reply> {
    let mut response = route(store, request);
    let headers = response.headers_mut();
    let fixed = [
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (CONTENT_SECURITY_POLICY, POLICY.clone()),
    ];
    headers.extend(fixed);
    response
}

fn route<B>(store: &RefCell<Store>, request: &Request<B>) -> Response<Reply> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.as_bytes(),
        _ => b"",
    };
    if !is_loopback(host) {
        return text(
            StatusCode::FORBIDDEN,
            "The dashboard accepts only requests for `localhost` or a loopback address, to prevent DNS rebinding.\n",
        );
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "The dashboard is only read.\n",
        );
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    match request.uri().path() {
        "/" => reply(
            "text/html; charset=utf-8",
            Reply::Whole(Bytes::from_static(PAGE.as_bytes())),
        ),
        "/api/requests" => json_reply(&store.borrow().requests()),
        "/api/plugin-events" => json_reply(&store.borrow().plugin_events()),
        "/api/events" => match store.borrow_mut().add_reader() {
            Some(events) => reply("text/event-stream", Reply::Events(events)),
            None => text(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many pages are open.\n",
            ),
        },
        path => {
            let id = path.strip_prefix("/api/requests/");
            match id.and_then(|id| id.parse().ok()) {
                Some(id) => match store.borrow().request(id) {
                    Some(request) => json_reply(&request),
                    None => text(
                        StatusCode::NOT_FOUND,
                        "This request is not kept any more.\n",
                    ),
                },
                None => text(
                    StatusCode::NOT_FOUND,
                    "Not found. The paths are /, /api/requests, /api/requests/ID, /api/plugin-events and /api/events.\n",
                ),
            }
        }
    }
}

/// Whether a `Host` header is a loopback name or address.
fn is_loopback(host: &[u8]) -> bool {
    let Ok(authority) = http::uri::Authority::try_from(host) else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

fn reply(kind: &'static str, body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn json_reply(value: &Value) -> Response<Reply> {
    reply("application/json", Reply::Whole(value.to_string().into()))
}

fn text(status: StatusCode, text: &'static str) -> Response<Reply> {
    let body = Reply::Whole(Bytes::from_static(text.as_bytes()));
    let mut response = reply("text/plain; charset=utf-8", body);
    *response.status_mut() = status;
    response
}

// === impl Store ===

impl Store {
    fn new(backlog: Arc<Backlog>, secrets: bool) -> Self {
        Self {
            ring: Ring::default(),
            events: Events::default(),
            view: View { secrets },
            backlog,
            readers: Vec::new(),
            changed: BTreeSet::new(),
            last_sent: 0,
        }
    }

    /// Records messages, and remembers which requests have changed.
    fn record(&mut self, batch: impl Iterator<Item = Message>) {
        for message in batch {
            let weight = match message {
                Message::Stream(message) => {
                    let (id, weight) = (message.stream, message.weight);
                    if self.ring.record(message) && !self.readers.is_empty() {
                        self.changed.insert(id);
                    }
                    weight
                }
                Message::Plugin(message) => {
                    let weight = message.weight;
                    self.events.add(message);
                    weight
                }
            };
            self.backlog.bytes.fetch_sub(weight, Ordering::Relaxed);
        }
    }

    /// Notifies readers of requests that have changed, and of new events.
    fn notify_readers(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        let last_sent = std::mem::replace(&mut self.last_sent, self.events.last);
        self.readers.retain(|it| !it.is_closed());
        if self.readers.is_empty() {
            return;
        }
        let mut events = String::new();
        for record in self.ring.iter().filter(|it| changed.contains(&it.id)) {
            let data = json!({
                "request": self.view.summary(&self.ring, record),
                "lost": self.backlog.lost.load(Ordering::Relaxed),
            });
            events += &format!("event: request\ndata: {data}\n\n");
        }
        for kept in self.events.after(last_sent) {
            let data = json!({
                "event": plugin_event(kept),
                "lost": self.backlog.lost.load(Ordering::Relaxed),
            });
            events += &format!("event: plugin-event\ndata: {data}\n\n");
        }
        if events.is_empty() {
            return;
        }
        let events = Bytes::from(events);
        self.readers
            .retain(|reader| reader.try_send(events.clone()).is_ok());
    }

    /// All requests in the list, oldest first.
    fn requests(&self) -> Value {
        let requests: Vec<Value> = self
            .ring
            .iter()
            .map(|record| self.view.summary(&self.ring, record))
            .collect();
        json!({
            "requests": requests,
            "most": MOST_RECORDS,
            "gone": self.ring.gone,
            "lost": self.backlog.lost.load(Ordering::Relaxed),
            "masked": !self.view.secrets,
        })
    }

    /// All events in the list, oldest first.
    fn plugin_events(&self) -> Value {
        json!({
            "events": self.events.after(0).map(plugin_event).collect::<Vec<_>>(),
            "most": MOST_EVENTS,
            "gone": self.events.gone(),
            "lost": self.backlog.lost.load(Ordering::Relaxed),
        })
    }

    fn request(&self, id: u64) -> Option<Value> {
        let record = self.ring.find(id)?;
        Some(self.view.detail(&self.ring, record))
    }

    /// Adds a reader of events. It first receives the current state, then updates.
    fn add_reader(&mut self) -> Option<mpsc::Receiver<Bytes>> {
        self.readers.retain(|it| !it.is_closed());
        // Some connections are reserved for other requests of pages.
        if self.readers.len() >= MOST_CONNECTIONS / 2 {
            return None;
        }
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        let mut hello = self.requests();
        hello["plugin_events"] = self.plugin_events();
        let hello = format!("retry: 500\nevent: hello\ndata: {hello}\n\n");
        sender.try_send(hello.into()).ok()?;
        self.readers.push(sender);
        Some(receiver)
    }
}

// === impl Reply ===

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Reply::Whole(data) if data.is_empty() => Poll::Ready(None),
            Reply::Whole(data) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(data))))),
            Reply::Events(events) => events
                .poll_recv(cx)
                .map(|event| event.map(|data| Ok(Frame::data(data)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Reply::Whole(data) if data.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Reply::Whole(data) => SizeHint::with_exact(data.len() as u64),
            Reply::Events(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use tidegate_host::Fields;
    use tidegate_host::observe::Event;

    use super::*;
    use crate::dashboard::{StreamMessage, events};

    #[test]
    fn host_header_must_be_a_loopback_name() {
        for good in [
            "localhost",
            "LOCALHOST:8081",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:80",
            "[::1]",
        ] {
            assert!(is_loopback(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8081",
            "evil.example@127.0.0.1.example",
            "0.0.0.0",
            "[::]",
            "10.0.0.1",
            "localhost, evil.example",
        ] {
            assert!(!is_loopback(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn policy_has_one_hash_each_for_script_and_style() {
        assert_eq!(PAGE.matches("<script>").count(), 1);
        assert_eq!(PAGE.matches("<style>").count(), 1);
        let policy = POLICY.to_str().unwrap();
        assert_eq!(policy.matches("'sha256-").count(), 2, "{policy}");
    }

    #[test]
    fn slow_reader_is_disconnected() {
        let mut store = Store::new(Arc::default(), false);
        let message = |stream| {
            Message::Stream(StreamMessage {
                stream,
                event: Event::Begun {
                    worker: 0,
                    fields: Fields::new(),
                },
                at: Instant::now(),
                time: SystemTime::now(),
                weight: 0,
            })
        };
        let mut slow = store.add_reader().unwrap();
        let mut quick = store.add_reader().unwrap();
        assert!(
            quick
                .try_recv()
                .unwrap()
                .starts_with(b"retry: 500\nevent: hello\n")
        );
        for stream in 0..2 * MOST_WAITING as u64 {
            store.record([message(stream)].into_iter());
            store.notify_readers();
            assert!(quick.try_recv().unwrap().starts_with(b"event: request\n"));
        }
        assert_eq!(store.readers.len(), 1);
        let mut taken = 0;
        while slow.try_recv().is_ok() {
            taken += 1;
        }
        assert_eq!(taken, MOST_WAITING);
        assert!(slow.is_closed(), "it sees that there is no more");
    }

    #[test]
    fn readers_are_told_of_each_event_once() {
        let mut store = Store::new(Arc::default(), false);
        let message = || {
            let mut message = events::tests::message(events::tests::event());
            message.weight = 0;
            Message::Plugin(message)
        };
        let text = |message: Bytes| String::from_utf8(message.to_vec()).unwrap();
        store.record([message()].into_iter());
        store.notify_readers();
        let mut reader = store.add_reader().unwrap();
        let hello = text(reader.try_recv().unwrap());
        assert_eq!(hello.matches("on-tick").count(), 1, "{hello}");
        store.notify_readers();
        assert!(reader.try_recv().is_err(), "there is nothing new");
        store.record([message(), message()].into_iter());
        store.notify_readers();
        let both = text(reader.try_recv().unwrap());
        assert_eq!(both.matches("event: plugin-event\n").count(), 2, "{both}");
        store.notify_readers();
        assert!(reader.try_recv().is_err(), "there is nothing new");
    }
}
