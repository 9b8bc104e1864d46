//! The state machine against plugins that do what a test scripts: no WebAssembly here.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::HeaderValue;

use super::*;
use crate::clock::ManualClock;
use crate::engine::vm::{StreamContext, Surroundings};
use crate::engine::{self, Action, Callbacks, Trap};
use crate::hostcalls::{http_bodies, http_fields, local_responses, stream_control};
use crate::logs::{LogLine, LogSink};
use crate::plugin::{EngineKind, FailPolicy, PluginSpec};
use crate::runtime::{Chain, RuntimeConfig, WorkerChain};
use crate::worker::{Loaded, LoadedModule, LoadedPlugin};

// === The scripted plugins ===

/// What a plugin does in one callback.
type Step = Box<dyn FnMut(&Context) -> Result<Action, Trap> + Send>;

/// What the plugins of a test do, and what was seen: `plugin:phase[:size][:end]`.
#[derive(Default)]
struct Script {
    steps: Vec<(usize, Phase, Step)>,
    seen: Vec<String>,
    instances: usize,
    refuse: Option<String>,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    fn on(
        self,
        plugin: usize,
        phase: Phase,
        step: impl FnMut(&Context) -> Result<Action, Trap> + Send + 'static,
    ) -> Self {
        self.0
            .lock()
            .unwrap()
            .steps
            .push((plugin, phase, Box::new(step)));
        self
    }

    /// Each call of the callback answers the next of these, the last for ever.
    fn answers(self, plugin: usize, phase: Phase, actions: &[Action]) -> Self {
        let mut actions: VecDeque<Action> = actions.iter().copied().collect();
        self.on(plugin, phase, move |_| {
            Ok(if actions.len() > 1 {
                actions.pop_front()
            } else {
                actions.front().copied()
            }
            .unwrap())
        })
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().seen)
    }

    fn run(&self, context: &Context, phase: Phase, what: String) -> Result<Action, Trap> {
        let mut script = self.0.lock().unwrap();
        let plugin = context.plugin;
        script.seen.push(format!("{plugin}:{what}"));
        let index = script
            .steps
            .iter()
            .position(|(whose, when, _)| *whose == plugin && *when == phase);
        let Some(index) = index else {
            return Ok(Action::Continue);
        };
        let (_, _, mut step) = script.steps.swap_remove(index);
        drop(script);
        let result = step(context);
        self.0.lock().unwrap().steps.push((plugin, phase, step));
        result
    }
}

impl engine::Compiled for Scripted {
    fn callbacks(&self) -> Callbacks {
        use Phase::*;
        [
            RequestHeaders,
            RequestBody,
            RequestTrailers,
            ResponseHeaders,
            ResponseBody,
            ResponseTrailers,
            Log,
        ]
        .into_iter()
        .fold(Callbacks::default(), Callbacks::with)
    }

    fn instantiate(&self, _: &Rc<Surroundings>) -> Result<Box<dyn engine::Instance>, Trap> {
        self.0.lock().unwrap().instances += 1;
        Ok(Box::new(self.clone()))
    }
}

impl engine::Instance for Scripted {
    fn configure(&mut self, _: &Context, _: &[u8]) -> Result<Result<(), String>, Trap> {
        Ok(self.0.lock().unwrap().refuse.clone().map_or(Ok(()), Err))
    }

    fn open(&mut self, context: &Context) -> Result<usize, Trap> {
        self.0
            .lock()
            .unwrap()
            .seen
            .push(format!("{}:open", context.plugin));
        Ok(0)
    }

    fn headers(
        &mut self,
        filter: engine::Filter<'_>,
        half: Direction,
        _: u32,
        end: bool,
    ) -> Result<Action, Trap> {
        let (phase, name) = match half {
            Direction::Request => (Phase::RequestHeaders, "request-headers"),
            Direction::Response => (Phase::ResponseHeaders, "response-headers"),
        };
        self.run(
            filter.context,
            phase,
            format!("{name}{}", if end { ":end" } else { "" }),
        )
    }

    fn body(
        &mut self,
        filter: engine::Filter<'_>,
        half: Direction,
        size: u32,
        end: bool,
    ) -> Result<Action, Trap> {
        let name = match half {
            Direction::Request => "request-body",
            Direction::Response => "response-body",
        };
        self.run(
            filter.context,
            half.body_phase(),
            format!("{name}:{size}{}", if end { ":end" } else { "" }),
        )
    }

    fn trailers(
        &mut self,
        filter: engine::Filter<'_>,
        half: Direction,
        _: u32,
    ) -> Result<Action, Trap> {
        let (phase, name) = match half {
            Direction::Request => (Phase::RequestTrailers, "request-trailers"),
            Direction::Response => (Phase::ResponseTrailers, "response-trailers"),
        };
        self.run(filter.context, phase, name.to_owned())
    }

    fn log(&mut self, filter: engine::Filter<'_>) -> Result<(), Trap> {
        self.run(filter.context, Phase::Log, "log".to_owned())
            .map(|_| ())
    }

    fn close(&mut self, filter: engine::Filter<'_>) -> Result<(), Trap> {
        self.0
            .lock()
            .unwrap()
            .seen
            .push(format!("{}:close", filter.context.plugin));
        Ok(())
    }
}

#[derive(Default)]
struct Collected(Mutex<Vec<String>>);

impl LogSink for Collected {
    fn line(&self, line: &LogLine<'_>) {
        self.0
            .lock()
            .unwrap()
            .push(format!("{} {} {}", line.plugin, line.level, line.message));
    }
}

/// A chain of plugins with these policies, all in one instance.
fn chain(script: &Scripted, policies: &[FailPolicy]) -> WorkerChain {
    chain_with(script, policies, Arc::new(Collected::default()))
        .start_worker(0)
        .unwrap()
}

fn chain_with(script: &Scripted, policies: &[FailPolicy], logs: Arc<Collected>) -> Chain {
    let plugins = policies
        .iter()
        .enumerate()
        .map(|(place, policy)| LoadedPlugin {
            spec: PluginSpec {
                fail_policy: *policy,
                ..PluginSpec::new(format!("p{place}"), Bytes::new())
            },
            engine: EngineKind::Component,
            module: 0,
            place,
        })
        .collect();
    let mut modules = vec![LoadedModule {
        compiled: Arc::new(script.clone()),
        plugins: (0..policies.len()).collect(),
    }];
    modules.retain(|module| !module.plugins.is_empty());
    let config = RuntimeConfig {
        clock: Arc::new(ManualClock::new(0)),
        buffer: 10,
        ..RuntimeConfig::new(logs)
    };
    Chain::of(Loaded {
        config,
        plugins,
        modules,
    })
}

fn open(chain: &WorkerChain) -> Stream {
    chain.open(Rc::new(|| ()))
}

fn fields(list: &[(&str, &str)]) -> Fields {
    list.iter()
        .map(|(name, value)| {
            (
                crate::Name::parse(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect()
}

fn request() -> Fields {
    fields(&[
        (":authority", "a"),
        (":path", "/"),
        (":method", "GET"),
        (":scheme", "http"),
    ])
}

fn response() -> Fields {
    fields(&[(":status", "200"), ("x", "upstream")])
}

/// The effects, as words.
fn drain(stream: &mut Stream) -> Vec<String> {
    let mut words = Vec::new();
    let end = |end: bool| if end { ":end" } else { "" };
    let text = |data: Bytes| String::from_utf8(data.to_vec()).unwrap();
    while let Some(effect) = stream.next_effect() {
        words.push(match effect {
            Effect::RequestHeaders { end: last, .. } => format!("request-headers{}", end(last)),
            Effect::RequestBody { data, end: last } => {
                format!("request-body:{}{}", text(data), end(last))
            }
            Effect::RequestTrailers(_) => "request-trailers".to_owned(),
            Effect::ResponseHeaders { fields, end: last } => {
                format!(
                    "response-headers:{}{}",
                    fields.status().unwrap().as_u16(),
                    end(last)
                )
            }
            Effect::ResponseBody { data, end: last } => {
                format!("response-body:{}{}", text(data), end(last))
            }
            Effect::ResponseTrailers(_) => "response-trailers".to_owned(),
            Effect::Reset => "reset".to_owned(),
        });
    }
    words
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn stream_of(context: &Context) -> &StreamContext {
    context.stream.as_ref().unwrap()
}

fn answer_with(status: u16) -> impl FnMut(&Context) -> Result<Action, Trap> + Send + 'static {
    move |context| {
        let headers = [(&b"x"[..], &b"own"[..])];
        local_responses::send(
            stream_of(context),
            status,
            headers.into_iter(),
            bytes("no"),
            None,
        )
        .unwrap();
        Ok(Action::Pause)
    }
}

const RELOAD: FailPolicy = FailPolicy::Reload;

// === What passes ===

#[test]
fn chain_is_passed_forth_and_back() {
    let script = Scripted::default();
    let chain = chain(&script, &[RELOAD, RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    stream.request_body(bytes("ab"), false);
    stream.request_trailers(fields(&[("t", "1")]));
    assert_eq!(
        drain(&mut stream),
        ["request-headers", "request-body:ab", "request-trailers"]
    );
    stream.response_headers(response(), false);
    stream.response_body(bytes("cd"), true);
    assert_eq!(
        drain(&mut stream),
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
fn chain_without_plugins_hands_on() {
    let chain = chain(&Scripted::default(), &[]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("x"), false);
    stream.response_trailers(fields(&[("t", "1")]));
    assert_eq!(
        drain(&mut stream),
        [
            "request-headers:end",
            "response-headers:200",
            "response-body:x",
            "response-trailers"
        ]
    );
}

#[test]
fn end_without_bytes_is_seen() {
    let script = Scripted::default();
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    stream.request_body(Bytes::new(), false);
    stream.request_body(Bytes::new(), true);
    assert_eq!(drain(&mut stream), ["request-headers", "request-body::end"]);
    assert_eq!(
        script.seen(),
        ["0:open", "0:request-headers", "0:request-body:0:end"]
    );
}

// === Pausing ===

#[test]
fn pause_in_headers_stops_all_until_resumed() {
    let script = Scripted::default().answers(0, Phase::RequestHeaders, &[Action::Pause]);
    let chain = chain(&script, &[RELOAD, RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    stream.request_body(bytes("abc"), false);
    stream.request_body(bytes("de"), true);
    assert_eq!(drain(&mut stream), [""; 0]);
    assert_eq!(script.seen(), ["0:open", "0:request-headers"]);
    resume(&mut stream, 0, Direction::Request);
    assert_eq!(
        drain(&mut stream),
        ["request-headers", "request-body:abc", "request-body:de:end"]
    );
    // The plugin that paused sees the body that came meanwhile, as one piece.
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

/// As from another stream's callback.
fn resume(stream: &mut Stream, filter: usize, half: Direction) {
    let context = StreamContext {
        shared: stream.shared.clone(),
        filter,
    };
    stream_control::resume(&context, half).unwrap();
}

#[test]
fn pause_in_headers_holds_the_end() {
    let script = Scripted::default().answers(0, Phase::ResponseHeaders, &[Action::Pause]);
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    stream.response_headers(response(), true);
    assert_eq!(drain(&mut stream), ["request-headers:end"]);
    resume(&mut stream, 0, Direction::Response);
    assert_eq!(drain(&mut stream), ["response-headers:200:end"]);
}

#[test]
fn pause_in_headers_holds_trailers() {
    let script = Scripted::default().answers(0, Phase::RequestHeaders, &[Action::Pause]);
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    stream.request_trailers(fields(&[("t", "1")]));
    assert_eq!(drain(&mut stream), [""; 0]);
    resume(&mut stream, 0, Direction::Request);
    assert_eq!(drain(&mut stream), ["request-headers", "request-trailers"]);
    assert_eq!(
        script.seen(),
        ["0:open", "0:request-headers", "0:request-trailers"]
    );
}

#[test]
fn pause_in_body_accumulates() {
    let script = Scripted::default().answers(
        0,
        Phase::RequestBody,
        &[Action::Pause, Action::Pause, Action::Continue],
    );
    let chain = chain(&script, &[RELOAD, RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    for (text, end) in [("ab", false), ("c", false), ("de", true)] {
        stream.request_body(bytes(text), end);
    }
    assert_eq!(
        drain(&mut stream),
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
fn pause_in_body_is_resumed_behind_the_plugin() {
    let script = Scripted::default().answers(0, Phase::RequestBody, &[Action::Pause]);
    let chain = chain(&script, &[RELOAD, RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    stream.request_body(bytes("abc"), true);
    assert_eq!(drain(&mut stream), ["request-headers"]);
    script.seen();
    resume(&mut stream, 0, Direction::Request);
    assert_eq!(drain(&mut stream), ["request-body:abc:end"]);
    assert_eq!(script.seen(), ["1:request-body:3:end"]);
}

#[test]
fn trailers_let_a_paused_body_go() {
    let script = Scripted::default().answers(0, Phase::ResponseBody, &[Action::Pause]);
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("abc"), false);
    stream.response_trailers(fields(&[("t", "1")]));
    assert_eq!(
        drain(&mut stream),
        [
            "request-headers:end",
            "response-headers:200",
            "response-body:abc",
            "response-trailers"
        ]
    );
}

#[test]
fn pause_in_trailers_keeps_them() {
    let script = Scripted::default().answers(0, Phase::RequestTrailers, &[Action::Pause]);
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    stream.request_trailers(fields(&[("t", "1")]));
    assert_eq!(drain(&mut stream), ["request-headers"]);
    resume(&mut stream, 0, Direction::Request);
    assert_eq!(drain(&mut stream), ["request-trailers"]);
}

#[test]
fn resume_within_the_pausing_callback_goes_on() {
    let script = Scripted::default().on(0, Phase::RequestHeaders, |context| {
        stream_control::resume(stream_of(context), Direction::Request).unwrap();
        Ok(Action::Pause)
    });
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    assert_eq!(drain(&mut stream), ["request-headers:end"]);
}

#[test]
fn resume_of_what_is_not_paused_does_nothing() {
    let script = Scripted::default();
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    resume(&mut stream, 0, Direction::Request);
    resume(&mut stream, 0, Direction::Response);
    stream.request_body(bytes("a"), true);
    assert_eq!(
        drain(&mut stream),
        ["request-headers", "request-body:a:end"]
    );
}

#[test]
fn body_callback_may_drop_its_bytes() {
    let script = Scripted::default().answers(
        0,
        Phase::RequestBody,
        &[Action::PauseDropping, Action::Continue],
    );
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    stream.request_body(bytes("dropped"), false);
    stream.request_body(bytes("kept"), true);
    assert_eq!(
        drain(&mut stream),
        ["request-headers", "request-body:kept:end"]
    );
}

// === Limits ===

#[test]
fn stopped_headers_press_back() {
    let script = Scripted::default().answers(0, Phase::RequestHeaders, &[Action::Pause]);
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    stream.request_body(bytes("0123456789"), false);
    assert!(stream.wants_request_body());
    stream.request_body(bytes("x"), false);
    assert!(!stream.wants_request_body() && stream.wants_response_body());
    resume(&mut stream, 0, Direction::Request);
    assert_eq!(
        drain(&mut stream),
        [
            "request-headers",
            "request-body:0123456789",
            "request-body:x"
        ]
    );
    assert!(stream.wants_request_body());
}

#[test]
fn paused_request_body_that_is_too_large_is_answered_413() {
    let script = Scripted::default().answers(0, Phase::RequestBody, &[Action::Pause]);
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    stream.request_body(bytes("0123456789"), false);
    stream.request_body(bytes("x"), false);
    stream.request_body(bytes("late"), true);
    assert_eq!(
        drain(&mut stream),
        [
            "request-headers",
            "response-headers:413",
            "response-body:Payload Too Large:end"
        ]
    );
    let seen = script.seen();
    // The plugin is called for what became too much, and for the response.
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
fn paused_response_body_that_is_too_large_resets() {
    let script = Scripted::default().answers(0, Phase::ResponseBody, &[Action::Pause]);
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("0123456789x"), false);
    assert_eq!(
        drain(&mut stream),
        ["request-headers:end", "response-headers:200", "reset"]
    );
}

#[test]
fn paused_response_body_that_is_too_large_is_answered_500_before_its_headers_went() {
    // The plugin behind holds the headers; the one before it pauses the body.
    let script = Scripted::default()
        .answers(0, Phase::ResponseHeaders, &[Action::Pause])
        .answers(1, Phase::ResponseBody, &[Action::Pause]);
    let chain = chain(&script, &[RELOAD, RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("0123456789x"), false);
    assert_eq!(
        drain(&mut stream),
        [
            "request-headers:end",
            "response-headers:500",
            "response-body:Internal Server Error:end"
        ]
    );
}

// === Local responses ===

#[test]
fn local_response_passes_back_through_the_plugins_that_saw_the_request() {
    let script = Scripted::default().on(1, Phase::RequestHeaders, answer_with(403));
    let chain = chain(&script, &[RELOAD, RELOAD, RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    stream.request_body(bytes("dropped"), true);
    assert_eq!(
        drain(&mut stream),
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
fn local_response_stops_its_phase_whatever_is_returned() {
    let script = Scripted::default().on(0, Phase::RequestHeaders, |context| {
        answer_with(403)(context)?;
        Ok(Action::Continue)
    });
    let chain = chain(&script, &[RELOAD, RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    assert_eq!(
        drain(&mut stream),
        ["response-headers:403", "response-body:no:end"]
    );
}

#[test]
fn local_response_can_be_changed_on_its_way() {
    let script = Scripted::default()
        .on(0, Phase::RequestHeaders, answer_with(403))
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
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
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
fn local_response_of_a_response_callback_passes_no_further_callbacks() {
    let script = Scripted::default().on(1, Phase::ResponseHeaders, answer_with(500));
    let chain = chain(&script, &[RELOAD, RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("upstream"), true);
    assert_eq!(
        drain(&mut stream),
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
fn local_response_is_refused_once_the_head_is_downstream() {
    let script = Scripted::default().on(0, Phase::ResponseBody, |context| {
        let sent =
            local_responses::send(stream_of(context), 403, [].into_iter(), Bytes::new(), None);
        assert_eq!(sent, Err(crate::hostcalls::Error::NotAvailable));
        Ok(Action::Continue)
    });
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("a"), true);
    assert_eq!(
        drain(&mut stream),
        [
            "request-headers:end",
            "response-headers:200",
            "response-body:a:end"
        ]
    );
}

#[test]
fn late_unchecked_response_resets() {
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
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("a"), true);
    assert_eq!(
        drain(&mut stream),
        ["request-headers:end", "response-headers:200", "reset"]
    );
}

#[test]
fn second_local_response_is_refused() {
    let script = Scripted::default()
        .on(0, Phase::RequestHeaders, answer_with(403))
        .on(0, Phase::ResponseHeaders, |context| {
            let again =
                local_responses::send(stream_of(context), 500, [].into_iter(), Bytes::new(), None);
            assert_eq!(again, Err(crate::hostcalls::Error::NotAvailable));
            Ok(Action::Continue)
        });
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    assert_eq!(
        drain(&mut stream),
        ["response-headers:403", "response-body:no:end"]
    );
}

#[test]
fn upstream_failure_passes_the_response_callbacks() {
    let script = Scripted::default();
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    stream.fail_upstream(503, bytes("down"));
    stream.fail_upstream(503, bytes("again"));
    stream.response_headers(response(), true);
    assert_eq!(
        drain(&mut stream),
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
fn response_without_status_becomes_502() {
    let script = Scripted::default().on(0, Phase::ResponseHeaders, |context| {
        http_fields::remove(stream_of(context), FieldMap::ResponseHeaders, b":status").unwrap();
        Ok(Action::Continue)
    });
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    stream.response_headers(response(), true);
    assert_eq!(
        drain(&mut stream)[1..],
        [
            "response-headers:502",
            "response-body:missing required header: :status:end"
        ]
    );
}

#[test]
fn reset_breaks_off() {
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
    assert_eq!(drain(&mut stream), ["request-headers", "reset"]);
    stream.finish();
    assert_eq!(script.seen()[3..], ["0:log", "0:close"]);
}

// === Other streams ===

#[test]
fn callback_resumes_another_stream_and_wakes_it() {
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
    assert_eq!(drain(&mut paused), [""; 0]);
    FIRST.set(Some(StreamContext {
        shared: paused.shared.clone(),
        filter: 0,
    }));
    let mut other = open(&chain);
    other.request_headers(request(), true);
    assert_eq!(drain(&mut other), ["request-headers:end"]);
    assert_eq!(woken.get(), 1);
    assert_eq!(drain(&mut paused), ["request-headers:end"]);
    FIRST.take();
}

#[test]
fn ended_stream_is_closed() {
    let script = Scripted::default();
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    let kept = StreamContext {
        shared: stream.shared.clone(),
        filter: 0,
    };
    stream.finish();
    let closed = Err(crate::hostcalls::Error::Closed);
    assert_eq!(
        http_fields::read(&kept, FieldMap::RequestHeaders, Fields::len),
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
        local_responses::send(&kept, 200, [].into_iter(), Bytes::new(), None),
        closed
    );
}

// === Failure ===

fn traps(_: &Context) -> Result<Action, Trap> {
    Err(Trap::new("it is broken"))
}

#[test]
fn trap_is_answered_503_and_the_next_stream_has_a_fresh_instance() {
    let script = Scripted::default();
    let once = Cell::new(true);
    let script = script.on(0, Phase::RequestHeaders, move |context| {
        match once.replace(false) {
            true => traps(context),
            false => Ok(Action::Continue),
        }
    });
    let logs = Arc::new(Collected::default());
    let chain = chain_with(&script, &[RELOAD], logs.clone())
        .start_worker(0)
        .unwrap();
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    assert_eq!(drain(&mut stream), ["response-headers:503:end"]);
    assert_eq!(*logs.0.lock().unwrap(), ["p0 critical it is broken"]);
    stream.finish();
    // The dead instance is called no more.
    assert_eq!(script.seen(), ["0:open", "0:request-headers:end"]);
    let mut next = open(&chain);
    next.request_headers(request(), true);
    assert_eq!(drain(&mut next), ["request-headers:end"]);
    assert_eq!(script.0.lock().unwrap().instances, 2);
}

#[test]
fn trap_takes_paused_streams_of_the_instance_down() {
    let calls = Cell::new(0);
    let script = Scripted::default().on(0, Phase::RequestHeaders, move |context| {
        match calls.replace(calls.get() + 1) {
            0 => Ok(Action::Pause),
            _ => traps(context),
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
    assert_eq!(drain(&mut trapping), ["response-headers:503:end"]);
    assert!(woken.get());
    assert_eq!(drain(&mut paused), ["response-headers:503:end"]);
}

#[test]
fn open_plugin_lets_pass_after_a_trap() {
    let script = Scripted::default().on(0, Phase::RequestHeaders, traps);
    let chain = chain(&script, &[FailPolicy::Open]);
    for _ in 0..2 {
        let mut stream = open(&chain);
        stream.request_headers(request(), false);
        stream.request_body(bytes("a"), true);
        stream.response_headers(response(), true);
        assert_eq!(
            drain(&mut stream),
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
fn closed_plugin_stays_failed() {
    let script = Scripted::default().on(0, Phase::ResponseHeaders, traps);
    let chain = chain(&script, &[FailPolicy::Closed]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    stream.response_headers(response(), true);
    assert_eq!(
        drain(&mut stream),
        ["request-headers:end", "response-headers:503:end"]
    );
    let mut next = open(&chain);
    next.request_headers(request(), true);
    assert_eq!(drain(&mut next), ["response-headers:503:end"]);
    assert_eq!(script.0.lock().unwrap().instances, 1);
}

#[test]
fn trap_after_the_head_went_resets() {
    let script = Scripted::default().on(0, Phase::ResponseBody, traps);
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("a"), true);
    assert_eq!(
        drain(&mut stream),
        ["request-headers:end", "response-headers:200", "reset"]
    );
}

#[test]
fn instance_that_cannot_be_started_again_is_closed_for_a_while() {
    let script = Scripted::default().on(0, Phase::RequestHeaders, traps);
    let logs = Arc::new(Collected::default());
    let chain = chain_with(&script, &[RELOAD], logs.clone())
        .start_worker(0)
        .unwrap();
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    script.0.lock().unwrap().refuse = Some("no more".to_owned());
    for _ in 0..3 {
        let mut stream = open(&chain);
        stream.request_headers(request(), true);
        assert_eq!(drain(&mut stream), ["response-headers:503:end"]);
    }
    // One attempt, and not another one with each stream.
    assert_eq!(script.0.lock().unwrap().instances, 2);
    let logs = logs.0.lock().unwrap();
    assert_eq!(
        logs[1],
        "p0 critical cannot be started again: plugin `p0` refuses its configuration: no more"
    );
}

#[test]
fn refused_configuration_is_an_error_with_its_reason() {
    let script = Scripted::default();
    script.0.lock().unwrap().refuse = Some("rules[2].limit: expected a positive number".to_owned());
    let chain = chain_with(&script, &[RELOAD], Arc::default());
    let error = chain.start_worker(0).map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin `p0` refuses its configuration: rules[2].limit: expected a positive number"
    );
}

// === What hostcalls may do when ===

#[test]
fn fields_can_be_changed_until_they_have_gone_on() {
    let refused = Err(crate::hostcalls::Error::NotAvailable);
    let script = Scripted::default()
        .on(0, Phase::RequestHeaders, |context| {
            http_fields::set(stream_of(context), FieldMap::RequestHeaders, b"X-Set", b"1").unwrap();
            let none = http_fields::read(stream_of(context), FieldMap::ResponseHeaders, |_| ());
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
            let read = http_fields::read(stream_of(context), FieldMap::RequestHeaders, |_| ());
            assert_eq!(read, refused);
            Ok(Action::Continue)
        })
        .on(0, Phase::Log, move |context| {
            let of = stream_of(context);
            assert_eq!(
                http_fields::set(of, FieldMap::ResponseHeaders, b"a", b"b"),
                refused
            );
            assert_eq!(
                http_fields::read(of, FieldMap::ResponseHeaders, Fields::len),
                Ok(2)
            );
            assert_eq!(
                http_fields::read(of, FieldMap::RequestHeaders, Fields::len),
                Ok(5)
            );
            assert_eq!(
                http_bodies::size(of, Direction::Response),
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
        let of = stream_of(context);
        http_bodies::prepend(of, Direction::Response, bytes("<")).unwrap();
        http_bodies::append(of, Direction::Response, bytes(">")).unwrap();
        assert_eq!(
            http_bodies::read(of, Direction::Response, 1, 3).unwrap(),
            b"abc"
        );
        assert_eq!(
            http_bodies::read(of, Direction::Response, 9, 3).unwrap(),
            b""
        );
        assert_eq!(
            http_bodies::size(of, Direction::Request),
            Err(crate::hostcalls::Error::NotAvailable)
        );
        Ok(Action::Continue)
    });
    let chain = chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    stream.response_headers(response(), false);
    stream.response_body(bytes("abc"), true);
    assert_eq!(
        drain(&mut stream)[2..],
        [
            "response-body:<",
            "response-body:abc",
            "response-body:>:end"
        ]
    );
}
