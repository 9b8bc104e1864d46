//! The upstream server: it records what it receives and responds as defined by the scenario.
//!
//! It is a server on a real socket, the same for every runtime. If a scenario defines no responses, requests are
//! forwarded to the host's echo server, and its responses are used. [`ledger`](crate::ledger) determines which step
//! sent a request.

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
use crate::ledger::Ledger;
use crate::logbook::PATIENCE;
use crate::octets::Octets;
use crate::scenario::Answer;
use crate::transcript::Received;

type Reply = Response<Given>;

/// The body of a response.
enum Given {
    /// A body with a length.
    Whole(Full<Bytes>),
    /// A body without a length, in chunks, followed by trailers.
    Chunks(std::vec::IntoIter<Frame<Bytes>>),
    /// The body of the echo server's response.
    Echo(Incoming),
}

/// The source of responses.
enum Answers {
    Played(Vec<Answer>),
    Echo(EchoServer),
}

/// A server with predefined responses. Dropping it stops it.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    ledger: Arc<Ledger>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Upstream {
    /// Starts the server on a port chosen by the operating system. If `answers` is empty, it acts as an echo server.
    pub fn start(answers: &[Answer]) -> Result<Self> {
        for answer in answers {
            reply(Some(answer))
                .with_context(|| format!("the answer for {} cannot be given", answer.path))?;
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
        let ledger = Arc::new(Ledger::default());
        let (stop, stopped) = oneshot::channel();
        let served = ledger.clone();
        let thread =
            std::thread::spawn(move || runtime.block_on(serve(listener, answers, served, stopped)));
        Ok(Self {
            address,
            ledger,
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
        &self.ledger
    }

    /// Waits until every connection has ended and returns the received requests. The proxy must have stopped; data that
    /// it sent can still be unread at that time.
    pub fn finish(mut self) -> Result<Vec<Received>> {
        if let Some(stop) = self.stop.take() {
            // Without its thread, joining that says what is wrong.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread
                .join()
                .map_err(|_| anyhow!("the thread of the upstream panicked"))??;
        }
        Ok(self.ledger.received())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // The run has failed already.
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
    ledger: Arc<Ledger>,
    stopped: oneshot::Receiver<()>,
) -> Result<()> {
    let mut connections = JoinSet::new();
    let accept = async {
        while let Ok((stream, _)) = listener.accept().await {
            let (answers, ledger) = (answers.clone(), ledger.clone());
            let service =
                service_fn(move |request| answer(request, answers.clone(), ledger.clone()));
            let connection = hyper::server::conn::http1::Builder::new()
                // The date is nobody's business here, and no answer's.
                .auto_date_header(false)
                .serve_connection(TokioIo::new(stream), service);
            // A proxy may break a connection off; the client's side of it is what a scenario looks at.
            connections.spawn(async move { drop(connection.await) });
        }
    };
    let told = tokio::select! {
        // In this order: a connection that waits to be accepted is one that was made before.
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
    ledger: Arc<Ledger>,
) -> Result<Reply> {
    let (head, mut body) = request.into_parts();
    let path = head
        .uri
        .path_and_query()
        .map_or_else(String::new, ToString::to_string);
    let number = ledger.arrive(Received {
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
    ledger.complete(number, |received| {
        received.body = Octets(whole.clone());
        received.trailers = listed(&trailers);
    });
    match &*answers {
        Answers::Played(answers) => reply(answers.iter().find(|answer| answer.path == path)),
        Answers::Echo(echo) => ask(echo.local_addr(), head, whole).await,
    }
}

/// Returns the echo server's response to the same request. Trailers are ignored.
async fn ask(echo: SocketAddr, head: Parts, body: Vec<u8>) -> Result<Reply> {
    let stream = tokio::net::TcpStream::connect(echo).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Its error is that of the response's body.
    tokio::spawn(async move { drop(connection.await) });
    let request = Request::from_parts(head, Full::new(Bytes::from(body)));
    Ok(sender.send_request(request).await?.map(Given::Echo))
}

/// Builds the response. The status is 404 if the scenario defines none.
fn reply(answer: Option<&Answer>) -> Result<Reply> {
    let Some(answer) = answer else {
        let body = Full::new(Bytes::from_static(
            b"the scenario has no answer for this path",
        ));
        return Ok(Response::builder().status(404).body(Given::Whole(body))?);
    };
    let body = if answer.chunks.is_empty() {
        Given::Whole(Full::new(Bytes::from(answer.body.0.clone())))
    } else {
        let chunks = answer.chunks.iter();
        let mut frames: Vec<_> = chunks
            .map(|chunk| Frame::data(Bytes::from(chunk.0.clone())))
            .collect();
        if !answer.trailers.is_empty() {
            frames.push(Frame::trailers(fields(&answer.trailers)?));
        }
        Given::Chunks(frames.into_iter())
    };
    let mut response = Response::builder().status(answer.status).body(body)?;
    *response.headers_mut() = fields(&answer.headers)?;
    for name in fields(&answer.trailers)?.keys() {
        let name = HeaderValue::from_name(name.clone());
        response.headers_mut().append(TRAILER, name);
    }
    Ok(response)
}

impl Body for Given {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Given::Whole(body) => Pin::new(body)
                .poll_frame(context)
                .map_err(|never| match never {}),
            Given::Chunks(frames) => Poll::Ready(frames.next().map(Ok)),
            Given::Echo(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Given::Whole(body) => body.is_end_stream(),
            Given::Chunks(frames) => frames.len() == 0,
            Given::Echo(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Given::Whole(body) => body.size_hint(),
            Given::Chunks(_) => SizeHint::default(),
            Given::Echo(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
