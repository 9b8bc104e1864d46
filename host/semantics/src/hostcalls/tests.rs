//! Tests of arguments that hostcalls reject in any phase: those that HTTP forbids, and those that exceed a limit.

use std::rc::Rc;

use bytes::Bytes;
use http::HeaderValue;
use http::header::HeaderName;

use super::*;
use crate::context::StreamContext;
use crate::fields::Fields;
use crate::state::SharedStream;
use crate::vocabulary::{Direction, FieldMap, Phase};

const MAP: FieldMap = FieldMap::RequestHeaders;

/// Creates a stream whose request headers can be changed.
fn stream() -> StreamContext {
    let shared = SharedStream::new(1, 0, Rc::new(|| ()), None, Rc::default());
    {
        let mut state = shared.state.borrow_mut();
        state.maps[MAP.index()] = Some(Fields::from_iter([(
            HeaderName::from_static("a").into(),
            HeaderValue::from_static("1"),
        )]));
        state.filters[0].accessible_maps = MAP.bit();
        state.filters[0].phase = Some(Phase::RequestHeaders);
    }
    StreamContext {
        shared: Rc::new(shared),
        filter: 0,
        slot: 0,
    }
}

fn list(stream: &StreamContext) -> Vec<(String, Vec<u8>)> {
    http_fields::entries(stream, MAP, |fields| {
        fields
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect()
    })
    .unwrap()
}

#[test]
fn invalid_names_and_values_are_rejected_without_changes() {
    let stream = stream();
    let before = list(&stream);
    for name in [
        &b""[..],
        b"a b",
        b"a\0",
        b":",
        b":host",
        b"a:",
        b"\xff",
        "ä".as_bytes(),
    ] {
        assert_eq!(
            http_fields::set(&stream, MAP, name, b"v"),
            Err(Error::InvalidArgument),
            "{name:?}"
        );
        assert_eq!(
            http_fields::append(&stream, MAP, name, b"v"),
            Err(Error::InvalidArgument),
            "{name:?}"
        );
        assert_eq!(
            http_fields::remove(&stream, MAP, name),
            Err(Error::InvalidArgument),
            "{name:?}"
        );
        let replaced = http_fields::replace_all(
            &stream,
            MAP,
            [(&b"ok"[..], &b"v"[..]), (name, b"v")].into_iter(),
        );
        assert_eq!(replaced, Err(Error::InvalidArgument), "{name:?}");
        assert_eq!(
            http_fields::entries(&stream, MAP, |fields| fields.get(name).cloned()),
            Ok(None)
        );
    }
    for value in [&b"a\nb"[..], b"a\rb", b"\0", b"\x1f", b"\x7f"] {
        assert_eq!(
            http_fields::set(&stream, MAP, b"n", value),
            Err(Error::InvalidArgument),
            "{value:?}"
        );
    }
    assert_eq!(list(&stream), before);
}

#[test]
fn unusual_names_and_values_are_accepted() {
    let stream = stream();
    http_fields::set(&stream, MAP, b":PATH", b"/").unwrap();
    http_fields::append(&stream, MAP, b"X-Bytes", b"\x80\xff\t ").unwrap();
    http_fields::append(&stream, MAP, b"x-bytes", b"").unwrap();
    assert_eq!(
        list(&stream),
        [
            (":path".to_owned(), b"/".to_vec()),
            ("a".to_owned(), b"1".to_vec()),
            ("x-bytes".to_owned(), b"\x80\xff\t ".to_vec()),
            ("x-bytes".to_owned(), Vec::new())
        ]
    );
}

#[test]
fn too_many_or_too_large_fields_are_rejected() {
    let stream = stream();
    let many = vec![(&b"n"[..], &b"v"[..]); MAX_CALL_FIELDS + 1];
    assert_eq!(
        http_fields::replace_all(&stream, MAP, many.iter().copied()),
        Err(Error::TooLarge)
    );
    assert_eq!(
        http_fields::replace_all(&stream, MAP, many[1..].iter().copied()),
        Ok(())
    );
    // The size includes four bytes for the count, ten for two lengths and two zeros, and one for the name.
    let value = vec![b'v'; MAX_CALL_FIELD_BYTES - 4 - 10];
    assert_eq!(
        http_fields::replace_all(&stream, MAP, [(&b"n"[..], &value[..])].into_iter()),
        Err(Error::TooLarge)
    );
    assert_eq!(
        http_fields::replace_all(&stream, MAP, [(&b"n"[..], &value[1..])].into_iter()),
        Ok(())
    );
}

#[test]
fn incremental_edits_cannot_exceed_size_limits() {
    let stream = stream();
    for _ in 1..MAX_MAP_FIELDS {
        http_fields::append(&stream, MAP, b"n", b"v").unwrap();
    }
    assert_eq!(
        http_fields::append(&stream, MAP, b"n", b"v"),
        Err(Error::TooLarge)
    );
    assert_eq!(list(&stream).len(), MAX_MAP_FIELDS);
    assert_eq!(http_fields::remove(&stream, MAP, b"n"), Ok(()));

    let large = vec![b'v'; MAX_CALL_FIELD_BYTES / 2];
    assert_eq!(http_fields::append(&stream, MAP, b"n", &large), Ok(()));
    assert_eq!(
        http_fields::append(&stream, MAP, b"n", &large),
        Err(Error::TooLarge)
    );
    assert_eq!(http_fields::set(&stream, MAP, b"m", b"small"), Ok(()));

    stream.shared.state.borrow_mut().filters[0].phase = Some(Phase::RequestBody);
    let half = Bytes::from(vec![0; MAX_BODY_BYTES / 2]);
    let body = |data| http_bodies::append(&stream, Direction::Request, data);
    assert_eq!((body(half.clone()), body(half)), (Ok(()), Ok(())));
    assert_eq!(body(Bytes::from_static(b"x")), Err(Error::TooLarge));
    assert_eq!(
        http_bodies::prepend(&stream, Direction::Request, Bytes::from_static(b"x")),
        Err(Error::TooLarge)
    );
}

#[test]
fn properties_set_on_a_stream_are_bounded() {
    let stream = stream();
    let mut left = 0;
    while properties::set(&stream, format!("name {left}").as_bytes(), b"x").is_ok() {
        left += 1;
        assert!(left < 10_000, "no bound");
    }
    assert_eq!(
        properties::set(&stream, b"another", b"x"),
        Err(Error::TooLarge)
    );
    assert_eq!(properties::set(&stream, b"name 0", b"y"), Ok(()));
    let large = vec![b'v'; 1 << 16];
    assert_eq!(
        properties::set(&stream, b"name 0", &large),
        Err(Error::TooLarge)
    );
    stream.shared.state.borrow_mut().ended = true;
    assert_eq!(
        properties::set(&stream, b"name 0", b"z"),
        Err(Error::Closed)
    );
}

#[test]
fn path_segments_are_joined_with_nul_bytes() {
    let path = |segments: &[&str]| {
        properties::join_path(
            &segments
                .iter()
                .map(|it| (*it).to_owned())
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(path(&["a"]), Ok(b"a".to_vec()));
    assert_eq!(path(&["a", "b.c", "d"]), Ok(b"a\0b.c\0d".to_vec()));
    for wrong in [&[][..], &[""], &["a", ""], &["", "a"], &["a\0b"]] {
        assert_eq!(path(wrong), Err(Error::InvalidArgument), "{wrong:?}");
    }
    let most = "x".repeat((1 << 16) - 1);
    assert_eq!(path(&[&most]).map(|path| path.len()), Ok(most.len()));
    assert_eq!(path(&[&most, "x"]), Err(Error::TooLarge));
}

#[test]
fn invalid_local_response_is_rejected() {
    let stream = stream();
    let send = |status, name: &[u8], value: &[u8], grpc| {
        local_responses::send(
            false,
            &stream,
            status,
            [(name, value)].into_iter(),
            Bytes::new(),
            grpc,
        )
    };
    for status in [0, 100, 199, 600, 1000, u16::MAX] {
        assert_eq!(
            send(status, b"a", b"b", None),
            Err(Error::InvalidArgument),
            "{status}"
        );
    }
    assert_eq!(
        send(200, b":status", b"201", None),
        Err(Error::InvalidArgument)
    );
    assert_eq!(send(200, b"a b", b"", None), Err(Error::InvalidArgument));
    assert_eq!(send(200, b"a", b"\n", None), Err(Error::InvalidArgument));
    assert_eq!(send(200, b"a", b"b", Some(17)), Err(Error::InvalidArgument));
    assert_eq!(send(599, b"a", b"b", Some(16)), Ok(()));
    assert_eq!(send(200, b"a", b"b", None), Err(Error::NotAvailable));
}

#[test]
fn local_response_without_callback_or_in_log_is_rejected() {
    let stream = stream();
    for phase in [None, Some(Phase::Log)] {
        stream.shared.state.borrow_mut().filters[0].phase = phase;
        let sent = local_responses::send(false, &stream, 200, [].into_iter(), Bytes::new(), None);
        assert_eq!(sent, Err(Error::NotAvailable), "{phase:?}");
    }
}

#[test]
fn repeated_resume_and_reset_requests_are_deduplicated() {
    let stream = stream();
    for _ in 0..1000 {
        stream_control::resume(&stream, Direction::Request).unwrap();
        stream_control::reset(&stream).unwrap();
    }
    assert_eq!(stream.shared.state.borrow().commands.len(), 2);
}
