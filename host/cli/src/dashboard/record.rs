//! One request, and the events that have been recorded for it.

use std::time::{Duration, Instant, SystemTime};

use tidegate_host::Fields;
use tidegate_host::observe::{
    BodySize, Call, Direction, Event, FieldMap, Lines, Occasion, Origin, Phase,
};

use crate::dashboard::secrets::Secrets;

/// A request with its events.
pub struct Record {
    pub id: u64,
    pub worker: usize,
    pub time: SystemTime,
    begun: Instant,
    /// The request as received.
    pub request: Fields,
    /// The request as sent to the upstream.
    pub upstream: Option<Fields>,
    /// The response as sent downstream.
    pub response: Option<Fields>,
    /// The sender of the response, if it is not the upstream.
    pub origin: Option<Origin>,
    pub steps: Vec<Step>,
    /// Whether the limit has been reached, so that fields and log lines are no longer recorded.
    full: bool,
    /// The number of steps that were omitted because of the limit.
    pub left_out: usize,
    pub reset: bool,
    pub took: Option<Duration>,
    pub secrets: Secrets,
    /// The approximate size, in bytes.
    pub bytes: usize,
}

/// A step of the request.
pub enum Step {
    Call(Box<RecordedCall>),
    LocalResponse(LocalResponse),
    Resumed {
        position: usize,
        direction: Direction,
    },
    Reset,
}

/// A callback, and the following calls that are aggregated with it.
pub struct RecordedCall {
    pub call: Call,
    /// The local response that it sent.
    pub local_response: Option<LocalResponse>,
    pub more: Aggregate,
    /// Whether its fields and lines were too large to be kept.
    pub cut: bool,
}

/// A local response.
pub struct LocalResponse {
    pub origin: Origin,
    pub fields: Fields,
    pub body: usize,
}

/// Further calls of a callback, aggregated.
#[derive(Default)]
pub struct Aggregate {
    pub calls: usize,
    pub seen: usize,
    pub left: usize,
    pub time: Duration,
    pub fuel: u64,
    pub lines: usize,
}

/// The number of calls of one body callback of one plugin that are kept separately. A long body has thousands.
const MOST_PIECES: usize = 8;

/// The maximum size of one request, in bytes.
const MOST_BYTES: usize = 1 << 20;
const MOST_STEPS: usize = 1_000;

// === impl Record ===

impl Record {
    pub fn new(id: u64, worker: usize, request: Fields, time: SystemTime, begun: Instant) -> Self {
        let mut secrets = Secrets::default();
        secrets.learn(&request);
        Self {
            id,
            worker,
            time,
            begun,
            bytes: 500 + size(&request),
            request,
            upstream: None,
            response: None,
            origin: None,
            steps: Vec::new(),
            full: false,
            left_out: 0,
            reset: false,
            took: None,
            secrets,
        }
    }

    /// Records an event.
    pub fn note(&mut self, event: Event, weight: usize, at: Instant) {
        match event {
            Event::Begun { .. } => {}
            Event::Called(call) => self.note_call(*call, weight),
            Event::Resumed {
                position,
                direction,
            } => self.push(
                Step::Resumed {
                    position,
                    direction,
                },
                weight,
            ),
            Event::LocalResponse {
                origin,
                fields,
                body,
            } => {
                self.origin = Some(origin);
                self.secrets.learn(&fields);
                self.note_local_response(
                    LocalResponse {
                        origin,
                        fields,
                        body,
                    },
                    weight,
                );
            }
            Event::Passed { map, fields } => {
                self.secrets.learn(&fields);
                self.bytes += weight;
                match map {
                    FieldMap::RequestHeaders => self.upstream = Some(fields),
                    FieldMap::ResponseHeaders => self.response = Some(fields),
                    FieldMap::RequestTrailers | FieldMap::ResponseTrailers => {}
                }
            }
            Event::Reset => {
                self.reset = true;
                self.push(Step::Reset, weight);
            }
            Event::Ended => self.took = Some(at.saturating_duration_since(self.begun)),
        }
    }

    fn note_call(&mut self, mut call: Call, weight: usize) {
        if self.is_one_of_many(&call)
            && let Some(first) = self.first_of(&call)
        {
            first.more.add(&call);
            return;
        }
        // Once something is omitted, everything that follows is omitted, too: its secrets are not known, and a plugin may have
        // logged them.
        self.full |=
            self.bytes.saturating_add(weight) > MOST_BYTES || self.steps.len() >= MOST_STEPS;
        let cut = self.full;
        let weight = if cut { BASE } else { weight };
        if cut {
            call.fields = Vec::new();
            call.lines = Lines::default();
        }
        for seen in &call.fields {
            self.secrets.learn(&seen.before);
            self.secrets.learn(&seen.after);
        }
        let called = RecordedCall {
            call,
            local_response: None,
            more: Aggregate::default(),
            cut,
        };
        self.push(Step::Call(Box::new(called)), weight);
    }

    /// A local response belongs to the last callback.
    fn note_local_response(&mut self, response: LocalResponse, weight: usize) {
        let asked = match (response.origin, self.steps.last_mut()) {
            (Origin::Plugin(position) | Origin::Failed(position), Some(Step::Call(called)))
                if called.call.position == position && called.local_response.is_none() =>
            {
                Some(called)
            }
            _ => None,
        };
        match asked {
            Some(called) => {
                called.local_response = Some(response);
                self.bytes += weight;
            }
            None => self.push(Step::LocalResponse(response), weight),
        }
    }

    fn push(&mut self, step: Step, weight: usize) {
        if self.steps.len() >= MOST_STEPS {
            self.left_out += 1;
            return;
        }
        self.bytes += weight;
        self.steps.push(step);
    }

    /// Whether it is another chunk of a body for which there is nothing to show.
    fn is_one_of_many(&self, call: &Call) -> bool {
        let is_body = matches!(
            call.occasion,
            Occasion::Callback(Phase::RequestBody | Phase::ResponseBody)
        );
        is_body
            && call.outcome.is_ok()
            && call.fields.is_empty()
            && self.calls().filter(|it| it.is_like(call)).count() >= MOST_PIECES
    }

    /// The last separate call of this kind.
    fn first_of(&mut self, call: &Call) -> Option<&mut RecordedCall> {
        self.steps.iter_mut().rev().find_map(|step| match step {
            Step::Call(called) if called.is_like(call) => Some(&mut **called),
            _ => None,
        })
    }

    pub fn calls(&self) -> impl Iterator<Item = &RecordedCall> {
        self.steps.iter().filter_map(|step| match step {
            Step::Call(called) => Some(&**called),
            _ => None,
        })
    }
}

impl RecordedCall {
    fn is_like(&self, other: &Call) -> bool {
        self.call.position == other.position && self.call.occasion == other.occasion
    }
}

impl Aggregate {
    fn add(&mut self, call: &Call) {
        let BodySize { seen, left } = call.body.unwrap_or(BodySize { seen: 0, left: 0 });
        self.calls += 1;
        self.seen = self.seen.saturating_add(seen);
        self.left = self.left.saturating_add(left);
        self.time = self.time.saturating_add(call.time);
        self.fuel = self.fuel.saturating_add(call.fuel.unwrap_or(0));
        self.lines += call.lines.kept.len() + call.lines.left_out;
    }
}

/// The size of an event without data.
pub const BASE: usize = 200;

/// The approximate size of an event.
pub fn weight(event: &Event) -> usize {
    BASE + match event {
        Event::Begun { fields, .. }
        | Event::LocalResponse { fields, .. }
        | Event::Passed { fields, .. } => size(fields),
        Event::Called(call) => {
            let fields = call.fields.iter();
            let fields = fields.map(|it| size(&it.before) + size(&it.after));
            fields.sum::<usize>() + lines_weight(&call.lines)
        }
        Event::Resumed { .. } | Event::Reset | Event::Ended => 0,
    }
}

/// The approximate size of log lines.
pub fn lines_weight(lines: &Lines) -> usize {
    lines.kept.iter().map(|(_, line)| 32 + line.len()).sum()
}

fn size(fields: &Fields) -> usize {
    fields.byte_size() + 80 * fields.len()
}
