//! What the plugin has to have, each with the test that shows it.

use std::path::Path;

/// A feature, and its test: a scenario below `tests/scenarios/plugins`, or a function of a test in this crate.
const FEATURES: &[(&str, &str)] = &[
    ("token bucket", "rate-limit.yaml"),
    (
        "token bucket: bound",
        "fn bucket_never_exceeds_burst_plus_refill",
    ),
    ("sliding window", "rate-limit-windows.yaml"),
    ("fixed window", "rate-limit-windows.yaml"),
    ("windows: bounds", "fn windows_keep_their_bounds"),
    ("concurrency", "rate-limit-concurrency.yaml"),
    (
        "concurrency: released however a stream ends",
        "rate-limit-concurrency-ends.yaml",
    ),
    (
        "concurrency: leases expire",
        "fn leases_end_when_they_are_given_back_or_expire",
    ),
    ("any interval", "fn rates_have_a_count_and_an_interval"),
    (
        "several rules, the most restrictive wins",
        "rate-limit-several.yaml",
    ),
    ("key: client address", "rate-limit-source-address.yaml"),
    (
        "key: trusted hops and IPv6 /64",
        "rate-limit-client-address.yaml",
    ),
    (
        "key: header, query, cookie, path, method, host, constant, combination",
        "rate-limit-keys.yaml",
    ),
    ("key: JWT claim, metadata", "rate-limit-jwt.yaml"),
    (
        "key: each part",
        "fn each_part_of_a_key_tells_requests_apart",
    ),
    ("dynamic buckets: bounded", "rate-limit-overflow.yaml"),
    (
        "dynamic buckets: eviction never refills",
        "fn eviction_never_refills",
    ),
    (
        "match, exempt and override by condition",
        "rate-limit-match.yaml",
    ),
    ("match by regular expression", "rate-limit-regex.yaml"),
    (
        "cost by number, header and response size",
        "rate-limit-cost.yaml",
    ),
    (
        "shadow mode, enabled and enforced percentages",
        "rate-limit-shadow.yaml",
    ),
    (
        "percentages: shares",
        "fn shadow_mode_and_percentages_reject_only_a_share",
    ),
    ("status, body and headers", "rate-limit-answers.yaml"),
    ("gRPC RESOURCE_EXHAUSTED", "rate-limit-grpc.yaml"),
    ("X-RateLimit draft 03", "rate-limit-answers.yaml"),
    ("RateLimit and RateLimit-Policy", "rate-limit-answers.yaml"),
    ("Retry-After", "rate-limit.yaml"),
    ("headers when the limit is near", "rate-limit-answers.yaml"),
    (
        "headers of requests that are not rejected",
        "rate-limit-shadow.yaml",
    ),
    ("counters for each rule", "rate-limit-several.yaml"),
    ("scope proxy", "rate-limit-proxy-scope.yaml"),
    (
        "scope proxy: over-admission with 8 workers",
        "fn eight_workers_admit_exactly_the_limit",
    ),
    (
        "scope proxy: fixed number of values",
        "fn number_of_values_is_bounded",
    ),
    ("errors with paths", "rate-limit-misconfigured.yaml"),
    (
        "former fields name the new ones",
        "rate-limit-replaced-field.yaml",
    ),
];

#[test]
fn every_feature_has_a_test() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scenarios = crate_folder.join("../../../tests/scenarios/plugins");
    let mut sources = String::new();
    let mut folders = vec![crate_folder.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("features.rs") {
                sources += &std::fs::read_to_string(path).expect("a file");
            }
        }
    }
    for (feature, test) in FEATURES {
        let found = if test.ends_with(".yaml") {
            scenarios.join(test).is_file()
        } else {
            sources.contains(&format!("{test}("))
        };
        assert!(found, "{feature}: there is no {test}");
    }
}
