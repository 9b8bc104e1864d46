//! Messages that are written.

use bytes::Bytes;
use tidegate_semantics::fields::FieldsError;

use super::{Output, fields_of, sent};
use crate::proxy::http1::encode::{self, BodyEncoder, ResponseOptions};

const TO_HEAD: ResponseOptions = ResponseOptions {
    to_head_request: true,
    close: false,
};

/// A date, so that none is added.
const DATE: &str = "date: Sun, 06 Nov 1994 08:49:37 GMT";

/// Encodes a request for `/a` from `h`. Returns the fields after `host`, and the message after the head if it has the
/// body `hi`, unless it ends with the head.
fn request(method: &str, fields: &[&str], end: bool) -> (Vec<String>, String) {
    let method = format!(":method: {method}");
    let pseudo = [":authority: h", ":path: /a", &method, ":scheme: http"];
    let mut output = Output::default();
    let fields = fields_of(&[&pseudo, fields].concat());
    let encoder = encode::request(&mut output, &fields, end).expect("a request that can be sent");
    split(finished(encoder, output, end), 2)
}

/// Encodes a response, like `request`. Returns the fields after `date`, which has to be the first.
fn response(
    status: u16,
    fields: &[&str],
    end: bool,
    options: ResponseOptions,
) -> (Vec<String>, String) {
    let status = format!(":status: {status}");
    let mut output = Output::default();
    let fields = fields_of(&[&[&*status, DATE], fields].concat());
    let encoder =
        encode::response(&mut output, &fields, end, options).expect("a response that can be sent");
    split(finished(encoder, output, end), 2)
}

fn finished(mut encoder: BodyEncoder, mut output: Output, end: bool) -> String {
    assert_eq!(encoder.has_ended(), end);
    if !end {
        encoder.data(&mut output, "hi".into());
        encoder.end(&mut output, None);
        assert!(encoder.has_ended());
    }
    String::from_utf8(sent(&mut output)).expect("ASCII")
}

/// Splits a message into the lines of the head, without the first ones, and the rest.
fn split(message: String, first: usize) -> (Vec<String>, String) {
    let (head, rest) = message.split_once("\r\n\r\n").expect("an empty line");
    (
        head.split("\r\n").skip(first).map(str::to_owned).collect(),
        rest.to_owned(),
    )
}

#[track_caller]
fn assert_written(written: (Vec<String>, String), fields: &[&str], rest: &str) {
    assert_eq!(
        (written.0, &*written.1),
        (fields.iter().map(|it| (*it).to_owned()).collect(), rest)
    );
}

const CHUNKS: &str = "2\r\nhi\r\n0\r\n\r\n";

#[test]
fn request_is_written_in_the_order_of_its_fields() {
    let mut output = Output::default();
    let fields = fields_of(&[
        ":method: PATCH",
        ":path: /a?b#c",
        ":scheme: https",
        ":authority: h:1",
        "z: 1",
        "a: 2",
        "z: ",
    ]);
    encode::request(&mut output, &fields, true).unwrap();
    let expected =
        "PATCH /a?b#c HTTP/1.1\r\nhost: h:1\r\nz: 1\r\na: 2\r\nz: \r\ncontent-length: 0\r\n\r\n";
    assert_eq!(
        sent(&mut output).escape_ascii().to_string(),
        expected.escape_default().to_string()
    );
}

#[test]
fn request_without_an_authority_has_no_host() {
    let mut output = Output::default();
    encode::request(&mut output, &fields_of(&[":method: GET", ":path: /"]), true).unwrap();
    assert_eq!(sent(&mut output), b"GET / HTTP/1.1\r\n\r\n");
}

#[test]
fn framing_of_a_request_without_a_body() {
    for method in ["GET", "HEAD", "DELETE", "TRACE", "CONNECT"] {
        assert_written(request(method, &[], true), &[], "");
        assert_written(
            request(method, &["content-length: 0"], true),
            &["content-length: 0"],
            "",
        );
        for length in ["2", "x", "", "+0"] {
            let length = format!("content-length: {length}");
            assert_written(request(method, &[&length], true), &[], "");
        }
        assert_written(
            request(method, &["transfer-encoding: chunked"], true),
            &[],
            "",
        );
    }
    for method in ["POST", "PUT", "PATCH", "OPTIONS", "PROPFIND", "ANY"] {
        for fields in [
            &[][..],
            &["content-length: 0"],
            &["content-length: 2"],
            &["content-length: x"],
        ] {
            assert_written(request(method, fields, true), &["content-length: 0"], "");
        }
    }
}

#[test]
fn framing_of_a_request_with_a_body() {
    for method in ["GET", "HEAD", "DELETE", "POST"] {
        let length = ["x: 1", "content-length: 2", "y: 1"];
        assert_written(request(method, &length, false), &length, "hi");
        assert_written(
            request(method, &["content-length: 0002"], false),
            &["content-length: 0002"],
            "hi",
        );
        for lengths in [
            &[][..],
            &["content-length: x"],
            &["content-length: "],
            &["content-length: 2", "content-length: 2"],
            &["transfer-encoding: gzip"],
        ] {
            assert_written(
                request(method, lengths, false),
                &["transfer-encoding: chunked"],
                CHUNKS,
            );
        }
        let both = ["content-length: 2", "transfer-encoding: chunked"];
        assert_written(request(method, &both, false), &["content-length: 2"], "hi");
    }
}

#[test]
fn request_that_cannot_be_sent_is_rejected() {
    let encode = |fields: &[&str]| {
        encode::request(&mut Output::default(), &fields_of(fields), true).unwrap_err()
    };
    assert_eq!(encode(&[":path: /"]), FieldsError::Missing(":method"));
    assert_eq!(encode(&[":method: GET"]), FieldsError::Missing(":path"));
    for (fields, message) in [
        (
            [":method: GET", ":path: /a b"],
            "\"/a b\" is not a valid value of `:path`",
        ),
        (
            [":method: GET", ":path: /a\tb"],
            "\"/a\tb\" is not a valid value of `:path`",
        ),
        (
            [":method: G T", ":path: /"],
            "\"G T\" is not a valid value of `:method`",
        ),
        (
            [":method: ", ":path: /"],
            "\"\" is not a valid value of `:method`",
        ),
    ] {
        assert_eq!(encode(&fields).to_string(), message);
    }
}

#[test]
fn status_line_has_the_usual_reason() {
    for (status, line) in [
        ("200", "HTTP/1.1 200 OK\r\n"),
        ("404", "HTTP/1.1 404 Not Found\r\n"),
        ("299", "HTTP/1.1 299 Unknown\r\n"),
        ("999", "HTTP/1.1 999 Unknown\r\n"),
    ] {
        let mut output = Output::default();
        let fields = fields_of(&[&format!(":status: {status}")]);
        encode::response(&mut output, &fields, true, ResponseOptions::default()).unwrap();
        assert!(sent(&mut output).starts_with(line.as_bytes()), "{status}");
    }
}

#[test]
fn response_requires_a_final_status() {
    for status in [
        &[][..],
        &[":status: 100"],
        &[":status: 101"],
        &[":status: 103"],
        &[":status: x"],
        &[":status: 99"],
    ] {
        let mut output = Output::default();
        let result = encode::response(
            &mut output,
            &fields_of(status),
            true,
            ResponseOptions::default(),
        );
        assert!(result.is_err(), "{status:?}");
        assert!(output.is_empty(), "{status:?}");
    }
}

#[test]
fn fields_of_the_connection_are_not_forwarded() {
    let fields = [
        "x: 1",
        "connection: x",
        "keep-alive: 1",
        "proxy-connection: close",
        "upgrade: h2",
        "te: trailers",
        "y: 2",
        "x: 3",
    ];
    let kept = ["x: 1", "te: trailers", "y: 2", "x: 3", "content-length: 0"];
    assert_written(
        response(200, &fields, true, ResponseOptions::default()),
        &kept,
        "",
    );
}

#[test]
fn connection_that_closes_is_announced() {
    let close = ResponseOptions {
        close: true,
        ..ResponseOptions::default()
    };
    assert_written(
        response(200, &["x: 1"], true, close),
        &["x: 1", "connection: close", "content-length: 0"],
        "",
    );
}

#[test]
fn date_is_added_unless_there_is_one() {
    let encode = |fields: &[&str]| {
        let mut output = Output::default();
        encode::response(
            &mut output,
            &fields_of(fields),
            true,
            ResponseOptions::default(),
        )
        .unwrap();
        split(String::from_utf8(sent(&mut output)).unwrap(), 1).0
    };
    let added = encode(&[":status: 200", "x: 1"]);
    let date = added[1]
        .strip_prefix("date: ")
        .expect("the date follows the other fields");
    assert!(httpdate::parse_http_date(date).is_ok(), "{date}");
    assert_eq!(
        encode(&[":status: 200", DATE, "x: 1"]),
        [DATE, "x: 1", "content-length: 0"]
    );
}

#[test]
fn framing_of_a_response_without_a_body() {
    let options = ResponseOptions::default();
    for fields in [
        &[][..],
        &["content-length: 0"],
        &["content-length: 2"],
        &["content-length: x"],
        &["transfer-encoding: chunked"],
    ] {
        assert_written(
            response(200, fields, true, options),
            &["content-length: 0"],
            "",
        );
    }
}

#[test]
fn framing_of_a_response_with_a_body() {
    let options = ResponseOptions::default();
    assert_written(
        response(200, &["content-length: 2", "x: 1"], false, options),
        &["content-length: 2", "x: 1"],
        "hi",
    );
    for lengths in [
        &[][..],
        &["content-length: x"],
        &["content-length: "],
        &["content-length: 2", "content-length: 2"],
        &["content-length: 2, 2"],
    ] {
        assert_written(
            response(200, lengths, false, options),
            &["transfer-encoding: chunked"],
            CHUNKS,
        );
    }
}

#[test]
fn response_to_head_has_no_body() {
    for end in [true, false] {
        for length in ["content-length: 0", "content-length: 5"] {
            assert_written(response(200, &[length], end, TO_HEAD), &[length], "");
        }
        for fields in [
            &[][..],
            &["content-length: x"],
            &["content-length: 5", "content-length: 5"],
        ] {
            assert_written(
                response(200, fields, end, TO_HEAD),
                &["transfer-encoding: chunked"],
                "",
            );
        }
    }
}

#[test]
fn statuses_without_a_body() {
    for end in [true, false] {
        for options in [ResponseOptions::default(), TO_HEAD] {
            for length in ["content-length: 0", "content-length: 5"] {
                assert_written(response(204, &[length], end, options), &[], "");
                assert_written(response(304, &[length], end, options), &[length], "");
            }
            for status in [204, 304] {
                assert_written(response(status, &["x: 1"], end, options), &["x: 1"], "");
                assert_written(
                    response(status, &["content-length: x"], end, options),
                    &[],
                    "",
                );
            }
        }
    }
    // This one may have a body.
    assert_written(
        response(205, &[], false, ResponseOptions::default()),
        &["transfer-encoding: chunked"],
        CHUNKS,
    );
}

#[test]
fn every_part_of_a_body_is_a_chunk() {
    let mut output = Output::default();
    let fields = fields_of(&[":status: 200", DATE]);
    let mut encoder =
        encode::response(&mut output, &fields, false, ResponseOptions::default()).unwrap();
    output.clear();
    encoder.data(&mut output, "hello world, hello".into());
    // An empty chunk would end the body.
    encoder.data(&mut output, Bytes::new());
    encoder.data(&mut output, vec![b'a'; 2000].into());
    encoder.end(
        &mut output,
        Some(&fields_of(&["x-t: 1", "content-length: 3", "x-t: 2"])),
    );
    // Nothing follows the end.
    encoder.data(&mut output, "more".into());
    encoder.end(&mut output, None);
    let expected = format!(
        "12\r\nhello world, hello\r\n7d0\r\n{}\r\n0\r\nx-t: 1\r\ncontent-length: 3\r\nx-t: 2\r\n\r\n",
        "a".repeat(2000)
    );
    assert_eq!(sent(&mut output), expected.as_bytes());
    assert_eq!(encoder.wrong_length(), None);
}

#[test]
fn trailers_after_a_length_are_dropped() {
    let mut output = Output::default();
    let fields = fields_of(&[":status: 200", DATE, "content-length: 2"]);
    let mut encoder =
        encode::response(&mut output, &fields, false, ResponseOptions::default()).unwrap();
    output.clear();
    encoder.data(&mut output, "hi".into());
    encoder.end(&mut output, Some(&fields_of(&["x-t: 1"])));
    assert_eq!(sent(&mut output), b"hi");
}

#[test]
fn wrong_length_is_noticed_at_the_end() {
    let encoder = |length: &str, status: u16, options| {
        let fields = fields_of(&[
            &format!(":status: {status}"),
            &format!("content-length: {length}"),
        ]);
        encode::response(&mut Output::default(), &fields, false, options).unwrap()
    };
    let none = ResponseOptions::default();
    for (length, status, options, data, wrong) in [
        ("2", 200, none, "hi", None),
        ("2", 200, none, "h", Some((2, 1))),
        ("2", 200, none, "hi!", Some((2, 3))),
        ("0", 200, none, "hi", Some((0, 2))),
        ("0", 200, none, "", None),
        // The length describes a body that is not sent.
        ("2", 200, TO_HEAD, "", None),
        ("2", 304, none, "", None),
        ("2", 204, none, "hi", None),
        ("x", 200, none, "hi", None),
    ] {
        let mut encoder = encoder(length, status, options);
        encoder.data(&mut Output::default(), data.into());
        assert_eq!(encoder.wrong_length(), None);
        encoder.end(&mut Output::default(), None);
        assert_eq!(encoder.wrong_length(), wrong, "{length} {status} {data}");
    }
    let fields = fields_of(&[":method: POST", ":path: /", "content-length: 2"]);
    let mut request = encode::request(&mut Output::default(), &fields, false).unwrap();
    request.end(&mut Output::default(), None);
    assert_eq!(request.wrong_length(), Some((2, 0)));
}

#[test]
fn interim_response_has_no_fields() {
    let mut output = Output::default();
    encode::continue_response(&mut output);
    assert_eq!(sent(&mut output), b"HTTP/1.1 100 Continue\r\n\r\n");
}
