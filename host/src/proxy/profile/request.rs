//! Changes the fields of a received request as Envoy's connection manager does.
//!
//! The order of the steps is that of Envoy, because it determines the order of the fields that are added.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue, LOCATION};
use tidegate_semantics::fields::{Fields, Pseudo};
use tidegate_semantics::random::Random;
use tidegate_semantics::state::local_response::{LocalResponse, RequestKind};

use super::path::{self, Action};
use super::{EdgeSettings, Forwarding};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const EXTERNAL_ADDRESS: HeaderName = HeaderName::from_static("x-envoy-external-address");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Fields with which a client could control Envoy. They are removed from every request.
const CONTROL: [&str; 17] = [
    "x-envoy-internal",
    "x-envoy-retriable-status-codes",
    "x-envoy-retriable-header-names",
    "x-envoy-retry-on",
    "x-envoy-retry-grpc-on",
    "x-envoy-max-retries",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    // Releases of Envoy before 1.40 let plugins see this one.
    "x-envoy-upstream-stream-duration-ms",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-force-trace",
    "x-envoy-ip-tags",
    "x-envoy-original-url",
    "x-envoy-hedge-on-per-try-timeout",
    "x-forwarded-client-cert",
];

/// Fields with which proxies describe themselves and what they have changed. They are removed if the peer is the client.
const FROM_PROXIES: [&str; 5] = [
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-original-host",
    "x-envoy-original-path",
];

/// The origin of a request.
#[derive(Clone, Copy, Debug)]
pub struct Downstream {
    /// The address of the connection's peer.
    pub peer: SocketAddr,
    /// Whether the target of the request is a URI, from which `:scheme` has been taken.
    pub has_absolute_target: bool,
}

/// Why the proxy responds to a request by itself, before plugins see it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The path cannot be normalized, or has a fragment.
    #[error("the path is not allowed")]
    Path,
    /// The name of a field contains an underscore.
    #[error("the name of a field contains an underscore")]
    Underscore,
    /// The target is a URI with the scheme `https`, but the connection is not encrypted.
    #[error("the scheme of the target is `https`, but the connection is not encrypted")]
    Scheme,
    /// The client is redirected to another path.
    #[error("the client is redirected to another path")]
    Redirect(HeaderValue),
}

/// Returns a random number for a request ID, or `None` if the operating system provides none.
pub fn random_id() -> Option<u128> {
    let mut bytes = [0; 16];
    Random::System.fill(&mut bytes).ok()?;
    Some(u128::from_ne_bytes(bytes))
}

// === impl EdgeSettings ===

impl EdgeSettings {
    /// Changes the fields of a request before plugins see them. Returns the address of the client, which is the attribute
    /// `source.address`: its port is 0 if it was taken from `x-forwarded-for`. `random` is called if a request ID is needed, and
    /// returns a random number.
    ///
    /// If the request is rejected, the fields are those that log callbacks see.
    pub fn on_request(
        &self,
        fields: &mut Fields,
        downstream: &Downstream,
        random: impl FnOnce() -> Option<u128>,
    ) -> Result<SocketAddr, Rejection> {
        if self.rejects_underscores && fields.iter().any(|(name, _)| name.as_str().contains('_')) {
            return Err(Rejection::Underscore);
        }
        let is_edge = self.forwarding == Some(Forwarding::PeerIsClient);
        if is_edge
            && fields
                .pseudo(Pseudo::Scheme)
                .is_some_and(|it| it == "https")
        {
            return Err(Rejection::Scheme);
        }
        self.normalize_path(fields)?;
        match self.forwarding {
            None => Ok(downstream.peer),
            Some(forwarding) => Ok(forward(forwarding, fields, downstream, random)),
        }
    }

    fn normalize_path(&self, fields: &mut Fields) -> Result<(), Rejection> {
        // Other targets, such as `*`, have no route.
        let Some(target) = fields.pseudo(Pseudo::Path) else {
            return Ok(());
        };
        if !target.as_bytes().starts_with(b"/") {
            return Ok(());
        }
        let (action, changed) = path::normalize(self, target.as_bytes());
        let kept = match changed.map(|path| HeaderValue::from_maybe_shared(Bytes::from(path))) {
            None => target.clone(),
            Some(Ok(path)) => {
                fields.set_pseudo(Pseudo::Path, path.clone());
                path
            }
            // Normalization adds only printable characters.
            Some(Err(_)) => return Err(Rejection::Path),
        };
        match action {
            Action::Continue => Ok(()),
            Action::Reject => Err(Rejection::Path),
            // Clients of gRPC do not follow redirects.
            Action::Redirect if RequestKind::from_headers(fields).is_grpc() => Err(Rejection::Path),
            Action::Redirect => Err(Rejection::Redirect(kept)),
        }
    }
}

/// Changes the fields that describe the client and the proxies on the way, and returns the address of the client.
fn forward(
    forwarding: Forwarding,
    fields: &mut Fields,
    downstream: &Downstream,
    random: impl FnOnce() -> Option<u128>,
) -> SocketAddr {
    let peer = downstream.peer.ip().to_canonical();
    // Connections are not encrypted.
    let proto = HeaderValue::from_static("http");
    let source = match forwarding {
        Forwarding::PeerIsClient => {
            if let Some(peer) = address_value(peer) {
                fields.append_or_join(&FORWARDED_FOR.into(), true, peer);
            }
            fields.replace(&FORWARDED_PROTO.into(), proto);
            downstream.peer
        }
        Forwarding::TrustsPeer => {
            let last = last_address(fields);
            if fields.get(FORWARDED_PROTO).is_none() {
                fields.append(FORWARDED_PROTO.into(), proto);
            }
            last.map_or(downstream.peer, |ip| SocketAddr::new(ip, 0))
        }
    };
    if !downstream.has_absolute_target {
        let scheme = scheme(fields.get(FORWARDED_PROTO));
        fields.set_pseudo(Pseudo::Scheme, HeaderValue::from_static(scheme));
    }
    CONTROL.iter().for_each(|name| fields.remove(name));
    let is_edge = forwarding == Forwarding::PeerIsClient;
    if is_edge {
        FROM_PROXIES.iter().for_each(|name| fields.remove(name));
        if let Some(peer) = address_value(peer) {
            fields.replace(&EXTERNAL_ADDRESS.into(), peer);
        }
    }
    // An ID that a client chose is replaced, an ID that a trusted proxy chose is kept.
    let is_kept = !is_edge && fields.get(REQUEST_ID).is_some_and(|id| !id.is_empty());
    if !is_kept && let Some(id) = random().and_then(request_id) {
        fields.replace(&REQUEST_ID.into(), id);
    }
    source
}

fn address_value(address: IpAddr) -> Option<HeaderValue> {
    HeaderValue::try_from(address.to_string()).ok()
}

/// Returns the last address in `x-forwarded-for`, which the peer has added. An address with a port is not recognized, as in Envoy.
fn last_address(fields: &Fields) -> Option<IpAddr> {
    let value = fields.get(FORWARDED_FOR)?;
    let last = value.as_bytes().rsplit(|byte| *byte == b',').next()?;
    let text = std::str::from_utf8(last.trim_ascii()).ok()?;
    text.parse().ok()
}

/// Returns the scheme for a value of `x-forwarded-proto`.
fn scheme(proto: Option<&HeaderValue>) -> &'static str {
    let is_https = |proto: &HeaderValue| proto.as_bytes().eq_ignore_ascii_case(b"https");
    match proto.is_some_and(is_https) {
        true => "https",
        false => "http",
    }
}

/// Returns a UUID of version 4, which is the form of Envoy's request IDs.
fn request_id(random: u128) -> Option<HeaderValue> {
    let fields = (random & !(0xf << 76) & !(0xc << 60)) | (0x4 << 76) | (0x8 << 60);
    let digits = format!("{fields:032x}");
    let mut text = String::with_capacity(36);
    let mut rest = digits.as_str();
    for length in [8, 4, 4, 4, 12] {
        let (part, after) = rest.split_at_checked(length)?;
        let hyphen = if text.is_empty() { "" } else { "-" };
        // Writing to a string does not fail.
        let _ = write!(text, "{hyphen}{part}");
        rest = after;
    }
    HeaderValue::try_from(text).ok()
}

// === impl Rejection ===

impl Rejection {
    /// Creates the response to a request with these fields. It does not contain `server`, which
    /// [`on_response`](EdgeSettings::on_response) adds.
    pub fn response(&self, request: &Fields) -> (Fields, Bytes) {
        let (status, body) = match self {
            Self::Path => (StatusCode::BAD_REQUEST, ""),
            Self::Underscore => (StatusCode::BAD_REQUEST, "Bad Request"),
            Self::Scheme => (StatusCode::FORBIDDEN, "Forbidden"),
            Self::Redirect(_) => (StatusCode::TEMPORARY_REDIRECT, ""),
        };
        let local = LocalResponse::from_proxy(status, Bytes::from_static(body.as_bytes()));
        let (mut fields, body) = local.into_message(RequestKind::from_headers(request));
        if let Self::Redirect(location) = self {
            fields.append(LOCATION.into(), location.clone());
        }
        (fields, body)
    }

    /// Returns whether the connection cannot be used for another request.
    pub fn closes(&self) -> bool {
        !matches!(self, Self::Redirect(_))
    }
}

#[cfg(test)]
mod tests;
