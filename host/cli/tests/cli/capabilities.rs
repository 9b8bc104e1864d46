//! Least privilege in real Envoys: a plugin works with the capabilities that `manifest` lists, and fails without any one of them.
//!
//! The plugin is that of the tutorial, configured to reject every request, so that the result does not depend on time.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use tidegate_testkit::envoy::Release;
use tidegate_testkit::upstream::Upstream;

use crate::envoy::{envoy, plugin};
use crate::tool::{Folder, PATIENCE, text, tidegate};

/// The capabilities that the plugin needs, which a reader can compare with its source.
const NEEDED: &[&str] = &[
    "proxy_get_buffer_bytes",
    "proxy_log",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_request_headers",
    "proxy_on_response_headers",
    "proxy_send_local_response",
];

/// A running Envoy. It is stopped when dropped.
struct Serving {
    process: Child,
    address: SocketAddr,
}

/// The bootstrap from `manifest` for the plugin.
fn bootstrap(folder: &Folder, upstream: SocketAddr) -> Value {
    let upstream = format!("http://{upstream}");
    let plugin = plugin(folder, "istio-tutorial");
    let plugin = format!("{plugin}={{\"requests_per_second\": 0}}");
    let any_port = "127.0.0.1:0";
    let done = tidegate([
        "manifest",
        "envoy",
        &plugin,
        "--upstream",
        &upstream,
        "--listen",
        any_port,
        "--admin",
        any_port,
    ]);
    serde_json::from_slice(done.succeeds()).expect("JSON")
}

/// The plugin's list of capabilities.
fn allowed(bootstrap: &mut Value) -> &mut serde_json::Map<String, Value> {
    let manager = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
        [0]["typed_config"];
    let config = &mut manager["http_filters"][0]["typed_config"]["config"];
    config["capability_restriction_config"]["allowed_capabilities"]
        .as_object_mut()
        .expect("a list of capabilities")
}

/// Starts an Envoy and waits until it serves. `None` if it rejects its bootstrap.
fn start(release: Release, folder: &Folder, bootstrap: &Value) -> Option<Serving> {
    let binary = envoy(release);
    let config = folder.file("envoy.json", bootstrap.to_string());
    let admin = folder.path("admin");
    // Remove the file of another Envoy.
    let _ = fs::remove_file(&admin);
    let process = Command::new(binary)
        .args(["-c", &config, "--concurrency", "1", "--disable-hot-restart"])
        .args(["--log-level", "off", "--admin-address-path", &text(&admin)])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("Envoy");
    let mut serving = Serving {
        process,
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
    };
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if serving.process.try_wait().expect("a status").is_some() {
            return None;
        }
        let address = fs::read_to_string(&admin).unwrap_or_default();
        if let Ok(admin) = address.parse::<SocketAddr>()
            && get(admin, "/ready").is_some_and(|answer| answer.contains("LIVE"))
            && let Some(listeners) = get(admin, "/listeners?format=json")
        {
            let (_, body) = listeners.split_once("\r\n\r\n").expect("a body");
            // The response is a single chunk.
            let json = &body[body.find('{').expect("JSON")..=body.rfind('}').expect("JSON")];
            let listeners: Value = serde_json::from_str(json).expect("JSON");
            let port =
                &listeners["listener_statuses"][0]["local_address"]["socket_address"]["port_value"];
            let port = port.as_u64().and_then(|port| u16::try_from(port).ok());
            serving.address.set_port(port.expect("a port"));
            return Some(serving);
        }
        std::thread::yield_now();
    }
    panic!("Envoy does not start");
}

/// The response to `GET PATH`, if the connection succeeds.
fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
    )
    .ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    Some(response)
}

/// The status of a request, and whether the response has the plugin's header.
fn outcome(release: Release, folder: &Folder, bootstrap: &Value) -> Option<(String, bool)> {
    let serving = start(release, folder, bootstrap)?;
    let response = get(serving.address, "/").expect("a response");
    let status = response.split(' ').nth(1).unwrap_or_default().to_owned();
    Some((status, response.contains("who-am-i: wasm-extension")))
}

fn needs_what_is_listed(release: Release) {
    let folder = Folder::new();
    let upstream = Upstream::start(&[]).expect("an upstream");
    let mut listed = bootstrap(&folder, upstream.address());
    let names: Vec<_> = allowed(&mut listed).keys().cloned().collect();
    for name in NEEDED {
        assert!(
            names.iter().any(|it| it == name),
            "{name} is not in {names:?}"
        );
    }
    let works = Some(("403".to_owned(), true));
    assert_eq!(outcome(release, &folder, &listed), works);

    for (missing, expected) in [
        // The hostcall fails, and the plugin allows the request.
        ("proxy_send_local_response", Some(("200".to_owned(), true))),
        // The callback is never called.
        ("proxy_on_request_headers", Some(("200".to_owned(), true))),
        ("proxy_on_response_headers", Some(("403".to_owned(), false))),
    ] {
        let mut without = listed.clone();
        allowed(&mut without).remove(missing).expect(missing);
        assert_eq!(
            outcome(release, &folder, &without),
            expected,
            "without {missing}"
        );
    }
    // Envoy treats an empty list as no restriction, so none is ever written.
    let mut empty = listed.clone();
    *allowed(&mut empty) = json!({}).as_object().expect("an object").clone();
    assert_eq!(outcome(release, &folder, &empty), works);
}

#[test]
#[ignore = "needs envoy"]
fn listed_capabilities_are_required_in_envoy_1_40_0_needs_envoy() {
    needs_what_is_listed(Release::V1_40_0);
}

#[test]
#[ignore = "needs envoy"]
fn listed_capabilities_are_required_in_envoy_1_36_4_needs_envoy() {
    needs_what_is_listed(Release::V1_36_4);
}

// === impl Serving ===

impl Drop for Serving {
    fn drop(&mut self) {
        // This fails if the process has already exited.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
