//! Configurations, and the schema. The counting is tested where it is done, in `limiter`.

use serde_json::json;
use tidegate_guest::{ConfigError, Plugin, read_config};

use crate::{RateLimit, config::Config, limiter::Limiter};

fn configured(config: serde_json::Value) -> Result<RateLimit, ConfigError> {
    RateLimit::configure(read_config(config.to_string().as_bytes())?)
}

#[test]
fn rate_is_the_only_required_field() {
    let plugin = configured(json!({ "rate": 5 })).expect("a good configuration");
    let mut limiter = plugin.limiter.get();
    assert!(matches!(limiter, Limiter::TokenBucket(_)));
    assert_eq!(
        (0..10).filter(|_| limiter.passes(1)).count(),
        5,
        "the burst is that of the rate"
    );
}

#[test]
fn everything_can_be_configured() {
    let plugin = configured(json!({
        "rate": 2, "per": "minute", "algorithm": "fixed_window", "status": 403,
        "body": "rate limited, wait and retry.",
        "headers": [{ "name": "Powered-By", "value": "proxy-wasm-go-sdk!!" }],
    }))
    .expect("a good configuration");
    let mut limiter = plugin.limiter.get();
    assert!(limiter.passes(1) && limiter.passes(1) && !limiter.passes(60_000_000_001));
    assert!(limiter.passes(60_000_000_002));
    let refusal = format!("{:?}", plugin.refusal);
    for part in ["403", "powered-by", "rate_limited"] {
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[test]
fn invalid_configurations_are_rejected_with_their_path() {
    for (config, reason) in [
        (json!({}), "rate: missing"),
        (json!({ "rate": 0 }), "rate: expected a nonzero u32, got 0"),
        (
            json!({ "rate": "ten" }),
            "rate: expected a nonzero u32, got \"ten\"",
        ),
        (
            json!({ "rate": 1, "per": "day" }),
            "per: expected `second`, `minute` or `hour`, got \"day\"",
        ),
        (
            json!({ "rate": 1, "status": 99 }),
            "status: expected 200 to 599, got 99",
        ),
        (
            json!({ "rate": 1, "algorithm": "fixed_window", "burst": 2 }),
            "burst: goes with the algorithm `token_bucket`, a fixed window has none",
        ),
        (
            json!({ "rate": 1, "headers": [{ "name": "a", "value": "" }, { "name": ":status", "value": "1" }] }),
            "headers[1].name: expected a header name, got \":status\": the status has a field of its own",
        ),
        (
            json!({ "rate": 1, "limit": 2 }),
            "limit: unknown field, expected `rate`, `per`, `burst`, `algorithm`, `status`, `body` or `headers`",
        ),
    ] {
        let error = configured(config).err().expect(reason);
        assert_eq!(error.to_string(), reason);
    }
}

/// `BLESS=1 cargo test -p rate-limit` writes the schema that `#[plugin]` puts into the plugin.
#[test]
fn schema_file_is_up_to_date() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config.schema.json");
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(Config))
        .expect("a schema is JSON")
        + "\n";
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file, &schema).expect("the schema can be written");
    }
    let written = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(
        written, schema,
        "BLESS=1 cargo test -p rate-limit writes config.schema.json anew"
    );
}
