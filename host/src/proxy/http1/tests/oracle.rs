//! Compares heads with `httparse`, which rejects some of what the codec accepts, and accepts some of what it rejects. Where both
//! accept a head, they must find the same end and the same names: otherwise, two recipients would see different messages.

use std::collections::BTreeSet;

use bytes::BytesMut;
use tidegate_semantics::fields::{Fields, Name, Pseudo};

use super::HeadScanner;
use crate::proxy::http1::{request, response};

const MAX_HEADERS: usize = 200;

/// Compares the first head in these bytes, if it is that of a request.
pub(super) fn compare_request(bytes: &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = parsed.parse(bytes) else {
        return;
    };
    let mut input = BytesMut::from(bytes);
    let Ok(Some(head)) = request::decode(&mut input, &mut HeadScanner::default()) else {
        return;
    };
    assert_eq!(
        bytes.len() - input.len(),
        length,
        "{}",
        bytes.escape_ascii()
    );
    let method = head.fields.pseudo(Pseudo::Method).expect("a method");
    assert_eq!(Some(method.to_str().expect("ASCII")), parsed.method);
    let is_connect = method == "CONNECT";
    // `host` is not a field, and the length of `CONNECT` is dropped.
    let expected = names(parsed.headers).into_iter();
    let expected = expected.filter(|it| it != "host" && !(is_connect && it == "content-length"));
    assert_eq!(
        names_of(&head.fields),
        expected.collect(),
        "{}",
        bytes.escape_ascii()
    );
}

/// Compares the first head in these bytes, if it is that of a response.
pub(super) fn compare_response(bytes: &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = parsed.parse(bytes) else {
        return;
    };
    let mut input = BytesMut::from(bytes);
    let Ok(Some(head)) = response::decode(&mut input, &mut HeadScanner::default(), false) else {
        return;
    };
    assert_eq!(
        bytes.len() - input.len(),
        length,
        "{}",
        bytes.escape_ascii()
    );
    assert_eq!(Some(head.status.as_u16()), parsed.code);
    assert_eq!(names_of(&head.fields), names(parsed.headers));
}

fn names(headers: &[httparse::Header<'_>]) -> BTreeSet<String> {
    let names = headers.iter().map(|header| header.name.to_lowercase());
    names.collect()
}

fn names_of(fields: &Fields) -> BTreeSet<String> {
    let names = fields.iter().filter_map(|(name, _)| match name {
        Name::Header(name) => Some(name.as_str().to_owned()),
        Name::Pseudo(_) => None,
    });
    names.collect()
}
