//! What the tests of the engines share.

use std::sync::Mutex;

use http::HeaderValue;
use tidegate_semantics::fields::{Fields, Name};
use tidegate_semantics::logs::{LogLine, LogSink};

/// Keeps lines, as `level message`.
#[derive(Default)]
pub(crate) struct LogCapture(Mutex<Vec<String>>);

/// Creates fields from names and values.
pub(crate) fn fields(list: &[(&str, &str)]) -> Fields {
    let name = |name: &str| Name::parse(name.as_bytes()).unwrap();
    let value = |value: &str| HeaderValue::from_str(value).unwrap();
    list.iter().map(|(n, v)| (name(n), value(v))).collect()
}

impl LogSink for LogCapture {
    fn line(&self, line: &LogLine<'_>) {
        self.0
            .lock()
            .unwrap()
            .push(format!("{} {}", line.level, line.message));
    }
}

impl LogCapture {
    /// Returns the lines since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}
