//! Status lines, and what a response says about its connection.

use bytes::BytesMut;

use super::{HeadError, decode_response, lines_of};
use crate::proxy::http1::response::decode;
use crate::proxy::http1::{Framing, HeadScanner, MAX_FIELDS};

/// Returns the status of a response with a status line.
fn status(line: &str) -> Result<u16, HeadError> {
    decode_response(format!("{line}\r\ncontent-length: 0\r\n\r\n"), false)
        .map(|head| head.status.as_u16())
}

#[test]
fn head_is_decoded_in_the_received_order() {
    let bytes = "HTTP/1.1 200 OK\r\nX-B: 1\r\nset-cookie: a\r\nx-a: 2\r\nset-cookie: b\r\nX-b: 3\r\ncontent-length: 2\r\n\r\nhi";
    let mut input = BytesMut::from(bytes);
    let head = decode(&mut input, &mut HeadScanner::default(), false)
        .unwrap()
        .unwrap();
    assert_eq!(
        lines_of(&head.fields),
        [
            ":status: 200",
            "x-b: 1",
            "set-cookie: a",
            "x-a: 2",
            "set-cookie: b",
            "x-b: 3",
            "content-length: 2"
        ]
    );
    assert_eq!((head.framing, head.keeps_alive), (Framing::Length(2), true));
    assert_eq!(input, "hi");
}

#[test]
fn repeated_values_of_inline_headers_are_joined() {
    let bytes = "HTTP/1.1 200 OK\r\nvary: a\r\nuser-agent: a\r\nvary: b\r\nuser-agent: b\r\n\r\n";
    let head = decode_response(bytes, true).unwrap();
    assert_eq!(
        lines_of(&head.fields),
        [
            ":status: 200",
            "vary: a,b",
            "user-agent: a",
            "user-agent: b"
        ]
    );
}

#[test]
fn status_lines() {
    for (line, expected) in [
        ("HTTP/1.1 200 OK", 200),
        ("HTTP/1.1 200 Fine", 200),
        ("HTTP/1.1 200 ", 200),
        ("HTTP/1.1 200", 200),
        ("HTTP/1.1 200 caf\u{e9}", 200),
        ("HTTP/1.1 200 a\tb", 200),
        ("HTTP/1.1 200\tX", 200),
        ("HTTP/1.1 200 O\rK", 200),
        ("HTTP/1.1 200\rx", 200),
        ("HTTP/1.1 200 OK\r", 200),
        ("HTTP/1.1  200 OK", 200),
        ("HTTP/1.1\t200 OK", 200),
        ("HTTP/1.1\r200 OK", 200),
        ("HTTP/1.0 299 Other", 299),
        ("HTTP/1.2 451 Other", 451),
        ("HTTP/2.0 599 Other", 599),
        ("HTTP/1.1 600 Other", 600),
        ("HTTP/1.1 999 Other", 999),
        ("HTTP/1.1 2000 OK", 200),
    ] {
        assert_eq!(status(line), Ok(expected), "{line:?}");
    }
}

#[test]
fn invalid_status_lines_are_rejected() {
    for line in [
        "",
        "hello",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 20",
        "HTTP/1.1 abc OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 000 OK",
        "HTTP/1.1 200OK",
        "HTTP/1.1 200- OK",
        "HTTP/1.1 2000x OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1 2 00 OK",
        "HTTP/1.1\x01200 OK",
        "HTTP/1.1 200\x01",
        "HTTP/1.1 200 a\x01b",
        "HTTP/1.1 200 a\0b",
        "HTTP/1.1 200 a\x7fb",
        "HTTP/1 200 OK",
        "HTTP/1.10 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        " HTTP/1.1 200 OK",
        "\r\nHTTP/1.1 200 OK",
    ] {
        assert!(
            matches!(status(line), Err(HeadError::Malformed(_))),
            "{line:?}"
        );
    }
}

#[test]
fn connection_is_kept_alive_unless_the_response_says_otherwise() {
    for (version, fields, keeps_alive) in [
        ("1.1", "", true),
        ("1.1", "connection: keep-alive\r\n", true),
        ("1.1", "connection: close\r\n", false),
        ("1.1", "connection: x, CLOSE\r\n", false),
        ("1.1", "connection: x\r\nconnection: close\r\n", false),
        ("1.1", "connection: close\r\nconnection: x\r\n", false),
        ("1.1", "connection: close, keep-alive\r\n", false),
        ("1.1", "connection: closed\r\n", true),
        ("1.2", "", true),
        ("1.0", "", false),
        ("1.0", "connection: Keep-Alive\r\n", true),
        ("1.0", "connection: keep-alive, close\r\n", false),
    ] {
        let bytes = format!("HTTP/{version} 200 OK\r\n{fields}content-length: 0\r\n\r\n");
        let head = decode_response(bytes, false).unwrap();
        assert_eq!(head.keeps_alive, keeps_alive, "{version} {fields:?}");
    }
    let until_close = decode_response("HTTP/1.1 200 OK\r\n\r\n", false).unwrap();
    assert!(!until_close.keeps_alive);
    let without_body = decode_response("HTTP/1.1 200 OK\r\n\r\n", true).unwrap();
    assert!(without_body.keeps_alive);
}

#[test]
fn heads_follow_each_other() {
    let mut scanner = HeadScanner::default();
    let mut input = BytesMut::from(
        "HTTP/1.1 100 X\r\n\r\nHTTP/1.1 103 X\nlink: a\n\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    );
    let mut statuses = Vec::new();
    while let Some(head) = decode(&mut input, &mut scanner, false).unwrap() {
        statuses.push(head.status.as_u16());
    }
    assert_eq!(statuses, [100, 103, 200]);
    assert!(input.is_empty());
}

#[test]
fn empty_line_before_a_head_is_rejected() {
    let mut input = BytesMut::from("\r\nHTTP/1.1 200 OK\r\n\r\n");
    assert!(decode(&mut input, &mut HeadScanner::default(), false).is_err());
}

#[test]
fn number_of_fields_is_limited() {
    let many = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-a: 1\r\n".repeat(count));
    assert!(decode_response(many(MAX_FIELDS), false).is_ok());
    let error = decode_response(many(MAX_FIELDS + 1), false).unwrap_err();
    assert_eq!(error, HeadError::TooManyFields);
    // Values that are joined are one field.
    let joined = format!("HTTP/1.1 200 OK\r\n{}\r\n", "vary: a\r\n".repeat(200));
    assert_eq!(decode_response(joined, false).unwrap().fields.len(), 2);
}
