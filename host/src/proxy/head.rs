//! Message heads in both directions: requests that are not served are rejected, and hop-by-hop fields are removed.
//!
//! The rules are those of Envoy. A request loses its hop-by-hop fields, including those named in `connection`, before
//! plugins see it. A response loses `keep-alive` before plugins see it, and the other hop-by-hop fields when it is
//! written; it keeps fields named in `connection`.

use http::Version;
use http::header::{HeaderName, HeaderValue, TE};
use tidegate_semantics::fields::{Fields, Name, Pseudo};

use crate::proxy::http1::HeadError;
use crate::proxy::http1::request::{RequestHead, is_authority};
use crate::proxy::respond::Failure;

const CONNECTION: &str = "connection";
const EXPECT: &str = "expect";
const HTTP2_SETTINGS: &str = "http2-settings";
const KEEP_ALIVE: &str = "keep-alive";
const PROXY_CONNECTION: &str = "proxy-connection";
const UPGRADE: &str = "upgrade";

/// The fields of a request that concern only its connection.
const HOP_BY_HOP: [&str; 5] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    "transfer-encoding",
    UPGRADE,
];

/// Fields that `connection` must not name, because the proxy relies on them.
const NOT_REMOVABLE: [&[u8]; 4] = [
    b"host",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
];

/// The maximum number of fields that `connection` may name.
const MAX_CONNECTION_OPTIONS: usize = 10;

/// A request that plugins see.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    /// The client waits for an interim response before it sends the body.
    pub(super) expects_continue: bool,
    /// The connection cannot be used for another request.
    pub(super) closes: bool,
}

/// Checks a request, and removes the fields that concern only its connection. If the request is rejected, its fields
/// are what log callbacks see.
pub(super) fn request_in(head: &mut RequestHead) -> Result<Accepted, Failure> {
    let fields = &mut head.fields;
    let options = match head.has_connection_fields {
        true => ConnectionOptions::from_fields(fields),
        false => ConnectionOptions::default(),
    };
    if !options.are_removable {
        return Err(Failure::Request(HeadError::Malformed(
            "`connection` names a field that cannot be removed",
        )));
    }
    if head.version != Version::HTTP_11 {
        return Err(Failure::Version);
    }
    let authority = fields.pseudo(Pseudo::Authority);
    let authority = authority.ok_or(Failure::MissingHost)?;
    if !is_authority(authority.as_bytes()) {
        return Err(Failure::InvalidHost);
    }
    if options.upgrade == Some(Upgrade::Other) {
        return Err(Failure::Upgrade);
    }
    let is_connect = fields
        .pseudo(Pseudo::Method)
        .is_some_and(|it| it == "CONNECT");
    let accepted = Accepted {
        expects_continue: options.expects_continue,
        // What follows `CONNECT` would not be HTTP.
        closes: options.close || is_connect,
    };
    if head.has_connection_fields {
        strip(fields, &options);
    }
    Ok(accepted)
}

/// What a request says about its connection.
struct ConnectionOptions {
    close: bool,
    /// Whether all fields that `connection` names can be removed.
    are_removable: bool,
    named: Vec<Vec<u8>>,
    upgrade: Option<Upgrade>,
    expects_continue: bool,
    accepts_trailers: bool,
}

/// Another protocol that a request offers to use on its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Upgrade {
    /// HTTP/2. As in Envoy, the offer is ignored and the request is served as if it had not been made, because clients make
    /// it without being asked.
    H2c,
    /// Any other protocol. The client insists on it.
    Other,
}

// === impl ConnectionOptions ===

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            close: false,
            are_removable: true,
            named: Vec::new(),
            upgrade: None,
            expects_continue: false,
            accepts_trailers: false,
        }
    }
}

impl ConnectionOptions {
    fn from_fields(fields: &Fields) -> Self {
        let mut options = Self::default();
        let mut switches = false;
        for token in tokens(fields, CONNECTION) {
            options.close |= token.eq_ignore_ascii_case(b"close");
            switches |= token.eq_ignore_ascii_case(b"upgrade");
            options.named.push(token.to_ascii_lowercase());
        }
        let is_reserved =
            |name: &Vec<u8>| name.starts_with(b":") || NOT_REMOVABLE.contains(&name.as_slice());
        options.are_removable =
            options.named.len() <= MAX_CONNECTION_OPTIONS && !options.named.iter().any(is_reserved);
        options.close |=
            tokens(fields, PROXY_CONNECTION).any(|token| token.eq_ignore_ascii_case(b"close"));
        let mut offers = fields.values(UPGRADE);
        options.upgrade = offers.next().filter(|_| switches).map(|first| {
            let h2c = offers.next().is_none() && first.as_bytes().eq_ignore_ascii_case(b"h2c");
            match h2c {
                true => Upgrade::H2c,
                false => Upgrade::Other,
            }
        });
        options.expects_continue = fields
            .get(EXPECT)
            .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        options.accepts_trailers = tokens(fields, TE.as_str())
            // A token may carry parameters, as in `trailers;q=0.5`.
            .filter_map(|item| item.split(|byte| *byte == b';').next())
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(b"trailers"));
        options
    }
}

/// Returns the values of a field that contains a list.
fn tokens<'a>(fields: &'a Fields, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    fields
        .values(name)
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// Removes the fields that concern only the connection.
fn strip(fields: &mut Fields, options: &ConnectionOptions) {
    for name in &options.named {
        // `te` is forwarded as far as possible.
        if name != TE.as_str().as_bytes() {
            fields.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        fields.remove(name);
    }
    if options.upgrade == Some(Upgrade::H2c) {
        fields.remove(HTTP2_SETTINGS);
    }
    if options.expects_continue {
        fields.remove(EXPECT);
    }
    if options.accepts_trailers {
        fields.set(TE.into(), HeaderValue::from_static("trailers"));
    } else {
        fields.remove(TE.as_str());
    }
}

/// Checks whether there is a route for a request that plugins have passed on. There is one, for every target that is a
/// path; in Envoy a match on the prefix `/` is equivalent.
pub(super) fn check_route(fields: &Fields) -> Result<(), Failure> {
    let is_connect = fields
        .pseudo(Pseudo::Method)
        .is_some_and(|it| it == "CONNECT");
    // Without a path, the error is about the missing pseudo-header.
    let is_path = fields
        .pseudo(Pseudo::Path)
        .is_none_or(|path| path.as_bytes().starts_with(b"/"));
    match !is_connect && is_path {
        true => Ok(()),
        false => Err(Failure::NoRoute),
    }
}

/// Returns the fields of a response as plugins see them.
pub(super) fn response_in(mut fields: Fields) -> Fields {
    let is_keep_alive = |name: &Name| matches!(name, Name::Header(name) if *name == HeaderName::from_static(KEEP_ALIVE));
    if fields.iter().any(|(name, _)| is_keep_alive(name)) {
        fields.remove(KEEP_ALIVE);
    }
    fields
}
