//! The latest events: what plugins did outside of requests. They are bounded in number, and in what they take together.

use std::collections::VecDeque;
use std::time::SystemTime;

use tidegate_host::observe::PluginEvent;

use crate::dashboard::PluginMessage;
use crate::dashboard::record::{BASE, lines_weight};

/// The latest events, oldest first.
#[derive(Default)]
pub struct Events {
    kept: VecDeque<StoredEvent>,
    bytes: usize,
    /// The number of events that have been added, which is the number of the last one.
    pub last: u64,
}

/// An event that is kept.
pub struct StoredEvent {
    /// Events are numbered from 1.
    pub id: u64,
    pub event: PluginEvent,
    pub time: SystemTime,
    bytes: usize,
}

/// The maximum number of events that are kept.
pub const MOST_EVENTS: usize = 200;

/// The maximum number of bytes that they take together.
const MOST_BYTES: usize = 4 << 20;

/// The maximum number of log lines that are kept of one event.
const MOST_LINES: usize = 100;

// === impl Events ===

impl Events {
    /// Adds an event. If there are too many, the oldest ones are dropped.
    pub fn add(&mut self, message: PluginMessage) {
        let PluginMessage {
            mut event, time, ..
        } = message;
        shorten(&mut event);
        let bytes = weight(&event);
        self.last += 1;
        self.bytes += bytes;
        self.kept.push_back(StoredEvent {
            id: self.last,
            event,
            time,
            bytes,
        });
        while (self.kept.len() > MOST_EVENTS || self.bytes > MOST_BYTES)
            && let Some(gone) = self.kept.pop_front()
        {
            self.bytes = self.bytes.saturating_sub(gone.bytes);
        }
    }

    /// Returns the events after the one with a number.
    pub fn after(&self, id: u64) -> impl Iterator<Item = &StoredEvent> {
        self.kept.iter().skip_while(move |it| it.id <= id)
    }

    /// Returns the number of events that have been dropped.
    pub fn gone(&self) -> u64 {
        self.last.saturating_sub(self.kept.len() as u64)
    }
}

/// Returns about what an event takes.
pub fn weight(event: &PluginEvent) -> usize {
    BASE + lines_weight(&event.lines) + event.trap.as_ref().map_or(0, String::len)
}

/// Drops the lines of an event that are not shown.
fn shorten(event: &mut PluginEvent) {
    let PluginEvent { trap, lines, .. } = event;
    // How an instance died is its last line too.
    lines.kept.retain(|(_, line)| trap.as_ref() != Some(line));
    lines.left_out += lines.kept.len().saturating_sub(MOST_LINES);
    lines.kept.truncate(MOST_LINES);
}

#[cfg(test)]
pub mod tests {
    use std::time::Duration;

    use tidegate_host::Level;
    use tidegate_host::observe::{Lines, PluginOccasion};

    use super::*;

    pub fn event() -> PluginEvent {
        PluginEvent {
            plugin: "p".to_owned(),
            worker: 0,
            occasion: PluginOccasion::Tick,
            trap: None,
            lines: Lines::default(),
            time: Duration::from_nanos(5),
            fuel: Some(7),
        }
    }

    pub fn message(event: PluginEvent) -> PluginMessage {
        PluginMessage {
            weight: weight(&event),
            event,
            time: SystemTime::now(),
        }
    }

    fn lines(event: &mut PluginEvent, count: usize, bytes: usize) {
        let line = (Level::Info, "a".repeat(bytes));
        event.lines.kept = vec![line; count];
    }

    #[test]
    fn events_are_bounded_in_number() {
        let mut events = Events::default();
        for _ in 0..MOST_EVENTS + 3 {
            events.add(message(event()));
        }
        let ids: Vec<u64> = events.after(0).map(|it| it.id).collect();
        assert_eq!((ids.len(), ids[0], events.gone()), (MOST_EVENTS, 4, 3));
        assert_eq!(events.after(201).count(), 2);
        assert_eq!(events.after(events.last).count(), 0);
    }

    #[test]
    fn events_are_bounded_in_bytes() {
        let mut events = Events::default();
        for _ in 0..6 {
            let mut large = event();
            lines(&mut large, 1, MOST_BYTES / 4);
            events.add(message(large));
        }
        assert_eq!((events.after(0).count(), events.gone()), (3, 3));
        let kept: usize = events.after(0).map(|it| it.bytes).sum();
        assert_eq!(events.bytes, kept);
    }

    #[test]
    fn lines_of_an_event_are_bounded() {
        let mut events = Events::default();
        let mut trapped = event();
        trapped.trap = Some("oh".to_owned());
        lines(&mut trapped, MOST_LINES + 1, 1);
        let last = (Level::Critical, "oh".to_owned());
        trapped.lines.kept.push(last);
        events.add(message(trapped));
        let kept = events.after(0).next().unwrap();
        assert_eq!(kept.event.lines.kept.len(), MOST_LINES);
        assert_eq!(kept.event.lines.left_out, 1);
    }
}
