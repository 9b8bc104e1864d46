//! Errors of operations on a registry.
//!
//! Reasons why Istio's agent would reject an image are not errors but findings: see [`Refusal`](crate::Refusal).

use std::time::Duration;

use crate::digest::Digest;

/// An error returned when an operation on a registry fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection could not be established or was interrupted.
    #[error("cannot reach `{host}`: {message}")]
    Connection {
        /// The host of the request.
        host: String,
        /// A description of the network error.
        message: String,
    },
    /// The response is not valid HTTP, or redirects to a location that is not permitted.
    #[error("invalid response from `{host}`: {message}")]
    Protocol {
        /// The host of the request.
        host: String,
        /// A description of the problem.
        message: String,
    },
    /// The registry redirects to a non-public address, which Istio's agent does not follow.
    #[error(
        "`{host}` redirects to `{to}`, a private, loopback or link-local address, and Istio's agent does not follow such a redirect: let the registry redirect to a public address, or serve blobs itself"
    )]
    InnerRedirect {
        /// The host that sent the redirect.
        host: String,
        /// The target of the redirect.
        to: String,
    },
    /// The host has only link-local addresses, to which newer releases of Istio's agent do not connect.
    #[error(
        "`{host}` has the link-local address {address}, and newer releases of Istio's agent do not connect to such addresses: use a registry with another address"
    )]
    LinkLocal {
        /// The host of the request.
        host: String,
        /// Its address.
        address: std::net::IpAddr,
    },
    /// The operation timed out.
    #[error("timed out after {} seconds while waiting for `{host}`", limit.as_secs_f32())]
    Timeout {
        /// The host of the request.
        host: String,
        /// The time limit.
        limit: Duration,
    },
    /// The response has an error status or an unexpected status.
    #[error(
        "`{host}` returned {status} for {action}{}{}",
        said(message),
        later(retry_after)
    )]
    Status {
        /// The host of the request.
        host: String,
        /// The operation that was attempted.
        action: String,
        /// The HTTP status code.
        status: u16,
        /// The error message in the response.
        message: String,
        /// The delay before the next attempt that the registry asks for, if any.
        retry_after: Option<Duration>,
    },
    /// The requested object does not exist.
    #[error("`{host}` has no {what}{}", said(message))]
    NotFound {
        /// The host of the request.
        host: String,
        /// The object that was requested.
        what: String,
        /// The error message in the response.
        message: String,
    },
    /// The registry requires credentials, and none are available.
    #[error(
        "`{host}` requires credentials for {action}, and none were found; pass `--username` and `--password-stdin`, or run `docker login {host}`"
    )]
    CredentialsMissing {
        /// The host that requires credentials.
        host: String,
        /// The operation that was attempted.
        action: String,
    },
    /// The registry rejects the credentials.
    #[error(
        "`{host}` rejects the credentials{} for {action}{}",
        of(user),
        said(message)
    )]
    CredentialsRefused {
        /// The host that rejects the credentials.
        host: String,
        /// The user name of the credentials, if any.
        user: Option<String>,
        /// The operation that was attempted.
        action: String,
        /// The error message in the response.
        message: String,
    },
    /// The registry requires an unsupported authentication scheme.
    #[error(
        "`{host}` requires authentication by `{challenge}`; only Basic and Bearer are supported"
    )]
    Challenge {
        /// The host that requires authentication.
        host: String,
        /// The challenge in the response.
        challenge: String,
    },
    /// Credentials are not sent to the token service that the registry specifies.
    #[error(
        "`{host}` refers to the token service `{realm}`, {why}: credentials are not sent there"
    )]
    Realm {
        /// The host that specifies the token service.
        host: String,
        /// The address of the token service.
        realm: String,
        /// Why credentials are not sent to this address.
        why: &'static str,
    },
    /// The token service did not return a valid token.
    #[error("cannot get a token for `{host}` from `{realm}`: {message}")]
    Token {
        /// The host that the token is for.
        host: String,
        /// The address of the token service.
        realm: String,
        /// A description of the problem.
        message: String,
    },
    /// The registry specifies an upload location to which no data is sent.
    #[error("`{host}` redirects an upload to `{location}`, which is not allowed")]
    Location {
        /// The host that specifies the location.
        host: String,
        /// The upload location.
        location: String,
    },
    /// The response exceeds a size limit.
    #[error("`{host}` sent more than {limit} bytes for {what}")]
    TooLarge {
        /// The host that sent the response.
        host: String,
        /// The object that was requested.
        what: String,
        /// The limit in bytes.
        limit: u64,
        /// The size that the response announced, if any.
        announced: Option<u64>,
    },
    /// The size of the object differs from the size in the manifest.
    #[error(
        "`{host}` sent {} for {what}, but its size in the manifest is {expected} bytes",
        bytes(*found, *expected)
    )]
    Size {
        /// The host that sent the response.
        host: String,
        /// The object that was requested.
        what: String,
        /// The size in the manifest.
        expected: u64,
        /// The size that was received or announced. `None` if the data exceeds the expected size and no size was announced,
        /// because the excess is not counted.
        found: Option<u64>,
    },
    /// The received bytes do not match the requested digest.
    #[error("`{host}` sent the wrong content for {what}: the digest of the content is {found}")]
    Corrupt {
        /// The host that sent the response.
        host: String,
        /// The object that was requested.
        what: String,
        /// The digest of the received bytes.
        found: Digest,
    },
    /// The response is not a valid manifest.
    #[error("`{host}` sent an invalid manifest for {what}")]
    Manifest {
        /// The host that sent the response.
        host: String,
        /// The object that was requested.
        what: String,
        /// The cause of the error.
        #[source]
        source: serde_json::Error,
    },
    /// The registry reports a different digest for the stored object than for the one that was sent.
    #[error(
        "`{host}` stored content with the digest {found}, but the digest of the pushed content is {expected}"
    )]
    Kept {
        /// The host of the registry.
        host: String,
        /// The digest of the object that was sent.
        expected: Digest,
        /// The digest that the registry reports.
        found: String,
    },
    /// The registry has a blob with the expected digest but a different size.
    #[error(
        "`{host}` has {found} bytes of {what}, whose size is {expected} bytes: the storage of the registry is corrupt; delete the blob there, then push again"
    )]
    Damaged {
        /// The host of the registry.
        host: String,
        /// The description of the blob.
        what: String,
        /// The expected size of the blob.
        expected: u64,
        /// The size of the blob in the registry.
        found: u64,
    },
    /// No root certificates are available to verify the registry's certificate.
    #[error(
        "this machine has no root certificates to verify a registry's certificate with: {message}"
    )]
    Certificates {
        /// A description of the problem.
        message: String,
    },
}

/// The maximum length of an error message from a registry that is passed on.
const MAX_MESSAGE: usize = 300;

// === impl Error ===

impl Error {
    /// Returns whether the operation may succeed if it is retried.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Connection { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// Returns the delay before the next attempt that the registry asks for.
    pub(crate) fn retry_after(&self) -> Duration {
        match self {
            Self::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }
}

/// Extracts the error message from a response body, shortened for display.
pub(crate) fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Envelope {
        errors: Vec<Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let text = match serde_json::from_slice::<Envelope>(body) {
        Ok(envelope) => {
            let entries = envelope.errors.iter();
            let said = entries.map(|entry| format!("{} ({})", entry.message, entry.code));
            said.collect::<Vec<_>>().join(", ")
        }
        // An HTML page contains no useful error message.
        Err(_) if body.trim_ascii_start().starts_with(b"<") => String::new(),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    shortened(&text)
}

/// Shortens text from a registry for display.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn said(message: &str) -> String {
    match message {
        "" => String::new(),
        message => format!(": {message}"),
    }
}

fn later(retry_after: &Option<Duration>) -> String {
    match retry_after {
        Some(wait) => format!("; retry after {} s", wait.as_secs()),
        None => String::new(),
    }
}

fn bytes(found: Option<u64>, expected: u64) -> String {
    match found {
        Some(found) => format!("{found} bytes"),
        None => format!("more than {expected} bytes"),
    }
}

fn of(user: &Option<String>) -> String {
    match user {
        Some(user) => format!(" of `{user}`"),
        None => String::new(),
    }
}
