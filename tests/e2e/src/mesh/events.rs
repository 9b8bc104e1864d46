//! HTTP calls and metrics in a mesh: a plugin at the sidecar asks a service of the mesh, by the name of its cluster.

use anyhow::{Result, ensure};

use super::process::eventually;
use super::proxies::SIDECAR;
use super::story::{SHOWS_WITHIN, Step, Story};
use super::tutorial::PLAIN;

/// Runs after the tutorial, which removes its plugins.
pub const STEPS: &[Step] = &[("a call to a service of the mesh, and a metric", call)];

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
