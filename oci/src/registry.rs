//! An OCI distribution protocol client, which uploads and downloads manifests and blobs and verifies their digests.
//!
//! Temporary failures are retried a limited number of times within the deadline. Uploads are retried from the beginning,
//! because it is unspecified what a registry keeps of an interrupted upload. If a registry sends `Retry-After`, no request
//! is sent before the specified time.
//!
//! This client is not based on an existing library: `oci-client` reads manifests, tokens and error responses of any length
//! into memory, panics on an upload `Location` or a token that it cannot parse, and requests a token before each request to
//! a registry that does not require one.

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

/// Options for accessing a registry.
pub struct Access {
    /// The credentials to use.
    pub credentials: Credentials,
    /// Whether to access remote registries without TLS. Registries on the local machine are always accessed without TLS.
    pub plain_http: bool,
    /// The time limit for all requests together.
    pub timeout: Duration,
    /// A callback that is notified of the progress of blob transfers.
    pub watcher: Option<Watcher>,
}

/// A repository in a registry.
pub struct Registry {
    transport: Transport,
    credentials: Credentials,
    host: String,
    repository: String,
    is_https: bool,
    may_be_plain: bool,
    /// The actions to request in the scope of a token, if the registry requires one.
    actions: &'static str,
    authorization: Option<HeaderValue>,
    /// The location that the registry specified for authentication, if Istio's agent refuses to use it.
    unsafe_realm: Option<String>,
}

/// A manifest as received from the registry.
pub(crate) struct Raw {
    pub bytes: Vec<u8>,
    pub media_type: String,
    pub digest: Digest,
}

/// The maximum size of a manifest according to the distribution specification.
const MAX_MANIFEST: u64 = 4 * 1024 * 1024;

/// The maximum number of attempts, and the delay before the first retry. The delay doubles with each further retry.
const ATTEMPTS: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// The longest `Retry-After` delay that is honored. If a registry asks for a longer delay, the operation fails.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The maximum size of a response to an upload request, whose content is not used.
const MAX_RECEIPT: u64 = 64 * 1024;

/// The header in which registries report the digest of the stored content.
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
    /// Creates a client for the repository in `reference`. No request is sent yet, but the time limit starts.
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

    /// Returns the registry's host, for use in messages.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Returns the location that the registry specified for authentication, if Istio's agent would have refused to use it.
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
        // A tag refers to whatever the registry returns; a digest must match.
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

    /// Fetches a blob and verifies that it has the size and the digest in its descriptor.
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
                // Receiving more than was announced is a size mismatch, not an exceeded limit.
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

    /// Requests write permission in addition to read permission from now on.
    pub(crate) fn begin_writing(&mut self) {
        if self.actions != "pull,push" {
            self.actions = "pull,push";
            self.authorization = None;
        }
    }

    /// Returns whether the registry already has a blob. An incomplete blob is an error, because no client would upload it
    /// again.
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

    /// Uploads a blob.
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

    /// Uploads a manifest under a tag.
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

    /// Sends a request, with the authentication that the registry requires. Credentials are not sent to other hosts.
    fn send(&mut self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let mut ask = ask.clone();
        if self.is_ours(&ask.uri) {
            ask.authorization = self.authorization.clone();
        }
        let answer = self.transport.send(&ask)?;
        // Only the registry itself may request authentication.
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
        // Repeating the same request would fail again.
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

    /// Returns the location at which an upload continues, as specified by the registry. It may be on another host.
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

    /// Converts every response other than the expected one to the corresponding error.
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

    /// Retries an operation while a retry may succeed, but not earlier than the registry permits.
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
            // A retry before the specified time would only be harmful. The error reports the delay to the caller.
            if wait > LONGEST_WAIT || wait >= self.transport.left() {
                return Err(error);
            }
            thread::sleep(wait);
            least *= 2;
        }
        attempt(self)
    }
}
