//! The fields that frame a body.

use super::{HeadError, decode_request, decode_response, headers_of, with_fields};
use crate::proxy::http1::Framing;
use crate::proxy::http1::framing::length;

/// Returns the framing of a request with some fields, or the status of the error.
fn of_request(fields: &str) -> Result<Framing, u16> {
    framing_or_status(with_fields(fields).map(|head| head.framing))
}

fn of_connect(fields: &str) -> Result<Framing, u16> {
    let head = decode_request(format!("CONNECT h:1 HTTP/1.1\r\n{fields}\r\n"));
    framing_or_status(head.map(|head| head.framing))
}

fn of_response(status: u16, fields: &str, is_head_request: bool) -> Result<Framing, HeadError> {
    let bytes = format!("HTTP/1.1 {status} X\r\n{fields}\r\n");
    decode_response(bytes, is_head_request).map(|head| head.framing)
}

fn framing_or_status(framing: Result<Framing, HeadError>) -> Result<Framing, u16> {
    framing.map_err(|error| error.status().as_u16())
}

/// Fields that frame no message, with the status for requests.
const INVALID: [(&str, u16); 27] = [
    ("content-length: 4\r\ntransfer-encoding: chunked\r\n", 400),
    ("transfer-encoding: chunked\r\ncontent-length: 4\r\n", 400),
    ("transfer-encoding: chunked\r\ncontent-length: 0\r\n", 400),
    ("transfer-encoding: gzip\r\ncontent-length: 2\r\n", 400),
    ("transfer-encoding:\r\ncontent-length: 2\r\n", 400),
    ("content-length: 2\r\ncontent-length: 2\r\n", 400),
    ("content-length: 0\r\ncontent-length: 0\r\n", 400),
    ("content-length: 2\r\ncontent-length: 3\r\n", 400),
    ("content-length: 0\r\ncontent-length:\r\n", 400),
    ("content-length: 2, 2\r\n", 400),
    ("content-length: +2\r\n", 400),
    ("content-length: -2\r\n", 400),
    ("content-length:\r\n", 400),
    ("content-length: 0x2\r\n", 400),
    ("content-length: 1 2\r\n", 400),
    ("content-length: 1\r\n 2\r\n", 400),
    ("content-length: 1\r2\r\n", 400),
    ("content-length: 2.0\r\n", 400),
    ("content-length: 18446744073709551616\r\n", 400),
    ("transfer-encoding: chun\rked\r\n", 400),
    ("transfer-encoding: gzip\r\n", 501),
    ("transfer-encoding: identity\r\n", 501),
    ("transfer-encoding: gzip, chunked\r\n", 501),
    ("transfer-encoding: chunked, chunked\r\n", 501),
    (
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        501,
    ),
    // Envoy ignores the coding in this case, and takes the chunks for another request.
    ("transfer-encoding: chunked\r\ntransfer-encoding:\r\n", 501),
    ("transfer-encoding: chunked;q=1\r\n", 501),
];

#[test]
fn framing_of_a_request() {
    for (fields, framing) in [
        ("", Framing::None),
        ("content-length: 0\r\n", Framing::None),
        ("content-length: 000\r\n", Framing::None),
        ("content-length: 5\r\n", Framing::Length(5)),
        ("CONTENT-LENGTH: 0002\r\n", Framing::Length(2)),
        ("content-length: 2\t\r\n", Framing::Length(2)),
        ("content-length:\r\n 2\r\n", Framing::Length(2)),
        ("content-length: 2\r\n \r\n", Framing::Length(2)),
        ("content-length: 2\r\r\n", Framing::Length(2)),
        ("content-length: 2\r\r\n \r\n", Framing::Length(2)),
        ("content-length: \r2\r\n", Framing::Length(2)),
        (
            "content-length: 18446744073709551615\r\n",
            Framing::Length(u64::MAX),
        ),
        (
            "content_length: 2\r\ntransfer_encoding: chunked\r\n",
            Framing::None,
        ),
        ("transfer-encoding: chunked\r\n", Framing::Chunked),
        ("Transfer-Encoding:\tChunkeD \r\n", Framing::Chunked),
        ("transfer-encoding:\r\n chunked\r\n", Framing::Chunked),
        ("transfer-encoding: chunked\r\r\n", Framing::Chunked),
    ] {
        assert_eq!(of_request(fields), Ok(framing), "{fields:?}");
    }
}

#[test]
fn ambiguous_framing_is_rejected() {
    for (fields, status) in INVALID {
        assert_eq!(of_request(fields), Err(status), "{fields:?}");
        assert!(of_response(200, fields, false).is_err(), "{fields:?}");
        assert!(of_response(200, fields, true).is_err(), "{fields:?}");
    }
}

#[test]
fn framing_of_connect() {
    for (fields, framing) in [
        ("", Ok(Framing::None)),
        ("content-length: 0\r\n", Ok(Framing::None)),
        ("content-length: 00\r\n", Err(400)),
        ("content-length: 2\r\n", Err(400)),
        ("content-length: x\r\n", Err(400)),
        ("content-length: 0\r\ncontent-length: 0\r\n", Err(400)),
        ("transfer-encoding: chunked\r\n", Err(501)),
        ("transfer-encoding: gzip\r\n", Err(501)),
    ] {
        assert_eq!(of_connect(fields), framing, "{fields:?}");
    }
    let head = decode_request("CONNECT h:1 HTTP/1.1\r\ncontent-length: 0\r\nx: 1\r\n\r\n").unwrap();
    assert_eq!(headers_of(&head), ["x: 1"]);
}

#[test]
fn framing_of_a_response() {
    for (fields, framing) in [
        ("", Framing::UntilClose),
        ("content-length: 0\r\n", Framing::None),
        ("content-length: 2\r\n", Framing::Length(2)),
        ("content-length: 0002\r\n", Framing::Length(2)),
        ("transfer-encoding: chunked\r\n", Framing::Chunked),
    ] {
        assert_eq!(of_response(200, fields, false), Ok(framing), "{fields:?}");
        assert_eq!(of_response(205, fields, false), Ok(framing), "{fields:?}");
        // The fields describe a body that is not sent.
        assert_eq!(
            of_response(200, fields, true),
            Ok(Framing::None),
            "{fields:?}"
        );
        assert_eq!(
            of_response(304, fields, false),
            Ok(Framing::None),
            "{fields:?}"
        );
    }
}

#[test]
fn response_without_a_body_must_not_announce_one() {
    for status in [100, 101, 102, 103, 199, 204] {
        for is_head_request in [false, true] {
            for fields in ["", "content-length: 0\r\n"] {
                let framing = of_response(status, fields, is_head_request);
                assert_eq!(framing, Ok(Framing::None), "{status} {fields:?}");
            }
            for fields in [
                "content-length: 00\r\n",
                "content-length: 2\r\n",
                "content-length: x\r\n",
                "content-length: 0\r\ncontent-length: 0\r\n",
                "transfer-encoding: chunked\r\n",
                "transfer-encoding: gzip\r\n",
            ] {
                let framing = of_response(status, fields, is_head_request);
                assert!(framing.is_err(), "{status} {fields:?}");
            }
        }
    }
}

#[test]
fn lengths_are_digits() {
    assert_eq!(length(b"0"), Some(0));
    assert_eq!(length(b"0012"), Some(12));
    assert_eq!(length(b"18446744073709551615"), Some(u64::MAX));
    for invalid in [
        &b""[..],
        b"+1",
        b"-1",
        b" 1",
        b"1 ",
        b"1_0",
        b"18446744073709551616",
        b"\xd9\xa1",
    ] {
        assert_eq!(length(invalid), None, "{}", invalid.escape_ascii());
    }
}
