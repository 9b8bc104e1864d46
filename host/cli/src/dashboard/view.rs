//! Converts requests and events to JSON. All text has been masked and escaped, so that the page can show it unchanged.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tidegate_host::observe::{
    Action, BodySize, Direction, EndedCall, FieldMap, Lines, ObservedFields, Occasion, Origin,
    Phase, PluginOccasion,
};
use tidegate_host::{Fields, Pseudo};

use crate::dashboard::changes::{Change, changes};
use crate::dashboard::events::StoredEvent;
use crate::dashboard::record::{LocalResponse, Record, RecordedCall, Step};
use crate::dashboard::ring::Ring;
use crate::dashboard::secrets::Masker;

/// Converts requests to JSON.
pub struct View {
    /// Whether secrets are shown.
    pub secrets: bool,
}

// === impl View ===

impl View {
    /// A request in the list.
    pub fn summary(&self, ring: &Ring, record: &Record) -> Value {
        summary(ring, record, &self.masker(record))
    }

    /// All details of a request.
    pub fn detail(&self, ring: &Ring, record: &Record) -> Value {
        let masker = self.masker(record);
        let steps: Vec<Value> = record
            .steps
            .iter()
            .map(|step| self::step(ring, step, &masker))
            .collect();
        let list = |it: &Option<Fields>| it.as_ref().map(|it| fields(it, &masker));
        json!({
            "summary": summary(ring, record, &masker),
            "request": fields(&record.request, &masker),
            "upstream": list(&record.upstream),
            "response": list(&record.response),
            "steps": steps,
            "left_out": record.left_out,
        })
    }

    fn masker(&self, record: &Record) -> Masker {
        if self.secrets {
            Masker::unmasked()
        } else {
            Masker::masking(&record.secrets)
        }
    }
}

/// An event. It belongs to no request, so there are no secrets that could be masked.
pub fn plugin_event(kept: &StoredEvent) -> Value {
    let StoredEvent {
        id, event, time, ..
    } = kept;
    let masker = Masker::unmasked();
    let (callback, queue, call) = match event.occasion {
        PluginOccasion::Start => ("starts", None, None),
        PluginOccasion::Tick => ("on-tick", None, None),
        PluginOccasion::QueueReady { queue } => ("on-queue-ready", Some(queue), None),
        PluginOccasion::HttpCallResponse(ended) => {
            ("on-plugin-http-call-response", None, Some(ended))
        }
        PluginOccasion::Done => ("on-plugin-done", None, None),
        PluginOccasion::End => ("ends", None, None),
    };
    let trap = event.trap.as_ref();
    json!({
        "id": id,
        "time": millis(*time),
        "worker": event.worker,
        "plugin": event.plugin,
        "callback": callback,
        "queue": queue,
        "call": call.map(ended_call),
        "trap": trap.map(|it| masker.text(it.as_bytes())),
        "time_ns": nanos(event.time),
        "fuel": event.fuel,
        "lines": lines(&event.lines, trap, &masker),
        "lines_left_out": event.lines.left_out,
    })
}

fn summary(ring: &Ring, record: &Record, masker: &Masker) -> Value {
    let pseudo = |pseudo| {
        let value = record.request.pseudo(pseudo);
        masker.text(value.map_or(&b""[..], |it| it.as_bytes()))
    };
    let status = record.response.as_ref().and_then(|it| it.status().ok());
    let by = match (&record.origin, &record.response) {
        (Some(origin), _) => origin_of(ring, *origin),
        (None, Some(_)) => json!({ "kind": "upstream" }),
        (None, None) => Value::Null,
    };
    json!({
        "id": record.id,
        "time": millis(record.time),
        "worker": record.worker,
        "method": pseudo(Pseudo::Method),
        "path": pseudo(Pseudo::Path),
        "authority": pseudo(Pseudo::Authority),
        "status": status.map(|it| it.as_u16()),
        "by": by,
        "reset": record.reset,
        "trapped": record.calls().any(|it| it.call.outcome.is_err()),
        "took_ns": record.took.map(nanos),
    })
}

fn origin_of(ring: &Ring, origin: Origin) -> Value {
    match origin {
        Origin::Plugin(position) => json!({ "kind": "plugin", "plugin": ring.name(position) }),
        Origin::Failed(position) => json!({ "kind": "failed", "plugin": ring.name(position) }),
        Origin::Proxy => json!({ "kind": "proxy" }),
    }
}

fn step(ring: &Ring, step: &Step, masker: &Masker) -> Value {
    match step {
        Step::Call(called) => call(ring, called, masker),
        Step::LocalResponse(it) => {
            json!({ "kind": "answer", "answer": local_response(ring, it, masker) })
        }
        Step::Resumed {
            position,
            direction,
        } => json!({
            "kind": "resumed",
            "plugin": ring.name(*position),
            "half": match direction {
                Direction::Request => "request",
                Direction::Response => "response",
            },
        }),
        Step::Reset => json!({ "kind": "reset" }),
    }
}

fn call(ring: &Ring, called: &RecordedCall, masker: &Masker) -> Value {
    let RecordedCall {
        call,
        local_response: own,
        more,
        cut,
    } = called;
    let ended = match call.occasion {
        Occasion::HttpCallResponse(ended) => Some(ended_call(ended)),
        _ => None,
    };
    let (outcome, trap) = match &call.outcome {
        Ok(_) if ended.is_some() => ("returned", None),
        Ok(action) => (self::action(*action), None),
        Err(trap) => ("trapped", Some(masker.text(trap.as_bytes()))),
    };
    json!({
        "kind": "call",
        "plugin": call.plugin,
        "position": call.position,
        "callback": occasion(call.occasion),
        "call": ended,
        "end": call.end,
        "outcome": outcome,
        "trap": trap,
        "time_ns": nanos(call.time),
        "fuel": call.fuel,
        "body": call.body.map(|BodySize { seen, left }| json!({ "seen": seen, "left": left })),
        "fields": call.fields.iter().map(|it| seen(it, masker)).collect::<Vec<_>>(),
        "lines": lines(&call.lines, call.outcome.as_ref().err(), masker),
        "lines_left_out": call.lines.left_out,
        "answer": own.as_ref().map(|it| local_response(ring, it, masker)),
        "more": (more.calls > 0).then(|| json!({
            "calls": more.calls,
            "seen": more.seen,
            "left": more.left,
            "time_ns": nanos(more.time),
            "fuel": more.fuel,
            "lines": more.lines,
        })),
        "cut": cut,
    })
}

fn lines(lines: &Lines, trap: Option<&String>, masker: &Masker) -> Vec<Value> {
    let kept = lines.kept.iter();
    // How an instance died is its last line too.
    kept.filter(|(_, line)| trap != Some(line))
        .map(|(level, line)| json!({ "level": level.name(), "text": masker.text(line.as_bytes()) }))
        .collect()
}

fn ended_call(ended: EndedCall) -> Value {
    json!({ "id": ended.id, "status": ended.status })
}

fn local_response(ring: &Ring, response: &LocalResponse, masker: &Masker) -> Value {
    json!({
        "by": origin_of(ring, response.origin),
        "status": response.fields.status().ok().map(|it| it.as_u16()),
        "fields": fields(&response.fields, masker),
        "body": response.body,
    })
}

fn fields(fields: &Fields, masker: &Masker) -> Value {
    let field = |(name, value): (&tidegate_host::Name, &http::HeaderValue)| {
        let name = name.as_str();
        json!({ "name": name, "value": masker.value(name, value.as_bytes()) })
    };
    fields.iter().map(field).collect()
}

fn seen(seen: &ObservedFields, masker: &Masker) -> Value {
    let rows: Vec<Value> = changes(&seen.before, &seen.after)
        .into_iter()
        .map(|(name, change)| {
            let show = |value| masker.value(name, value);
            match change {
                Change::Same(value) => json!({ "is": "same", "name": name, "value": show(value) }),
                Change::Added(value) => {
                    json!({ "is": "added", "name": name, "value": show(value) })
                }
                Change::Removed(value) => {
                    json!({ "is": "removed", "name": name, "value": show(value) })
                }
                Change::Changed(from, to) => json!({
                    "is": "changed", "name": name, "from": show(from), "value": show(to),
                }),
            }
        })
        .collect();
    let map = match seen.map {
        FieldMap::RequestHeaders => "request headers",
        FieldMap::RequestTrailers => "request trailers",
        FieldMap::ResponseHeaders => "response headers",
        FieldMap::ResponseTrailers => "response trailers",
    };
    json!({ "map": map, "rows": rows })
}

fn occasion(occasion: Occasion) -> &'static str {
    match occasion {
        Occasion::Open => "opens",
        Occasion::Callback(Phase::RequestHeaders) => "on-request-headers",
        Occasion::Callback(Phase::RequestBody) => "on-request-body",
        Occasion::Callback(Phase::RequestTrailers) => "on-request-trailers",
        Occasion::Callback(Phase::ResponseHeaders) => "on-response-headers",
        Occasion::Callback(Phase::ResponseBody) => "on-response-body",
        Occasion::Callback(Phase::ResponseTrailers) => "on-response-trailers",
        Occasion::Callback(Phase::Log) => "on-log",
        Occasion::HttpCallResponse(_) => "on-http-call-response",
        Occasion::Close => "closes",
    }
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Continue => "continue",
        Action::Pause => "pause",
        Action::PauseBuffering => "pause, buffering",
        Action::PauseWatermark => "pause, to the watermark",
        Action::PauseDropping => "pause, dropping",
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use http::HeaderValue;
    use tidegate_host::observe::{Call, Event};
    use tidegate_host::{Level, Name};

    use super::*;
    use crate::dashboard::StreamMessage;
    use crate::dashboard::events::{Events, tests};

    #[test]
    fn outcome_of_a_call_is_a_step_of_its_request() {
        let secret = (
            Name::parse(b"authorization").unwrap(),
            HeaderValue::from_static("open-sesame"),
        );
        let mut lines = Lines::default();
        let line = (Level::Info, "it is open-sesame".to_owned());
        lines.kept.push(line);
        let call = Call {
            plugin: "p".to_owned(),
            position: 0,
            occasion: Occasion::HttpCallResponse(EndedCall {
                id: 4,
                status: Some(204),
            }),
            end: false,
            fields: Vec::new(),
            body: None,
            outcome: Ok(Action::Continue),
            lines,
            time: Duration::from_nanos(5),
            fuel: None,
        };
        let begun = Event::Begun {
            worker: 0,
            fields: [secret].into_iter().collect(),
        };
        let mut ring = Ring::default();
        for event in [begun, Event::Called(Box::new(call))] {
            ring.record(StreamMessage {
                stream: 1,
                event,
                at: Instant::now(),
                time: SystemTime::now(),
                weight: 0,
            });
        }
        let view = View { secrets: false };
        let detail = view.detail(&ring, ring.find(1).unwrap());
        let step = &detail["steps"][0];
        assert_eq!(step["callback"], "on-http-call-response");
        assert_eq!(step["call"], json!({ "id": 4, "status": 204 }));
        assert_eq!(step["outcome"], "returned");
        assert_eq!(step["lines"][0]["text"]["text"], "it is [masked]");
    }

    #[test]
    fn event_says_what_it_is_about() {
        let mut events = Events::default();
        let reset = EndedCall {
            id: 8,
            status: None,
        };
        for occasion in [
            PluginOccasion::QueueReady { queue: 3 },
            PluginOccasion::HttpCallResponse(reset),
        ] {
            let mut event = tests::event();
            event.occasion = occasion;
            event.trap = Some("oh\u{1b}".to_owned());
            events.add(tests::message(event));
        }
        let events: Vec<Value> = events.after(0).map(plugin_event).collect();
        assert_eq!(events[0]["callback"], "on-queue-ready");
        assert_eq!(events[0]["queue"], 3);
        assert_eq!(events[0]["call"], Value::Null);
        assert_eq!(events[1]["callback"], "on-plugin-http-call-response");
        assert_eq!(events[1]["queue"], Value::Null);
        assert_eq!(events[1]["call"], json!({ "id": 8, "status": null }));
        assert_eq!(events[1]["trap"], "oh\\u{1b}");
    }
}
