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

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::proxy::http1::{HeadScanner, request};

    /// Receives a request for `/a` from `h` with more fields.
    fn receive(fields: &str) -> RequestHead {
        receive_head(&format!("GET /a HTTP/1.1\r\nhost: h\r\n{fields}\r\n"))
    }

    fn receive_head(head: &str) -> RequestHead {
        request::decode(&mut BytesMut::from(head), &mut HeadScanner::default())
            .expect("a valid head")
            .expect("a complete head")
    }

    /// Returns the fields that plugins see, without pseudo-headers.
    #[track_caller]
    fn accepted(fields: &str) -> (Accepted, Vec<String>) {
        let mut head = receive(fields);
        let accepted = request_in(&mut head).expect("a request that is accepted");
        (accepted, headers(&head.fields))
    }

    fn headers(fields: &Fields) -> Vec<String> {
        fields
            .iter()
            .filter(|(name, _)| matches!(name, Name::Header(_)))
            .map(|(name, value)| format!("{}: {}", name.as_str(), value.to_str().expect("ASCII")))
            .collect()
    }

    fn rejected(head: &str) -> Failure {
        request_in(&mut receive_head(head)).expect_err("a request that is rejected")
    }

    #[test]
    fn hop_by_hop_fields_of_a_request_are_removed() {
        let (accepted, fields) = accepted(
            "connection: keep-alive, X-Hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: x\r\n\
             transfer-encoding: chunked\r\nte: gzip, trailers;q=0.5\r\nexpect: 100-continue\r\nx-kept: 1\r\n",
        );
        assert_eq!(fields, ["x-kept: 1", "te: trailers"]);
        assert!(accepted.expects_continue && !accepted.closes);
    }

    #[test]
    fn request_without_fields_of_the_connection_is_not_changed() {
        let (accepted, fields) = accepted("x-b: 1\r\nx-a: 2\r\nx-b: 3\r\n");
        assert_eq!(fields, ["x-b: 1", "x-a: 2", "x-b: 3"]);
        assert!(!accepted.expects_continue && !accepted.closes);
    }

    #[test]
    fn options_of_the_connection_name_fields_in_any_case() {
        for (connection, kept) in [
            ("connection: x-hop\r\n", &["x-kept: 2"][..]),
            ("connection: X-HOP , connection\r\n", &["x-kept: 2"]),
            ("connection: a\r\nconnection: x-hop\r\n", &["x-kept: 2"]),
            ("connection: ,,x-kept,\r\n", &["x-hop: 1"]),
            ("connection:\r\n", &["x-hop: 1", "x-kept: 2"]),
            ("connection: a b, \"x-hop\"\r\n", &["x-hop: 1", "x-kept: 2"]),
        ] {
            let (_, fields) = accepted(&format!("{connection}X-Hop: 1\r\nx-kept: 2\r\n"));
            assert_eq!(fields, kept, "{connection:?}");
        }
    }

    #[test]
    fn connection_may_name_a_framing_field() {
        for field in ["content-length: 2", "transfer-encoding: chunked"] {
            let name = field.split(':').next().expect("a name");
            let mut head = receive(&format!("connection: {name}\r\n{field}\r\n"));
            request_in(&mut head).expect("a request that is accepted");
            assert_eq!(headers(&head.fields), Vec::<String>::new());
            assert_ne!(head.framing, crate::proxy::http1::Framing::None);
        }
    }

    #[test]
    fn fields_that_the_proxy_relies_on_cannot_be_named() {
        for name in [
            "host",
            "X-Forwarded-For",
            "x-forwarded-host",
            "x-forwarded-proto",
            ":path",
            ":x",
            "a,host",
        ] {
            let failure = rejected(&format!(
                "GET / HTTP/1.1\r\nhost: h\r\nconnection: {name}\r\n\r\n"
            ));
            assert_eq!(failure.status(), 400, "{name}");
        }
    }

    #[test]
    fn number_of_named_fields_is_limited() {
        let options = |count: usize| format!("connection: {}\r\n", vec!["a"; count].join(","));
        accepted(&options(MAX_CONNECTION_OPTIONS));
        let many = options(MAX_CONNECTION_OPTIONS + 1);
        let failure = rejected(&format!("GET / HTTP/1.1\r\nhost: h\r\n{many}\r\n"));
        assert_eq!(failure.status(), 400);
    }

    #[test]
    fn client_can_close_the_connection() {
        for (fields, closes) in [
            ("connection: close\r\n", true),
            ("connection: x-a, CloSE\r\n", true),
            ("connection: x-a\r\nconnection: close\r\n", true),
            ("connection: close, keep-alive\r\n", true),
            ("proxy-connection: close\r\n", true),
            ("connection: keep-alive\r\n", false),
            ("connection: closed\r\n", false),
            ("close: connection\r\n", false),
        ] {
            assert_eq!(accepted(fields).0.closes, closes, "{fields:?}");
        }
        let mut connect = receive_head("CONNECT h:1 HTTP/1.1\r\n\r\n");
        assert!(
            request_in(&mut connect)
                .expect("a request that is accepted")
                .closes
        );
    }

    #[test]
    fn te_is_reduced_to_trailers() {
        for (te, kept) in [
            ("te: trailers\r\n", &["te: trailers"][..]),
            ("te: gzip;q=0.5, Trailers\r\n", &["te: trailers"]),
            ("te: gzip\r\nte: trailers ; q=1\r\n", &["te: trailers"]),
            ("connection: te\r\nte: trailers\r\n", &["te: trailers"]),
            ("te: gzip\r\n", &[]),
            ("connection: te\r\nte: gzip\r\n", &[]),
            ("te: chunked\r\n", &[]),
            ("te:\r\n", &[]),
            ("te: xtrailers\r\n", &[]),
        ] {
            assert_eq!(accepted(te).1, kept, "{te:?}");
        }
    }

    #[test]
    fn only_the_expectation_of_an_interim_response_is_met() {
        for (expect, is_met) in [
            ("100-continue", true),
            ("100-Continue", true),
            ("other", false),
            ("100-continue, other", false),
            ("100-continue\r\nexpect: other", false),
            ("", false),
        ] {
            let (accepted, fields) = accepted(&format!("expect: {expect}\r\n"));
            assert_eq!(accepted.expects_continue, is_met, "{expect:?}");
            // Others are forwarded.
            assert_eq!(fields.is_empty(), is_met, "{expect:?}");
        }
    }

    #[test]
    fn upgrades_are_rejected() {
        for fields in [
            "connection: Upgrade\r\nupgrade: websocket\r\n",
            "connection: x, upgrade\r\nupgrade: TLS/1.2\r\n",
            "connection: upgrade\r\nupgrade: h2c, websocket\r\n",
            "connection: upgrade\r\nupgrade: h2c\r\nupgrade: websocket\r\n",
            "connection: upgrade\r\nupgrade:\r\n",
        ] {
            let failure = rejected(&format!("GET / HTTP/1.1\r\nhost: h\r\n{fields}\r\n"));
            assert!(
                matches!(failure, Failure::Upgrade),
                "{fields:?}: {failure:?}"
            );
            assert_eq!(failure.status(), 403);
        }
    }

    #[test]
    fn upgrades_that_the_client_does_not_insist_on_are_ignored() {
        for (fields, kept) in [
            (
                "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: A\r\n",
                &[][..],
            ),
            (
                "connection: upgrade\r\nupgrade: H2C\r\nhttp2-settings: A\r\n",
                &[],
            ),
            ("upgrade: websocket\r\n", &[]),
            ("connection: upgrade\r\n", &[]),
            ("http2-settings: A\r\n", &["http2-settings: A"]),
        ] {
            assert_eq!(accepted(fields).1, kept, "{fields:?}");
        }
    }

    #[test]
    fn other_versions_are_rejected() {
        for version in ["HTTP/1.0", "HTTP/2.0", "HTTP/0.9", ""] {
            let failure = rejected(&format!("GET / {version}\r\nhost: h\r\n\r\n"));
            assert!(
                matches!(failure, Failure::Version),
                "{version}: {failure:?}"
            );
            assert_eq!(failure.status(), 426);
        }
    }

    #[test]
    fn request_needs_a_valid_host() {
        let missing = rejected("GET / HTTP/1.1\r\nx: 1\r\n\r\n");
        assert!(matches!(missing, Failure::MissingHost));
        for host in ["a b", "h/x", "h?x", "h#x", "<h>", "a, b", "\"h\""] {
            let invalid = rejected(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"));
            assert!(
                matches!(invalid, Failure::InvalidHost),
                "{host}: {invalid:?}"
            );
        }
        for head in [
            "GET / HTTP/1.1\r\nhost:\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nhost: a b\r\n\r\n",
        ] {
            assert!(request_in(&mut receive_head(head)).is_ok(), "{head:?}");
        }
    }

    fn request_for(method: &'static str, path: Option<&'static str>) -> Fields {
        let mut fields = Fields::new();
        fields.set_pseudo(Pseudo::Method, HeaderValue::from_static(method));
        if let Some(path) = path {
            fields.set_pseudo(Pseudo::Path, HeaderValue::from_static(path));
        }
        fields
    }

    #[test]
    fn only_paths_have_a_route() {
        for (method, path) in [
            ("OPTIONS", Some("*")),
            ("CONNECT", Some("/")),
            ("CONNECT", None),
            ("GET", Some("?b")),
            ("GET", Some("")),
        ] {
            let checked = check_route(&request_for(method, path));
            assert!(
                matches!(checked, Err(Failure::NoRoute)),
                "{method} {path:?}"
            );
        }
        for path in ["/", "/a?b", "//"] {
            assert!(check_route(&request_for("GET", Some(path))).is_ok());
        }
        // Encoding the request fails.
        assert!(check_route(&request_for("GET", None)).is_ok());
    }

    #[test]
    fn response_loses_keep_alive_before_plugins_see_it() {
        let fields: Fields = [
            ("keep-alive", "1"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("upgrade", "h2"),
        ]
        .into_iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name).into(),
                HeaderValue::from_static(value),
            )
        })
        .collect();
        assert_eq!(
            headers(&response_in(fields)),
            ["connection: x-hop", "x-hop: 1", "upgrade: h2"]
        );
    }
}
