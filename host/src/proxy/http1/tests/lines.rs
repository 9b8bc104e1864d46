//! The end of a head, and field lines.

use bytes::{Bytes, BytesMut};

use super::{HeadError, headers_of, with_fields};
use crate::proxy::http1::lines::{HeadScanner, Lines, skip_line_ends, trim};
use crate::proxy::http1::{MAX_FIELDS, MAX_HEAD_SIZE};

fn accepted(fields: &str) -> Vec<String> {
    headers_of(&with_fields(fields).unwrap_or_else(|error| panic!("{fields:?}: {error}")))
}

#[track_caller]
fn assert_malformed(fields: impl AsRef<[u8]>) {
    let fields = fields.as_ref();
    let result = with_fields(fields);
    assert!(
        matches!(result, Err(HeadError::Malformed(_))),
        "{}: {result:?}",
        fields.escape_ascii()
    );
}

#[test]
fn empty_line_ends_a_head() {
    for head in ["a\r\n\r\n", "a\n\n", "a\r\n\n", "a\n\r\n"] {
        let mut input = BytesMut::from(&*format!("{head}rest"));
        let taken = HeadScanner::default().take_head(&mut input);
        assert_eq!(taken, Ok(Some(Bytes::from(head))), "{head:?}");
        assert_eq!(input, "rest");
    }
}

#[test]
fn line_with_only_carriage_returns_or_blanks_does_not_end_a_head() {
    for head in ["a\r\n\r\r\n", "a\r\n \r\n", "a\r\n\r", "a\r\r", "a\n\r\r\n"] {
        let mut input = BytesMut::from(head);
        assert_eq!(
            HeadScanner::default().take_head(&mut input),
            Ok(None),
            "{head:?}"
        );
        assert_eq!(input, head);
    }
}

#[test]
fn head_that_arrives_in_single_bytes_is_found() {
    let mut scanner = HeadScanner::default();
    let mut input = BytesMut::new();
    let head = b"a: 1\r\nb: 2\n\r\n";
    for byte in &head[..head.len() - 1] {
        input.extend_from_slice(&[*byte]);
        assert_eq!(scanner.take_head(&mut input), Ok(None));
    }
    input.extend_from_slice(b"\nb\n\n");
    assert_eq!(
        scanner.take_head(&mut input),
        Ok(Some(Bytes::from_static(head)))
    );
    // The scanner is ready for the next head.
    assert_eq!(
        scanner.take_head(&mut input),
        Ok(Some(Bytes::from_static(b"b\n\n")))
    );
}

#[test]
fn head_has_at_most_60_kib() {
    let head = |size: usize| [&vec![b'a'; size - 4], &b"\r\n\r\n"[..]].concat();
    let mut input = BytesMut::from(&head(MAX_HEAD_SIZE)[..]);
    input.extend_from_slice(&[b'x'; 10]);
    let taken = HeadScanner::default().take_head(&mut input).unwrap();
    assert_eq!(taken.map(|head| head.len()), Some(61_440));
    let mut input = BytesMut::from(&head(MAX_HEAD_SIZE + 1)[..]);
    let taken = HeadScanner::default().take_head(&mut input);
    assert_eq!(taken, Err(HeadError::TooLarge));
}

#[test]
fn incomplete_head_is_rejected_as_soon_as_it_is_too_large() {
    let mut scanner = HeadScanner::default();
    let mut input = BytesMut::from(&vec![b'a'; MAX_HEAD_SIZE][..]);
    assert_eq!(scanner.take_head(&mut input), Ok(None));
    input.extend_from_slice(b"a");
    assert_eq!(scanner.take_head(&mut input), Err(HeadError::TooLarge));
}

#[test]
fn line_ends_before_a_request_are_skipped() {
    let mut input = BytesMut::from("\r\n\n\r\rGET\r\n");
    skip_line_ends(&mut input);
    assert_eq!(input, "GET\r\n");
}

#[test]
fn start_line_is_followed_by_fields() {
    let mut lines = Lines::new(Bytes::from_static(b"start line\r\nA: 1\r\nb:2\r\n\r\n"));
    assert_eq!(lines.start_line(), "start line");
    let mut all = Vec::new();
    while let Some(field) = lines
        .next_field(|name, field| (name.name().clone(), field.value))
        .unwrap()
    {
        all.push(format!(
            "{}={}",
            field.0.as_str(),
            field.1.to_str().unwrap()
        ));
    }
    assert_eq!(all, ["a=1", "b=2"]);
}

#[test]
fn blanks_and_carriage_returns_around_a_value_are_removed() {
    for value in ["1", " \t 1 \t ", "\t1", "1\r", "\r1", " \r 1 \r ", "1 \r\r"] {
        assert_eq!(
            accepted(&format!("x-a:{value}\r\n")),
            ["x-a: 1"],
            "{value:?}"
        );
    }
    for value in ["", "  \t ", "\r", " \r \r"] {
        assert_eq!(
            accepted(&format!("x-a:{value}\r\n")),
            ["x-a: "],
            "{value:?}"
        );
    }
    assert_eq!(trim(b" \t\r a b \r"), b"a b");
    assert_eq!(trim(b" \r"), b"");
}

#[test]
fn line_feeds_suffice_as_line_ends() {
    assert_eq!(accepted("x-a: 1\nx-b: 2\n"), ["x-a: 1", "x-b: 2"]);
}

#[test]
fn carriage_return_within_a_value_is_dropped() {
    assert_eq!(accepted("x-a: 1\rx-b: 2\r\n"), ["x-a: 1x-b: 2"]);
}

#[test]
fn folded_lines_are_joined() {
    for (folded, value) in [
        ("1\r\n 2", "1 2"),
        ("1\r\n\t2", "1\\t2"),
        ("1\r\n 2\r\n 3", "1 2 3"),
        ("1\n 2\n\t3", "1 2\\t3"),
        ("1  \r\n   2  \r\n \r\n\t", "1     2"),
        ("1\r\n ", "1"),
        ("\r\n \r\n 2", "2"),
        ("1\r\r\n 2", "1 2"),
        ("1\r\n 2: 3", "1 2: 3"),
    ] {
        let joined = accepted(&format!("x-a: {folded}\r\nx-b: 4\r\n"));
        assert_eq!(joined, [&format!("x-a: {value}"), "x-b: 4"], "{folded:?}");
    }
}

#[test]
fn names_are_tokens_in_any_case() {
    assert_eq!(accepted("X-MiXed: 1\r\n"), ["x-mixed: 1"]);
    let token = "!#$%&'*+-.^_`|~09az";
    assert_eq!(
        accepted(&format!("{token}: 1\r\n")),
        [format!("{token}: 1")]
    );
    // Longer than the buffer in which names are converted.
    let long = "X".repeat(1000);
    assert_eq!(
        accepted(&format!("{long}: 1\r\n")),
        [format!("{}: 1", long.to_lowercase())]
    );
}

#[test]
fn invalid_names_are_rejected() {
    for name in [
        "",
        "x a",
        "x-a ",
        "x-a\t",
        "x@a",
        "x/a",
        "x(a",
        "x[a",
        "x\"a",
        "x\x01",
        "x\0",
        "x\r",
        "\rx",
        "x\r\n ",
        ":path",
        ":status",
        ":authority",
        "x\x7f",
    ] {
        assert_malformed(format!("{name}: 1\r\n"));
    }
    assert_malformed(b"x\xe9: 1\r\n");
    assert_malformed("x-a\r\n");
    assert_malformed("x-a\r\n y: 2\r\n");
    // The first line of fields cannot continue another one.
    let first = super::decode_request("GET / HTTP/1.1\r\n x-a: 1\r\nhost: h\r\n\r\n");
    assert!(matches!(first, Err(HeadError::Malformed(_))));
}

#[test]
fn values_contain_no_control_bytes_except_tabs() {
    for byte in (0..0x20).chain([0x7f]) {
        let field = [b"x-a: 1", &[byte][..], b"2\r\n"].concat();
        match byte {
            b'\t' | b'\r' => assert!(with_fields(field).is_ok()),
            b'\n' => assert_malformed(field),
            _ => assert_malformed(field),
        }
    }
    let head = with_fields(b"x-a: caf\xc3\xa9\xff\r\n").unwrap();
    assert_eq!(headers_of(&head), ["x-a: caf\\xc3\\xa9\\xff"]);
}

#[test]
fn values_share_the_memory_of_the_head() {
    let block = Bytes::from_static(b"x-a: 1234\r\n\r\n");
    let mut lines = Lines::new(block.clone());
    let value = lines.next_field(|_, field| field.value).unwrap().unwrap();
    assert_eq!(value.as_bytes().as_ptr(), block[5..].as_ptr());
}

#[test]
fn number_of_fields_is_limited() {
    let many = |count: usize| "x-a: 1\r\n".repeat(count);
    // One more is `host`.
    assert!(with_fields(many(MAX_FIELDS - 1)).is_ok());
    assert_eq!(
        with_fields(many(MAX_FIELDS)).unwrap_err(),
        HeadError::TooManyFields
    );
}

#[test]
fn joined_values_count_as_one_field() {
    let head = with_fields("accept: a\r\n".repeat(200)).unwrap();
    assert_eq!(headers_of(&head).len(), 1);
    let hosts = with_fields("host: h\r\n".repeat(200)).unwrap();
    assert_eq!(headers_of(&hosts).len(), 0);
}

#[test]
fn error_determines_the_status() {
    for (error, status) in [
        (HeadError::Malformed("x"), 400),
        (HeadError::TooLarge, 431),
        (HeadError::TooManyFields, 431),
        (HeadError::UnknownCoding, 501),
    ] {
        assert_eq!(error.status(), status, "{error}");
    }
}
