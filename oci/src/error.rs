//! What goes wrong between here and a registry.
//!
//! What Istio's agent would make of an image is no error but a finding: see [`Refusal`](crate::Refusal).

use std::time::Duration;

use crate::digest::Digest;

/// Why a registry did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection, or one that broke.
    #[error("cannot reach `{host}`: {message}")]
    Connection {
        /// Who was asked.
        host: String,
        /// What the network says.
        message: String,
    },
    /// An answer that is no HTTP, or leads to where it must not.
    #[error("invalid response from `{host}`: {message}")]
    Protocol {
        /// Who was asked.
        host: String,
        /// What is wrong.
        message: String,
    },
    /// A redirect to an address that is not public, which Istio's agent does not follow.
    #[error(
        "`{host}` redirects to `{to}`, a private, loopback or link-local address, and Istio's agent does not follow such a redirect: let the registry redirect to a public address, or serve blobs itself"
    )]
    InnerRedirect {
        /// Who redirects.
        host: String,
        /// Where to.
        to: String,
    },
    /// The whole took too long.
    #[error("timed out after {} seconds while waiting for `{host}`", limit.as_secs_f32())]
    Timeout {
        /// Who was asked.
        host: String,
        /// How long it had.
        limit: Duration,
    },
    /// An answer that says no, or does not fit the question.
    #[error(
        "`{host}` answers {status} to {action}{}{}",
        said(message),
        later(retry_after)
    )]
    Status {
        /// Who was asked.
        host: String,
        /// What for.
        action: String,
        /// The status code.
        status: u16,
        /// What the registry says itself.
        message: String,
        /// How long it wants to be left alone, if it says so.
        retry_after: Option<Duration>,
    },
    /// Nothing there.
    #[error("`{host}` has no {what}{}", said(message))]
    NotFound {
        /// Who was asked.
        host: String,
        /// What for.
        what: String,
        /// What the registry says itself.
        message: String,
    },
    /// Credentials are wanted, and there are none.
    #[error(
        "`{host}` requires credentials for {action}, and none were found; pass `--username` and `--password-stdin`, or run `docker login {host}`"
    )]
    CredentialsMissing {
        /// Who wants them.
        host: String,
        /// What for.
        action: String,
    },
    /// The credentials do not do.
    #[error(
        "`{host}` refuses the credentials{} for {action}{}",
        of(user),
        said(message)
    )]
    CredentialsRefused {
        /// Who refuses them.
        host: String,
        /// Whose they are, if they have a name.
        user: Option<String>,
        /// What for.
        action: String,
        /// What the registry says itself.
        message: String,
    },
    /// A way to authenticate that is not known here.
    #[error(
        "`{host}` requires authentication by `{challenge}`; only Basic and Bearer are supported"
    )]
    Challenge {
        /// Who wants it.
        host: String,
        /// What it said.
        challenge: String,
    },
    /// A place for tokens to which no credentials are sent.
    #[error("`{host}` refers to `{realm}` for a token, {why}: credentials are not sent there")]
    Realm {
        /// Who sends there.
        host: String,
        /// Where to.
        realm: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not a token where one was to be.
    #[error("cannot get a token for `{host}` from `{realm}`: {message}")]
    Token {
        /// For whom.
        host: String,
        /// Who was asked.
        realm: String,
        /// What is wrong.
        message: String,
    },
    /// An upload that is to go where nothing is sent.
    #[error("`{host}` redirects an upload to `{location}`, which is not allowed")]
    Location {
        /// Who sends there.
        host: String,
        /// Where to.
        location: String,
    },
    /// More than there may be.
    #[error("`{host}` sent more than {limit} bytes for {what}")]
    TooLarge {
        /// Who sends it.
        host: String,
        /// What it should be.
        what: String,
        /// How much there may be.
        limit: u64,
        /// How much was announced, if anything was.
        announced: Option<u64>,
    },
    /// Another size than announced.
    #[error(
        "`{host}` sent {} for {what}, which has {expected} according to the manifest",
        bytes(*found, *expected)
    )]
    Size {
        /// Who sends it.
        host: String,
        /// What it should be.
        what: String,
        /// What the manifest says.
        expected: u64,
        /// What came, or was about to; nobody counts what is too much and was not announced.
        found: Option<u64>,
    },
    /// Other bytes than asked for.
    #[error("`{host}` sent other content for {what}: its digest is {found}")]
    Corrupt {
        /// Who sends it.
        host: String,
        /// What it should be.
        what: String,
        /// What came.
        found: Digest,
    },
    /// Not what a manifest has to be.
    #[error("`{host}` sent an invalid manifest for {what}")]
    Manifest {
        /// Who sends it.
        host: String,
        /// Which.
        what: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The registry keeps something else than it was given.
    #[error("`{host}` stored {found} after {expected} was pushed")]
    Kept {
        /// Who says so.
        host: String,
        /// What it was given.
        expected: Digest,
        /// What it says.
        found: String,
    },
    /// The registry has a blob of another size under the blob's digest.
    #[error(
        "`{host}` has {found} bytes of {what}, which has {expected}: its storage is corrupt; delete the blob there, then push again"
    )]
    Damaged {
        /// Who has it.
        host: String,
        /// What it should be.
        what: String,
        /// The blob's size.
        expected: u64,
        /// How much there is.
        found: u64,
    },
    /// Nothing to check a registry's certificate with.
    #[error(
        "this machine has no root certificates to verify a registry's certificate with: {message}"
    )]
    Certificates {
        /// What is wrong.
        message: String,
    },
}

/// How much of what a registry says is passed on.
const MAX_MESSAGE: usize = 300;

// === impl Error ===

impl Error {
    /// Whether the same may go well a moment later.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Connection { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// How long the registry wants to be left alone before the same is tried again.
    pub(crate) fn retry_after(&self) -> Duration {
        match self {
            Self::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }
}

/// What a registry says about a failure, short enough to be shown.
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
        // A page for a browser says nothing here.
        Err(_) if body.trim_ascii_start().starts_with(b"<") => String::new(),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    shortened(&text)
}

/// Something that a registry said, short enough to be shown.
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
