//! The tutorial: from a component to a mesh that responds with 403, and updates of the plugin.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::parts;
use super::proxies::{GATEWAY, SIDECAR};
use super::story::{Step, Story};

/// The steps, in order. Each starts in the state in which the previous one ended.
pub const STEPS: &[Step] = &[
    ("build the components", build),
    ("push them", push),
    ("three requests through a gateway", gateway),
    ("three requests through a sidecar", sidecar),
    ("a second plugin, in a later phase", second_plugin),
    ("the same plugin in an earlier phase", earlier_phase),
    ("another configuration, in place", configuration),
    ("another version, by its digest", upgrade),
    ("TrafficExtension instead of WasmPlugin", traffic_extension),
    (
        "EnvoyFilter, with no more capabilities than the plugin needs",
        envoy_filter,
    ),
    ("delete", delete),
];

/// The application's response.
pub const PLAIN: &str = "200\n   hello";
/// The response if the tutorial's plugin lets a request pass.
pub const PASSED: &str = "200\n   who-am-i: wasm-extension\n   injected-by: istio-api!\n   hello";
/// The response if the tutorial's plugin rejects a request.
pub const LIMITED: &str = "403\n   powered-by: proxy-wasm-go-sdk!!\n   who-am-i: wasm-extension\n   \
     injected-by: istio-api!\n   rate limited, wait and retry.";

/// The arguments of most manifests for the tutorial's plugin.
pub const TUTORIAL: &str = "--name tutorial --namespace demo --selector app=gateway --phase AUTHZ";
const HEADERS: &str = "--name headers --namespace demo --selector app=gateway";

/// Returns a response of the second version of the tutorial's plugin.
pub fn second(answer: &str) -> String {
    answer.replace("istio-api!", "istio-api2")
}

/// The plugins are built outside the namespaces, because there is no network inside. The output of the build is copied to the transcript.
fn build(story: &mut Story) -> Result<()> {
    let told = parts::read(&story.parts.built())?;
    story.told(&told)
}

fn push(story: &mut Story) -> Result<()> {
    story.push("istio-tutorial.wasm", "istio-tutorial:v1")?;
    story.push("headers.wasm", "headers:v1")
}

fn gateway(story: &mut Story) -> Result<()> {
    story.until(&GATEWAY, &[PLAIN])?;
    story.apply("wasm-plugin", "istio-tutorial.wasm", TUTORIAL)?;
    story.until(&GATEWAY, &[PASSED, PASSED, LIMITED])
}

fn sidecar(story: &mut Story) -> Result<()> {
    story.until(&SIDECAR, &[PLAIN])?;
    let flags = "--name tutorial-httpbin --namespace demo --selector app=httpbin --phase AUTHZ";
    story.apply("wasm-plugin", "istio-tutorial.wasm", flags)?;
    story.until(&SIDECAR, &[PASSED, PASSED, LIMITED])
}

/// A local response passes only the plugins that have processed the request. Responses pass the plugins in reverse order.
fn second_plugin(story: &mut Story) -> Result<()> {
    let config = r#"{ "rules": [{ "response": [{ "append": { "name": "seen-by", "value": "headers" } }] }] }"#;
    story.file("headers.json", config)?;
    story.apply(
        "wasm-plugin",
        "headers.wasm=@headers.json",
        &format!("{HEADERS} --phase STATS"),
    )?;
    let passed = PASSED.replace("200", "200\n   seen-by: headers");
    story.until(&GATEWAY, &[&passed, &passed, LIMITED])?;
    story.order("tutorial", "headers")
}

fn earlier_phase(story: &mut Story) -> Result<()> {
    story.apply(
        "wasm-plugin",
        "headers.wasm=@headers.json",
        &format!("{HEADERS} --phase AUTHN"),
    )?;
    let seen = |answer: &str| answer.replace("istio-api!", "istio-api!\n   seen-by: headers");
    story.until(&GATEWAY, &[&seen(PASSED), &seen(PASSED), &seen(LIMITED)])?;
    story.order("headers", "tutorial")?;
    story.shell("kubectl --namespace demo delete wasmplugin headers")?;
    story.until(&GATEWAY, &[PASSED, PASSED, LIMITED])
}

fn configuration(story: &mut Story) -> Result<()> {
    story.apply(
        "wasm-plugin",
        r#"istio-tutorial.wasm='{"requests_per_second": 1}'"#,
        TUTORIAL,
    )?;
    story.until(&GATEWAY, &[PASSED, LIMITED, LIMITED])
}

fn upgrade(story: &mut Story) -> Result<()> {
    story.second_version()?;
    story.note("istio-tutorial-2.wasm: the same, but for the value of a header")?;
    story.push("istio-tutorial-2.wasm", "istio-tutorial:v2")?;
    story.apply("wasm-plugin", "istio-tutorial-2.wasm", TUTORIAL)?;
    story.until(
        &GATEWAY,
        &[&second(PASSED), &second(PASSED), &second(LIMITED)],
    )
}

fn traffic_extension(story: &mut Story) -> Result<()> {
    story.shell("kubectl --namespace demo delete wasmplugin tutorial")?;
    story.until(&GATEWAY, &[PLAIN])?;
    story.apply("traffic-extension", "istio-tutorial.wasm", TUTORIAL)?;
    story.until(&GATEWAY, &[PASSED, PASSED, LIMITED])
}

/// The plugin has only the capabilities that it requires. It sends local responses, but no HTTP calls.
fn envoy_filter(story: &mut Story) -> Result<()> {
    story.shell("kubectl --namespace demo delete trafficextension tutorial")?;
    story.until(&GATEWAY, &[PLAIN])?;
    let flags = "--name tutorial --namespace demo --selector app=gateway --context GATEWAY";
    story.apply("envoy-filter", "istio-tutorial.wasm", flags)?;
    story.until(&GATEWAY, &[PASSED, PASSED, LIMITED])?;
    let plugins = story.gateway.plugins()?;
    ensure!(
        plugins.contains("\"allowed_capabilities\"")
            && plugins.contains("\"proxy_send_local_response\"")
            && !plugins.contains("\"proxy_http_call\""),
        "Envoy should restrict the plugin, and has\n{plugins}"
    );
    Ok(())
}

fn delete(story: &mut Story) -> Result<()> {
    story.shell("kubectl --namespace demo delete wasmplugin,envoyfilter --all")?;
    story.until(&GATEWAY, &[PLAIN, PLAIN, PLAIN])?;
    story.until(&SIDECAR, &[PLAIN, PLAIN, PLAIN])
}

// === impl Story ===

impl Story<'_> {
    /// Checks that `tidegate chain` lists both plugins in this order.
    fn order(&mut self, first: &str, second: &str) -> Result<()> {
        let said = self.shell(
            "kubectl get wasmplugins --all-namespaces -o yaml | \
             tidegate chain -f - --workload demo/app=gateway,istio=ingressgateway",
        )?;
        let at = |name| said.find(&format!("WasmPlugin demo/{name} "));
        ensure!(
            at(first).is_some() && at(first) < at(second),
            "`{first}` should be in the chain before `{second}`"
        );
        Ok(())
    }

    /// Writes a second version of the tutorial's plugin, with another value for one of its headers.
    fn second_version(&mut self) -> Result<()> {
        let (first, changed) = (b"istio-api!", b"istio-api2");
        let mut bytes = fs::read(self.path("istio-tutorial.wasm"))?;
        let at = bytes
            .windows(first.len())
            .position(|window| window == first)
            .context("the component has no `istio-api!`")?;
        bytes[at..at + first.len()].copy_from_slice(changed);
        parts::write(&self.path("istio-tutorial-2.wasm"), bytes)
    }
}
