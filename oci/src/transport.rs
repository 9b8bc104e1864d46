//! Sends a single HTTP request and reads the response, with limits on size and time. TLS is initialized only when it is
//! needed.
//!
//! Redirects are followed here and not by the underlying HTTP library, because the target determines whether TLS is needed
//! and whether it is still safe to send credentials.
//!
//! Authentication, the choice of requests and the interpretation of responses are the task of `registry`. Requests are not
//! retried here.

use std::cell::OnceCell;
use std::fmt::Display;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::request::Builder;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use ureq::tls::{Certificate, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, SendBody};

use crate::digest::Digest;
use crate::error::{Error, shortened};
use crate::inner::{LinkLocal, PublicResolver, is_followed};

/// The progress of a blob transfer.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Transfer<'a> {
    /// The digest of the blob.
    pub digest: &'a Digest,
    /// The direction of the transfer.
    pub direction: Direction,
    /// The number of bytes transferred so far. It restarts at zero if the transfer is restarted.
    pub done: u64,
    /// The total number of bytes.
    pub total: u64,
}

/// The direction of a blob transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// An upload to the registry.
    Up,
    /// A download from the registry.
    Down,
}

/// A callback that is notified of the progress of transfers.
pub type Watcher = Box<dyn Fn(Transfer<'_>)>;

pub(crate) struct Transport {
    plain: Agent,
    /// Created on first use, because reading the system's certificates takes time and access to the local machine does not
    /// need them.
    tls: OnceCell<Agent>,
    is_loopback: bool,
    timeout: Duration,
    deadline: Instant,
    watcher: Option<Watcher>,
}

/// An HTTP request.
#[derive(Clone)]
pub(crate) struct Ask<'a> {
    pub method: Method,
    pub uri: Uri,
    pub accept: Option<&'static str>,
    pub authorization: Option<HeaderValue>,
    /// The content type and the body.
    pub body: Option<(&'static str, &'a [u8])>,
    /// The maximum size of the response.
    pub limit: u64,
    /// The blob that the request uploads or downloads.
    pub blob: Option<&'a Digest>,
    /// A description of the request, for use in messages.
    pub what: String,
}

/// An HTTP response with any status.
pub(crate) struct Answer {
    /// The address that sent the response, after all redirects.
    pub from: Uri,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// The timeout for establishing a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// The maximum number of redirects. Registries redirect to the location of a blob once or twice.
const MAX_REDIRECTS: usize = 5;

/// The maximum size of the response to a failed request.
const MAX_COMPLAINT: u64 = 64 * 1024;

/// The maximum initial allocation for a response, regardless of the announced size.
const FIRST_CAPACITY: u64 = 1024 * 1024;

// === impl Transport ===

impl Transport {
    /// Creates a transport for requests to one host and the hosts that it redirects to.
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

    /// Returns the time that remains for all further requests.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Sends a request and reads the response, following redirects.
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

    /// Returns the HTTP agent for an address, and initializes TLS if it is needed.
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
                // The remainder of an error response is not needed.
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

    /// Classifies errors into those that may succeed on a retry and those that will not.
    fn failure(&self, host: &str, error: ureq::Error) -> Error {
        use ureq::Timeout::{Connect, Resolve};
        let host = host.to_owned();
        let says = |message: &dyn Display| shortened(&message.to_string());
        if let ureq::Error::Io(error) = &error
            && let Some(address) = link_local(error)
        {
            return Error::LinkLocal { host, address };
        }
        match error {
            ureq::Error::Timeout(Connect | Resolve) => Error::Connection {
                host,
                message: format!("connection timed out after {} seconds", CONNECT.as_secs()),
            },
            ureq::Error::Timeout(_) => self.timed_out(&host),
            // Errors of the TLS library arrive here. The most common cause is a server without TLS.
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
        // The loopback address of a proxy is that of another machine.
        config = config.proxy(None);
    }
    Agent::with_parts(
        config.build(),
        DefaultConnector::new(),
        PublicResolver::default(),
    )
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

/// Returns the target of a redirect, if it is at least as safe as the redirecting address.
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

/// Resolves a location to an `http` or `https` address. Returns `None` if it is not one, or if it downgrades from TLS.
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

fn link_local(error: &io::Error) -> Option<IpAddr> {
    let inner = error.get_ref()?.downcast_ref::<LinkLocal>()?;
    Some(inner.0)
}

fn is_no_tls(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|it| it.downcast_ref());
    matches!(inner, Some(rustls::Error::InvalidMessage(_)))
}

/// Returns whether two addresses have the same origin. An explicit default port is equivalent to an omitted port.
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

/// Returns the host of an address, including its port.
pub(crate) fn host(uri: &Uri) -> String {
    uri.authority()
        .map(|authority| authority.as_str().rsplit('@').next().unwrap_or_default())
        .unwrap_or_default()
        .to_owned()
}

/// A request body that is being uploaded.
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
