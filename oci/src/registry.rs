//! A registry by the OCI distribution protocol: manifests and blobs, down and up, each held against its digest.
//!
//! What may go well a moment later is tried again, a few times and only while there is time. An upload is tried again from
//! its beginning, since nobody knows what a registry keeps of one that broke. A registry that says when to come back
//! (`Retry-After`) is not asked before.
//!
//! Why this is no client from a library: `oci-client` reads manifests, tokens and complaints of any length into memory,
//! panics on an upload's `Location` or a token that it cannot parse, and asks for a token before each request to a
//! registry that wants none.

use std::thread;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, Uri};

use crate::auth::{Challenge, Grant, unsafe_realm};
use crate::credentials::Credentials;
use crate::digest::Digest;
use crate::error::{Error, message, shortened};
use crate::image::Image;
use crate::manifest::{ACCEPTED, Descriptor};
use crate::reference::Reference;
use crate::retry_after::retry_after;
use crate::transport::{Answer, Ask, Transport, Watcher, is_same_origin, resolved};

/// How a registry is spoken to.
pub struct Access {
    /// Who asks.
    pub credentials: Credentials,
    /// Whether a registry elsewhere than on this machine is spoken to without TLS. One on this machine always is.
    pub plain_http: bool,
    /// How long all of it together may take.
    pub timeout: Duration,
    /// Who is told how far blobs have come.
    pub watcher: Option<Watcher>,
}

/// One repository in a registry.
pub struct Registry {
    transport: Transport,
    credentials: Credentials,
    host: String,
    repository: String,
    is_https: bool,
    may_be_plain: bool,
    /// What is asked for where a registry wants a token for it.
    actions: &'static str,
    authorization: Option<HeaderValue>,
    /// Where it sent for authentication, if that is no place for Istio's agent.
    unsafe_realm: Option<String>,
}

/// A manifest as it came.
pub(crate) struct Raw {
    pub bytes: Vec<u8>,
    pub media_type: String,
    pub digest: Digest,
}

/// As much as the distribution specification lets a manifest have.
const MAX_MANIFEST: u64 = 4 * 1024 * 1024;

/// How often something is tried, and how long the first wait is; each further one is twice as long.
const ATTEMPTS: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// A registry that wants to be left alone for longer is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Answers to uploads have nothing in them that anyone reads.
const MAX_RECEIPT: u64 = 64 * 1024;

/// The header in which registries say what they keep.
const CONTENT_DIGEST: &str = "docker-content-digest";

// === impl Access ===

impl Default for Access {
    fn default() -> Self {
        Self {
            credentials: Credentials::Anonymous,
            plain_http: false,
            timeout: Duration::from_secs(120),
            watcher: None,
        }
    }
}

// === impl Registry ===

impl Registry {
    /// The repository that a reference is in. Nothing is sent yet, but the time runs.
    pub fn open(reference: &Reference, access: Access) -> Self {
        let Access {
            credentials,
            plain_http,
            timeout,
            watcher,
        } = access;
        let is_loopback = reference.is_loopback();
        let is_https = !plain_http && !is_loopback;
        Self {
            transport: Transport::new(is_loopback, timeout, watcher),
            credentials,
            host: reference.host().to_owned(),
            repository: reference.repository().to_owned(),
            is_https,
            may_be_plain: plain_http,
            actions: "pull",
            authorization: None,
            unsafe_realm: None,
        }
    }

    /// The registry's host, for messages.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Where the registry sent for authentication, if Istio's agent would not have gone there.
    pub(crate) fn unsafe_realm(&self) -> Option<&str> {
        self.unsafe_realm.as_deref()
    }

    /// Fetches a manifest or an index.
    pub(crate) fn manifest(&mut self, reference: &str) -> Result<Raw, Error> {
        let what = format!("`{}` at `{reference}`", self.repository);
        let path = format!("manifests/{reference}");
        let mut ask = self.ask(Method::GET, &path, what)?;
        ask.accept = Some(ACCEPTED);
        ask.limit = MAX_MANIFEST;
        let answer = self.retry(|registry| {
            let answer = registry.send(&ask)?;
            registry.expect(200, &answer, &ask, "the request for")?;
            Ok(answer)
        })?;
        let digest = Digest::of(&answer.body);
        // A tag means what the registry says; a digest means itself.
        if reference.contains(':') && reference != digest.to_string() {
            return Err(Error::Corrupt {
                host: self.host.clone(),
                what: ask.what,
                found: digest,
            });
        }
        let media_type = answer.headers.get(CONTENT_TYPE);
        let media_type = media_type
            .and_then(|it| it.to_str().ok())
            .unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        Ok(Raw {
            media_type: media_type.to_owned(),
            bytes: answer.body,
            digest,
        })
    }

    /// Fetches a blob, which has exactly the size and the digest that its descriptor says.
    pub(crate) fn blob(&mut self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let Descriptor { digest, size, .. } = descriptor;
        let what = format!("the blob `{digest}` of `{}`", self.repository);
        let mut ask = self.ask(Method::GET, &format!("blobs/{digest}"), what)?;
        ask.limit = *size;
        ask.blob = Some(digest);
        let wrong_size = |registry: &Self, found| Error::Size {
            host: registry.host.clone(),
            what: ask.what.clone(),
            expected: *size,
            found,
        };
        self.retry(|registry| {
            let answer = match registry.send(&ask) {
                // More than announced is no matter of a limit.
                Err(Error::TooLarge { announced, .. }) => {
                    return Err(wrong_size(registry, announced));
                }
                other => other?,
            };
            registry.expect(200, &answer, &ask, "the request for")?;
            if answer.body.len() as u64 != *size {
                return Err(wrong_size(registry, Some(answer.body.len() as u64)));
            }
            let found = Digest::of(&answer.body);
            if found != *digest {
                return Err(Error::Corrupt {
                    host: registry.host.clone(),
                    what: ask.what.clone(),
                    found,
                });
            }
            Ok(answer.body)
        })
    }

    /// From now on, what is asked for is leave to write too.
    pub(crate) fn begin_writing(&mut self) {
        if self.actions != "pull,push" {
            self.actions = "pull,push";
            self.authorization = None;
        }
    }

    /// Whether a blob is there already. One that is there by half would not be sent again by anybody.
    pub(crate) fn has_blob(&mut self, digest: &Digest, size: u64) -> Result<bool, Error> {
        let what = format!("the blob `{digest}` of `{}`", self.repository);
        let ask = self.ask(Method::HEAD, &format!("blobs/{digest}"), what)?;
        self.retry(|registry| {
            let answer = registry.send(&ask)?;
            if answer.status == 404 {
                return Ok(false);
            }
            registry.expect(200, &answer, &ask, "the request for")?;
            let found = answer.headers.get(CONTENT_LENGTH);
            let found = found.and_then(|it| it.to_str().ok()?.parse().ok());
            match found {
                Some(found) if found != size => Err(Error::Damaged {
                    host: registry.host.clone(),
                    what: ask.what.clone(),
                    expected: size,
                    found,
                }),
                _ => Ok(true),
            }
        })
    }

    /// Puts a blob there.
    pub(crate) fn put_blob(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        let what = format!("the blob `{digest}` of `{}`", self.repository);
        let mut begin = self.ask(Method::POST, "blobs/uploads/", what.clone())?;
        begin.body = Some(("application/octet-stream", b""));
        self.retry(|registry| {
            let answer = registry.send(&begin)?;
            registry.expect(202, &answer, &begin, "the upload of")?;
            let uri = registry.upload_place(&begin, &answer, digest)?;
            let put = Ask {
                method: Method::PUT,
                uri,
                body: Some(("application/octet-stream", bytes)),
                blob: Some(digest),
                ..begin.clone()
            };
            let answer = registry.send(&put)?;
            registry.expect(201, &answer, &put, "the upload of")
        })
    }

    /// Puts a manifest there, under a tag.
    pub(crate) fn put_manifest(&mut self, tag: &str, image: &Image) -> Result<Digest, Error> {
        let what = format!("`{}` at `{tag}`", self.repository);
        let mut ask = self.ask(Method::PUT, &format!("manifests/{tag}"), what)?;
        ask.body = Some((image.media_type, &image.manifest));
        let answer = self.retry(|registry| {
            let answer = registry.send(&ask)?;
            registry.expect(201, &answer, &ask, "the upload of")?;
            Ok(answer)
        })?;
        let digest = image.digest();
        let kept = answer.headers.get(CONTENT_DIGEST);
        match kept.map(|kept| kept.to_str().unwrap_or_default()) {
            Some(kept) if !kept.is_empty() && kept != digest.to_string() => Err(Error::Kept {
                host: self.host.clone(),
                expected: digest,
                found: shortened(kept),
            }),
            _ => Ok(digest),
        }
    }

    fn ask<'a>(&self, method: Method, path: &str, what: String) -> Result<Ask<'a>, Error> {
        let scheme = if self.is_https { "https" } else { "http" };
        let uri = format!("{scheme}://{}/v2/{}/{path}", self.host, self.repository);
        let uri = uri.parse().map_err(|_| Error::Protocol {
            host: self.host.clone(),
            message: format!("`{uri}` is not a valid URL"),
        })?;
        Ok(Ask {
            method,
            uri,
            accept: None,
            authorization: None,
            body: None,
            limit: MAX_RECEIPT,
            blob: None,
            what,
        })
    }

    /// Sends a request, with what the registry wants to know of who asks. Elsewhere nobody is told.
    fn send(&mut self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let mut ask = ask.clone();
        if self.is_ours(&ask.uri) {
            ask.authorization = self.authorization.clone();
        }
        let answer = self.transport.send(&ask)?;
        // Only the registry itself may ask who that is.
        if answer.status != 401 || !self.is_ours(&answer.from) {
            return Ok(answer);
        }
        let grant = Grant {
            host: &self.host,
            is_https: self.is_https,
            may_be_plain: self.may_be_plain,
            scope: format!("repository:{}:{}", self.repository, self.actions),
        };
        self.unsafe_realm = unsafe_realm(&answer.headers);
        let challenge = Challenge::read(&self.host, &answer.headers)?;
        let header = challenge.answer(&self.transport, &self.credentials, &grant)?;
        // The same again would be refused again.
        if header.is_none() || header == ask.authorization {
            return Ok(answer);
        }
        self.authorization = header.clone();
        ask.authorization = header;
        self.transport.send(&ask)
    }

    fn is_ours(&self, uri: &Uri) -> bool {
        let scheme = if self.is_https { "https" } else { "http" };
        let ours = format!("{scheme}://{}/", self.host).parse();
        ours.is_ok_and(|ours| is_same_origin(&ours, uri))
    }

    /// Where an upload goes on: where the registry says, there or elsewhere.
    fn upload_place(
        &self,
        asked: &Ask<'_>,
        answer: &Answer,
        digest: &Digest,
    ) -> Result<Uri, Error> {
        let location = answer.headers.get(LOCATION);
        let location = location.and_then(|it| it.to_str().ok()).unwrap_or_default();
        let separator = if location.contains('?') { '&' } else { '?' };
        let place = format!("{location}{separator}digest={digest}");
        resolved(&asked.uri, &place).ok_or_else(|| Error::Location {
            host: self.host.clone(),
            location: shortened(location),
        })
    }

    /// Turns every answer but the expected one into what it means.
    fn expect(&self, status: u16, answer: &Answer, ask: &Ask<'_>, deed: &str) -> Result<(), Error> {
        if answer.status == status {
            return Ok(());
        }
        let host = self.host.clone();
        let message = message(&answer.body);
        let action = format!("{deed} {}", ask.what);
        Err(match answer.status {
            401 if self.credentials == Credentials::Anonymous => {
                Error::CredentialsMissing { host, action }
            }
            401 | 403 if self.credentials != Credentials::Anonymous => Error::CredentialsRefused {
                host,
                user: self.credentials.user(),
                action,
                message,
            },
            404 if ask.method == Method::GET => Error::NotFound {
                host,
                what: ask.what.clone(),
                message,
            },
            status => Error::Status {
                host,
                action,
                status,
                message,
                retry_after: retry_after(&answer.headers),
            },
        })
    }

    /// Does something again as long as that may help, and not before the registry wants it.
    fn retry<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut least = FIRST_WAIT;
        for _ in 1..ATTEMPTS {
            let error = match attempt(self) {
                Err(error) if error.is_temporary() => error,
                done => return done,
            };
            let wait = least.max(error.retry_after());
            // Asking sooner than it wants would do nothing but harm; who pushes hears when that is.
            if wait > LONGEST_WAIT || wait >= self.transport.left() {
                return Err(error);
            }
            thread::sleep(wait);
            least *= 2;
        }
        attempt(self)
    }
}
