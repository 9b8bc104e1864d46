//! The latest requests: bounded in number, and in what they take together.

use std::collections::VecDeque;

use tidegate_host::observe::Event;

use crate::dashboard::Told;
use crate::dashboard::record::Record;

/// The latest requests, oldest first, and the names of the chain's plugins.
#[derive(Default)]
pub struct Ring {
    records: VecDeque<Record>,
    bytes: usize,
    names: Vec<Option<String>>,
    /// How many requests have been let go of.
    pub gone: u64,
}

/// How many requests are kept.
pub const MOST_RECORDS: usize = 200;

/// Bytes that they may take together.
const MOST_BYTES: usize = 32 << 20;

/// Places of a chain whose names are kept.
const MOST_NAMES: usize = 1_000;

// === impl Ring ===

impl Ring {
    /// Takes what has happened, and says whether that is about a request that is kept.
    pub fn take(&mut self, told: Told) -> bool {
        let Told {
            stream,
            event,
            at,
            time,
            weight,
        } = told;
        if let Event::Begun { worker, fields } = event {
            let record = Record::new(stream, worker, fields, time, at);
            self.bytes += record.bytes;
            self.records.push_back(record);
            self.shrink();
            return true;
        }
        if let Event::Called(call) = &event {
            self.learn_name(call.place, &call.plugin);
        }
        // It is one of the latest mostly.
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

    /// What the plugin at a place of the chain is called.
    pub fn name(&self, place: usize) -> String {
        let name = self.names.get(place).and_then(Option::as_ref);
        name.map_or_else(|| format!("plugin {}", place + 1), String::clone)
    }

    fn learn_name(&mut self, place: usize, name: &str) {
        if place >= MOST_NAMES {
            return;
        }
        if self.names.len() <= place {
            self.names.resize(place + 1, None);
        }
        if let Some(known) = self.names.get_mut(place)
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
