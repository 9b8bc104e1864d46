//! A module exports a callback of the proxy exactly if the component has a callback that it delivers.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use tidegate_adapter::{Options, adapt, inspect, verify};
use tidegate_components::Recipe;

/// Callbacks of the component, each with the callback of the proxy that delivers it.
const CALLBACKS: [(&str, &str); 8] = [
    ("on-request-headers", "proxy_on_request_headers"),
    ("on-response-trailers", "proxy_on_response_trailers"),
    ("on-log", "proxy_on_log"),
    ("on-http-call-response", "proxy_on_http_call_response"),
    (
        "on-plugin-http-call-response",
        "proxy_on_http_call_response",
    ),
    ("on-tick", "proxy_on_tick"),
    ("on-queue-ready", "proxy_on_queue_ready"),
    ("on-plugin-done", "proxy_on_done"),
];

/// Callbacks of the proxy that every module has.
const ALWAYS: [&str; 3] = [
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
];

#[test]
fn each_set_of_callbacks_is_adapted() -> Result<()> {
    for set in 1..1_u32 << CALLBACKS.len() {
        let is_in_set = |(bit, _): &(usize, &(&str, &str))| set >> bit & 1 == 1;
        let chosen = CALLBACKS.iter().enumerate().filter(is_in_set);
        let chosen: Vec<_> = chosen.map(|(_, callback)| *callback).collect();
        let exports = chosen.iter().map(|(interface, _)| interface);
        let exports = exports.map(|it| format!("export tidegate:proxy/{it}@0.1.0; "));
        let wit = format!(
            "package test:callbacks; world plugin {{ include tidegate:proxy/http-plugin@0.1.0; {}}}",
            exports.collect::<String>()
        );
        let component = Recipe {
            wit: &wit,
            ..Recipe::default()
        };
        let component = component.make().with_context(|| wit.clone())?;
        let module = adapt(&component, &Options::default()).with_context(|| wit.clone())?;
        verify(&module).with_context(|| wit.clone())?;
        let found: BTreeSet<_> = inspect(&module)?.callbacks.into_iter().collect();
        let wanted = chosen.iter().map(|(_, export)| *export).chain(ALWAYS);
        let wanted: BTreeSet<_> = wanted.map(str::to_owned).collect();
        ensure!(found == wanted, "{wit}: {found:?}");
    }
    Ok(())
}
