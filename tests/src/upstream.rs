//! The server behind the proxy, where a scenario says what it answers: it plays the answers and writes down what it received.
//!
//! It is a server on a real socket, the same for every home. Scenarios without answers of their own get the host's echo
//! server instead.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use crate::octets::Octets;
use crate::scenario::Answer;
use crate::transcript::Received;

type Record = Arc<Mutex<Vec<Received>>>;
type Reply = Response<Given>;

/// A response's body.
enum Given {
    /// With its length.
    Whole(Full<Bytes>),
    /// Without, chunk by chunk.
    Chunks(std::vec::IntoIter<Bytes>),
}

/// A server that plays answers; it stops when dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    received: Record,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    /// Starts it on a port of the system's choice.
    pub fn start(answers: &[Answer]) -> Result<Self> {
        for answer in answers {
            reply(Some(answer))
                .with_context(|| format!("the answer for {} cannot be given", answer.path))?;
        }
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
        let received = Record::default();
        let (stop, stopped) = oneshot::channel();
        let (answers, record) = (Arc::new(answers.to_vec()), received.clone());
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, answers, record) => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self {
            address,
            received,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has received so far.
    pub fn received(&self) -> Vec<Received> {
        self.received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // Its panic would have failed the exchange already.
            let _ = thread.join();
        }
    }
}

/// What the host's echo server received, told from its answer; nothing if the body is not such an answer.
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
    })
}

/// The echo server writes a byte that is no part of a character as `\xNN`, and a backslash as two.
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

async fn serve(listener: tokio::net::TcpListener, answers: Arc<Vec<Answer>>, record: Record) {
    while let Ok((stream, _)) = listener.accept().await {
        let (answers, record) = (answers.clone(), record.clone());
        let service = service_fn(move |request| answer(request, answers.clone(), record.clone()));
        let connection = hyper::server::conn::http1::Builder::new()
            // The date is nobody's business here, and no answer's.
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), service);
        // A proxy may break a connection off; the client's side of it is what a scenario looks at.
        tokio::spawn(async move { drop(connection.await) });
    }
}

async fn answer(
    request: Request<Incoming>,
    answers: Arc<Vec<Answer>>,
    record: Record,
) -> Result<Reply> {
    let (head, body) = request.into_parts();
    let fields = head.headers.iter();
    let mut received = Received {
        method: head.method.to_string(),
        path: head
            .uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string),
        headers: fields
            .map(|(name, value)| (name.as_str().to_owned(), Octets::from(value.as_bytes())))
            .collect(),
        body: Octets::default(),
    };
    received.body = Octets(body.collect().await?.to_bytes().to_vec());
    let answer = answers.iter().find(|answer| answer.path == received.path);
    record
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(received);
    reply(answer)
}

/// The answer as a response; 404 where the scenario has none.
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
        let chunks: Vec<_> = answer
            .chunks
            .iter()
            .map(|chunk| Bytes::from(chunk.0.clone()))
            .collect();
        Given::Chunks(chunks.into_iter())
    };
    let mut response = Response::builder().status(answer.status).body(body)?;
    for (name, value) in &answer.headers {
        let name = HeaderName::try_from(name.as_str())
            .map_err(|_| anyhow!("`{name}` is no header name"))?;
        let value = HeaderValue::from_bytes(&value.0)
            .map_err(|_| anyhow!("`{value}` is no header value"))?;
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

impl Body for Given {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Given::Whole(body) => Pin::new(body).poll_frame(context),
            Given::Chunks(chunks) => Poll::Ready(chunks.next().map(|chunk| Ok(Frame::data(chunk)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Given::Whole(body) => body.is_end_stream(),
            Given::Chunks(chunks) => chunks.len() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Given::Whole(body) => body.size_hint(),
            Given::Chunks(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echo_is_read_back_to_bytes() {
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
