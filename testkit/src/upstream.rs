//! The upstream server: it records what it receives and responds as defined by the scenario. The services of
//! [`clusters`](crate::clusters) are such servers, too.
//!
//! It is a server on a real socket, the same for every runtime. If a scenario defines no responses, requests are
//! forwarded to the host's echo server, and its responses are used. [`ledger`](crate::ledger) determines which step
//! sent a request. [`gate`](crate::gate) holds responses until a step releases them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{HeaderMap, HeaderValue, TRAILER};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tidegate_host::EchoServer;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::client::{fields, listed};
use crate::gate::Gate;
use crate::ledger::Ledger;
use crate::logbook::PATIENCE;
use crate::octets::Octets;
use crate::scenario::{Answer, AnswerPart};
use crate::transcript::Received;

type Reply = Response<Given>;

/// The body of a response.
enum Given {
    /// A body with a length.
    Whole(Full<Bytes>),
    /// A body in parts.
    Parts {
        /// The rest of it.
        parts: VecDeque<Part>,
        /// The length of the whole body, unless it is sent in chunks.
        length: Option<u64>,
    },
    /// The body of the echo server's response.
    Echo(Incoming),
}

/// A part of a response's body.
enum Part {
    /// Data or trailers.
    Frame(Frame<Bytes>),
    /// Nothing follows until a step releases it.
    Held(oneshot::Receiver<()>),
    /// What came before is sent now. Otherwise hyper would discard it when it closes the connection.
    Flush,
    /// The connection is closed.
    Break,
}

/// The source of responses.
enum Answers {
    Played(Vec<Answer>),
    Echo(EchoServer),
}

/// The requests that a server receives.
#[derive(Debug, Default)]
struct Requests {
    ledger: Ledger,
    gate: Gate,
}

/// A server with predefined responses. Dropping it stops it.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    requests: Arc<Requests>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Upstream {
    /// Starts the server on a port chosen by the operating system. If `answers` is empty, it acts as an echo server.
    pub fn start(answers: &[Answer]) -> Result<Self> {
        for answer in answers {
            reply(Some(answer), None)
                .with_context(|| format!("the response for `{}` is not valid", answer.path))?;
        }
        let answers = Arc::new(if answers.is_empty() {
            let any_port: SocketAddr = "127.0.0.1:0".parse()?;
            Answers::Echo(EchoServer::start(any_port).context("failed to start the echo server")?)
        } else {
            Answers::Played(answers.to_vec())
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("failed to listen")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _guard = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let requests = Arc::new(Requests::default());
        let (stop, stopped) = oneshot::channel();
        let served = requests.clone();
        let thread =
            std::thread::spawn(move || runtime.block_on(serve(listener, answers, served, stopped)));
        Ok(Self {
            address,
            requests,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Returns the address on which the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the ledger that records requests at both ends.
    pub fn ledger(&self) -> &Ledger {
        &self.requests.ledger
    }

    /// Returns the gate at which steps wait for requests and release responses.
    pub fn gate(&self) -> &Gate {
        &self.requests.gate
    }

    /// Waits until every connection has ended and returns the received requests. The proxy must have stopped; data that
    /// it sent can still be unread at that time.
    pub fn finish(mut self) -> Result<Vec<Received>> {
        if let Some(stop) = self.stop.take() {
            // If the thread cannot be stopped, joining it returns the reason.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread
                .join()
                .map_err(|_| anyhow!("the thread of the upstream panicked"))??;
        }
        Ok(self.requests.ledger.received())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // The run has already failed.
            let _ = thread.join();
        }
    }
}

/// Decodes the request from a response of the host's echo server. Returns `None` if the body is not such a response.
pub fn echoed(body: &Octets) -> Option<Received> {
    #[derive(serde::Deserialize)]
    struct Echo {
        method: String,
        path: String,
        headers: Vec<(String, String)>,
        body: String,
    }
    let echo: Echo = serde_json::from_slice(&body.0).ok()?;
    let headers = echo
        .headers
        .into_iter()
        .map(|(name, value)| (name, unescaped(&value)));
    Some(Received {
        method: echo.method,
        path: echo.path,
        headers: headers.collect(),
        body: unescaped(&echo.body),
        ..Received::default()
    })
}

/// Decodes the escapes of the echo server: `\xNN` for a byte that is not part of a character, and a double backslash.
fn unescaped(text: &str) -> Octets {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let number = after
            .strip_prefix('x')
            .and_then(|after| after.get(..2))
            .map(|digits| u8::from_str_radix(digits, 16));
        rest = match number {
            Some(Ok(byte)) => {
                bytes.push(byte);
                after.get(3..).unwrap_or_default()
            }
            Some(Err(_)) | None => {
                bytes.push(b'\\');
                after.strip_prefix('\\').unwrap_or(after)
            }
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    Octets(bytes)
}

/// Serves until told to stop, then reads the data that has already arrived. If the stop channel is closed, it ends
/// immediately.
async fn serve(
    listener: tokio::net::TcpListener,
    answers: Arc<Answers>,
    requests: Arc<Requests>,
    stopped: oneshot::Receiver<()>,
) -> Result<()> {
    let mut connections = JoinSet::new();
    let accept = async {
        while let Ok((stream, _)) = listener.accept().await {
            let (answers, requests) = (answers.clone(), requests.clone());
            let service =
                service_fn(move |request| answer(request, answers.clone(), requests.clone()));
            let connection = hyper::server::conn::http1::Builder::new()
                // A date would differ between runs.
                .auto_date_header(false)
                .serve_connection(TokioIo::new(stream), service);
            // The proxy may abort a connection. The scenario checks the client's side.
            connections.spawn(async move { drop(connection.await) });
        }
    };
    let told = tokio::select! {
        // In this order, because a connection in the accept queue was made before the stop.
        biased;
        () = accept => bail!("upstream cannot accept connections"),
        told = stopped => told,
    };
    if told.is_ok() {
        let last = async { while connections.join_next().await.is_some() {} };
        tokio::time::timeout(PATIENCE, last)
            .await
            .context("the proxy has stopped, and its connections to upstream are still open")?;
    }
    Ok(())
}

async fn answer(
    request: Request<Incoming>,
    answers: Arc<Answers>,
    requests: Arc<Requests>,
) -> Result<Reply> {
    let (head, mut body) = request.into_parts();
    let path = head
        .uri
        .path_and_query()
        .map_or_else(String::new, ToString::to_string);
    let number = requests.ledger.arrive(Received {
        method: head.method.to_string(),
        path: path.clone(),
        headers: listed(&head.headers),
        ..Received::default()
    });
    let (mut whole, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => whole.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    requests.ledger.complete(number, |received| {
        received.body = Octets(whole.clone());
        received.trailers = listed(&trailers);
    });
    let answers = match &*answers {
        Answers::Played(answers) => answers,
        Answers::Echo(echo) => {
            requests.gate.arrive(&path, false);
            return ask(echo.local_addr(), head, whole).await;
        }
    };
    let answer = answers.iter().find(|answer| answer.path == path);
    let hold = answer.and_then(|answer| answer.hold);
    let mut released = requests.gate.arrive(&path, hold.is_some());
    if hold == Some(AnswerPart::Head)
        && let Some(released) = released.take()
    {
        // The gate outlives the server, so this does not fail.
        let _ = released.await;
    }
    if answer.is_some_and(|answer| answer.breaks == Some(AnswerPart::Head)) {
        // hyper closes the connection on an error, without a response.
        bail!("the scenario breaks this response off");
    }
    reply(answer, released)
}

/// Returns the echo server's response to the same request. Trailers are ignored.
async fn ask(echo: SocketAddr, head: Parts, body: Vec<u8>) -> Result<Reply> {
    let stream = tokio::net::TcpStream::connect(echo).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // The error of the connection is also that of the body.
    tokio::spawn(async move { drop(connection.await) });
    let request = Request::from_parts(head, Full::new(Bytes::from(body)));
    Ok(sender.send_request(request).await?.map(Given::Echo))
}

/// Builds the response. The status is 404 if the scenario defines none. The rest of the body is held until `released`.
fn reply(answer: Option<&Answer>, released: Option<oneshot::Receiver<()>>) -> Result<Reply> {
    let Some(answer) = answer else {
        let body = Full::new(Bytes::from_static(
            b"the scenario defines no response for this path",
        ));
        return Ok(Response::builder().status(404).body(Given::Whole(body))?);
    };
    let breaks = answer.breaks == Some(AnswerPart::Body);
    let body = if answer.chunks.is_empty() && released.is_none() && !breaks {
        Given::Whole(Full::new(Bytes::from(answer.body.0.clone())))
    } else {
        parts(answer, released)?
    };
    let mut response = Response::builder().status(answer.status).body(body)?;
    *response.headers_mut() = fields(&answer.headers)?;
    for name in fields(&answer.trailers)?.keys() {
        let name = HeaderValue::from_name(name.clone());
        response.headers_mut().append(TRAILER, name);
    }
    Ok(response)
}

/// Builds a body in parts.
fn parts(answer: &Answer, released: Option<oneshot::Receiver<()>>) -> Result<Given> {
    let chunks = answer.chunks.iter();
    let mut data: VecDeque<Bytes> = chunks.map(|chunk| Bytes::from(chunk.0.clone())).collect();
    let mut length = None;
    if data.is_empty() {
        let mut half = Bytes::from(answer.body.0.clone());
        length = Some(u64::try_from(half.len())?);
        let rest = half.split_off(half.len() / 2);
        data.extend([half, rest]);
    }
    let mut parts = VecDeque::new();
    parts.extend(data.pop_front().map(|data| Part::Frame(Frame::data(data))));
    parts.extend(released.map(Part::Held));
    if answer.breaks == Some(AnswerPart::Body) {
        parts.extend([Part::Flush, Part::Break]);
    }
    parts.extend(data.into_iter().map(|data| Part::Frame(Frame::data(data))));
    if !answer.trailers.is_empty() {
        let trailers = Frame::trailers(fields(&answer.trailers)?);
        parts.push_back(Part::Frame(trailers));
    }
    Ok(Given::Parts { parts, length })
}

impl Body for Given {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Given::Whole(body) => Pin::new(body)
                .poll_frame(context)
                .map_err(|never| match never {}),
            Given::Parts { parts, .. } => poll_parts(parts, context),
            Given::Echo(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Given::Whole(body) => body.is_end_stream(),
            Given::Parts { parts, .. } => parts.is_empty(),
            Given::Echo(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Given::Whole(body) => body.size_hint(),
            Given::Parts { length, .. } => {
                length.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
            Given::Echo(body) => body.size_hint(),
        }
    }
}

/// Returns the next frame of a body in parts.
fn poll_parts(
    parts: &mut VecDeque<Part>,
    context: &mut task::Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, <Given as Body>::Error>>> {
    loop {
        match parts.pop_front() {
            None => return Poll::Ready(None),
            Some(Part::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
            Some(Part::Held(mut released)) => {
                if Pin::new(&mut released).poll(context).is_pending() {
                    parts.push_front(Part::Held(released));
                    return Poll::Pending;
                }
            }
            Some(Part::Flush) => {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Part::Break) => {
                let error = "the scenario breaks this response off";
                return Poll::Ready(Some(Err(error.into())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{self, Call, Outgoing, OutgoingBody};

    fn start(answers: &str) -> Upstream {
        let answers: Vec<Answer> = serde_saphyr::from_str(answers).expect("answers");
        Upstream::start(&answers).expect("a server")
    }

    fn begin(server: &Upstream, path: &str) -> Call {
        let request = Outgoing {
            method: "GET",
            path,
            headers: &[],
            body: OutgoingBody::None,
            trailers: &[],
        };
        client::begin(server.address(), request).expect("a request")
    }

    #[test]
    fn response_breaks_before_its_head_or_within_its_body() {
        let server = start(
            "[{path: /head, break: head}, {path: /body, body: hello, break: body}, \
             {path: /chunks, chunks: [one, two], break: body}]",
        );
        let seen = |path: &str| begin(&server, path).finish().expect("an end");
        let head = seen("/head");
        assert_eq!((head.status, head.broken), (None, true));
        for (path, part) in [("/body", "he"), ("/chunks", "one")] {
            let seen = seen(path);
            assert_eq!((seen.status, seen.broken), (Some(200), true), "{path}");
            assert_eq!(seen.body.0, part.as_bytes());
        }
        assert_eq!(server.finish().expect("requests").len(), 3);
    }

    #[test]
    fn held_response_is_complete_once_it_is_released() {
        let server =
            start("[{path: /head, body: one, hold: head}, {path: /body, body: two, hold: body}]");
        for (path, body) in [("/head", "one"), ("/body", "two")] {
            let call = begin(&server, path);
            server.gate().wait_for(Some(path)).expect("a request");
            server.gate().release(None).expect("a release");
            let seen = call.finish().expect("a response");
            assert_eq!((seen.status, seen.broken), (Some(200), false), "{path}");
            assert_eq!(seen.body.0, body.as_bytes());
        }
    }

    #[test]
    fn echo_response_is_decoded_to_bytes() {
        let answer = br#"{"method": "GET", "path": "/", "headers": [["x", "a\\xffb\\\\xc"]], "body": "\u00e9"}"#;
        let received = echoed(&Octets(answer.to_vec())).expect("an echo");
        assert_eq!(
            received.headers,
            [("x".to_owned(), Octets(b"a\xffb\\xc".to_vec()))]
        );
        assert_eq!(received.body.0, "\u{e9}".as_bytes());
        assert!(echoed(&Octets(b"hello".to_vec())).is_none());
    }
}
