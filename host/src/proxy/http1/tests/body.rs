//! Bodies: lengths, chunks and trailers.

use bytes::BytesMut;
use tidegate_semantics::vocabulary::FieldMap;

use super::{HeadError, lines_of};
use crate::proxy::http1::body::{BodyDecoder, Decoded, End};
use crate::proxy::http1::{Framing, MAX_FIELDS, MAX_HEAD_SIZE};

/// Decodes chunks that arrive together. Returns the data, the trailers if the body has ended, and the rest.
fn chunks(bytes: impl AsRef<[u8]>) -> Result<(String, Option<Vec<String>>, String), HeadError> {
    let mut input = BytesMut::from(bytes.as_ref());
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let Decoded { data, end } = decoder.decode(&mut input, FieldMap::ResponseTrailers)?;
    let end = end.map(|end| match end {
        End::Body => Vec::new(),
        End::Trailers(trailers) => lines_of(&trailers),
    });
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    Ok((text(&data), end, text(&input)))
}

#[track_caller]
fn assert_decoded(bytes: &str, data: &str) {
    let expected = (data.to_owned(), Some(Vec::new()), String::new());
    assert_eq!(chunks(bytes), Ok(expected), "{bytes:?}");
}

#[track_caller]
fn assert_malformed(bytes: &str) {
    let result = chunks(bytes);
    assert!(
        matches!(result, Err(HeadError::Malformed(_))),
        "{bytes:?}: {result:?}"
    );
}

#[test]
fn body_without_framing_has_ended() {
    let mut decoder = BodyDecoder::new(Framing::None);
    let mut input = BytesMut::from("next");
    assert!(decoder.has_ended() && !decoder.needs_input());
    assert_eq!(
        decoder.decode(&mut input, FieldMap::RequestTrailers),
        Ok(Decoded::default())
    );
    assert_eq!(input, "next");
    assert!(decoder.close());
}

#[test]
fn body_with_a_length_ends_after_it() {
    let mut decoder = BodyDecoder::new(Framing::Length(5));
    let mut decode = |bytes: &str| {
        let mut input = BytesMut::from(bytes);
        let decoded = decoder
            .decode(&mut input, FieldMap::RequestTrailers)
            .unwrap();
        (decoded.data, decoded.end, input, decoder.has_ended())
    };
    assert_eq!(decode("he"), ("he".into(), None, BytesMut::new(), false));
    assert_eq!(decode(""), ("".into(), None, BytesMut::new(), false));
    assert_eq!(
        decode("llo!"),
        ("llo".into(), Some(End::Body), "!".into(), true)
    );
    assert_eq!(decode("!"), ("".into(), None, "!".into(), true));
}

#[test]
fn largest_length_is_decoded() {
    let mut decoder = BodyDecoder::new(Framing::Length(u64::MAX));
    let mut input = BytesMut::from("hi");
    let decoded = decoder
        .decode(&mut input, FieldMap::RequestTrailers)
        .unwrap();
    assert_eq!((&decoded.data[..], decoded.end), (&b"hi"[..], None));
    assert!(!decoder.close());
}

#[test]
fn body_until_close_ends_with_the_connection() {
    let mut decoder = BodyDecoder::new(Framing::UntilClose);
    let mut input = BytesMut::from("hi");
    let decoded = decoder
        .decode(&mut input, FieldMap::ResponseTrailers)
        .unwrap();
    assert_eq!((&decoded.data[..], decoded.end), (&b"hi"[..], None));
    assert!(decoder.needs_input() && !decoder.has_ended());
    assert!(decoder.close());
    assert!(decoder.has_ended());
}

#[test]
fn incomplete_body_is_noticed_when_the_connection_closes() {
    for (framing, bytes) in [
        (Framing::Length(5), "hell"),
        (Framing::Chunked, ""),
        (Framing::Chunked, "5\r\nhel"),
        (Framing::Chunked, "5\r\nhello\r\n"),
        (Framing::Chunked, "0\r\n"),
        (Framing::Chunked, "0\r\nx: 1\r\n"),
    ] {
        let mut decoder = BodyDecoder::new(framing);
        let mut input = BytesMut::from(bytes);
        decoder
            .decode(&mut input, FieldMap::RequestTrailers)
            .unwrap();
        assert!(!decoder.close(), "{bytes:?}");
    }
}

#[test]
fn sizes_of_chunks() {
    for size in [
        "5",
        "05",
        "0000000000000000000000000000000005",
        "5 ",
        "5\t",
        "5   ",
    ] {
        assert_decoded(&format!("{size}\r\nhello\r\n0\r\n\r\n"), "hello");
    }
    assert_decoded(
        "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
        "01234567890123456789",
    );
    assert_decoded("000\r\n\r\n", "");
    for size in [
        "",
        " 5",
        "-5",
        "+5",
        "0x5",
        "0_5",
        "5x",
        "zz",
        "5,",
        ",5",
        "\x015",
        "10000000000000005",
        "fffffffffffffffff",
        ";a",
    ] {
        assert_malformed(&format!("{size}\r\nhello\r\n0\r\n\r\n"));
    }
    let largest = chunks("ffffffffffffffff\r\nhello").unwrap();
    assert_eq!(largest, ("hello".to_owned(), None, String::new()));
}

#[test]
fn line_of_a_size_ends_with_carriage_return_and_line_feed() {
    for line in [
        "5\n",
        "5\r",
        "5 \n",
        "5;a\n",
        "5\r\r\n",
        "5;a\r;b\r\n",
        "5;\r\r\n",
        "5 6\rx\r\n",
    ] {
        assert_malformed(&format!("{line}hello\r\n0\r\n\r\n"));
    }
    assert_malformed("0\n\r\n");
}

#[test]
fn extensions_are_ignored() {
    for extension in [
        ";a=b",
        ";a",
        ";a=\"b;c\"",
        ";a=\"",
        " ; a=b",
        ";",
        ";a\x01",
        " 6",
        " x",
        "\tx;y",
        ";caf\u{e9}",
    ] {
        assert_decoded(
            &format!("5{extension}\r\nhello\r\n0{extension}\r\n\r\n"),
            "hello",
        );
    }
    assert_decoded(
        &format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(200_000)),
        "hello",
    );
}

#[test]
fn bytes_between_data_and_line_feed_are_ignored() {
    for end in ["\r\n", "\n", "  \r\n", "lo\r\n", "\r\r\n"] {
        assert_decoded(&format!("3\r\nhel{end}0\r\n\r\n"), "hel");
    }
    // The line feed is missing, so the size of the next chunk is ignored, and an empty line follows.
    assert_malformed("5\r\nhello0\r\n\r\n");
    assert_malformed("5\r\nhello\r\n\r\n0\r\n\r\n");
}

#[test]
fn trailers_are_decoded() {
    for (trailers, expected) in [
        ("x-t: 1\r\n", &["x-t: 1"][..]),
        (
            "X-B: 1\r\nx-a: 2\r\nx-b: 3\r\n",
            &["x-b: 1", "x-a: 2", "x-b: 3"],
        ),
        ("x-t: 1\r\n 2\r\n", &["x-t: 1 2"]),
        ("x-t:\r\n", &["x-t: "]),
        ("x-t: 1\n", &["x-t: 1"]),
        (
            "content-length: 3\r\nhost: a\r\nconnection: close\r\n",
            &["content-length: 3", "host: a", "connection: close"],
        ),
        (
            "grpc-status: 0\r\nx: 1\r\ngrpc-status: 1\r\n",
            &["grpc-status: 0,1", "x: 1"],
        ),
    ] {
        let (data, end, rest) = chunks(format!("5\r\nhello\r\n0\r\n{trailers}\r\nnext")).unwrap();
        assert_eq!((&*data, &*rest), ("hello", "next"), "{trailers:?}");
        assert_eq!(end.unwrap(), expected, "{trailers:?}");
    }
}

#[test]
fn invalid_trailers_are_rejected_after_the_data() {
    for (trailers, error) in [
        (":path: /b\r\n".to_owned(), None),
        ("x-t\r\n".to_owned(), None),
        ("x-t : 1\r\n".to_owned(), None),
        (" x-t: 1\r\n".to_owned(), None),
        ("x-t: 1\x002\r\n".to_owned(), None),
        ("\r\r\n".to_owned(), None),
        (
            "x-t: 1\r\n".repeat(MAX_FIELDS + 1),
            Some(HeadError::TooManyFields),
        ),
        (
            format!("x-t: {}\r\n", "a".repeat(MAX_HEAD_SIZE)),
            Some(HeadError::TooLarge),
        ),
    ] {
        let mut input = BytesMut::from(&*format!("5\r\nhello\r\n0\r\n{trailers}\r\n"));
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        let mut decode = || {
            let decoded = decoder.decode(&mut input, FieldMap::ResponseTrailers);
            (decoded, decoder.needs_input())
        };
        let data = Decoded {
            data: "hello".into(),
            end: None,
        };
        // The error follows without further input.
        assert_eq!(decode(), (Ok(data), false));
        let failed = decode().0.unwrap_err();
        match error {
            Some(error) => assert_eq!(failed, error),
            None => assert!(matches!(failed, HeadError::Malformed(_)), "{trailers:?}"),
        }
        assert!(!decoder.close());
    }
}

#[test]
fn as_many_trailers_as_fields_are_allowed() {
    let (_, end, _) = chunks(format!("0\r\n{}\r\n", "x-t: 1\r\n".repeat(MAX_FIELDS))).unwrap();
    assert_eq!(end.unwrap().len(), 100);
    // Values that are joined are one field.
    let (_, end, _) = chunks(format!("0\r\n{}\r\n", "grpc-status: 1\r\n".repeat(200))).unwrap();
    assert_eq!(end.unwrap().len(), 1);
}

#[test]
fn trailers_have_at_most_60_kib() {
    let block = |size: usize| format!("0\r\nx: {}\r\n\r\n", "a".repeat(size - "x: \r\n\r\n".len()));
    assert!(chunks(block(MAX_HEAD_SIZE)).unwrap().1.is_some());
    assert_eq!(chunks(block(MAX_HEAD_SIZE + 1)), Err(HeadError::TooLarge));
}

#[test]
fn data_that_arrives_with_a_syntax_error_is_dropped() {
    assert_malformed("5\r\nhello\r\nzz\r\n");
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let mut decode =
        |bytes: &str| decoder.decode(&mut BytesMut::from(bytes), FieldMap::ResponseTrailers);
    assert_eq!(decode("5\r\nhello\r\n").unwrap().data, "hello");
    assert!(decode("zz\r\n").is_err());
}

#[test]
fn incomplete_trailer_stays_in_the_input() {
    let mut input = BytesMut::from("0\r\nx-t: 1\r\n");
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let decoded = decoder.decode(&mut input, FieldMap::RequestTrailers);
    assert_eq!(decoded, Ok(Decoded::default()));
    assert!(decoder.needs_input());
    assert_eq!(input, "x-t: 1\r\n");
}

#[test]
fn large_single_chunk_is_not_copied() {
    let chunk = format!("800\r\n{}", "x".repeat(2048));
    let mut input = BytesMut::from(&chunk[..]);
    let data = input[5..].as_ptr();
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let decoded = decoder
        .decode(&mut input, FieldMap::RequestTrailers)
        .unwrap();
    assert_eq!(decoded.data.as_ptr(), data);
}
