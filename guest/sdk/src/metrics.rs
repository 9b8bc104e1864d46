//! Counters, gauges and histograms of the proxy. Wraps the contract's `metrics` interface.
//!
//! A metric belongs to the proxy: all workers and plugins that define a metric of the same kind and name change the same
//! value. Prefix each name with the plugin's name, and do not use one name for metrics of different kinds. Metrics have
//! no labels and no units, so the unit of a value belongs in the name. In Envoy's statistics, names have the prefix
//! `wasmcustom.`; its Prometheus output omits this prefix, and includes only names that start with a letter or `_`.
//!
//! Define metrics in [`configure`](crate::Plugin::configure) and store the handles in the plugin value. Do not define
//! them for each request: the proxy does not free a definition while the instance runs, and it limits the number of
//! metrics, so names must not contain data that clients can choose.
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
//! #[derive(Default)]
//! struct Began(Option<u64>);
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
//!     fn on_request_headers(&self, began: &mut Began, _: &mut HttpStream, _: EndOfStream) -> Action {
//!         began.0 = Some(clock::now());
//!         self.requests.increment();
//!         self.active.add(1);
//!         Action::Continue
//!     }
//!
//!     fn on_log(&self, began: &mut Began, _: &mut HttpStream) {
//!         if let Some(began) = began.0 {
//!             self.active.add(-1);
//!             self.duration.observe(clock::now().saturating_sub(began) / 1_000_000);
//!         }
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

    /// Records one value, in the unit that the plugin has chosen for this histogram.
    pub fn observe(&self, value: u64) {
        self.0.observe(value);
    }
}
