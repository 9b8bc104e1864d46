//! What the codec writes is decoded to the same message.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tidegate_semantics::fields::{Fields, Name, Pseudo};
use tidegate_semantics::vocabulary::FieldMap;

use super::{lines_of, sent};
use crate::proxy::http1::body::{BodyDecoder, End};
use crate::proxy::http1::encode::{self, ResponseOptions};
use crate::proxy::http1::output::Output;
use crate::proxy::http1::{Framing, HeadScanner, request, response};

fn field_lines() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec("x-[a-z]{1,8}: [!-~]([ -~]{0,20}[!-~])?", 0..8)
}

fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..3000), 0..5)
}

fn with(pseudo: &[(Pseudo, &'static str)], lines: &[String]) -> Fields {
    let mut fields = Fields::new();
    for (pseudo, value) in pseudo {
        fields.set_pseudo(*pseudo, http::HeaderValue::from_static(value));
    }
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a colon and a space");
        let name = Name::parse(name.as_bytes()).expect("a valid name");
        fields.append(name, value.parse().expect("a valid value"));
    }
    fields
}

/// Decodes a body, and checks that nothing follows it.
fn body_of(mut decoder: BodyDecoder, mut input: BytesMut, map: FieldMap) -> (Vec<u8>, Option<End>) {
    let decoded = decoder.decode(&mut input, map).expect("a valid body");
    assert!(input.is_empty());
    (decoded.data.to_vec(), decoded.end)
}

/// Forwards the head of a request as the proxy does, if it is valid. The upstream must see one request with the same fields.
pub(super) fn forward(bytes: &[u8]) {
    let mut input = BytesMut::from(bytes);
    let Ok(Some(head)) = request::decode(&mut input, &mut HeadScanner::default()) else {
        return;
    };
    let end = head.framing == Framing::None;
    let mut output = Output::default();
    if encode::request(&mut output, &head.fields, end).is_err() {
        // It has no path.
        return;
    }
    let mut input = BytesMut::from(&sent(&mut output)[..]);
    let forwarded = request::decode(&mut input, &mut HeadScanner::default());
    let Ok(Some(mut forwarded)) = forwarded else {
        // A path that does not start with a slash has no route.
        let path = head.fields.pseudo(Pseudo::Path).expect("a path");
        assert!(
            !path.as_bytes().starts_with(b"/"),
            "{}",
            bytes.escape_ascii()
        );
        return;
    };
    assert!(input.is_empty(), "{}", bytes.escape_ascii());
    assert_eq!(forwarded.framing, head.framing, "{}", bytes.escape_ascii());
    let mut received = head.fields;
    for fields in [&mut received, &mut forwarded.fields] {
        for framing in ["content-length", "transfer-encoding", ":scheme"] {
            fields.remove(framing);
        }
    }
    assert_eq!(
        lines_of(&forwarded.fields),
        lines_of(&received),
        "{}",
        bytes.escape_ascii()
    );
}

proptest! {
    #[test]
    fn requests_round_trip(lines in field_lines(), pieces in pieces(), trailers in field_lines(), with_length in any::<bool>()) {
        let mut lines = lines;
        let body = pieces.concat();
        if with_length {
            lines.push(format!("content-length: {}", body.len()));
        }
        let pseudo = [
            (Pseudo::Authority, "h"),
            (Pseudo::Path, "/a?b"),
            (Pseudo::Method, "POST"),
            (Pseudo::Scheme, "http"),
        ];
        let fields = with(&pseudo, &lines);
        let mut output = Output::default();
        let mut encoder = encode::request(&mut output, &fields, false).expect("valid fields");
        for piece in &pieces {
            encoder.data(&mut output, Bytes::copy_from_slice(piece));
        }
        let trailers = with(&[], &trailers);
        encoder.end(&mut output, (!trailers.is_empty()).then_some(&trailers));
        prop_assert!(encoder.has_ended());
        prop_assert_eq!(encoder.wrong_length(), None);

        let mut input = BytesMut::from(&sent(&mut output)[..]);
        let head = request::decode(&mut input, &mut HeadScanner::default());
        let mut head = head.expect("a valid head").expect("a complete head");
        if !with_length {
            head.fields.remove("transfer-encoding");
        }
        prop_assert_eq!(lines_of(&head.fields), lines_of(&fields));
        let (data, end) = body_of(BodyDecoder::new(head.framing), input, FieldMap::RequestTrailers);
        prop_assert_eq!(data, body);
        let expected = match with_length || trailers.is_empty() {
            true if head.framing == Framing::None => None,
            true => Some(End::Body),
            false => Some(End::Trailers(trailers)),
        };
        prop_assert_eq!(end, expected);
    }

    #[test]
    fn responses_round_trip(lines in field_lines(), pieces in pieces(), status in 200..600_u16, close in any::<bool>()) {
        prop_assume!(status != 204 && status != 304);
        let mut fields = with(&[], &lines);
        fields.set_pseudo(Pseudo::Status, status.into());
        fields.append(http::header::DATE.into(), http::HeaderValue::from_static("now"));
        let mut output = Output::default();
        let options = ResponseOptions { to_head_request: false, close };
        let mut encoder = encode::response(&mut output, &fields, false, options).expect("valid fields");
        for piece in &pieces {
            encoder.data(&mut output, Bytes::copy_from_slice(piece));
        }
        encoder.end(&mut output, None);

        let mut input = BytesMut::from(&sent(&mut output)[..]);
        let head = response::decode(&mut input, &mut HeadScanner::default(), false);
        let mut head = head.expect("a valid head").expect("a complete head");
        prop_assert_eq!(head.keeps_alive, !close);
        head.fields.remove("transfer-encoding");
        head.fields.remove("connection");
        prop_assert_eq!(lines_of(&head.fields), lines_of(&fields));
        let (data, end) = body_of(BodyDecoder::new(head.framing), input, FieldMap::ResponseTrailers);
        prop_assert_eq!(data, pieces.concat());
        prop_assert_eq!(end, Some(End::Body));
    }
}
