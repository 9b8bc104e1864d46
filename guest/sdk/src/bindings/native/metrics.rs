//! `metrics`: counters, gauges and histograms of the proxy. A handle is the number of the metric in the instance, so there is nothing to
//! release.

use tidegate_semantics::{hostcalls, metrics::MetricKind};

use super::{current::current, types::Error};

#[derive(Debug)]
pub struct Counter(u32);

#[derive(Debug)]
pub struct Gauge(u32);

#[derive(Debug)]
pub struct Histogram(u32);

#[track_caller]
fn define(kind: MetricKind, name: &str) -> Result<u32, Error> {
    Ok(hostcalls::metrics::define(
        &current().services,
        kind,
        name.as_bytes(),
    )?)
}

/// Returns what a hostcall on a metric has returned. The proxy stops an instance that uses a handle of another one, which safe code cannot
/// do there.
///
/// # Panics
///
/// Panics if the metric was defined in another proxy.
#[track_caller]
fn defined<T>(result: Result<T, hostcalls::Error>) -> T {
    match result {
        Ok(value) => value,
        Err(_) => panic!("the metric belongs to another `Proxy`, whose plugin has defined it"),
    }
}

impl Counter {
    #[track_caller]
    pub fn define(name: &str) -> Result<Self, Error> {
        define(MetricKind::Counter, name).map(Counter)
    }

    #[track_caller]
    pub fn add(&self, by: u64) {
        defined(hostcalls::metrics::add(&current().services, self.0, by));
    }

    #[track_caller]
    pub fn value(&self) -> u64 {
        defined(hostcalls::metrics::value(&current().services, self.0))
    }
}

impl Gauge {
    #[track_caller]
    pub fn define(name: &str) -> Result<Self, Error> {
        define(MetricKind::Gauge, name).map(Gauge)
    }

    #[track_caller]
    pub fn set(&self, value: u64) {
        defined(hostcalls::metrics::set(&current().services, self.0, value));
    }

    #[track_caller]
    pub fn add(&self, by: i64) {
        let by = by.cast_unsigned();
        defined(hostcalls::metrics::add(&current().services, self.0, by));
    }

    #[track_caller]
    pub fn value(&self) -> u64 {
        defined(hostcalls::metrics::value(&current().services, self.0))
    }
}

impl Histogram {
    #[track_caller]
    pub fn define(name: &str) -> Result<Self, Error> {
        define(MetricKind::Histogram, name).map(Histogram)
    }

    #[track_caller]
    pub fn observe(&self, value: u64) {
        let services = &current().services;
        defined(hostcalls::metrics::observe(services, self.0, value));
    }
}
