//! Tests of the phases in which hostcalls are available.

use super::*;

#[test]
fn fields_are_inaccessible_after_forwarding_except_in_log() {
    let refused = Err(crate::hostcalls::Error::NotAvailable);
    let script = Scripted::default()
        .on(0, Phase::RequestHeaders, |context| {
            http_fields::set(stream_of(context), FieldMap::RequestHeaders, b"X-Set", b"1").unwrap();
            let none = http_fields::entries(stream_of(context), FieldMap::ResponseHeaders, |_| ());
            assert_eq!(none, Err(crate::hostcalls::Error::NotAvailable));
            Ok(Action::Continue)
        })
        .on(0, Phase::RequestBody, move |context| {
            let late = http_fields::set(
                stream_of(context),
                FieldMap::RequestHeaders,
                b"x-late",
                b"1",
            );
            assert_eq!(late, refused);
            let read = http_fields::entries(stream_of(context), FieldMap::RequestHeaders, |_| ());
            assert_eq!(read, refused);
            Ok(Action::Continue)
        })
        .on(0, Phase::Log, move |context| {
            let stream = stream_of(context);
            assert_eq!(
                http_fields::set(stream, FieldMap::ResponseHeaders, b"a", b"b"),
                refused
            );
            assert_eq!(
                http_fields::entries(stream, FieldMap::ResponseHeaders, Fields::len),
                Ok(2)
            );
            assert_eq!(
                http_fields::entries(stream, FieldMap::RequestHeaders, Fields::len),
                Ok(5)
            );
            assert_eq!(
                http_bodies::size(stream, Direction::Response),
                Err(crate::hostcalls::Error::NotAvailable)
            );
            Ok(Action::Continue)
        });
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    stream.request_body(bytes("a"), true);
    stream.response_headers(response(), true);
    stream.finish();
    assert_eq!(script.seen().len(), 6);
}

#[test]
fn body_can_be_changed_in_its_callback() {
    let script = Scripted::default().on(0, Phase::ResponseBody, |context| {
        let stream = stream_of(context);
        http_bodies::prepend(stream, Direction::Response, bytes("<")).unwrap();
        http_bodies::append(stream, Direction::Response, bytes(">")).unwrap();
        assert_eq!(
            http_bodies::read(stream, Direction::Response, 1, 3).unwrap(),
            b"abc"
        );
        assert_eq!(
            http_bodies::read(stream, Direction::Response, 9, 3).unwrap(),
            b""
        );
        assert_eq!(
            http_bodies::size(stream, Direction::Request),
            Err(crate::hostcalls::Error::NotAvailable)
        );
        Ok(Action::Continue)
    });
    let mut stream = request_on(&script, &[RELOAD], true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("abc"), true);
    // The number of pieces is not specified: short ones are stored together.
    let body: String = take_effects(&mut stream)[2..]
        .iter()
        .map(|effect| effect.strip_prefix("response-body:").expect("a piece"))
        .collect();
    assert_eq!(body, "<abc>:end");
}
