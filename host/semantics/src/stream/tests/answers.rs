//! Tests of local responses and resets.

use super::*;

#[test]
fn local_response_passes_only_plugins_that_saw_the_request() {
    let script = Scripted::default().on(1, Phase::RequestHeaders, respond_with(403));
    let chain = chain(&script, &[RELOAD, RELOAD, RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    stream.request_body(bytes("dropped"), true);
    assert_eq!(
        take_effects(&mut stream),
        ["response-headers:403", "response-body:no:end"]
    );
    stream.finish();
    assert_eq!(
        script.seen(),
        [
            "0:open",
            "0:request-headers",
            "1:open",
            "1:request-headers",
            "1:response-headers",
            "0:response-headers",
            "1:response-body:2:end",
            "0:response-body:2:end",
            "0:log",
            "1:log",
            "2:open",
            "2:log",
            "0:close",
            "1:close",
            "2:close"
        ]
    );
}

#[test]
fn local_response_stops_the_phase_regardless_of_action() {
    let script = Scripted::default().on(0, Phase::RequestHeaders, |context| {
        respond_with(403)(context)?;
        Ok(Action::Continue)
    });
    let mut stream = request_on(&script, &[RELOAD, RELOAD], true);
    assert_eq!(
        take_effects(&mut stream),
        ["response-headers:403", "response-body:no:end"]
    );
}

#[test]
fn local_response_can_be_modified_by_response_callbacks() {
    let script = Scripted::default()
        .on(0, Phase::RequestHeaders, respond_with(403))
        .on(0, Phase::ResponseHeaders, |context| {
            http_fields::append(
                stream_of(context),
                FieldMap::ResponseHeaders,
                b"added",
                b"1",
            )
            .unwrap();
            Ok(Action::Continue)
        });
    let mut stream = request_on(&script, &[RELOAD], true);
    let Some(Effect::ResponseHeaders { fields, end: false }) = stream.next_effect() else {
        panic!("no head")
    };
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [":status", "x", "content-length", "content-type", "added"]
    );
}

#[test]
fn local_response_in_response_phase_skips_further_callbacks() {
    let script = Scripted::default().on(1, Phase::ResponseHeaders, respond_with(500));
    let mut stream = request_on(&script, &[RELOAD, RELOAD], true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("upstream"), true);
    assert_eq!(
        take_effects(&mut stream),
        [
            "request-headers:end",
            "response-headers:500",
            "response-body:no:end"
        ]
    );
    let seen = script.seen();
    assert_eq!(seen.last().unwrap(), "1:response-headers");
}

#[test]
fn local_response_after_response_headers_were_sent_is_rejected() {
    let script = Scripted::default().on(0, Phase::ResponseBody, |context| {
        let sent = local_responses::send(
            false,
            stream_of(context),
            403,
            [].into_iter(),
            Bytes::new(),
            None,
        );
        assert_eq!(sent, Err(crate::hostcalls::Error::NotAvailable));
        Ok(Action::Continue)
    });
    let mut stream = request_on(&script, &[RELOAD], true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("a"), true);
    assert_eq!(
        take_effects(&mut stream),
        [
            "request-headers:end",
            "response-headers:200",
            "response-body:a:end"
        ]
    );
}

#[test]
fn late_unchecked_local_response_resets_the_stream() {
    let script = Scripted::default().on(0, Phase::ResponseBody, |context| {
        local_responses::send_unchecked(
            stream_of(context),
            403,
            [].into_iter(),
            Bytes::new(),
            u32::MAX,
        )
        .unwrap();
        Ok(Action::Continue)
    });
    let mut stream = request_on(&script, &[RELOAD], true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("a"), true);
    assert_eq!(
        take_effects(&mut stream),
        ["request-headers:end", "response-headers:200", "reset"]
    );
}

#[test]
fn second_local_response_is_rejected() {
    let script = Scripted::default()
        .on(0, Phase::RequestHeaders, respond_with(403))
        .on(0, Phase::ResponseHeaders, |context| {
            let again = local_responses::send(
                false,
                stream_of(context),
                500,
                [].into_iter(),
                Bytes::new(),
                None,
            );
            assert_eq!(again, Err(crate::hostcalls::Error::NotAvailable));
            Ok(Action::Continue)
        });
    let mut stream = request_on(&script, &[RELOAD], true);
    assert_eq!(
        take_effects(&mut stream),
        ["response-headers:403", "response-body:no:end"]
    );
}

#[test]
fn upstream_failure_response_passes_response_callbacks() {
    let script = Scripted::default();
    let mut stream = request_on(&script, &[RELOAD], true);
    stream.fail_upstream(503, bytes("down"));
    stream.fail_upstream(503, bytes("again"));
    stream.response_headers(response(), true);
    assert_eq!(
        take_effects(&mut stream),
        [
            "request-headers:end",
            "response-headers:503",
            "response-body:down:end"
        ]
    );
    assert_eq!(
        script.seen()[2..],
        ["0:response-headers", "0:response-body:4:end"]
    );
}

#[test]
fn upstream_failure_during_a_response_resets() {
    let script = Scripted::default().returns(0, Phase::ResponseHeaders, &[Action::Pause]);
    let mut stream = request_on(&script, &[RELOAD], true);
    stream.response_headers(response(), false);
    stream.fail_upstream(502, bytes("broken"));
    assert_eq!(take_effects(&mut stream), ["request-headers:end", "reset"]);
}

#[test]
fn response_without_status_becomes_502() {
    let script = Scripted::default().on(0, Phase::ResponseHeaders, |context| {
        http_fields::remove(stream_of(context), FieldMap::ResponseHeaders, b":status").unwrap();
        Ok(Action::Continue)
    });
    let mut stream = request_on(&script, &[RELOAD], true);
    stream.response_headers(response(), true);
    assert_eq!(
        take_effects(&mut stream)[1..],
        [
            "response-headers:502",
            "response-body:missing required header: :status:end"
        ]
    );
}

#[test]
fn reset_skips_everything_but_log_and_close() {
    let script = Scripted::default().on(0, Phase::RequestBody, |context| {
        stream_control::reset(stream_of(context)).unwrap();
        Ok(Action::Continue)
    });
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    stream.request_body(bytes("a"), false);
    stream.request_body(bytes("b"), true);
    stream.response_headers(response(), true);
    assert_eq!(take_effects(&mut stream), ["request-headers", "reset"]);
    stream.finish();
    assert_eq!(script.seen()[3..], ["0:log", "0:close"]);
}

#[test]
fn reset_in_the_callback_that_has_sent_a_local_response_has_no_effect() {
    let script = Scripted::default().on(0, Phase::RequestHeaders, |context| {
        let action = respond_with(403)(context);
        assert_eq!(stream_control::reset(stream_of(context)), Ok(()));
        action
    });
    let mut stream = request_on(&script, &[RELOAD], true);
    assert_eq!(
        take_effects(&mut stream),
        ["response-headers:403", "response-body:no:end"]
    );
}

#[test]
fn paused_local_response_can_be_reset() {
    let script = Scripted::default()
        .on(0, Phase::RequestHeaders, respond_with(403))
        .returns(0, Phase::ResponseHeaders, &[Action::Pause]);
    let mut stream = request_on(&script, &[RELOAD], true);
    assert_eq!(take_effects(&mut stream), [""; 0]);
    let paused = context_of(&stream, 0);
    stream_control::reset(&paused).unwrap();
    assert_eq!(take_effects(&mut stream), ["reset"]);
}

/// Sends a local response to a paused stream in one event and resets the stream in the next one, before the stream has run. Returns the
/// effects. `on_response` is what the plugin returns for the headers of the response.
fn reset_in_a_later_event(on_response: Action) -> Vec<String> {
    let script = Scripted::default()
        .returns(0, Phase::RequestHeaders, &[Action::Pause])
        .returns(0, Phase::ResponseHeaders, &[on_response]);
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    let kept = StreamContext {
        shared: stream.shared.clone(),
        filter: 0,
        slot: 0,
    };
    let send = || local_responses::send(true, &kept, 403, [].into_iter(), bytes("no"), None);
    assert_eq!(send(), Ok(()));
    // Of the same event, so it has no effect.
    assert_eq!(stream_control::reset(&kept), Ok(()));
    kept.shared.calls.advance();
    assert_eq!(send(), Err(crate::hostcalls::Error::NotAvailable));
    assert_eq!(stream_control::reset(&kept), Ok(()));
    take_effects(&mut stream)
}

#[test]
fn reset_in_a_later_event_breaks_off_a_paused_response() {
    assert_eq!(reset_in_a_later_event(Action::Pause), ["reset"]);
}

#[test]
fn reset_in_a_later_event_does_not_break_off_a_complete_response() {
    assert_eq!(
        reset_in_a_later_event(Action::Continue),
        ["response-headers:403", "response-body:no:end"]
    );
}

/// Pauses a response in the headers callback of plugin 1 until its trailers have arrived, and resumes it into the
/// headers callback `behaviour` of plugin 0. Returns the effects and the callbacks that follow.
fn after_resuming(
    behaviour: impl FnMut(&Context) -> Result<Action, Trap> + Send + 'static,
) -> (Vec<String>, Vec<String>) {
    let script = Scripted::default()
        .returns(1, Phase::ResponseHeaders, &[Action::Pause])
        .on(0, Phase::ResponseHeaders, behaviour);
    let mut stream = request_on(&script, &[RELOAD, RELOAD], true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("abc"), false);
    stream.response_trailers(fields(&[("t", "1")]));
    assert_eq!(take_effects(&mut stream), ["request-headers:end"]);
    script.seen();
    let paused = context_of(&stream, 1);
    stream_control::resume(&paused, Direction::Response).unwrap();
    (take_effects(&mut stream), script.seen())
}

#[test]
fn reset_in_resumed_response_ends_it() {
    let (effects, seen) = after_resuming(|context| {
        stream_control::reset(stream_of(context)).unwrap();
        Ok(Action::Continue)
    });
    assert_eq!(effects, ["reset"]);
    assert_eq!(seen, ["0:response-headers"]);
}

#[test]
fn local_response_in_resumed_response_replaces_it() {
    let (effects, seen) = after_resuming(respond_with(500));
    assert_eq!(effects, ["response-headers:500", "response-body:no:end"]);
    assert_eq!(seen, ["0:response-headers"]);
}
