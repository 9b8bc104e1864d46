//! An upstream that responds with the request that it received, for trying out plugins.
//!
//! | path | answer |
//! |---|---|
//! | `/status/CODE` | that status, 200 to 599, and no body |
//! | `/bytes/N` | N bytes of the alphabet over and over, with `content-length` |
//! | `/chunks/N` | N lines `chunk 1`, `chunk 2` ..., one chunk each, then the trailer `x-chunks: N` |
//! | `/response-headers?NAME=VALUE&...` | the request as below, with these fields in the response's head |
//! | any other | the request as below |
//!
//! N is at most 100 MB, or one million chunks. A request with a body of more than 10 MB receives status 413. A request
//! is represented as JSON:
//!
//! ```json
//! {"method": "POST", "path": "/a?b=c", "headers": [["host", "example.com"], ["x-name", "one"], ["x-name", "two"]], "body": "text"}
//! ```
//!
//! Fields with the same name are adjacent and in order. Values and bodies do not have to be UTF-8: a byte that is not
//! part of a character is shown as `\xNN`, and a backslash is doubled, so that different bytes have different
//! representations. `%NN` in a query stands for any byte.

use std::borrow::Cow;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TRAILER};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::sync::watch;

use crate::proxy::accept::listen;

const MAX_BYTES: usize = 100_000_000;
const MAX_CHUNKS: usize = 1_000_000;

/// The maximum size of a request body.
const MAX_REQUEST_BODY: usize = 10_000_000;
const X_CHUNKS: HeaderName = HeaderName::from_static("x-chunks");

/// A running echo server. Dropping it stops it.
pub struct EchoServer {
    address: SocketAddr,
    stop: watch::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

// === impl EchoServer ===

impl EchoServer {
    /// Starts the server on a separate thread.
    pub fn start(at: SocketAddr) -> io::Result<EchoServer> {
        let listener = listen(at)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, mut stopped) = watch::channel(());
        let thread = std::thread::Builder::new()
            .name("tidegate-echo".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        // The value never changes: this waits for the sender to be dropped.
                        _ = stopped.changed() => {}
                        () = accept(listener) => {}
                    }
                });
            })?;
        Ok(EchoServer {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// Returns the address on which the server listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        self.stop = watch::Sender::new(());
        if let Some(thread) = self.thread.take() {
            // The thread's result carries nothing that could still be used.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: tokio::net::TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Most likely out of file descriptors. Without a pause, this would be a busy loop until some are closed.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        // Without this option, a connection is slow but works.
        let _ = stream.set_nodelay(true);
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service_fn(handle_request));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = &error as &dyn Error, "echo: connection closed");
            }
        });
    }
}

async fn handle_request(
    request: Request<Incoming>,
) -> Result<Response<EchoBody>, Box<dyn Error + Send + Sync>> {
    let (head, mut body) = request.into_parts();
    // The body is read to its end whatever the response, so that the connection can be reused.
    let body = match Limited::new(&mut body, MAX_REQUEST_BODY).collect().await {
        Ok(whole) => whole.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            while body.frame().await.transpose()?.is_some() {}
            return Ok(error_response(
                StatusCode::PAYLOAD_TOO_LARGE,
                b"the request is too large for the echo server\n",
            ));
        }
        Err(error) => return Err(error),
    };
    let path = head.uri.path();
    let answer = if let Some(code) = path.strip_prefix("/status/") {
        code.parse().ok().and_then(status_response)
    } else if let Some(count) = path.strip_prefix("/bytes/") {
        count.parse().ok().and_then(bytes_response)
    } else if let Some(count) = path.strip_prefix("/chunks/") {
        count.parse().ok().and_then(chunks_response)
    } else {
        describe_request(&head, &body)
    };
    Ok(answer.unwrap_or_else(|| {
        error_response(
            StatusCode::BAD_REQUEST,
            b"invalid request for the echo server: a value is not valid or too large\n",
        )
    }))
}

fn error_response(status: StatusCode, why: &'static [u8]) -> Response<EchoBody> {
    let mut response = Response::new(EchoBody::Full(Bytes::from_static(why)));
    *response.status_mut() = status;
    response
}

fn status_response(code: u16) -> Option<Response<EchoBody>> {
    let mut response = Response::new(EchoBody::Full(Bytes::new()));
    *response.status_mut() = StatusCode::from_u16(code)
        .ok()
        .filter(|_| (200..600).contains(&code))?;
    Some(response)
}

fn bytes_response(count: usize) -> Option<Response<EchoBody>> {
    // `collect` allocates room for all bytes first, so a count that is too large has to be rejected before that.
    if count > MAX_BYTES {
        return None;
    }
    let bytes: Vec<u8> = (b'a'..=b'z').cycle().take(count).collect();
    Some(Response::new(EchoBody::Full(bytes.into())))
}

fn chunks_response(count: usize) -> Option<Response<EchoBody>> {
    let mut response = Response::new(EchoBody::Chunks { next: 1, count });
    response
        .headers_mut()
        .insert(TRAILER, HeaderValue::from_name(X_CHUNKS));
    (count <= MAX_CHUNKS).then_some(response)
}

fn describe_request(head: &http::request::Parts, body: &[u8]) -> Option<Response<EchoBody>> {
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), escape_bytes(value.as_bytes())))
        .collect();
    let path = head
        .uri
        .path_and_query()
        .map_or("", http::uri::PathAndQuery::as_str);
    let description = json!({ "method": head.method.as_str(), "path": path, "headers": headers, "body": escape_bytes(body) });
    let mut response = Response::new(EchoBody::Full(Bytes::from(format!("{description:#}\n"))));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if head.uri.path() == "/response-headers" {
        for pair in head
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = HeaderName::from_bytes(&percent_decode(name)).ok()?;
            response
                .headers_mut()
                .append(name, HeaderValue::from_bytes(&percent_decode(value)).ok()?);
        }
    }
    Some(response)
}

/// Converts bytes to text. Different bytes have different text.
fn escape_bytes(bytes: &[u8]) -> Cow<'_, str> {
    if !bytes.contains(&b'\\')
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return text.into();
    }
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', r"\\"));
        for byte in chunk.invalid() {
            text.push_str(&format!(r"\x{byte:02x}"));
        }
    }
    text.into()
}

/// Decodes a part of a query. A `%` that does not begin an escape sequence is kept.
fn percent_decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escape = (first == b'%')
            .then(|| parse_hex_byte(after.get(..2)?))
            .flatten();
        match escape {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

fn parse_hex_byte(digits: &[u8]) -> Option<u8> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

enum EchoBody {
    Full(Bytes),
    Chunks { next: usize, count: usize },
}

impl Body for EchoBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => None,
            Self::Full(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Self::Chunks { next, count } if *next <= *count => {
                let line = format!("chunk {next}\n");
                *next += 1;
                Some(Ok(Frame::data(line.into())))
            }
            Self::Chunks { next, count } if *next == *count + 1 => {
                *next += 1;
                Some(Ok(Frame::trailers(HeaderMap::from_iter([(
                    X_CHUNKS,
                    HeaderValue::from(*count),
                )]))))
            }
            Self::Chunks { .. } => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_empty(),
            Self::Chunks { next, count } => *next > *count + 1,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Chunks { .. } => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_is_injective() {
        assert_eq!(escape_bytes(b"plain"), "plain");
        assert_eq!(escape_bytes("zoë".as_bytes()), "zoë");
        assert_eq!(escape_bytes(b"a\xffb"), r"a\xffb");
        assert_eq!(escape_bytes(br"a\xffb"), r"a\\xffb");
    }

    #[test]
    fn unescaped_decodes_any_byte_and_keeps_invalid_escapes() {
        assert_eq!(percent_decode("a%20b%ff"), b"a b\xff");
        assert_eq!(percent_decode("100%"), b"100%");
        assert_eq!(percent_decode("%zz%+1"), b"%zz%+1");
    }
}
