//! HTTP calls, metrics and shared data in a mesh: a plugin at the sidecar asks a service of the mesh, by the name of its cluster, and the
//! plugin `rate-limit` limits the gateway.

use anyhow::{Result, ensure};

use super::process::eventually;
use super::proxies::{GATEWAY, SIDECAR};
use super::story::{SHOWS_WITHIN, Step, Story};
use super::tutorial::PLAIN;

/// Runs after the tutorial, which removes its plugins.
pub const STEPS: &[Step] = &[
    ("a call to a service of the mesh, and a metric", call),
    ("one rate limit for all workers of the gateway", limit),
];

/// The application answers everything with 200, so the plugin allows each request.
fn call(story: &mut Story) -> Result<()> {
    story.file(
        "ext-auth.json",
        r#"{ "cluster": "outbound|80||application.demo.internal", "timeout-ms": 5000, "remember-ms": 0, "refresh-ms": 60000 }"#,
    )?;
    story.push("ext-auth.wasm", "ext-auth:v1")?;
    story.until(&SIDECAR, &[PLAIN])?;
    let flags = "--name ext-auth --namespace demo --selector app=httpbin --phase AUTHZ";
    story.apply("wasm-plugin", "ext-auth.wasm=@ext-auth.json", flags)?;
    // Until the sidecar has the plugin, requests pass without it.
    let allowed = eventually(SHOWS_WITHIN, || {
        story.until(&SIDECAR, &[PLAIN])?;
        let allowed = story.sidecar.counter("ext_auth.allowed")?;
        ensure!(allowed > 0, "the sidecar has not counted any request");
        Ok(allowed)
    })?;
    let failed = story.sidecar.counter("ext_auth.failed")?;
    ensure!(failed == 0, "{failed} calls failed, {allowed} did not");
    story.note(
        "the sidecar's wasmcustom.ext_auth.allowed counts, wasmcustom.ext_auth.failed does not",
    )?;
    story.shell("kubectl --namespace demo delete wasmplugin ext-auth")?;
    story.until(&SIDECAR, &[PLAIN])
}

/// Istio passes all numbers of a configuration as doubles.
fn limit(story: &mut Story) -> Result<()> {
    story.file(
        "rate-limit.json",
        r#"{ "rules": [{ "name": "all", "limit": "2/s", "algorithm": "fixed_window", "scope": "proxy",
             "key": [{ "client_address": { "ipv4_prefix": 24 } }], "max_dynamic_descriptors": 64 }],
  "response": { "status": 403, "body": "too many requests" } }"#,
    )?;
    story.push("rate-limit.wasm", "rate-limit:v1")?;
    story.until(&GATEWAY, &[PLAIN, PLAIN, PLAIN])?;
    let flags = "--name rate-limit --namespace demo --selector app=gateway --phase AUTHN";
    story.apply("wasm-plugin", "rate-limit.wasm=@rate-limit.json", flags)?;
    let limited = "403\n   too many requests";
    story.until(&GATEWAY, &[PLAIN, PLAIN, limited, limited])?;
    let prefix = "rate_limit.http_local_rate_limit.all";
    let count = |name| story.gateway.counter(&format!("{prefix}.{name}"));
    let (enabled, ok, enforced) = (count("enabled")?, count("ok")?, count("enforced")?);
    ensure!(
        ok >= 2 && enforced >= 2 && enabled == ok + enforced,
        "of {enabled} requests, {ok} passed and {enforced} were rejected"
    );
    story.note(&format!(
        "the gateway's wasmcustom.{prefix}.enabled is the sum of ok and enforced"
    ))?;
    story.shell("kubectl --namespace demo delete wasmplugin rate-limit")?;
    story.until(&GATEWAY, &[PLAIN, PLAIN, PLAIN])
}
