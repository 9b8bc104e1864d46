//! The latest requests, with limits on their number and their total size.

use std::collections::VecDeque;

use tidegate_host::observe::Event;

use crate::dashboard::StreamMessage;
use crate::dashboard::record::Record;

/// The latest requests, oldest first, and the names of the chain's plugins.
#[derive(Default)]
pub struct Ring {
    records: VecDeque<Record>,
    bytes: usize,
    names: Vec<Option<String>>,
    /// The number of requests that were dropped.
    pub gone: u64,
}

/// The maximum number of requests.
pub const MOST_RECORDS: usize = 200;

/// The maximum total size, in bytes.
const MOST_BYTES: usize = 32 << 20;

/// The number of positions in a chain whose names are kept.
const MOST_NAMES: usize = 1_000;

// === impl Ring ===

impl Ring {
    /// Records an event. Returns whether it belongs to a request that is kept.
    pub fn record(&mut self, message: StreamMessage) -> bool {
        let StreamMessage {
            stream,
            event,
            at,
            time,
            weight,
        } = message;
        if let Event::Begun { worker, fields } = event {
            let record = Record::new(stream, worker, fields, time, at);
            self.bytes += record.bytes;
            self.records.push_back(record);
            self.shrink();
            return true;
        }
        if let Event::Called(call) = &event {
            self.learn_name(call.position, &call.plugin);
        }
        // Usually it is one of the latest.
        let record = self.records.iter_mut().rev().find(|it| it.id == stream);
        let Some(record) = record else {
            return false;
        };
        let before = record.bytes;
        record.note(event, weight, at);
        self.bytes = self.bytes + record.bytes - before;
        self.shrink();
        true
    }

    pub fn find(&self, id: u64) -> Option<&Record> {
        self.records.iter().rev().find(|it| it.id == id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    /// The name of the plugin at a position of the chain.
    pub fn name(&self, position: usize) -> String {
        let name = self.names.get(position).and_then(Option::as_ref);
        name.map_or_else(|| format!("plugin {}", position + 1), String::clone)
    }

    fn learn_name(&mut self, position: usize, name: &str) {
        if position >= MOST_NAMES {
            return;
        }
        if self.names.len() <= position {
            self.names.resize(position + 1, None);
        }
        if let Some(known) = self.names.get_mut(position)
            && known.as_deref() != Some(name)
        {
            *known = Some(name.to_owned());
        }
    }

    fn shrink(&mut self) {
        while (self.records.len() > MOST_RECORDS || self.bytes > MOST_BYTES)
            && let Some(gone) = self.records.pop_front()
        {
            self.bytes = self.bytes.saturating_sub(gone.bytes);
            self.gone += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, SystemTime};

    use http::HeaderValue;
    use tidegate_host::observe::{Action, BodySize, Call, Lines, Occasion, Origin, Phase};
    use tidegate_host::{Fields, Name};

    use super::*;
    use crate::dashboard::record::{Step, weight};

    fn record(ring: &mut Ring, stream: u64, event: Event) -> bool {
        ring.record(StreamMessage {
            stream,
            weight: weight(&event),
            event,
            at: Instant::now(),
            time: SystemTime::now(),
        })
    }

    fn fields(name: &str, value: &str) -> Fields {
        let name = Name::parse(name.as_bytes()).unwrap();
        [(name, HeaderValue::from_str(value).unwrap())]
            .into_iter()
            .collect()
    }

    fn begin(ring: &mut Ring, stream: u64, bytes: usize) {
        let fields = fields("x", &"a".repeat(bytes));
        assert!(record(ring, stream, Event::Begun { worker: 0, fields }));
    }

    fn call(phase: Phase) -> Call {
        Call {
            plugin: "p".to_owned(),
            position: 0,
            occasion: Occasion::Callback(phase),
            end: false,
            fields: Vec::new(),
            body: Some(BodySize { seen: 2, left: 3 }),
            outcome: Ok(Action::Continue),
            lines: Lines::default(),
            time: Duration::from_nanos(5),
            fuel: Some(7),
        }
    }

    fn record_call(ring: &mut Ring, call: Call) {
        record(ring, 1, Event::Called(Box::new(call)));
    }

    #[test]
    fn requests_are_bounded_in_number() {
        let mut ring = Ring::default();
        for stream in 0..MOST_RECORDS as u64 + 3 {
            begin(&mut ring, stream, 1);
        }
        assert_eq!((ring.iter().count(), ring.gone), (MOST_RECORDS, 3));
        assert!(ring.find(2).is_none() && ring.find(3).is_some());
        assert!(!record(&mut ring, 2, Event::Ended), "it is gone");
    }

    #[test]
    fn requests_are_bounded_in_bytes() {
        let mut ring = Ring::default();
        for stream in 0..5 {
            begin(&mut ring, stream, MOST_BYTES / 4);
        }
        assert_eq!((ring.iter().count(), ring.gone), (3, 2));
        let kept: usize = ring.iter().map(|it| it.bytes).sum();
        assert_eq!(ring.bytes, kept);
    }

    #[test]
    fn chunks_of_a_long_body_are_aggregated() {
        let mut ring = Ring::default();
        begin(&mut ring, 1, 1);
        for _ in 0..1_000 {
            record_call(&mut ring, call(Phase::RequestBody));
        }
        record_call(&mut ring, call(Phase::ResponseBody));
        let mut last = call(Phase::RequestBody);
        last.outcome = Err("trap".to_owned());
        record_call(&mut ring, last);
        let record = ring.find(1).unwrap();
        assert_eq!(record.steps.len(), 10);
        let more: Vec<_> = record.calls().map(|it| &it.more).collect();
        assert_eq!(
            (more[7].calls, more[7].seen, more[7].left),
            (992, 1_984, 2_976)
        );
        assert_eq!((more[7].fuel, more[7].time.as_nanos()), (6_944, 4_960));
        assert!(record.calls().last().unwrap().call.outcome.is_err());
        assert_eq!(record.left_out, 0);
    }

    #[test]
    fn steps_and_bytes_of_one_request_are_bounded() {
        let mut ring = Ring::default();
        begin(&mut ring, 1, 1);
        for _ in 0..1_100 {
            let mut large = call(Phase::RequestHeaders);
            large.fields = vec![tidegate_host::observe::ObservedFields {
                map: tidegate_host::observe::FieldMap::RequestHeaders,
                before: Fields::new(),
                after: fields("x", &"a".repeat(10_000)),
            }];
            record_call(&mut ring, large);
        }
        let record = ring.find(1).unwrap();
        assert_eq!((record.steps.len(), record.left_out), (1_000, 100));
        assert!(record.bytes < 2 << 20, "{}", record.bytes);
        let cut = record.calls().filter(|it| it.cut).count();
        assert!((890..910).contains(&cut), "{cut}");
    }

    #[test]
    fn local_response_is_attributed_to_its_callback() {
        let mut ring = Ring::default();
        begin(&mut ring, 1, 1);
        let answer = |origin| Event::LocalResponse {
            origin,
            fields: fields("x", "1"),
            body: 2,
        };
        record_call(&mut ring, call(Phase::RequestHeaders));
        record(&mut ring, 1, answer(Origin::Plugin(0)));
        record(&mut ring, 1, answer(Origin::Proxy));
        let record = ring.find(1).unwrap();
        assert!(record.calls().next().unwrap().local_response.is_some());
        assert!(matches!(record.steps[1], Step::LocalResponse(_)));
        assert_eq!(ring.name(0), "p");
        assert_eq!(ring.name(1), "plugin 2");
    }
}
