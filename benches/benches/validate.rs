//! The time to validate a thousand documents: small ones as users write them, and Istio's fixtures, which violate rules.
//!
//! The target is 200 ms.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidegate_deploy::istio::validate::{Options, validate};

const DOCUMENTS: usize = 1000;

/// Returns typical plugins: a selector, a pinned image, a configuration.
fn written() -> String {
    let mut text = String::new();
    for number in 0..DOCUMENTS {
        let _ = write!(
            text,
            "---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata:
  name: greeter-{number}
  namespace: shop
  labels:
    app.kubernetes.io/name: greeter
spec:
  selector:
    matchLabels:
      app: shop
  url: oci://registry.example.com/plugins/greeter@sha256:{digest}
  sha256: \"{digest}\"
  phase: AUTHZ
  priority: {number}
  failStrategy: FAIL_OPEN
  match:
  - mode: SERVER
    ports:
    - number: 8080
  pluginConfig:
    greeting: hello
    rules:
    - {{path: /a, limit: 10, burst: 20}}
    - {{path: /b, limit: 100, burst: 200}}
  vmConfig:
    env:
    - {{name: REGION, value: north}}
    - {{name: HOSTNAME, valueFrom: HOST}}
",
            digest = "5f1c3e2a".repeat(8)
        );
    }
    text
}

/// Returns the fixtures, repeated, except for the few that are intentionally long.
fn fixtures() -> String {
    let fixtures = tidegate_istio_fixtures::fixtures().expect("failed to read the fixtures");
    let documents = fixtures
        .into_iter()
        .filter(|fixture| fixture.kind.is_some() && fixture.text.len() < 8 << 10)
        .map(|fixture| fixture.text);
    let documents: Vec<_> = documents
        .collect::<Vec<_>>()
        .into_iter()
        .cycle()
        .take(DOCUMENTS)
        .collect();
    documents.join("---\n")
}

fn validating(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("validate");
    group.warm_up_time(Duration::from_secs(1));
    group.measurement_time(Duration::from_secs(3));
    for (name, text) in [("written", written()), ("fixtures", fixtures())] {
        let report = validate(&text, &Options::default()).expect("valid YAML");
        assert_eq!(report.judged, DOCUMENTS);
        assert_eq!(report.errors > 0, name == "fixtures");
        group.throughput(Throughput::Elements(DOCUMENTS as u64));
        group.bench_function(format!("1000-{name}"), |bencher| {
            bencher.iter(|| validate(black_box(&text), &Options::default()));
        });
    }
    group.finish();
}

criterion_group!(benches, validating);
criterion_main!(benches);
