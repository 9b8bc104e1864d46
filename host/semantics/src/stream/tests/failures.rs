//! Tests of traps, and of callbacks that affect other streams.

use super::*;

#[test]
fn callback_can_resume_and_wake_another_stream() {
    let first: Arc<Mutex<Option<u32>>> = Arc::default();
    let script = Scripted::default().on(0, Phase::RequestHeaders, {
        let around: RefCell<Option<()>> = RefCell::new(None);
        move |context| {
            around.replace(Some(()));
            let mut first = first.lock().unwrap();
            match *first {
                None => *first = Some(context.id),
                Some(_) => FIRST.with_borrow(|it| {
                    stream_control::resume(it.as_ref().unwrap(), Direction::Request).unwrap();
                }),
            }
            Ok(if context.id == first.unwrap() {
                Action::Pause
            } else {
                Action::Continue
            })
        }
    });
    thread_local! {
        static FIRST: RefCell<Option<StreamContext>> = const { RefCell::new(None) };
    }
    let chain = chain(&script, &[RELOAD]);
    let woken = Rc::new(Cell::new(0));
    let mut paused = chain.open(Rc::new({
        let woken = woken.clone();
        move || woken.set(woken.get() + 1)
    }));
    paused.request_headers(request(), true);
    assert_eq!(take_effects(&mut paused), [""; 0]);
    FIRST.set(Some(context_of(&paused, 0)));
    let mut other = open(&chain);
    other.request_headers(request(), true);
    assert_eq!(take_effects(&mut other), ["request-headers:end"]);
    assert_eq!(woken.get(), 1);
    assert_eq!(take_effects(&mut paused), ["request-headers:end"]);
    FIRST.take();
}

#[test]
fn calls_on_an_ended_stream_return_closed() {
    let script = Scripted::default();
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    let kept = context_of(&stream, 0);
    stream.finish();
    let closed = Err(crate::hostcalls::Error::Closed);
    assert_eq!(
        http_fields::entries(&kept, FieldMap::RequestHeaders, Fields::len),
        Err(crate::hostcalls::Error::Closed)
    );
    assert_eq!(
        http_fields::append(&kept, FieldMap::RequestHeaders, b"a", b"b"),
        closed
    );
    assert_eq!(
        http_bodies::append(&kept, Direction::Request, Bytes::new()),
        closed
    );
    assert_eq!(stream_control::resume(&kept, Direction::Request), closed);
    assert_eq!(stream_control::reset(&kept), closed);
    assert_eq!(
        local_responses::send(false, &kept, 200, [].into_iter(), Bytes::new(), None),
        closed
    );
}

// === Failure ===

fn trap(_: &Context) -> Result<Action, Trap> {
    Err(Trap::new("it is broken"))
}

#[test]
fn trap_returns_503_and_next_stream_gets_a_fresh_instance() {
    let script = Scripted::default();
    let once = Cell::new(true);
    let script = script.on(0, Phase::RequestHeaders, move |context| {
        match once.replace(false) {
            true => trap(context),
            false => Ok(Action::Continue),
        }
    });
    let logs = Arc::new(LogCollector::default());
    let chain = chain_with(&script, &[RELOAD], logs.clone())
        .start_worker(0)
        .unwrap();
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    assert_eq!(take_effects(&mut stream), ["response-headers:503:end"]);
    assert_eq!(*logs.0.lock().unwrap(), ["p0 critical it is broken"]);
    stream.finish();
    // The dead instance is not called again.
    assert_eq!(script.seen(), ["0:open", "0:request-headers:end"]);
    let mut next = open(&chain);
    next.request_headers(request(), true);
    assert_eq!(take_effects(&mut next), ["request-headers:end"]);
    assert_eq!(script.0.lock().unwrap().instances, 2);
}

#[test]
fn trap_fails_paused_streams_of_the_same_instance() {
    let calls = Cell::new(0);
    let script = Scripted::default().on(0, Phase::RequestHeaders, move |context| {
        match calls.replace(calls.get() + 1) {
            0 => Ok(Action::Pause),
            _ => trap(context),
        }
    });
    let chain = chain(&script, &[RELOAD]);
    let woken = Rc::new(Cell::new(false));
    let mut paused = chain.open(Rc::new({
        let woken = woken.clone();
        move || woken.set(true)
    }));
    paused.request_headers(request(), true);
    let mut trapping = open(&chain);
    trapping.request_headers(request(), true);
    assert_eq!(take_effects(&mut trapping), ["response-headers:503:end"]);
    assert!(woken.get());
    assert_eq!(take_effects(&mut paused), ["response-headers:503:end"]);
}

#[test]
fn fail_open_plugin_is_skipped_after_a_trap() {
    let script = Scripted::default().on(0, Phase::RequestHeaders, trap);
    let chain = chain(&script, &[FailurePolicy::Open]);
    let mut lost = open(&chain);
    lost.request_headers(request(), true);
    assert_eq!(take_effects(&mut lost), ["response-headers:503:end"]);
    for _ in 0..2 {
        let mut stream = open(&chain);
        stream.request_headers(request(), false);
        stream.request_body(bytes("a"), true);
        stream.response_headers(response(), true);
        assert_eq!(
            take_effects(&mut stream),
            [
                "request-headers",
                "request-body:a:end",
                "response-headers:200:end"
            ]
        );
    }
    assert_eq!(script.0.lock().unwrap().instances, 1);
}

#[test]
fn fail_closed_plugin_rejects_streams_after_a_trap() {
    let script = Scripted::default().on(0, Phase::ResponseHeaders, trap);
    let chain = chain(&script, &[FailurePolicy::Closed]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    stream.response_headers(response(), true);
    assert_eq!(
        take_effects(&mut stream),
        ["request-headers:end", "response-headers:503:end"]
    );
    let mut next = open(&chain);
    next.request_headers(request(), true);
    assert_eq!(take_effects(&mut next), ["response-headers:503:end"]);
    assert_eq!(script.0.lock().unwrap().instances, 1);
}

#[test]
fn trap_after_response_headers_resets_the_stream() {
    let script = Scripted::default().on(0, Phase::ResponseBody, trap);
    let mut stream = request_on(&script, &[RELOAD], true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("a"), true);
    assert_eq!(
        take_effects(&mut stream),
        ["request-headers:end", "response-headers:200", "reset"]
    );
}

#[test]
fn rejected_configuration_reports_the_reason() {
    let script = Scripted::default();
    script.0.lock().unwrap().configuration_error =
        Some("rules[2].limit: expected a positive number".to_owned());
    let chain = chain_with(&script, &[RELOAD], Arc::default());
    let error = chain.start_worker(0).map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin `p0` rejects its configuration: rules[2].limit: expected a positive number"
    );
}
