//! Tests of iteration, of pausing and resuming, and of the buffer limit.

use super::*;

#[test]
fn request_and_response_traverse_chain_in_opposite_orders() {
    let script = Scripted::default();
    let chain = chain(&script, &[RELOAD, RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    stream.request_body(bytes("ab"), false);
    stream.request_trailers(fields(&[("t", "1")]));
    assert_eq!(
        take_effects(&mut stream),
        ["request-headers", "request-body:ab", "request-trailers"]
    );
    stream.response_headers(response(), false);
    stream.response_body(bytes("cd"), true);
    assert_eq!(
        take_effects(&mut stream),
        ["response-headers:200", "response-body:cd:end"]
    );
    stream.finish();
    assert_eq!(
        script.seen(),
        [
            "0:open",
            "0:request-headers",
            "1:open",
            "1:request-headers",
            "0:request-body:2",
            "1:request-body:2",
            "0:request-trailers",
            "1:request-trailers",
            "1:response-headers",
            "0:response-headers",
            "1:response-body:2:end",
            "0:response-body:2:end",
            "0:log",
            "1:log",
            "0:close",
            "1:close"
        ]
    );
}

#[test]
fn empty_chain_passes_everything_through() {
    let chain = chain(&Scripted::default(), &[]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("x"), false);
    stream.response_trailers(fields(&[("t", "1")]));
    assert_eq!(
        take_effects(&mut stream),
        [
            "request-headers:end",
            "response-headers:200",
            "response-body:x",
            "response-trailers"
        ]
    );
}

#[test]
fn empty_end_of_stream_reaches_the_plugin() {
    let script = Scripted::default();
    let mut stream = request_on(&script, &[RELOAD], false);
    stream.request_body(Bytes::new(), false);
    stream.request_body(Bytes::new(), true);
    assert_eq!(
        take_effects(&mut stream),
        ["request-headers", "request-body::end"]
    );
    assert_eq!(
        script.seen(),
        ["0:open", "0:request-headers", "0:request-body:0:end"]
    );
}

// === Pausing ===

#[test]
fn pause_in_headers_stops_the_stream_until_resumed() {
    let script = Scripted::default().returns(0, Phase::RequestHeaders, &[Action::Pause]);
    let mut stream = request_on(&script, &[RELOAD, RELOAD], false);
    stream.request_body(bytes("abc"), false);
    stream.request_body(bytes("de"), true);
    assert_eq!(take_effects(&mut stream), [""; 0]);
    assert_eq!(script.seen(), ["0:open", "0:request-headers"]);
    resume(&mut stream, 0, Direction::Request);
    assert_eq!(
        take_effects(&mut stream),
        ["request-headers", "request-body:abc", "request-body:de:end"]
    );
    // The plugin that paused sees the body that arrived in the meantime as one chunk.
    assert_eq!(
        script.seen(),
        [
            "1:open",
            "1:request-headers",
            "0:request-body:5:end",
            "1:request-body:5:end"
        ]
    );
}

/// Resumes a direction, as a callback of another stream would.
fn resume(stream: &mut Stream, filter: usize, direction: Direction) {
    let context = context_of(stream, filter);
    stream_control::resume(&context, direction).unwrap();
}

#[test]
fn pause_in_headers_holds_end_of_stream() {
    let script = Scripted::default().returns(0, Phase::ResponseHeaders, &[Action::Pause]);
    let mut stream = request_on(&script, &[RELOAD], true);
    stream.response_headers(response(), true);
    assert_eq!(take_effects(&mut stream), ["request-headers:end"]);
    resume(&mut stream, 0, Direction::Response);
    assert_eq!(take_effects(&mut stream), ["response-headers:200:end"]);
}

#[test]
fn pause_in_headers_holds_trailers() {
    let script = Scripted::default().returns(0, Phase::RequestHeaders, &[Action::Pause]);
    let mut stream = request_on(&script, &[RELOAD], false);
    stream.request_trailers(fields(&[("t", "1")]));
    assert_eq!(take_effects(&mut stream), [""; 0]);
    resume(&mut stream, 0, Direction::Request);
    assert_eq!(
        take_effects(&mut stream),
        ["request-headers", "request-trailers"]
    );
    assert_eq!(
        script.seen(),
        ["0:open", "0:request-headers", "0:request-trailers"]
    );
}

#[test]
fn pause_in_body_buffers_data() {
    let script = Scripted::default().returns(
        0,
        Phase::RequestBody,
        &[Action::Pause, Action::Pause, Action::Continue],
    );
    let mut stream = request_on(&script, &[RELOAD, RELOAD], false);
    for (text, end) in [("ab", false), ("c", false), ("de", true)] {
        stream.request_body(bytes(text), end);
    }
    assert_eq!(
        take_effects(&mut stream),
        [
            "request-headers",
            "request-body:ab",
            "request-body:c",
            "request-body:de:end"
        ]
    );
    let seen = script.seen();
    assert_eq!(
        seen[4..],
        [
            "0:request-body:2",
            "0:request-body:3",
            "0:request-body:5:end",
            "1:request-body:5:end"
        ]
    );
}

#[test]
fn resumed_body_continues_at_the_next_plugin() {
    let script = Scripted::default().returns(0, Phase::RequestBody, &[Action::Pause]);
    let mut stream = request_on(&script, &[RELOAD, RELOAD], false);
    stream.request_body(bytes("abc"), true);
    assert_eq!(take_effects(&mut stream), ["request-headers"]);
    script.seen();
    resume(&mut stream, 0, Direction::Request);
    assert_eq!(take_effects(&mut stream), ["request-body:abc:end"]);
    assert_eq!(script.seen(), ["1:request-body:3:end"]);
}

#[test]
fn trailers_release_a_paused_body() {
    let script = Scripted::default().returns(0, Phase::ResponseBody, &[Action::Pause]);
    let mut stream = request_on(&script, &[RELOAD], true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("abc"), false);
    stream.response_trailers(fields(&[("t", "1")]));
    assert_eq!(
        take_effects(&mut stream),
        [
            "request-headers:end",
            "response-headers:200",
            "response-body:abc",
            "response-trailers"
        ]
    );
}

#[test]
fn pause_in_trailers_holds_trailers() {
    let script = Scripted::default().returns(0, Phase::RequestTrailers, &[Action::Pause]);
    let mut stream = request_on(&script, &[RELOAD], false);
    stream.request_trailers(fields(&[("t", "1")]));
    assert_eq!(take_effects(&mut stream), ["request-headers"]);
    resume(&mut stream, 0, Direction::Request);
    assert_eq!(take_effects(&mut stream), ["request-trailers"]);
}

#[test]
fn resume_inside_pausing_headers_callback_continues() {
    let script = Scripted::default().on(0, Phase::RequestHeaders, |context| {
        stream_control::resume(stream_of(context), Direction::Request).unwrap();
        Ok(Action::Pause)
    });
    let mut stream = request_on(&script, &[RELOAD], true);
    assert_eq!(take_effects(&mut stream), ["request-headers:end"]);
}

#[test]
fn resume_inside_pausing_body_callback_continues() {
    let mut resumes = true;
    let script = Scripted::default().on(0, Phase::RequestBody, move |context| {
        if !std::mem::take(&mut resumes) {
            return Ok(Action::Continue);
        }
        stream_control::resume(stream_of(context), Direction::Request).unwrap();
        Ok(Action::Pause)
    });
    let mut stream = request_on(&script, &[RELOAD], false);
    // No chunk is buffered, so the plugin sees each one separately.
    for (text, end) in [("ab", false), ("c", false), ("de", true)] {
        stream.request_body(bytes(text), end);
    }
    assert_eq!(
        take_effects(&mut stream),
        [
            "request-headers",
            "request-body:ab",
            "request-body:c",
            "request-body:de:end"
        ]
    );
    assert_eq!(
        script.seen()[2..],
        [
            "0:request-body:2",
            "0:request-body:1",
            "0:request-body:2:end"
        ]
    );
}

#[test]
fn resume_inside_pausing_trailers_callback_releases_them() {
    let script = Scripted::default()
        .on(1, Phase::ResponseTrailers, |context| {
            stream_control::resume(stream_of(context), Direction::Response).unwrap();
            Ok(Action::Pause)
        })
        .returns(0, Phase::ResponseTrailers, &[Action::Pause]);
    let mut stream = request_on(&script, &[RELOAD, RELOAD], true);
    stream.response_headers(response(), false);
    stream.response_trailers(fields(&[("t", "1")]));
    // The trailers are paused at the next plugin, where the first one can no longer access them.
    let first = context_of(&stream, 1);
    assert_eq!(
        http_fields::set(&first, FieldMap::ResponseTrailers, b"t", b"2"),
        Err(crate::hostcalls::Error::NotAvailable)
    );
    resume(&mut stream, 0, Direction::Response);
    assert_eq!(
        take_effects(&mut stream),
        [
            "request-headers:end",
            "response-headers:200",
            "response-trailers"
        ]
    );
}

#[test]
fn resume_of_an_unpaused_stream_does_nothing() {
    let script = Scripted::default();
    let mut stream = request_on(&script, &[RELOAD], false);
    resume(&mut stream, 0, Direction::Request);
    resume(&mut stream, 0, Direction::Response);
    stream.request_body(bytes("a"), true);
    assert_eq!(
        take_effects(&mut stream),
        ["request-headers", "request-body:a:end"]
    );
}

#[test]
fn body_callback_can_drop_its_data() {
    let script = Scripted::default().returns(
        0,
        Phase::RequestBody,
        &[Action::PauseDropping, Action::Continue],
    );
    let mut stream = request_on(&script, &[RELOAD], false);
    stream.request_body(bytes("dropped"), false);
    stream.request_body(bytes("kept"), true);
    assert_eq!(
        take_effects(&mut stream),
        ["request-headers", "request-body:kept:end"]
    );
}

// === Limits ===

#[test]
fn paused_headers_apply_backpressure() {
    let script = Scripted::default().returns(0, Phase::RequestHeaders, &[Action::Pause]);
    let mut stream = request_on(&script, &[RELOAD], false);
    stream.request_body(bytes("0123456789"), false);
    assert!(stream.wants_request_body());
    stream.request_body(bytes("x"), false);
    assert!(!stream.wants_request_body() && stream.wants_response_body());
    resume(&mut stream, 0, Direction::Request);
    assert_eq!(
        take_effects(&mut stream),
        [
            "request-headers",
            "request-body:0123456789",
            "request-body:x"
        ]
    );
    assert!(stream.wants_request_body());
}

#[test]
fn oversized_paused_request_body_returns_413() {
    let script = Scripted::default().returns(0, Phase::RequestBody, &[Action::Pause]);
    let mut stream = request_on(&script, &[RELOAD], false);
    stream.request_body(bytes("0123456789"), false);
    stream.request_body(bytes("x"), false);
    stream.request_body(bytes("late"), true);
    assert_eq!(
        take_effects(&mut stream),
        [
            "request-headers",
            "response-headers:413",
            "response-body:Payload Too Large:end"
        ]
    );
    let seen = script.seen();
    // The plugin is called for the chunk that exceeds the limit, and for the response.
    assert_eq!(
        seen[2..],
        [
            "0:request-body:10",
            "0:request-body:11",
            "0:response-headers",
            "0:response-body:17:end"
        ]
    );
}

#[test]
fn oversized_paused_response_body_resets() {
    let script = Scripted::default().returns(0, Phase::ResponseBody, &[Action::Pause]);
    let mut stream = request_on(&script, &[RELOAD], true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("0123456789x"), false);
    assert_eq!(
        take_effects(&mut stream),
        ["request-headers:end", "response-headers:200", "reset"]
    );
}

#[test]
fn oversized_paused_response_body_returns_500_if_headers_held() {
    // In response order: plugin 1 pauses the body, and plugin 0, after it, holds the headers.
    let script = Scripted::default()
        .returns(0, Phase::ResponseHeaders, &[Action::Pause])
        .returns(1, Phase::ResponseBody, &[Action::Pause]);
    let mut stream = request_on(&script, &[RELOAD, RELOAD], true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("0123456789x"), false);
    assert_eq!(
        take_effects(&mut stream),
        [
            "request-headers:end",
            "response-headers:500",
            "response-body:Internal Server Error:end"
        ]
    );
}

#[test]
fn pause_buffering_in_headers_returns_413_for_large_request() {
    let script = Scripted::default().returns(0, Phase::RequestHeaders, &[Action::PauseBuffering]);
    let mut stream = request_on(&script, &[RELOAD], false);
    stream.request_body(bytes("0123456789"), false);
    assert_eq!(take_effects(&mut stream), [""; 0]);
    stream.request_body(bytes("x"), false);
    stream.request_body(bytes("late"), true);
    assert_eq!(
        take_effects(&mut stream),
        [
            "response-headers:413",
            "response-body:Payload Too Large:end"
        ]
    );
    // The body callback is not called, because the plugin paused in its headers callback.
    assert_eq!(
        script.seen(),
        [
            "0:open",
            "0:request-headers",
            "0:response-headers",
            "0:response-body:17:end"
        ]
    );
    resume(&mut stream, 0, Direction::Request);
    assert_eq!(take_effects(&mut stream), [""; 0]);
}

#[test]
fn pause_buffering_in_headers_returns_500_for_large_response() {
    let script = Scripted::default().returns(0, Phase::ResponseHeaders, &[Action::PauseBuffering]);
    let mut stream = request_on(&script, &[RELOAD], true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("0123456789x"), false);
    assert_eq!(
        take_effects(&mut stream),
        [
            "request-headers:end",
            "response-headers:500",
            "response-body:Internal Server Error:end"
        ]
    );
}
