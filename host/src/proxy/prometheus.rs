//! Writes metrics in Prometheus' text format, version 0.0.4.
//!
//! The metrics that plugins define have the names that Envoy gives them in its Prometheus output: without a prefix, and with `_` in place
//! of the characters that Prometheus does not allow. Envoy does not prevent that different names become the same, which makes its output
//! invalid. Here, the first metric with a name is written, and a comment stands for each of the others.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tidegate_semantics::metrics::{Metric, MetricKind};
use tidegate_semantics::plugin_stats::PluginSnapshot;

/// The media type of the format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The size in bytes after which no further metric is written. Plugins determine how many metrics there are and how long their names
/// are, and a histogram repeats its name more than twenty times.
const MAX_SIZE: usize = 16 << 20;

/// A metric of the proxy that has a value for each plugin.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: fn(&PluginSnapshot) -> Vec<Sample>,
}

/// A value, and the number of the worker if each worker has a value.
struct Sample {
    worker: Option<usize>,
    value: String,
}

const FAMILIES: [Family; 5] = [
    Family {
        name: "tidegate_plugin_callbacks_total",
        kind: "counter",
        help: "Callbacks that have run.",
        samples: |plugin| vec![Sample::total(plugin.callbacks.to_string())],
    },
    Family {
        name: "tidegate_plugin_callback_seconds_total",
        kind: "counter",
        help: "Duration of these callbacks, including hostcalls.",
        samples: |plugin| vec![Sample::total(seconds(plugin.time))],
    },
    Family {
        name: "tidegate_plugin_traps_total",
        kind: "counter",
        help: "Times that the code of the plugin has trapped, has exited or has exceeded a limit.",
        samples: |plugin| vec![Sample::total(plugin.traps.to_string())],
    },
    Family {
        name: "tidegate_plugin_restarts_total",
        kind: "counter",
        help: "Instances that have replaced one that had trapped.",
        samples: |plugin| vec![Sample::total(plugin.restarts.to_string())],
    },
    Family {
        name: "tidegate_plugin_memory_bytes",
        kind: "gauge",
        help: "Linear memory of the instance, which plugins with the same module share.",
        samples: |plugin| {
            let workers = plugin.memory.iter();
            workers
                .map(|(worker, bytes)| Sample {
                    worker: Some(*worker),
                    value: bytes.to_string(),
                })
                .collect()
        },
    },
];

/// Writes the metrics that plugins have defined, and the statistics of the plugins.
pub(super) fn render(
    mut metrics: Vec<(Box<[u8]>, Arc<Metric>)>,
    plugins: &[PluginSnapshot],
) -> String {
    let mut text = String::new();
    let mut names = HashSet::new();
    for family in FAMILIES {
        names.insert(family.name.to_owned());
        render_family(&mut text, &family, plugins);
    }
    // The same metrics are always written in the same order, and the same ones are left out.
    metrics.sort_by(|(name, metric), (other_name, other)| {
        let kinds = (metric.kind() as u8).cmp(&(other.kind() as u8));
        kinds.then_with(|| name.cmp(other_name))
    });
    let mut left_out = 0_usize;
    for (name, metric) in &metrics {
        if text.len() < MAX_SIZE {
            render_metric(&mut text, &mut names, name, metric);
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        text.push_str(&format!(
            "# left out: {left_out} more metrics, because there are too many\n"
        ));
    }
    text
}

fn render_family(text: &mut String, family: &Family, plugins: &[PluginSnapshot]) {
    if plugins.is_empty() {
        return;
    }
    let Family {
        name,
        kind,
        help,
        samples,
    } = family;
    text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    for plugin in plugins {
        let label = escape_label(&plugin.plugin);
        for Sample { worker, value } in samples(plugin) {
            let worker = worker.map(|it| format!(",worker=\"{it}\""));
            let worker = worker.unwrap_or_default();
            text.push_str(&format!("{name}{{plugin=\"{label}\"{worker}}} {value}\n"));
        }
    }
}

/// Writes a metric that plugins have defined. A name that is not UTF-8 is shown with replacement characters.
fn render_metric(text: &mut String, names: &mut HashSet<String>, name: &[u8], metric: &Metric) {
    let defined = String::from_utf8_lossy(name);
    let Some(name) = sanitize(&defined) else {
        text.push_str(&format!("# left out: {defined:?} is not a valid name\n"));
        return;
    };
    let kind = match metric.kind() {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
    };
    let mut used = vec![name.clone()];
    if metric.kind() == MetricKind::Histogram {
        used.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")));
    }
    if let Some(taken) = used.iter().find(|it| names.contains(*it)) {
        text.push_str(&format!(
            "# left out: the {kind} {defined:?}, because another metric has the name {taken}\n"
        ));
        return;
    }
    names.extend(used);
    text.push_str(&format!("# TYPE {name} {kind}\n"));
    let value = metric.value();
    if metric.kind() != MetricKind::Histogram {
        text.push_str(&format!("{name} {value}\n"));
        return;
    }
    let mut count = 0;
    for (bound, total) in metric.buckets() {
        text.push_str(&format!("{name}_bucket{{le=\"{bound}\"}} {total}\n"));
        count = total;
    }
    text.push_str(&format!("{name}_sum {value}\n{name}_count {count}\n"));
}

/// Replaces the characters that Prometheus does not allow in names. Returns `None` if the result is not a name. As in Envoy, a name
/// cannot start with a digit.
fn sanitize(name: &str) -> Option<String> {
    if name.starts_with(|it: char| it.is_ascii_digit()) || name.is_empty() {
        return None;
    }
    let characters = name.chars().map(|it| match it {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => it,
        _ => '_',
    });
    Some(characters.collect())
}

/// Escapes the value of a label.
fn escape_label(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

/// Returns a duration in seconds, with all its digits.
fn seconds(time: Duration) -> String {
    format!("{}.{:09}", time.as_secs(), time.subsec_nanos())
}

// === impl Sample ===

impl Sample {
    /// Creates the sum over all workers.
    fn total(value: String) -> Self {
        Self {
            worker: None,
            value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_semantics::metrics::Metrics;

    /// Returns the output for metrics in which a value was recorded once.
    fn rendered(defined: &[(MetricKind, &str, u64)]) -> String {
        let metrics = Metrics::default();
        for (kind, name, value) in defined {
            let metric = metrics.define(*kind, name.as_bytes()).expect("a metric");
            metric.record(*value);
        }
        render(metrics.all(), &[])
    }

    #[test]
    fn counters_and_gauges_have_a_type_and_a_value() {
        let text = rendered(&[
            (MetricKind::Gauge, "visitors.now", u64::MAX),
            (MetricKind::Counter, "visitors.wörld-1", 7),
            (MetricKind::Counter, "_:", 1),
        ]);
        assert_eq!(
            text,
            "# TYPE __ counter\n__ 1\n\
             # TYPE visitors_w_rld_1 counter\nvisitors_w_rld_1 7\n\
             # TYPE visitors_now gauge\nvisitors_now 18446744073709551615\n"
        );
    }

    #[test]
    fn histograms_have_cumulative_buckets() {
        let metrics = Metrics::default();
        let histogram = metrics.define(MetricKind::Histogram, b"sizes");
        let histogram = histogram.expect("a metric");
        for value in [0, 30, 40, 4_000_000] {
            histogram.record(value);
        }
        let text = render(metrics.all(), &[]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 23);
        assert_eq!(
            lines[..7],
            [
                "# TYPE sizes histogram",
                r#"sizes_bucket{le="0.5"} 1"#,
                r#"sizes_bucket{le="1"} 1"#,
                r#"sizes_bucket{le="5"} 1"#,
                r#"sizes_bucket{le="10"} 1"#,
                r#"sizes_bucket{le="25"} 1"#,
                r#"sizes_bucket{le="50"} 3"#,
            ]
        );
        assert_eq!(
            lines[19..],
            [
                r#"sizes_bucket{le="3600000"} 3"#,
                r#"sizes_bucket{le="+Inf"} 4"#,
                "sizes_sum 4000070",
                "sizes_count 4",
            ]
        );
    }

    #[test]
    fn metrics_without_a_valid_name_are_left_out() {
        let text = rendered(&[
            (MetricKind::Counter, "", 1),
            (MetricKind::Counter, "2xx", 1),
            (MetricKind::Counter, "1\n# TYPE a counter", 1),
        ]);
        assert_eq!(
            text,
            "# left out: \"\" is not a valid name\n\
             # left out: \"1\\n# TYPE a counter\" is not a valid name\n\
             # left out: \"2xx\" is not a valid name\n"
        );
    }

    #[test]
    fn names_that_become_the_same_are_left_out() {
        let text = rendered(&[
            (MetricKind::Counter, "a-b", 1),
            (MetricKind::Counter, "a.b", 2),
            (MetricKind::Gauge, "a_b", 3),
            (MetricKind::Counter, "sizes_sum", 4),
            (MetricKind::Histogram, "sizes", 5),
            (MetricKind::Gauge, "tidegate.plugin.memory.bytes", 6),
        ]);
        assert_eq!(
            text,
            "# TYPE a_b counter\na_b 1\n\
             # left out: the counter \"a.b\", because another metric has the name a_b\n\
             # TYPE sizes_sum counter\nsizes_sum 4\n\
             # left out: the gauge \"a_b\", because another metric has the name a_b\n\
             # left out: the gauge \"tidegate.plugin.memory.bytes\", because another metric has the name \
             tidegate_plugin_memory_bytes\n\
             # left out: the histogram \"sizes\", because another metric has the name sizes_sum\n"
        );
    }

    #[test]
    fn plugins_are_labels_and_are_escaped() {
        let plugin = |name: &str, memory: &[(usize, usize)]| PluginSnapshot {
            plugin: name.to_owned(),
            callbacks: 3,
            time: Duration::new(2, 50),
            traps: 2,
            restarts: 1,
            memory: memory.to_vec(),
        };
        let plugins = [plugin("a", &[(0, 65_536), (1, 0)]), plugin("b\\\"\n", &[])];
        assert_eq!(
            render(Vec::new(), &plugins),
            r#"# HELP tidegate_plugin_callbacks_total Callbacks that have run.
# TYPE tidegate_plugin_callbacks_total counter
tidegate_plugin_callbacks_total{plugin="a"} 3
tidegate_plugin_callbacks_total{plugin="b\\\"\n"} 3
# HELP tidegate_plugin_callback_seconds_total Duration of these callbacks, including hostcalls.
# TYPE tidegate_plugin_callback_seconds_total counter
tidegate_plugin_callback_seconds_total{plugin="a"} 2.000000050
tidegate_plugin_callback_seconds_total{plugin="b\\\"\n"} 2.000000050
# HELP tidegate_plugin_traps_total Times that the code of the plugin has trapped, has exited or has exceeded a limit.
# TYPE tidegate_plugin_traps_total counter
tidegate_plugin_traps_total{plugin="a"} 2
tidegate_plugin_traps_total{plugin="b\\\"\n"} 2
# HELP tidegate_plugin_restarts_total Instances that have replaced one that had trapped.
# TYPE tidegate_plugin_restarts_total counter
tidegate_plugin_restarts_total{plugin="a"} 1
tidegate_plugin_restarts_total{plugin="b\\\"\n"} 1
# HELP tidegate_plugin_memory_bytes Linear memory of the instance, which plugins with the same module share.
# TYPE tidegate_plugin_memory_bytes gauge
tidegate_plugin_memory_bytes{plugin="a",worker="0"} 65536
tidegate_plugin_memory_bytes{plugin="a",worker="1"} 0
"#
        );
    }

    #[test]
    fn size_is_bounded() {
        let metrics = Metrics::default();
        for number in 0..1_000 {
            let name = format!("a{number:01023}");
            let metric = metrics.define(MetricKind::Histogram, name.as_bytes());
            assert!(metric.is_some());
        }
        let text = render(metrics.all(), &[]);
        assert!(text.len() < MAX_SIZE + (64 << 10), "{}", text.len());
        let written = text.matches("# TYPE ").count();
        let rest = 1_000 - written;
        assert!(written > 0 && rest > 0);
        assert!(text.ends_with(&format!(
            "# left out: {rest} more metrics, because there are too many\n"
        )));
    }
}
