//! The values of metrics: what a scenario expects at the end, and what a runtime reports.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The value of a metric, whose form depends on the kind of the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a non-negative integer or, for a histogram, `{ count: 3 }`"
)]
pub enum MetricValue {
    /// The value of a counter or gauge.
    Number(u64),
    /// The contents of a histogram.
    Histogram(Histogram),
}

/// The contents of a histogram. Sum and buckets are missing, because Envoy keeps only approximations of the recorded values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Histogram {
    /// The number of recorded values.
    pub count: u64,
}

// === impl MetricValue ===

impl fmt::Display for MetricValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(value) => write!(f, "{value}"),
            Self::Histogram(Histogram { count }) => write!(f, "count {count}"),
        }
    }
}
