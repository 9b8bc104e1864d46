//! The callbacks of the proxy that deliver those of a component.

/// Returns the callback of the proxy that delivers a callback of the component: `proxy_on_log` for `on-log`.
pub fn host_callback(interface: &str) -> String {
    let interface = match interface {
        // The host has one callback for the calls of streams and of plugins.
        "on-plugin-http-call-response" => "on-http-call-response",
        // The host also calls it for streams.
        "on-plugin-done" => "on-done",
        interface => interface,
    };
    format!("proxy_{}", interface.replace('-', "_"))
}
