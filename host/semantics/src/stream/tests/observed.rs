//! Tests of the events that an observer receives.

use super::*;
use crate::observe::{
    BodySize, Call, EndedCall, Event, Lines, ObservedFields, Observer, Occasion, PluginEvent,
    PluginOccasion,
};

#[derive(Default)]
pub(super) struct RecordingObserver {
    events: Mutex<Vec<(u64, Event)>>,
    plugin_events: Mutex<Vec<PluginEvent>>,
}

impl Observer for RecordingObserver {
    fn event(&self, stream: u64, event: Event) {
        self.events.lock().unwrap().push((stream, event));
    }

    fn plugin_event(&self, event: PluginEvent) {
        self.plugin_events.lock().unwrap().push(event);
    }
}

impl RecordingObserver {
    fn take(&self) -> Vec<(u64, Event)> {
        std::mem::take(&mut self.events.lock().unwrap())
    }

    /// Takes the events of plugins, and returns them as text.
    pub(super) fn plugin_event_texts(&self) -> Vec<String> {
        let events = std::mem::take(&mut *self.plugin_events.lock().unwrap());
        events.iter().map(plugin_event_text).collect()
    }

    /// Takes the events, which must belong to a single stream, and returns them as text.
    pub(super) fn event_texts(&self) -> Vec<String> {
        let events = self.take();
        assert!(
            events
                .iter()
                .all(|(stream, _)| Some(*stream) == events.first().map(|it| it.0))
        );
        events.iter().map(|(_, event)| event_text(event)).collect()
    }
}

fn event_text(event: &Event) -> String {
    match event {
        Event::Begun { worker, fields } => format!("begun on {worker} {}", fields.len()),
        Event::Called(call) => {
            let Call {
                plugin,
                occasion,
                fields,
                outcome,
                ..
            } = &**call;
            let occasion = match occasion {
                Occasion::Open => "open".to_owned(),
                Occasion::Callback(phase) => format!("{phase:?}"),
                Occasion::HttpCallResponse(ended) => call_text(*ended),
                Occasion::Close => "close".to_owned(),
            };
            let end = if call.end { ":end" } else { "" };
            let mut word = format!("{plugin} {occasion}{end}");
            for ObservedFields { map, before, after } in fields {
                word += &format!(" {map:?} {}>{}", before.len(), after.len());
            }
            if let Some(BodySize { seen, left }) = call.body {
                word += &format!(" body {seen}>{left}");
            }
            word += &line_texts(&call.lines);
            match outcome {
                Ok(action) => word + &format!(" {action:?}"),
                Err(trap) => word + &format!(" died: {trap}"),
            }
        }
        Event::Resumed {
            position,
            direction,
        } => format!("{position} resumed {direction:?}"),
        Event::LocalResponse {
            origin,
            fields,
            body,
        } => format!(
            "answer {} of {origin:?}, body {body}",
            fields.status().unwrap().as_u16()
        ),
        Event::Passed { map, fields } => format!("passed {map:?} {}", fields.len()),
        Event::Reset => "reset".to_owned(),
        Event::Ended => "ended".to_owned(),
    }
}

fn plugin_event_text(event: &PluginEvent) -> String {
    let PluginEvent {
        plugin,
        worker,
        occasion,
        trap,
        lines,
        ..
    } = event;
    let occasion = match occasion {
        PluginOccasion::QueueReady { queue } => format!("queue {queue} ready"),
        PluginOccasion::HttpCallResponse(ended) => call_text(*ended),
        other => format!("{other:?}"),
    };
    let died = trap.as_ref().map(|trap| format!(" died: {trap}"));
    let (lines, died) = (line_texts(lines), died.unwrap_or_default());
    format!("{plugin}#{worker} {occasion}{lines}{died}")
}

fn call_text(ended: EndedCall) -> String {
    let EndedCall { id, status } = ended;
    match status {
        Some(status) => format!("call {id}: {status}"),
        None => format!("call {id}: reset"),
    }
}

fn line_texts(lines: &Lines) -> String {
    let lines = lines.kept.iter();
    lines
        .map(|(level, line)| format!(" {level}:{line}"))
        .collect()
}

/// Starts a chain with an observer.
fn observed_chain(
    script: &Scripted,
    policies: &[FailurePolicy],
) -> (WorkerChain, Arc<RecordingObserver>) {
    let observer = Arc::new(RecordingObserver::default());
    let chain = chain_of(
        script,
        policies,
        Arc::new(LogCollector::default()),
        Some(observer.clone()),
    );
    (chain.start_worker(3).unwrap(), observer)
}

fn set(name: &'static str) -> impl FnMut(&Context) -> Result<Action, Trap> + Send + 'static {
    move |context| {
        let map = FieldMap::RequestHeaders;
        http_fields::set(stream_of(context), map, name.as_bytes(), b"1").unwrap();
        Ok(Action::Continue)
    }
}

#[test]
fn observer_sees_every_callback_and_its_changes() {
    let script = Scripted::default()
        .on(0, Phase::RequestHeaders, set("x-a"))
        .on(1, Phase::RequestHeaders, set("x-b"))
        .on(1, Phase::RequestBody, |context| {
            http_bodies::append(stream_of(context), Direction::Request, bytes("!!")).unwrap();
            Ok(Action::Continue)
        });
    let (chain, observer) = observed_chain(&script, &[RELOAD, RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    stream.request_body(bytes("abc"), true);
    stream.response_headers(response(), true);
    take_effects(&mut stream);
    stream.finish();
    assert_eq!(
        observer.event_texts(),
        [
            "begun on 3 4",
            "p0 RequestHeaders RequestHeaders 4>5 Continue",
            "p1 RequestHeaders RequestHeaders 5>6 Continue",
            "passed RequestHeaders 6",
            "p0 RequestBody:end body 3>3 Continue",
            "p1 RequestBody:end body 3>5 Continue",
            "p1 ResponseHeaders:end ResponseHeaders 2>2 Continue",
            "p0 ResponseHeaders:end ResponseHeaders 2>2 Continue",
            "passed ResponseHeaders 2",
            "p0 Log:end Continue",
            "p1 Log:end Continue",
            "ended"
        ]
    );
}

#[test]
fn observer_distinguishes_streams() {
    let (chain, observer) = observed_chain(&Scripted::default(), &[]);
    let (mut first, mut second) = (open(&chain), open(&chain));
    first.request_headers(request(), true);
    second.request_headers(request(), true);
    let begun = observer.take();
    let numbers: Vec<u64> = begun
        .iter()
        .filter(|(_, it)| matches!(it, Event::Begun { .. }))
        .map(|it| it.0)
        .collect();
    assert_eq!(numbers.len(), 2);
    assert_ne!(numbers[0], numbers[1]);
    drop(first);
    assert!(
        matches!(observer.take().as_slice(), [(number, Event::Ended)] if *number == numbers[0]),
        "a stream that is dropped has ended"
    );
}

#[test]
fn observer_sees_the_origin_of_a_local_response() {
    let script = Scripted::default().on(1, Phase::RequestHeaders, respond_with(403));
    let (chain, observer) = observed_chain(&script, &[RELOAD, RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    take_effects(&mut stream);
    stream.finish();
    let words = observer.event_texts();
    assert_eq!(
        words[..8],
        [
            "begun on 3 4",
            "p0 RequestHeaders:end RequestHeaders 4>4 Continue",
            "p1 RequestHeaders:end RequestHeaders 4>4 Pause",
            "answer 403 of Plugin(1), body 2",
            "p1 ResponseHeaders ResponseHeaders 4>4 Continue",
            "p0 ResponseHeaders ResponseHeaders 4>4 Continue",
            "passed ResponseHeaders 4",
            "p1 ResponseBody:end body 2>2 Continue",
        ]
    );
}

#[test]
fn observer_sees_pause_and_resume() {
    let script = Scripted::default()
        .returns(0, Phase::RequestHeaders, &[Action::Pause])
        .on(0, Phase::RequestBody, |context| {
            stream_control::resume(stream_of(context), Direction::Request).unwrap();
            Ok(Action::Pause)
        });
    let (chain, observer) = observed_chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    stream.request_body(bytes("abc"), true);
    take_effects(&mut stream);
    assert_eq!(
        observer.event_texts(),
        ["begun on 3 4", "p0 RequestHeaders RequestHeaders 4>4 Pause"]
    );
    // A resume from outside the callback forwards the buffered data.
    let context = context_of(&stream, 0);
    stream_control::resume(&context, Direction::Request).unwrap();
    take_effects(&mut stream);
    assert_eq!(
        observer.event_texts(),
        [
            "0 resumed Request",
            "passed RequestHeaders 4",
            "p0 RequestBody:end body 3>3 Pause",
            "0 resumed Request",
        ]
    );
}

#[test]
fn observer_sees_changes_to_other_field_maps() {
    let script = Scripted::default()
        .returns(0, Phase::RequestHeaders, &[Action::Pause])
        .on(0, Phase::ResponseHeaders, set("x"));
    let (chain, observer) = observed_chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    stream.fail_upstream(502, Bytes::new());
    assert_eq!(
        observer.event_texts()[3..],
        [
            "p0 ResponseHeaders:end ResponseHeaders 1>1 RequestHeaders 4>5 Continue",
            "passed ResponseHeaders 1"
        ]
    );
}

#[test]
fn observer_sees_a_trap_and_the_resulting_failure() {
    let script = Scripted::default().on(0, Phase::RequestHeaders, |_| Err(Trap::new("oh")));
    let (chain, observer) = observed_chain(&script, &[RELOAD, RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    take_effects(&mut stream);
    stream.finish();
    assert_eq!(
        observer.event_texts()[..4],
        [
            "begun on 3 4",
            "p0 RequestHeaders:end RequestHeaders 4>4 critical:oh died: oh",
            "answer 503 of Failed(0), body 0",
            "passed ResponseHeaders 1",
        ]
    );
}

#[test]
fn observer_sees_resets_and_proxy_generated_responses() {
    let (chain, observer) = observed_chain(&Scripted::default(), &[]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    stream.fail_upstream(502, bytes("gone"));
    assert_eq!(
        observer.event_texts(),
        [
            "begun on 3 4",
            "passed RequestHeaders 4",
            "answer 502 of Proxy, body 4",
            "passed ResponseHeaders 3"
        ]
    );
    let script = Scripted::default().on(0, Phase::RequestHeaders, |context| {
        stream_control::reset(stream_of(context)).unwrap();
        Ok(Action::Continue)
    });
    let (chain, observer) = observed_chain(&script, &[RELOAD]);
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    assert_eq!(
        observer.event_texts(),
        [
            "begun on 3 4",
            "p0 RequestHeaders:end RequestHeaders 4>4 Continue",
            "reset"
        ]
    );
}
