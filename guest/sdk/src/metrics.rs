//! Counters, gauges and histograms of the proxy. Wraps the contract's `metrics` interface.
//!
//! A metric belongs to the proxy: all workers and plugins that define a metric of the same kind and name change the same
//! value. Prefix each name with the plugin's name, and do not use one name for metrics of different kinds. Metrics have
//! no units, so the unit of a value belongs in the name. In Envoy's statistics, names have the prefix
//! `wasmcustom.`; its Prometheus output omits this prefix, and includes only names that start with a letter or `_`.
//!
//! Define metrics in [`configure`](crate::Plugin::configure) and store the handles in the plugin value. Do not define
//! them for each request: the proxy does not free a definition while the instance runs, and it limits the number of
//! metrics, so names must not contain data that clients can choose.
//!
//! # Labels
//!
//! A proxy knows metrics by name only. [`Counter::define_labelled`] and its namesakes put labels into the name, in the form that Istio
//! uses: `LABEL=.=VALUE;.;` for each label, in the given order, and then the name. Defining `meter.requests` with the label `rule` and
//! the value `login` defines the metric `rule=.=login;.;meter.requests`.
//!
//! Envoy takes labels, which it calls tags, out of names with regular expressions of its configuration:
//!
//! * In Istio, list the names of the labels in `extraStatTags` of the proxy's configuration (`meshConfig.defaultConfig`, a `ProxyConfig`
//!   or the annotation `proxy.istio.io/config`), or in the annotation `sidecar.istio.io/extraStatTags`. They take effect when the proxy
//!   starts.
//! * In Envoy, add `{tag_name: rule, regex: '(rule=\.=(.*?);\.;)'}` to `stats_config.stats_tags` of the bootstrap configuration.
//!
//! Prometheus then sees `meter_requests{rule="login"}`. Without this configuration, and in Tidegate's own proxy, the labels remain a part
//! of the name: `rule___login____meter_requests`.
//!
//! The expressions are not anchored. If the name of one label ends with the name of another, as `response_code` and `code`, one can be
//! taken for the other, so such labels are rejected together.
//!
//! # Example
//!
//! ```
//! use tidegate_guest::metrics::{Counter, Gauge, Histogram};
//! use tidegate_guest::prelude::*;
//!
//! struct Meter {
//!     requests: Counter,
//!     active: Gauge,
//!     duration: Histogram,
//! }
//!
//! struct Began(u64);
//!
//! #[plugin]
//! impl Plugin for Meter {
//!     type Config = ();
//!     type Stream = Began;
//!
//!     fn configure(_: ()) -> Result<Self, ConfigError> {
//!         let failed = |error: Error| ConfigError::new(format!("cannot define a metric: {}", error.name()));
//!         Ok(Meter {
//!             requests: Counter::define("meter.requests").map_err(failed)?,
//!             active: Gauge::define("meter.active_requests").map_err(failed)?,
//!             duration: Histogram::define("meter.duration_ms").map_err(failed)?,
//!         })
//!     }
//!
//!     fn on_stream(&self, _: &HttpStream) -> Began {
//!         self.requests.increment();
//!         self.active.add(1);
//!         Began(clock::now())
//!     }
//!
//!     fn on_request_headers(&self, _: &mut Began, _: &mut HttpStream, _: EndOfStream) -> Action {
//!         Action::Continue
//!     }
//!
//!     fn on_log(&self, began: &mut Began, _: &mut HttpStream) {
//!         self.active.add(-1);
//!         self.duration.observe(clock::now().saturating_sub(began.0) / 1_000_000);
//!     }
//! }
//! ```

use crate::Error;
use crate::bindings::metrics;

/// A value that only increases, such as a number of requests.
///
/// ```
/// use tidegate_guest::prelude::*;
///
/// /// Counts the bytes of request bodies.
/// fn count(body_bytes: &metrics::Counter, size: u32) {
///     body_bytes.add(size.into());
/// }
/// ```
#[derive(Debug)]
pub struct Counter(metrics::Counter);

/// A value that can increase and decrease, such as a number of active requests.
///
/// If an instance traps, its changes to gauges remain.
///
/// ```
/// use tidegate_guest::prelude::*;
///
/// /// Publishes the size of a table.
/// fn publish(entries: &metrics::Gauge, table: &[String]) {
///     entries.set(table.len() as u64);
/// }
/// ```
#[derive(Debug)]
pub struct Gauge(metrics::Gauge);

/// A distribution of values, such as durations.
///
/// The proxy computes the statistics. A plugin cannot read them.
///
/// ```
/// use tidegate_guest::prelude::*;
///
/// /// Records a duration in milliseconds.
/// fn record(duration_ms: &metrics::Histogram, nanoseconds: u64) {
///     duration_ms.observe(nanoseconds / 1_000_000);
/// }
/// ```
#[derive(Debug)]
pub struct Histogram(metrics::Histogram);

// === impl Counter ===

impl Counter {
    /// Defines a counter. Its value is 0 unless the counter already exists.
    ///
    /// Returns [`Error::InvalidArgument`] if the name is empty, and [`Error::TooLarge`] if the name is longer than 1024
    /// bytes or the proxy has too many metrics.
    pub fn define(name: &str) -> Result<Self, Error> {
        metrics::Counter::define(name).map(Counter)
    }

    /// Defines a counter with [labels](crate::metrics#labels), which are pairs of a name and a value.
    ///
    /// The values must not contain data that clients can choose: each combination of values is a metric, and is kept. Define those that
    /// are needed in [`configure`](crate::Plugin::configure).
    ///
    /// In addition to the errors of [`define`](Counter::define), returns [`Error::InvalidArgument`] in these cases:
    ///
    /// * The name of a label does not consist of letters, digits and `_`, or begins with a digit.
    /// * The name of a label ends with the name of another one.
    /// * A value contains `;.;`, a line break or a zero byte, or ends with `;.`.
    /// * A value or the name of the metric contains `=.=`.
    ///
    /// ```
    /// use tidegate_guest::metrics::Counter;
    /// use tidegate_guest::prelude::*;
    ///
    /// fn limited(rule: &str) -> Result<Counter, Error> {
    ///     Counter::define_labelled("limits.rate_limited", &[("rule", rule)])
    /// }
    /// ```
    pub fn define_labelled(name: &str, labels: &[(&str, &str)]) -> Result<Self, Error> {
        Counter::define(&labelled(name, labels)?)
    }

    /// Adds to the value. At 2^64 it starts again at 0.
    pub fn add(&self, by: u64) {
        self.0.add(by);
    }

    /// Adds 1 to the value.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Returns the current value, which includes the changes by other workers and plugins.
    pub fn value(&self) -> u64 {
        self.0.value()
    }
}

// === impl Gauge ===

impl Gauge {
    /// Defines a gauge. Its value is 0 unless the gauge already exists. The errors are those of [`Counter::define`].
    pub fn define(name: &str) -> Result<Self, Error> {
        metrics::Gauge::define(name).map(Gauge)
    }

    /// Defines a gauge with [labels](crate::metrics#labels), which are pairs of a name and a value.
    ///
    /// The errors are those of [`Counter::define_labelled`].
    pub fn define_labelled(name: &str, labels: &[(&str, &str)]) -> Result<Self, Error> {
        Gauge::define(&labelled(name, labels)?)
    }

    /// Sets the value. Values set by other workers and plugins are overwritten, so use [`add`](Gauge::add) for a value to
    /// which several of them contribute.
    pub fn set(&self, value: u64) {
        self.0.set(value);
    }

    /// Adds to the value, or subtracts from it if `by` is negative. Below 0 and at 2^64 the value wraps around.
    pub fn add(&self, by: i64) {
        self.0.add(by);
    }

    /// Returns the current value, which includes the changes by other workers and plugins.
    pub fn value(&self) -> u64 {
        self.0.value()
    }
}

// === impl Histogram ===

impl Histogram {
    /// Defines a histogram. It is empty unless it already exists. The errors are those of [`Counter::define`].
    pub fn define(name: &str) -> Result<Self, Error> {
        metrics::Histogram::define(name).map(Histogram)
    }

    /// Defines a histogram with [labels](crate::metrics#labels), which are pairs of a name and a value.
    ///
    /// The errors are those of [`Counter::define_labelled`].
    pub fn define_labelled(name: &str, labels: &[(&str, &str)]) -> Result<Self, Error> {
        Histogram::define(&labelled(name, labels)?)
    }

    /// Records one value, in the unit that the plugin has chosen for this histogram.
    pub fn observe(&self, value: u64) {
        self.0.observe(value);
    }
}

/// Separates the name of a label from its value.
const VALUE: &str = "=.=";

/// Ends a label.
const END: &str = ";.;";

/// Returns the name of a metric with labels.
fn labelled(name: &str, labels: &[(&str, &str)]) -> Result<String, Error> {
    let mut full = String::new();
    for (index, (label, value)) in labels.iter().enumerate() {
        let others = labels.iter().enumerate().filter(|(at, _)| *at != index);
        let is_ambiguous = others
            .map(|(_, (other, _))| other)
            .any(|other| label.ends_with(other));
        let start = full.len();
        for part in [*label, VALUE, value, END] {
            full.push_str(part);
        }
        let value = full
            .get(start + label.len() + VALUE.len()..)
            .unwrap_or_default();
        // The label must end where its value ends, and not within it.
        let ends = value.len().checked_sub(END.len());
        let is_value = value.find(END) == ends
            && !value.contains(VALUE)
            && !value.contains(['\0', '\n', '\r']);
        if !is_label(label) || is_ambiguous || !is_value {
            return Err(Error::InvalidArgument);
        }
    }
    if name.is_empty() || name.contains(VALUE) {
        return Err(Error::InvalidArgument);
    }
    full.push_str(name);
    Ok(full)
}

/// Returns whether Prometheus accepts the name of a label.
fn is_label(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_part) && name.starts_with(|first: char| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_precede_the_name() {
        let name = labelled(
            "meter.requests",
            &[("rule", "login"), ("result", "a.b;c=.")],
        );
        let expected = "rule=.=login;.;result=.=a.b;c=.;.;meter.requests";
        assert_eq!(name.as_deref(), Ok(expected));
        assert_eq!(labelled("a", &[]).as_deref(), Ok("a"));
        assert_eq!(labelled("a", &[("b", "")]).as_deref(), Ok("b=.=;.;a"));
        assert_eq!(labelled("a", &[("b", ";")]).as_deref(), Ok("b=.=;;.;a"));
    }

    /// What Istio's expression `(LABEL=\.=(.*?);\.;)` captures, and the name without it.
    fn extract(name: &str, label: &str) -> Option<(String, String)> {
        let (before, rest) = name.split_once(&format!("{label}=.="))?;
        let (value, after) = rest.split_once(";.;")?;
        Some((value.to_owned(), format!("{before}{after}")))
    }

    #[test]
    fn envoy_extracts_what_was_given() {
        let labels = [("rule", "a.b;"), ("le_vel", ""), ("x", ";.")];
        let Err(Error::InvalidArgument) = labelled("m.n", &labels) else {
            panic!("`;.` and the end would be read as the end and `.;`");
        };
        let labels = [("rule", "a.b;"), ("le_vel", ""), ("x", "=")];
        let mut name = labelled("m.n", &labels).expect("a name");
        for (label, value) in labels {
            let (extracted, rest) = extract(&name, label).expect("the label is there");
            assert_eq!(extracted, value, "{label}");
            name = rest;
        }
        assert_eq!(name, "m.n");
    }

    #[test]
    fn names_that_would_be_misread_are_rejected() {
        let cases: [(&str, &[(&str, &str)]); 13] = [
            ("", &[("a", "b")]),
            ("m=.=n", &[]),
            ("m", &[("", "b")]),
            ("m", &[("1a", "b")]),
            ("m", &[("a.b", "b")]),
            ("m", &[("a-b", "b")]),
            ("m", &[("a", "b;.;c")]),
            ("m", &[("a", "b;.")]),
            ("m", &[("a", "code=.=1"), ("code", "2")]),
            ("m", &[("a", "b\n")]),
            ("m", &[("a", "b\0")]),
            ("m", &[("a", "1"), ("a", "2")]),
            ("m", &[("response_code", "1"), ("code", "2")]),
        ];
        for (name, labels) in cases {
            let rejected = labelled(name, labels);
            assert_eq!(rejected, Err(Error::InvalidArgument), "{name} {labels:?}");
        }
    }
}
