//! Request lines, targets and `host`.

use bytes::BytesMut;
use http::Version;

use super::{HeadError, decode_request, headers_of, lines_of, with_fields};
use crate::proxy::http1::request::{decode, is_authority};
use crate::proxy::http1::{Framing, HeadScanner};

/// Returns the authority and the path of a request with a target.
fn target(method: &str, target: &str) -> Result<(String, Option<String>), HeadError> {
    let head = decode_request(format!("{method} {target} HTTP/1.1\r\nhost: h\r\n\r\n"))?;
    let value = |name: &str| {
        let value = head.fields.get(name)?;
        Some(value.to_str().expect("ASCII").to_owned())
    };
    Ok((value(":authority").expect("an authority"), value(":path")))
}

#[track_caller]
fn assert_malformed(head: &str) {
    let result = decode_request(head);
    assert!(
        matches!(result, Err(HeadError::Malformed(_))),
        "{head:?}: {result:?}"
    );
}

#[test]
fn head_is_decoded_in_the_order_of_envoy() {
    let bytes =
        "POST /a?b HTTP/1.1\r\nZ: 1\r\nhost: h\r\na: 2\r\nz: 3\r\ncontent-length: 5\r\n\r\nhello";
    let mut input = BytesMut::from(bytes);
    let head = decode(&mut input, &mut HeadScanner::default())
        .unwrap()
        .unwrap();
    assert_eq!(
        lines_of(&head.fields),
        [
            ":authority: h",
            ":path: /a?b",
            ":method: POST",
            ":scheme: http",
            "z: 1",
            "a: 2",
            "z: 3",
            "content-length: 5"
        ]
    );
    assert_eq!(
        (head.framing, head.version),
        (Framing::Length(5), Version::HTTP_11)
    );
    assert!(!head.has_connection_fields && !head.has_absolute_target);
    assert_eq!(input, "hello");
}

#[test]
fn repeated_values_of_inline_headers_are_joined() {
    let head = with_fields(
        "accept: a\r\ncookie: b\r\nx: 1\r\naccept: c\r\ncookie: d\r\nx: 2\r\naccept:\r\n",
    )
    .unwrap();
    assert_eq!(
        headers_of(&head),
        ["accept: a,c", "cookie: b", "x: 1", "cookie: d", "x: 2"]
    );
}

#[test]
fn fields_of_the_connection_are_noticed() {
    for name in [
        "connection",
        "upgrade",
        "te",
        "expect",
        "keep-alive",
        "proxy-connection",
    ] {
        assert!(
            with_fields(format!("{name}: x\r\n"))
                .unwrap()
                .has_connection_fields,
            "{name}"
        );
    }
    let chunked = with_fields("transfer-encoding: chunked\r\n").unwrap();
    assert!(chunked.has_connection_fields);
    assert!(
        !with_fields("cookie: connection\r\n")
            .unwrap()
            .has_connection_fields
    );
}

#[test]
fn blanks_separate_the_parts_of_the_request_line() {
    for line in [
        "GET /a HTTP/1.1",
        "GET  /a \t HTTP/1.1",
        "GET\t/a\tHTTP/1.1",
        "GET /a HTTP/1.1 \t ",
        "GET\r/a\rHTTP/1.1",
        "GET /a HTTP/1.1\r",
        "GET \r /a\r HTTP/1.1 \r ",
    ] {
        let head = decode_request(format!("{line}\r\nhost: h\r\n\r\n"));
        let head = head.unwrap_or_else(|error| panic!("{line:?}: {error}"));
        assert_eq!(head.fields.get(":path").unwrap(), "/a", "{line:?}");
        assert_eq!(head.version, Version::HTTP_11, "{line:?}");
    }
    for line in [
        " GET /a HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /a HTTP/1.1 x",
        "GET\x0b/a HTTP/1.1",
        "GET\x01/a HTTP/1.1",
        "GET /a HTTP/1.1\x01",
        "GET",
        "GET ",
        "GET  HTTP/1.1",
        "GET\r\r",
    ] {
        assert_malformed(&format!("{line}\r\nhost: h\r\n\r\n"));
    }
}

#[test]
fn versions() {
    for (version, expected) in [
        ("HTTP/1.1", Version::HTTP_11),
        ("HTTP/1.0", Version::HTTP_10),
        ("HTTP/1.2", Version::HTTP_09),
        ("HTTP/2.0", Version::HTTP_09),
        ("HTTP/0.9", Version::HTTP_09),
        ("", Version::HTTP_09),
    ] {
        let head = decode_request(format!("GET /a {version}\r\nhost: h\r\n\r\n")).unwrap();
        assert_eq!(head.version, expected, "{version:?}");
    }
    let simple = decode_request("GET /a\r\n\r\n").unwrap();
    assert_eq!(simple.version, Version::HTTP_09);
    for version in [
        "HTTP/1.10",
        "HTTP/1",
        "HTTP/1.",
        "http/1.1",
        "ICE/1.1",
        "HTTP/x.1",
        "HTTP/11",
        "HTTP/1,1",
    ] {
        assert_malformed(&format!("GET /a {version}\r\nhost: h\r\n\r\n"));
    }
}

#[test]
fn methods_are_those_that_envoy_knows() {
    for method in [
        "GET", "POST", "M-SEARCH", "MSEARCH", "PROPFIND", "PURGE", "QUERY", "FOO", "GETT", "GE",
        "GE:T",
    ] {
        let head = decode_request(format!("{method} /a HTTP/1.1\r\n\r\n"));
        let is_known = ["GET", "POST", "MSEARCH", "PROPFIND", "PURGE"].contains(&method);
        assert_eq!(head.is_ok(), is_known, "{method}");
        if let Ok(head) = head {
            assert_eq!(head.fields.get(":method").unwrap(), method);
        }
    }
}

#[test]
fn input_that_cannot_be_http_is_rejected_before_a_line_end() {
    for first in [
        b"\x16\x03\x01".as_slice(),
        b"get",
        b"\0",
        b" GET",
        b"\xff",
        b"{",
    ] {
        let mut input = BytesMut::from(first);
        let result = decode(&mut input, &mut HeadScanner::default());
        assert!(
            matches!(result, Err(HeadError::Malformed(_))),
            "{}",
            first.escape_ascii()
        );
    }
}

#[test]
fn line_ends_before_a_head_are_skipped() {
    let mut scanner = HeadScanner::default();
    let mut input = BytesMut::from("\r\n\r");
    assert!(decode(&mut input, &mut scanner).unwrap().is_none());
    assert!(input.is_empty());
    input.extend_from_slice(b"\nGET /a HT");
    assert!(decode(&mut input, &mut scanner).unwrap().is_none());
    input.extend_from_slice(b"TP/1.1\r\n\r\n");
    assert!(decode(&mut input, &mut scanner).unwrap().is_some());
}

#[test]
fn paths_are_forwarded_as_they_are() {
    for path in [
        "/",
        "//a//b",
        "/a?",
        "/a?b?c",
        "/?q=<script>",
        "/{\"a\":1}",
        "/a\\b^`|",
        "/[a]",
        "/a%zz",
        "/x/../y",
        "/a;b",
        "/a@b:80/",
        "/http://other/a",
        "/a#b",
        "/a?b#c",
    ] {
        let expected = ("h".to_owned(), Some(path.to_owned()));
        assert_eq!(target("GET", path), Ok(expected), "{path}");
    }
    for path in [
        "/a\x0cb",
        "/a\0b",
        "/a\x01b",
        "/a\x7fb",
        "/caf\u{e9}",
        "/?q=\u{e9}",
    ] {
        assert_malformed(&format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n"));
    }
}

#[test]
fn absolute_targets_replace_host() {
    for (uri, authority, path) in [
        ("http://other/a?b", "other", "/a?b"),
        ("http://other", "other", "/"),
        ("http://other?b", "other", "?b"),
        ("http://other#b", "other", "#b"),
        ("http://other/a#b", "other", "/a#b"),
        ("HtTp://OTHER/a", "OTHER", "/a"),
        ("http://other:81/a", "other:81", "/a"),
        ("http://other:0/a", "other:0", "/a"),
        ("http://other:000080/a", "other:000080", "/a"),
        ("http://other:65535/a", "other:65535", "/a"),
        ("http://u:p@other/a", "other", "/a"),
        ("http://@other/a", "other", "/a"),
        ("http://u:p:q@other:1/a", "other:1", "/a"),
        ("http://u!$&'()*+,;=-._~%zz@other/", "other", "/"),
        ("http://u/@other", "u", "/@other"),
        ("http://h?a@b", "h", "?a@b"),
        ("http://[::1]:81/a", "[::1]:81", "/a"),
        ("http://[::1]", "[::1]", "/"),
        ("http://u@[::ffff:1.2.3.4]/", "[::ffff:1.2.3.4]", "/"),
        ("http://a..b.-:1/", "a..b.-:1", "/"),
    ] {
        let expected = (authority.to_owned(), Some(path.to_owned()));
        assert_eq!(target("GET", uri), Ok(expected), "{uri}");
    }
    let head =
        decode_request("GET https://other/a HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n").unwrap();
    assert_eq!(
        lines_of(&head.fields),
        [
            ":authority: other",
            ":path: /a",
            ":method: GET",
            ":scheme: https"
        ]
    );
    assert!(head.has_absolute_target);
}

#[test]
fn invalid_absolute_targets_are_rejected() {
    for uri in [
        "ftp://other/a",
        "http:/other",
        "http:other",
        "http://",
        "http:///a",
        "http://:80/",
        "http://u@/",
        "http://h:/",
        "http://h:abc/",
        "http://h:+80/",
        "http://h:65536/",
        "http://h:80:81/",
        "http://u@p@h/",
        "http://u[@h/",
        "http://u\\@h/",
        "http://u\"@h/",
        "http://a_b/",
        "http://a!b/",
        "http://a~b/",
        "http://a%20b/",
        "http://<a>/",
        "http://h\\x/",
        "http://[::1/",
        "http://::1/",
        "http://[zz]/",
        "http://[]/",
        "http://[::1]x/",
        "http://[::1]80/",
        "http://[::1%eth0]/",
        "http://[1.2.3.4]/",
        "http://[1::2::3]/",
        "http://[v1.a]/",
        "https//h",
        "other:80",
        "a",
        "?a",
        "#a",
        "*",
        "*/a",
    ] {
        assert!(
            matches!(target("GET", uri), Err(HeadError::Malformed(_))),
            "{uri}"
        );
    }
}

#[test]
fn options_may_have_an_asterisk() {
    for path in ["*", "**", "*/a", "*?a"] {
        let expected = ("h".to_owned(), Some(path.to_owned()));
        assert_eq!(target("OPTIONS", path), Ok(expected), "{path}");
    }
    assert!(target("POST", "*").is_err());
}

#[test]
fn connect_has_a_host_and_a_port() {
    for authority in ["other:443", "10.0.0.1:4443", "h:0", "h:65535", "[::1]:80"] {
        assert_eq!(
            target("CONNECT", authority),
            Ok((authority.to_owned(), None))
        );
    }
    for authority in [
        "other",
        ":80",
        "h:",
        "h:65536",
        "h:80:80",
        "h:80/",
        "h:80x",
        "u@h:80",
        "a!b:80",
        "a_b:80",
        "[zz]:80",
        "[::1]",
        "/a",
        "*",
        "http://h:80",
        "::1:80",
    ] {
        assert!(target("CONNECT", authority).is_err(), "{authority}");
    }
}

#[test]
fn values_of_host_are_joined() {
    for (hosts, authority) in [
        (&["a", "b"][..], "a,b"),
        (&["h", "h"], "h,h"),
        (&["", "x", ""], "x"),
        (&["h", "", "x"], "h,x"),
        (&[""], ""),
        (&["", ""], ""),
        (&["a\rb"], "ab"),
    ] {
        let lines: String = hosts
            .iter()
            .map(|host| format!("host: {host}\r\n"))
            .collect();
        let head = decode_request(format!("GET / HTTP/1.1\r\n{lines}\r\n")).unwrap();
        assert_eq!(
            head.fields.get(":authority").unwrap(),
            authority,
            "{hosts:?}"
        );
        assert!(head.fields.get("host").is_none());
    }
    let none = decode_request("GET / HTTP/1.1\r\nx: 1\r\n\r\n").unwrap();
    assert!(none.fields.get(":authority").is_none());
}

#[test]
fn characters_of_an_authority() {
    for valid in [
        "", "h", "h:81", "h:abc", "[::1", "u:p@h", "a_b", "a%zz", ",", "a.b.", "h:1:2",
    ] {
        assert!(is_authority(valid.as_bytes()), "{valid}");
    }
    for invalid in [
        "a b",
        "a\tb",
        "h/x",
        "h?x",
        "h#x",
        "h\\x",
        "<h>",
        "\"h\"",
        "caf\u{e9}",
        "a^b",
        "a`b",
        "a|b",
        "a{b}",
    ] {
        assert!(!is_authority(invalid.as_bytes()), "{invalid}");
    }
}
