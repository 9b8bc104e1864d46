//! The symptoms in `docs/troubleshooting.md`: each is reproduced by a cause that the page lists.
//!
//! Tidegate generates no such manifests, so these are written by hand.

use anyhow::{Context, Result};

use super::control_plane::REGISTRY;
use super::parts;
use super::process::eventually;
use super::proxies::{GATEWAY, Proxy};
use super::story::{SHOWS_WITHIN, Step, Story};
use super::tutorial::{LIMITED, PASSED, PLAIN, TUTORIAL, second};

/// The steps, in order. Each starts and ends without a plugin.
pub const STEPS: &[Step] = &[
    ("an image that cannot be fetched", unfetchable),
    ("a version that Envoy rejects", refused_version),
    (
        "a module that Envoy rejects, on a fresh proxy",
        refused_on_fresh_proxy,
    ),
    ("rejected, deleted, and created anew", created_anew),
    ("a url without a scheme", no_scheme),
    ("a tag that is pushed again", tag_pushed_again),
    ("a plugin that traps", trap),
];

/// The response of the filter that the agent inserts, under FAIL_CLOSE, for a plugin that cannot be fetched.
const DENIED: &str = "403\n   RBAC: access denied";

fn unfetchable(story: &mut Story) -> Result<()> {
    let since = story.gateway.log()?.len();
    story.apply_by_hand(&format!("url: oci://{REGISTRY}/istio-tutorial:v404"))?;
    story.until(&GATEWAY, &[DENIED])?;
    story.lacks(
        &format!("tidegate check oci://{REGISTRY}/istio-tutorial:v404"),
        "v404",
    )?;
    story.gateway_logs("error in converting the wasm config to local", since)?;
    story.apply_by_hand(&format!(
        "url: oci://{REGISTRY}/istio-tutorial:v404\n  failStrategy: FAIL_OPEN"
    ))?;
    story.until(&GATEWAY, &[PLAIN])?;
    // The image with the component, which is not a layout for proxies.
    let component = format!("oci://{REGISTRY}/istio-tutorial:v1-component");
    story.shell(&format!(
        "tidegate push istio-tutorial.wasm oci://{REGISTRY}/istio-tutorial:v1 --with-component"
    ))?;
    story.apply_by_hand(&format!("url: {component}"))?;
    story.until(&GATEWAY, &[DENIED])?;
    story.refused(
        &format!("tidegate check {component}"),
        "the layers have the media types",
    )?;
    story.delete()?;
    // The checksum of the module instead of that of the manifest.
    let image = format!("oci://{REGISTRY}/istio-tutorial:v1");
    let said = story.shell(&format!("tidegate pull {image} -o - | sha256sum"))?;
    let module = said
        .split_whitespace()
        .find(|word| word.len() == 64)
        .context("sha256sum printed no digest")?
        .to_owned();
    story.apply_by_hand(&format!("url: {image}\n  sha256: \"{module}\""))?;
    story.until(&GATEWAY, &[DENIED])?;
    story.refused(
        &format!("tidegate check {image} --sha256 {module}"),
        "of the module",
    )?;
    story.delete()
}

/// A component starts with the same bytes as a core module, so the agent accepts it.
fn refused_version(story: &mut Story) -> Result<()> {
    story.apply("wasm-plugin", "istio-tutorial.wasm", TUTORIAL)?;
    story.until(&GATEWAY, &[PASSED, PASSED, LIMITED])?;
    let since = story.gateway.log()?.len();
    let component = story.path("istio-tutorial.wasm");
    story.apply_by_hand(&format!("url: file://{}", component.display()))?;
    story.gateway_logs("Unable to create Wasm", since)?;
    story.warned("tidegate check istio-tutorial.wasm", "[component]")?;
    story.until(&GATEWAY, &[PASSED, PASSED, LIMITED])?;
    story.delete()
}

fn refused_on_fresh_proxy(story: &mut Story) -> Result<()> {
    let module = story.path("missing-import.wasm");
    parts::write(&module, missing_import())?;
    story.apply_by_hand(&format!(
        "url: file://{}\n  failStrategy: FAIL_OPEN",
        module.display()
    ))?;
    let since = story.gateway.log()?.len();
    story.restart_gateway()?;
    story.until(&GATEWAY, &["500"])?;
    story.gateway_logs("missing import", since)?;
    story.refused("tidegate check missing-import.wasm", "proxy_teleport")?;
    story.delete()?;
    // A configuration that the plugin rejects.
    let image = format!("oci://{REGISTRY}/istio-tutorial:v1");
    story.apply_by_hand(&format!(
        "url: {image}\n  pluginConfig: {{ requests_per_second: many }}\n  failStrategy: FAIL_OPEN"
    ))?;
    let since = story.gateway.log()?.len();
    story.restart_gateway()?;
    story.until(&GATEWAY, &["500"])?;
    story.gateway_logs("configuration refused:", since)?;
    story.refused(
        &format!("tidegate manifest wasm-plugin istio-tutorial.wasm='{{\"requests_per_second\": \"many\"}}' --url {image} --sha256 {}", "0".repeat(64)),
        "requests_per_second",
    )?;
    story.apply("wasm-plugin", "istio-tutorial.wasm", TUTORIAL)?;
    story.until(&GATEWAY, &[PASSED, PASSED, LIMITED])?;
    story.delete()
}

/// Envoy associates the rejection with the name of the object.
fn created_anew(story: &mut Story) -> Result<()> {
    let module = story.path("missing-import.wasm");
    story.apply_by_hand(&format!("url: file://{}", module.display()))?;
    story.restart_gateway()?;
    story.until(&GATEWAY, &["500"])?;
    story.delete()?;
    let since = story.gateway.log()?.len();
    story.apply("wasm-plugin", "istio-tutorial.wasm", TUTORIAL)?;
    story.gateway_logs("rejected", since)?;
    story.until(&GATEWAY, &[PLAIN, PLAIN, PLAIN])?;
    story.apply(
        "wasm-plugin",
        "istio-tutorial.wasm",
        &format!("{TUTORIAL} --priority 1"),
    )?;
    story.until(&GATEWAY, &[PASSED, PASSED, LIMITED])?;
    story.delete()
}

/// The manifest is admitted, and fails open in spite of FAIL_CLOSE.
fn no_scheme(story: &mut Story) -> Result<()> {
    let url = format!("{REGISTRY}/istio-tutorial:v1\n  failStrategy: FAIL_CLOSE");
    story.apply_by_hand(&format!("url: oci://{url}"))?;
    story.until(&GATEWAY, &[PASSED, PASSED, LIMITED])?;
    story.apply_by_hand(&format!("url: {url}"))?;
    story.until(&GATEWAY, &[PLAIN, PLAIN, PLAIN])?;
    story.warned("tidegate check by-hand.yaml", "[url.dropped]")?;
    story.delete()
}

/// The agent resolves a tag only once. The new configuration shows that the resource was updated without resolving it again.
fn tag_pushed_again(story: &mut Story) -> Result<()> {
    let url = format!("url: oci://{REGISTRY}/istio-tutorial:stable");
    story.push("istio-tutorial.wasm", "istio-tutorial:stable")?;
    story.apply_by_hand(&url)?;
    story.until(&GATEWAY, &[PASSED, PASSED, LIMITED])?;
    story.push("istio-tutorial-2.wasm", "istio-tutorial:stable")?;
    story.apply_by_hand(&format!(
        "{url}\n  pluginConfig: {{ requests_per_second: 1 }}"
    ))?;
    story.until(&GATEWAY, &[PASSED, LIMITED, LIMITED])?;
    story.warned("tidegate check by-hand.yaml", "[url.stale-tag]")?;
    story.apply("wasm-plugin", "istio-tutorial-2.wasm", TUTORIAL)?;
    story.until(
        &GATEWAY,
        &[&second(PASSED), &second(PASSED), &second(LIMITED)],
    )?;
    story.delete()
}

/// A header shows that the plugin is active.
fn trap(story: &mut Story) -> Result<()> {
    let config = r#"{
  "on-request-headers": [{ "do": "trap", "path": "/trap" }],
  "on-response-headers": [
    { "do": "http-fields.append", "fields": "response-headers", "name": "seen-by", "value": "probe" }
  ]
}
"#;
    let in_force = "200\n   seen-by: probe\n   hello";
    let trapped = ("/trap", "503");
    story.push("probe.wasm", "probe:v1")?;
    story.file("probe.json", config)?;
    let apply = |story: &mut Story, strategy| {
        story.apply(
            "wasm-plugin",
            "probe.wasm=@probe.json",
            &format!("{TUTORIAL} --fail-strategy {strategy}"),
        )?;
        story.until(&GATEWAY, &[in_force])
    };
    for (strategy, afterwards) in [("FAIL_CLOSE", "503"), ("FAIL_OPEN", PLAIN)] {
        apply(story, strategy)?;
        // Sent together, because an update from istiod in between would restart the plugin.
        let afterwards = ("/get", afterwards);
        story.until_all(&GATEWAY, &[trapped, afterwards, afterwards])?;
        story.delete()?;
    }
    apply(story, "FAIL_RELOAD")?;
    story.until_all(&GATEWAY, &[trapped])?;
    story.until(&GATEWAY, &[in_force, in_force])?;
    story.delete()
}

/// Returns a minimal module with the ABI's marker and an import that no Envoy version provides.
fn missing_import() -> Vec<u8> {
    [
        &b"\0asm\x01\0\0\0"[..],
        // Type section: the type `() -> ()`.
        b"\x01\x04\x01\x60\0\0",
        // Import section: one function. Function section: one function.
        b"\x02\x16\x01\x03env\x0eproxy_teleport\0\0",
        b"\x03\x02\x01\0",
        // Memory section: one page.
        b"\x05\x03\x01\0\x01",
        // Export section: the memory and the function.
        b"\x07\x24\x02\x06memory\x02\0\x17proxy_abi_version_0_2_1\0\x01",
        // Code section: the function is empty.
        b"\x0a\x04\x01\x02\0\x0b",
    ]
    .concat()
}

// === impl Story ===

impl Story<'_> {
    /// Applies the tutorial's object with the given lines in its `spec`.
    fn apply_by_hand(&mut self, spec: &str) -> Result<()> {
        let manifest = format!(
            "\
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {{ name: tutorial, namespace: demo }}
spec:
  selector: {{ matchLabels: {{ app: gateway }} }}
  phase: AUTHZ
  {spec}
"
        );
        self.file("by-hand.yaml", &manifest)?;
        self.shell("kubectl apply -f by-hand.yaml")?;
        Ok(())
    }

    /// Deletes the tutorial's object.
    fn delete(&mut self) -> Result<()> {
        self.shell("kubectl --namespace demo delete wasmplugin tutorial")?;
        self.until(&GATEWAY, &[PLAIN])
    }

    /// Restarts the gateway as if its pod had restarted: no module is stored, and no version has been accepted.
    fn restart_gateway(&mut self) -> Result<()> {
        self.note("the gateway is started again")?;
        self.gateway.stop()?;
        self.gateway = Proxy::start(&GATEWAY, self.parts, self.plane)?;
        Ok(())
    }

    /// Waits for a line in the gateway's log after offset `since`, and adds its message to the transcript.
    fn gateway_logs(&mut self, text: &str, since: usize) -> Result<()> {
        let line = eventually(SHOWS_WITHIN, || {
            let log = self.gateway.log()?;
            let new = log.get(since..).unwrap_or_default();
            let line = new.lines().find(|line| line.contains(text));
            line.map(str::to_owned)
                .with_context(|| format!("the gateway's log has no line with `{text}`"))
        })?;
        // The other fields are the time, level, source and thread.
        let message = line
            .split('\t')
            .find(|field| field.contains(text))
            .unwrap_or(&line);
        self.note(&format!("in the gateway's log: {message}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page refers to steps as `(step `…`)` or `(steps `…` and `…`)`.
    #[test]
    fn steps_named_in_troubleshooting_page_exist() {
        let page = include_str!("../../../../docs/troubleshooting.md");
        let places: Vec<&str> = page.split("(step").skip(1).collect();
        let named = places.iter().flat_map(|place| {
            let until = place.find(')').unwrap_or(place.len());
            place[..until].split('`').skip(1).step_by(2)
        });
        let unknown: Vec<&str> = named
            .filter(|name| !STEPS.iter().any(|(title, _)| title == name))
            .collect();
        assert!(
            !places.is_empty(),
            "does the page name its steps otherwise?"
        );
        assert!(
            unknown.is_empty(),
            "docs/troubleshooting.md names steps that are not told: {unknown:?}"
        );
    }
}
