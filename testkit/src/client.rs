//! A client that sends requests to the proxy, each on a separate connection.
//!
//! Header names and values are sent and reported unmodified, including duplicates and bytes that are not UTF-8. Requests
//! have the same `host` by default, so that runtimes on different ports receive identical requests.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{self, Poll};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::{Body, Frame};
use hyper::header::{HeaderMap, HeaderName, HeaderValue, TRAILER};
use hyper_util::rt::TokioIo;
use tokio::sync::{mpsc, oneshot};

use crate::logbook::STEP;
use crate::octets::Octets;
use crate::transcript::Seen;

/// The `host` of a request whose headers contain none.
pub const HOST: &str = "scenario.test";

/// A request to send.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The method.
    pub method: &'a str,
    /// The path with the query.
    pub path: &'a str,
    /// The headers, in order.
    pub headers: &'a [(String, Octets)],
    /// The body.
    pub body: OutgoingBody,
    /// The trailers. If there are any, the body is sent as one chunk, and the field `trailer` lists their names.
    pub trailers: &'a [(String, Octets)],
}

/// The body of a request.
#[derive(Debug)]
pub enum OutgoingBody {
    /// No body.
    None,
    /// The complete body, sent with its length.
    Whole(Vec<u8>),
    /// A body sent in chunks with [`Call::chunk`].
    Open,
}

/// A request in progress, on a separate thread.
#[derive(Debug)]
pub struct Call {
    request: String,
    chunks: Option<mpsc::UnboundedSender<Frame<Bytes>>>,
    hangup: Option<oneshot::Sender<()>>,
    thread: JoinHandle<Result<Seen>>,
}

/// Sends a request and reads the complete response.
pub fn ask(proxy: SocketAddr, request: Outgoing<'_>) -> Result<Seen> {
    begin(proxy, request)?.finish()
}

/// Starts a request.
pub fn begin(proxy: SocketAddr, outgoing: Outgoing<'_>) -> Result<Call> {
    let name = format!("{} {}", outgoing.method, outgoing.path);
    let mut request = Request::builder()
        .method(outgoing.method)
        .uri(outgoing.path);
    let headers = fields(outgoing.headers)?;
    if !headers.contains_key("host") {
        request = request.header("host", HOST);
    }
    for (name, value) in &headers {
        request = request.header(name, value);
    }
    let trailers = fields(outgoing.trailers)?;
    for name in trailers.keys() {
        request = request.header(TRAILER, name.as_str());
    }
    let (chunks, body) = match outgoing.body {
        OutgoingBody::None if trailers.is_empty() => (None, Sent::Whole(Full::default())),
        OutgoingBody::Whole(bytes) if trailers.is_empty() => (None, Sent::Whole(Full::from(bytes))),
        body @ (OutgoingBody::None | OutgoingBody::Whole(_)) => {
            let (chunks, rest) = mpsc::unbounded_channel();
            if let OutgoingBody::Whole(bytes) = body {
                chunks.send(Frame::data(bytes.into()))?;
            }
            chunks.send(Frame::trailers(trailers))?;
            (None, Sent::Open(rest))
        }
        OutgoingBody::Open => {
            let (chunks, rest) = mpsc::unbounded_channel();
            (Some(chunks), Sent::Open(rest))
        }
    };
    let request = request
        .body(body)
        .with_context(|| format!("`{name}` is not a valid request method or path"))?;
    let (hangup, hung_up) = oneshot::channel();
    let seen = Seen {
        request: name.clone(),
        ..Seen::default()
    };
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let exchange = tokio::time::timeout(STEP, exchange(proxy, request, seen));
            tokio::select! {
                seen = exchange => seen.map_err(|_| anyhow!("no complete response within {STEP:?}"))?,
                // If the sender is dropped without a message, this branch is disabled, and the response is awaited.
                Ok(()) = hung_up => Ok(Seen { broken: true, ..Seen::default() }),
            }
        })
    });
    Ok(Call {
        request: name,
        chunks,
        hangup: Some(hangup),
        thread,
    })
}

/// Converts fields for sending.
pub(crate) fn fields(listed: &[(String, Octets)]) -> Result<HeaderMap> {
    let mut fields = HeaderMap::new();
    for (name, value) in listed {
        let name = HeaderName::try_from(name.as_str())
            .with_context(|| format!("`{name}` is not a valid header name"))?;
        let value = HeaderValue::from_bytes(&value.0)
            .with_context(|| format!("`{value}` is not a valid header value"))?;
        fields.append(name, value);
    }
    Ok(fields)
}

/// Converts received fields.
pub(crate) fn listed(fields: &HeaderMap) -> Vec<(String, Octets)> {
    let fields = fields.iter();
    fields
        .map(|(name, value)| (name.as_str().to_owned(), Octets::from(value.as_bytes())))
        .collect()
}

/// Performs one request and reads its response.
async fn exchange(proxy: SocketAddr, request: Request<Sent>, mut seen: Seen) -> Result<Seen> {
    let stream = tokio::net::TcpStream::connect(proxy)
        .await
        .with_context(|| format!("failed to connect to {proxy}"))?;
    stream
        .set_nodelay(true)
        .context("failed to set TCP_NODELAY")?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // The error of the connection is also that of the request or the body, which are handled below.
    let connection = tokio::spawn(async move { drop(connection.await) });
    let response = match sender.send_request(request).await {
        Ok(response) => response,
        Err(error) if error.is_incomplete_message() || error.is_closed() || is_reset(&error) => {
            seen.broken = true;
            return Ok(seen);
        }
        Err(error) => return Err(error).with_context(|| format!("{} failed", seen.request)),
    };
    seen.status = Some(response.status().as_u16());
    seen.headers = listed(response.headers());
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => match frame.into_data() {
                Ok(data) => seen.body.0.extend_from_slice(&data),
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        seen.trailers = listed(&trailers);
                    }
                }
            },
            Err(_) => {
                seen.broken = true;
                break;
            }
        }
    }
    // Closing the connection before the next request makes runs deterministic.
    drop(sender);
    connection.await.context("the connection's task failed")?;
    Ok(seen)
}

/// Returns whether the proxy closed the connection with a TCP reset.
fn is_reset(error: &hyper::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return matches!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
            );
        }
        cause = error.source();
    }
    false
}

// === impl Call ===

impl Call {
    /// Sends a chunk of the body. If `end` is set, it is the last one. A proxy that has already responded can stop
    /// reading the body; this is not treated as an error, because the scenario checks the response.
    pub fn chunk(&mut self, data: &[u8], end: bool) -> Result<()> {
        let chunks = self.chunks.as_ref().with_context(|| {
            format!(
                "cannot send a chunk of {}: it is not `open`, or its body has ended",
                self.request
            )
        })?;
        if !data.is_empty() {
            let _ = chunks.send(Frame::data(Bytes::copy_from_slice(data)));
        }
        if end {
            self.chunks = None;
        }
        Ok(())
    }

    /// Waits for the end of the response.
    pub fn finish(mut self) -> Result<Seen> {
        self.chunks = None;
        self.join()
    }

    /// Closes the connection, regardless of the state of the exchange.
    pub fn hang_up(mut self) -> Result<()> {
        if let Some(hangup) = self.hangup.take() {
            // This fails if the call has already ended.
            let _ = hangup.send(());
        }
        self.join().map(drop)
    }

    fn join(self) -> Result<Seen> {
        let Self {
            request, thread, ..
        } = self;
        let seen = thread
            .join()
            .map_err(|_| anyhow!("the thread of {request} panicked"))?;
        seen.with_context(|| format!("{request} failed"))
    }
}

/// The body of a request while it is sent.
enum Sent {
    Whole(Full<Bytes>),
    Open(mpsc::UnboundedReceiver<Frame<Bytes>>),
}

impl Body for Sent {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Sent::Whole(body) => Pin::new(body).poll_frame(context),
            Sent::Open(frames) => frames.poll_recv(context).map(|frame| frame.map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Sent::Whole(body) => body.is_end_stream(),
            Sent::Open(_) => false,
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Sent::Whole(body) => body.size_hint(),
            Sent::Open(_) => hyper::body::SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::values;
    use crate::upstream::Upstream;

    #[test]
    fn host_in_the_headers_replaces_the_default() {
        let server = Upstream::start(&[]).expect("a server");
        let other = vec![("Host".to_owned(), Octets(b"other.test".to_vec()))];
        for headers in [Vec::new(), other] {
            let request = Outgoing {
                method: "GET",
                path: "/",
                headers: &headers,
                body: OutgoingBody::None,
                trailers: &[],
            };
            ask(server.address(), request).expect("a response");
        }
        let received = server.finish().expect("requests");
        let hosts: Vec<Vec<String>> = received
            .iter()
            .map(|request| {
                let hosts = values(&request.headers, "host").into_iter();
                hosts.map(ToString::to_string).collect()
            })
            .collect();
        assert_eq!(hosts, [["scenario.test"], ["other.test"]]);
    }
}
