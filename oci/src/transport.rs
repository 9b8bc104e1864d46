//! One request and its answer over HTTP: bounded in size and time, with TLS set up only where it is used.
//!
//! Redirects are followed here, and not by the library below: where they lead decides whether TLS is needed, and whether it is
//! still safe to say who asks.
//!
//! Who authenticates, what is asked for and what an answer means is `registry`'s to know. Nothing is tried again here.

use std::cell::OnceCell;
use std::fmt::Display;
use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::request::Builder;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use ureq::tls::{Certificate, TlsConfig};
use ureq::{Agent, Body, SendBody};

use crate::digest::Digest;
use crate::error::{Error, shortened};
use crate::inner::is_followed;

/// How far a blob has come.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Transfer<'a> {
    /// Which.
    pub digest: &'a Digest,
    /// Where it goes.
    pub direction: Direction,
    /// How many bytes have gone. It begins again where a transfer does.
    pub done: u64,
    /// Of how many.
    pub total: u64,
}

/// Where a blob goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the registry.
    Up,
    /// From the registry.
    Down,
}

/// Who is told how far transfers have come.
pub type Watcher = Box<dyn Fn(Transfer<'_>)>;

pub(crate) struct Transport {
    plain: Agent,
    /// Reading the machine's certificates takes a while, and who speaks to this machine only does without.
    tls: OnceCell<Agent>,
    is_loopback: bool,
    timeout: Duration,
    deadline: Instant,
    watcher: Option<Watcher>,
}

/// A request.
#[derive(Clone)]
pub(crate) struct Ask<'a> {
    pub method: Method,
    pub uri: Uri,
    pub accept: Option<&'static str>,
    pub authorization: Option<HeaderValue>,
    /// What is sent, and as what.
    pub body: Option<(&'static str, &'a [u8])>,
    /// How much is read of the answer.
    pub limit: u64,
    /// The blob that goes up or down by this.
    pub blob: Option<&'a Digest>,
    /// What it is about, for messages.
    pub what: String,
}

/// What came of it, whatever its status.
pub(crate) struct Answer {
    /// Whose answer it is, behind all redirects.
    pub from: Uri,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// A registry sends for blobs to where they are, and that once or twice.
const MAX_REDIRECTS: usize = 5;

/// How much of the answer to a failed request is read.
const MAX_COMPLAINT: u64 = 64 * 1024;

/// What is reserved before anything has come, whatever has been announced.
const FIRST_CAPACITY: u64 = 1024 * 1024;

// === impl Transport ===

impl Transport {
    /// For requests to one host, and to where it leads.
    pub fn new(is_loopback: bool, timeout: Duration, watcher: Option<Watcher>) -> Self {
        Self {
            plain: agent(is_loopback, Vec::new()),
            tls: OnceCell::new(),
            is_loopback,
            timeout,
            deadline: Instant::now() + timeout,
            watcher,
        }
    }

    /// How long there is for everything that is left.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Sends a request and reads the answer, from wherever the registry says.
    pub fn send(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let first = ask.uri.clone();
        let mut ask = ask.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.once(&ask)?;
            let is_question = matches!(ask.method, Method::GET | Method::HEAD);
            if !is_question || !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            let to = redirected(&ask.uri, &answer)?;
            if !is_followed(&first, &to) {
                return Err(Error::InnerRedirect {
                    host: host(&ask.uri),
                    to: shortened(&to.to_string()),
                });
            }
            if !is_same_origin(&to, &ask.uri) {
                ask.authorization = None;
            }
            ask.uri = to;
        }
        Err(Error::Protocol {
            host: host(&ask.uri),
            message: "too many redirects".to_owned(),
        })
    }

    fn once(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let host = host(&ask.uri);
        let left = self.left();
        if left.is_zero() {
            return Err(self.timed_out(&host));
        }
        let agent = self.agent(&ask.uri)?;
        let mut builder = Request::builder()
            .method(ask.method.clone())
            .uri(ask.uri.clone());
        if let Some(accept) = ask.accept {
            builder = builder.header(ACCEPT, accept);
        }
        if let Some(authorization) = &ask.authorization {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        let response = match ask.body {
            Some((media_type, bytes)) => {
                let builder = builder
                    .header(CONTENT_TYPE, media_type)
                    .header(CONTENT_LENGTH, bytes.len());
                let mut upload = Upload {
                    transport: self,
                    ask,
                    bytes,
                    done: 0,
                };
                run(agent, builder, SendBody::from_reader(&mut upload), left)
            }
            None => run(agent, builder, SendBody::none(), left),
        };
        let response = response.map_err(|error| self.failure(&host, error))?;
        let (parts, body) = response.into_parts();
        let status = parts.status.as_u16();
        let body = self.read(ask, &host, parts.status.is_success(), body)?;
        Ok(Answer {
            from: ask.uri.clone(),
            status,
            headers: parts.headers,
            body,
        })
    }

    /// The agent that speaks to a place: with TLS, once that is needed.
    fn agent(&self, uri: &Uri) -> Result<&Agent, Error> {
        if uri.scheme_str() != Some("https") {
            return Ok(&self.plain);
        }
        if let Some(agent) = self.tls.get() {
            return Ok(agent);
        }
        let loaded = rustls_native_certs::load_native_certs();
        if loaded.certs.is_empty() {
            let why = loaded.errors.first().map(ToString::to_string);
            return Err(Error::Certificates {
                message: why.unwrap_or_else(|| "there are none".to_owned()),
            });
        }
        let roots = loaded.certs.iter();
        let roots = roots.map(|root| Certificate::from_der(root.as_ref()).to_owned());
        Ok(self
            .tls
            .get_or_init(|| agent(self.is_loopback, roots.collect())))
    }

    fn read(
        &self,
        ask: &Ask<'_>,
        host: &str,
        is_success: bool,
        mut body: Body,
    ) -> Result<Vec<u8>, Error> {
        if ask.method == Method::HEAD {
            return Ok(Vec::new());
        }
        let limit = if is_success { ask.limit } else { MAX_COMPLAINT };
        let announced = body.content_length();
        let too_large = || Error::TooLarge {
            host: host.to_owned(),
            what: ask.what.clone(),
            limit,
            announced,
        };
        if is_success && announced.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let capacity = announced.unwrap_or_default().min(FIRST_CAPACITY);
        let mut read = Vec::with_capacity(usize::try_from(capacity).unwrap_or_default());
        let mut reader = body.as_reader();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let count = match reader.read(&mut chunk) {
                Ok(0) => return Ok(read),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.failure(host, error.into())),
            };
            read.extend_from_slice(chunk.get(..count).unwrap_or_default());
            let length = read.len() as u64;
            if length > limit {
                if is_success {
                    return Err(too_large());
                }
                // Nobody reads a complaint to its end.
                return Ok(read);
            }
            self.moved(ask, Direction::Down, length, ask.limit);
        }
    }

    fn moved(&self, ask: &Ask<'_>, direction: Direction, done: u64, total: u64) {
        if let (Some(watcher), Some(digest)) = (&self.watcher, ask.blob) {
            watcher(Transfer {
                digest,
                direction,
                done,
                total,
            });
        }
    }

    fn timed_out(&self, host: &str) -> Error {
        Error::Timeout {
            host: host.to_owned(),
            limit: self.timeout,
        }
    }

    /// Sorts what can go wrong into what may go well a moment later, and what will not.
    fn failure(&self, host: &str, error: ureq::Error) -> Error {
        use ureq::Timeout::{Connect, Resolve};
        let host = host.to_owned();
        let says = |message: &dyn Display| shortened(&message.to_string());
        match error {
            ureq::Error::Timeout(Connect | Resolve) => Error::Connection {
                host,
                message: format!("connection timed out after {} seconds", CONNECT.as_secs()),
            },
            ureq::Error::Timeout(_) => self.timed_out(&host),
            // The TLS library's complaints come this way. Most often there is no TLS at all.
            ureq::Error::Io(error) if is_no_tls(&error) => Error::Protocol {
                host,
                message: "it does not support TLS; pass `--plain-http` to use HTTP without TLS"
                    .to_owned(),
            },
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Error::Protocol {
                    host,
                    message: says(&error),
                }
            }
            ureq::Error::Io(error) => Error::Connection {
                host,
                message: says(&error),
            },
            ureq::Error::HostNotFound => Error::Connection {
                host,
                message: "no such host".to_owned(),
            },
            ureq::Error::ConnectionFailed => Error::Connection {
                host,
                message: "no connection".to_owned(),
            },
            error => Error::Protocol {
                host,
                message: says(&error),
            },
        }
    }
}

fn agent(is_loopback: bool, roots: Vec<Certificate<'static>>) -> Agent {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(roots.into())
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(CONNECT))
        .tls_config(tls)
        .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")));
    if is_loopback {
        // A proxy has another loopback.
        config = config.proxy(None);
    }
    config.build().new_agent()
}

fn run(
    agent: &Agent,
    builder: Builder,
    body: SendBody<'_>,
    left: Duration,
) -> Result<Response<Body>, ureq::Error> {
    let request = agent.configure_request(builder.body(body)?);
    agent.run(request.timeout_global(Some(left)).build())
}

/// Where a redirect leads, if that is no less safe than where it was found.
fn redirected(from: &Uri, answer: &Answer) -> Result<Uri, Error> {
    let location = answer.headers.get(LOCATION);
    let location = location.and_then(|it| it.to_str().ok()).unwrap_or_default();
    resolved(from, location).ok_or_else(|| Error::Protocol {
        host: host(from),
        message: format!(
            "it redirects to `{}`, which is not allowed",
            shortened(location)
        ),
    })
}

/// A location as an http or https address, if it is one, and does not lead out of TLS.
pub(crate) fn resolved(from: &Uri, location: &str) -> Option<Uri> {
    let uri: Uri = match location.starts_with('/') && !location.starts_with("//") {
        true => format!("{}://{}{location}", from.scheme_str()?, from.authority()?),
        false => location.to_owned(),
    }
    .parse()
    .ok()?;
    let is_safe = match uri.scheme_str()? {
        "https" => true,
        "http" => from.scheme_str() != Some("https"),
        _ => false,
    };
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    (is_safe && has_host).then_some(uri)
}

fn is_no_tls(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|it| it.downcast_ref());
    matches!(inner, Some(rustls::Error::InvalidMessage(_)))
}

/// Whether two addresses are of one server: a port that goes without saying may be said.
pub(crate) fn is_same_origin(one: &Uri, other: &Uri) -> bool {
    let origin = |uri: &Uri| {
        let default = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        (
            uri.scheme().cloned(),
            host,
            uri.port_u16().unwrap_or(default),
        )
    };
    origin(one) == origin(other)
}

/// The host of an address, with its port.
pub(crate) fn host(uri: &Uri) -> String {
    uri.authority()
        .map(|authority| authority.as_str().rsplit('@').next().unwrap_or_default())
        .unwrap_or_default()
        .to_owned()
}

/// A body on its way up.
struct Upload<'a> {
    transport: &'a Transport,
    ask: &'a Ask<'a>,
    bytes: &'a [u8],
    done: usize,
}

// === impl Upload ===

impl io::Read for Upload<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut left = self.bytes.get(self.done..).unwrap_or_default();
        let count = left.read(into)?;
        self.done += count;
        let (done, total) = (self.done as u64, self.bytes.len() as u64);
        self.transport.moved(self.ask, Direction::Up, done, total);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_scheme_host_and_port() {
        let same = |one: &str, other: &str| {
            let uri = |text: &str| text.parse().expect("an address");
            is_same_origin(&uri(one), &uri(other))
        };
        assert!(same("http://a.b/v2/", "http://A.b:80/x?y"));
        assert!(same("https://a.b", "https://a.b:443/"));
        assert!(!same("https://a.b", "http://a.b:443/"));
        assert!(!same("http://a.b", "http://a.b:443/"));
        assert!(!same("http://a.b:5000", "http://a.b/"));
        assert!(!same("http://a.b", "http://a.c/"));
    }
}
