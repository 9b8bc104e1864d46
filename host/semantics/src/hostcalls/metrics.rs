//! `metrics`: counters, gauges and histograms of the proxy.
//!
//! An instance knows a metric by a number. As in Envoy, the number tells the kind, and defining a metric again gives another number.

use crate::context::Services;
use crate::hostcalls::Error;
use crate::metrics::{Metric, MetricKind};

/// The maximum length of a name in bytes.
const MAX_NAME: usize = 1024;

/// Defines a metric, and returns its number.
pub fn define(services: &Services, kind: MetricKind, name: &[u8]) -> Result<u32, Error> {
    // Envoy ignores dots at the end.
    if name.last().is_none_or(|last| *last == b'.') {
        return Err(Error::InvalidArgument);
    }
    define_any(services, kind, name)
}

/// Defines a metric by Proxy-Wasm's rules, which accept an empty name. As in Envoy, dots at the end of a name do not count.
pub fn define_any(services: &Services, kind: MetricKind, name: &[u8]) -> Result<u32, Error> {
    let dots = name.iter().rev().take_while(|byte| **byte == b'.').count();
    let name = name.get(..name.len() - dots).unwrap_or_default();
    if name.len() > MAX_NAME {
        return Err(Error::TooLarge);
    }
    let metric = services.metrics.define(kind, name).ok_or(Error::TooLarge)?;
    services.defined.add(metric).ok_or(Error::TooLarge)
}

/// Adds to a counter or gauge, which wraps around.
pub fn add(services: &Services, id: u32, by: u64) -> Result<(), Error> {
    with(services, id, |metric| metric.add(by))
}

/// Sets a gauge.
pub fn set(services: &Services, id: u32, value: u64) -> Result<(), Error> {
    record(services, id, value)
}

/// Records a value of a histogram.
pub fn observe(services: &Services, id: u32, value: u64) -> Result<(), Error> {
    record(services, id, value)
}

/// Records a value by Proxy-Wasm's rules: adds to a counter, sets a gauge, or records a value of a histogram.
pub fn record(services: &Services, id: u32, value: u64) -> Result<(), Error> {
    with(services, id, |metric| metric.record(value))
}

/// Returns the value of a counter or gauge.
pub fn value(services: &Services, id: u32) -> Result<u64, Error> {
    with(services, id, Metric::value)
}

/// Returns the kind of the metric that a number stands for, if there is one.
pub fn kind(services: &Services, id: u32) -> Result<MetricKind, Error> {
    with(services, id, Metric::kind)
}

fn with<R>(services: &Services, id: u32, call: impl FnOnce(&Metric) -> R) -> Result<R, Error> {
    services.defined.with(id, call).ok_or(Error::NotFound)
}
