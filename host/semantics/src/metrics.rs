//! Metrics that plugins define. A proxy has one set of metrics, which all workers change. It lives as long as its owner: a server
//! keeps it across `reload`.
//!
//! Changing a metric takes no lock. Defining a metric takes a lock for the duration of one lookup.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The maximum number of metrics. The limit exists because plugins may derive names from client input. Envoy has no limit.
pub const MAX_METRICS: usize = 10_000;

/// The kind of a metric. The numbers are those of Proxy-Wasm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// A value that only increases.
    Counter = 0,
    /// A value that can increase and decrease.
    Gauge = 1,
    /// A distribution of values.
    Histogram = 2,
}

/// The metrics of a proxy.
#[derive(Debug, Default)]
pub struct Metrics {
    by_kind: Mutex<[ByName; 3]>,
}

type ByName = HashMap<Box<[u8]>, Arc<Metric>>;

/// The maximum number of definitions of each kind by one instance. The limit bounds the memory for a plugin that defines a metric in
/// each request.
const MAX_DEFINITIONS: usize = 100_000;

/// The metrics that an instance has defined. The instance refers to a metric by a number. As in Envoy, the number determines the kind,
/// the first numbers are 4, 5 and 6, and defining a metric again returns another number.
#[derive(Default)]
#[doc(hidden)]
pub struct DefinedMetrics([RefCell<Vec<Arc<Metric>>>; 3]);

/// A metric.
#[derive(Debug)]
pub struct Metric {
    kind: MetricKind,
    /// The value of a counter or gauge, the sum of a histogram.
    value: AtomicU64,
    /// The number of values in each bucket of a histogram. Other metrics have no buckets.
    buckets: Box<[AtomicU64]>,
}

/// The buckets of a histogram, except for the last one, which has no upper bound: the largest value in the bucket, and the upper bound in
/// Prometheus' text format. They are Envoy's default.
static BUCKETS: [(u64, &str); 19] = [
    (0, "0.5"),
    (1, "1"),
    (5, "5"),
    (10, "10"),
    (25, "25"),
    (50, "50"),
    (100, "100"),
    (250, "250"),
    (500, "500"),
    (1_000, "1000"),
    (2_500, "2500"),
    (5_000, "5000"),
    (10_000, "10000"),
    (30_000, "30000"),
    (60_000, "60000"),
    (300_000, "300000"),
    (600_000, "600000"),
    (1_800_000, "1800000"),
    (3_600_000, "3600000"),
];

// === impl Metrics ===

impl Metrics {
    /// Returns all metrics with their names, in no particular order.
    pub fn all(&self) -> Vec<(Box<[u8]>, Arc<Metric>)> {
        let metrics = self.by_kind.lock().unwrap_or_else(PoisonError::into_inner);
        let all = metrics.iter().flatten();
        all.map(|(name, metric)| (name.clone(), metric.clone()))
            .collect()
    }

    /// Returns the metric of a kind and name, and creates it if it does not exist. Returns `None` if there are too many.
    pub fn define(&self, kind: MetricKind, name: &[u8]) -> Option<Arc<Metric>> {
        let mut metrics = self.by_kind.lock().unwrap_or_else(PoisonError::into_inner);
        let count: usize = metrics.iter().map(HashMap::len).sum();
        let named = metrics.get_mut(kind as usize)?;
        if let Some(metric) = named.get(name) {
            return Some(metric.clone());
        }
        if count >= MAX_METRICS {
            return None;
        }
        let buckets = match kind {
            MetricKind::Counter | MetricKind::Gauge => 0,
            MetricKind::Histogram => BUCKETS.len() + 1,
        };
        let metric = Arc::new(Metric {
            kind,
            value: AtomicU64::new(0),
            buckets: (0..buckets).map(|_| AtomicU64::new(0)).collect(),
        });
        named.insert(name.into(), metric.clone());
        Some(metric)
    }
}

// === impl DefinedMetrics ===

impl DefinedMetrics {
    /// Adds a metric, and returns its number. Returns `None` if there are too many.
    #[doc(hidden)]
    pub fn add(&self, metric: Arc<Metric>) -> Option<u32> {
        let kind = metric.kind;
        let mut metrics = self.of(kind as usize)?.try_borrow_mut().ok()?;
        if metrics.len() >= MAX_DEFINITIONS {
            return None;
        }
        metrics.push(metric);
        Some(u32::try_from(metrics.len()).ok()? * 4 + kind as u32)
    }

    /// Uses the metric with a number, if there is one.
    #[doc(hidden)]
    pub fn with<R>(&self, id: u32, call: impl FnOnce(&Metric) -> R) -> Option<R> {
        let metrics = self.of(id as usize % 4)?.try_borrow().ok()?;
        let index = (id as usize / 4).checked_sub(1)?;
        metrics.get(index).map(|metric| call(metric))
    }

    fn of(&self, kind: usize) -> Option<&RefCell<Vec<Arc<Metric>>>> {
        self.0.get(kind)
    }
}

// === impl Metric ===

impl Metric {
    /// The kind.
    pub fn kind(&self) -> MetricKind {
        self.kind
    }

    /// Returns the value of a counter or gauge, and the sum of a histogram's values.
    pub fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Returns the number of values that a histogram has recorded.
    pub fn count(&self) -> u64 {
        let counts = self.buckets.iter().map(|it| it.load(Ordering::Relaxed));
        counts.sum()
    }

    /// Returns the buckets of a histogram, in ascending order: the upper bound in Prometheus' text format, and the number of recorded
    /// values that do not exceed it. The last bound is `+Inf`.
    pub fn buckets(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let bounds = BUCKETS.iter().map(|(_, bound)| *bound).chain(["+Inf"]);
        let counts = self.buckets.iter().map(|it| it.load(Ordering::Relaxed));
        bounds.zip(counts).scan(0_u64, |total, (bound, count)| {
            *total += count;
            Some((bound, *total))
        })
    }

    /// Adds to the value, which wraps around.
    #[doc(hidden)]
    pub fn add(&self, by: u64) {
        self.value.fetch_add(by, Ordering::Relaxed);
    }

    /// Records a value: sets a gauge, and adds to a counter or histogram.
    #[doc(hidden)]
    pub fn record(&self, value: u64) {
        match self.kind {
            MetricKind::Gauge => self.value.store(value, Ordering::Relaxed),
            MetricKind::Counter => self.add(value),
            MetricKind::Histogram => {
                self.add(value);
                let bucket = BUCKETS.partition_point(|(largest, _)| *largest < value);
                if let Some(count) = self.buckets.get(bucket) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_distinguished_by_kind_and_name() {
        let metrics = Metrics::default();
        let define = |kind, name: &str| metrics.define(kind, name.as_bytes()).expect("a metric");
        define(MetricKind::Counter, "a").record(2);
        define(MetricKind::Counter, "a").record(3);
        define(MetricKind::Gauge, "a").record(7);
        define(MetricKind::Gauge, "a").record(6);
        define(MetricKind::Histogram, "a").record(4);
        define(MetricKind::Histogram, "a").record(5);
        assert_eq!(define(MetricKind::Counter, "a").value(), 5);
        assert_eq!(define(MetricKind::Counter, "b").value(), 0);
        assert_eq!(define(MetricKind::Gauge, "a").value(), 6);
        let histogram = define(MetricKind::Histogram, "a");
        assert_eq!((histogram.count(), histogram.value()), (2, 9));
    }

    #[test]
    fn buckets_of_a_histogram_are_cumulative() {
        let metrics = Metrics::default();
        let define = |kind| metrics.define(kind, b"a").expect("a metric");
        let histogram = define(MetricKind::Histogram);
        for value in [0, 1, 2, 5, 6, 3_600_000, 3_600_001, u64::MAX / 2] {
            histogram.record(value);
        }
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(
            buckets[..5],
            [("0.5", 1), ("1", 2), ("5", 4), ("10", 5), ("25", 5)]
        );
        assert_eq!(buckets[17..], [("1800000", 5), ("3600000", 6), ("+Inf", 8)]);
        assert_eq!(histogram.count(), 8);
        for kind in [MetricKind::Counter, MetricKind::Gauge] {
            define(kind).record(1);
            assert_eq!(define(kind).buckets().count(), 0);
        }
    }

    #[test]
    fn number_of_metrics_is_bounded() {
        let metrics = Metrics::default();
        for number in 0..MAX_METRICS {
            let name = number.to_string();
            assert!(
                metrics
                    .define(MetricKind::Counter, name.as_bytes())
                    .is_some()
            );
        }
        assert!(metrics.define(MetricKind::Counter, b"more").is_none());
        assert!(metrics.define(MetricKind::Counter, b"0").is_some());
    }

    #[test]
    fn numbers_are_those_of_envoy() {
        let (metrics, defined) = (Metrics::default(), DefinedMetrics::default());
        let define = |kind, name: &str| {
            let metric = metrics.define(kind, name.as_bytes()).expect("a metric");
            defined.add(metric).expect("a number")
        };
        assert_eq!(define(MetricKind::Counter, "a"), 4);
        assert_eq!(define(MetricKind::Gauge, "a"), 5);
        assert_eq!(define(MetricKind::Histogram, "a"), 6);
        assert_eq!(define(MetricKind::Counter, "a"), 8);
        assert_eq!(define(MetricKind::Gauge, "b"), 9);
        defined
            .with(4, |metric| metric.record(3))
            .expect("a counter");
        assert_eq!(defined.with(8, Metric::value), Some(3));
        for unknown in [0, 1, 3, 7, 12, 10, u32::MAX] {
            assert_eq!(defined.with(unknown, Metric::value), None, "{unknown}");
        }
    }
}
