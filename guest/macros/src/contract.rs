//! The WIT contract and the world of a plugin.
//!
//! The text is compiled in, so that a plugin needs neither a copy of `wit/` nor a path to it. wit-bindgen expects a
//! single text: the plugin's world first, then the contract as a nested package.

use crate::callback::Callback;

/// The files of the contract, by name.
pub const FILES: &[(&str, &str)] = &[
    ("clock.wit", include_str!("../wit/clock.wit")),
    (
        "foreign-functions.wit",
        include_str!("../wit/foreign-functions.wit"),
    ),
    ("http-bodies.wit", include_str!("../wit/http-bodies.wit")),
    (
        "http-call-types.wit",
        include_str!("../wit/http-call-types.wit"),
    ),
    ("http-calls.wit", include_str!("../wit/http-calls.wit")),
    ("http-fields.wit", include_str!("../wit/http-fields.wit")),
    ("http-filter.wit", include_str!("../wit/http-filter.wit")),
    ("http-streams.wit", include_str!("../wit/http-streams.wit")),
    (
        "local-responses.wit",
        include_str!("../wit/local-responses.wit"),
    ),
    ("logging.wit", include_str!("../wit/logging.wit")),
    ("metrics.wit", include_str!("../wit/metrics.wit")),
    (
        "on-http-call-response.wit",
        include_str!("../wit/on-http-call-response.wit"),
    ),
    ("on-log.wit", include_str!("../wit/on-log.wit")),
    (
        "on-plugin-done.wit",
        include_str!("../wit/on-plugin-done.wit"),
    ),
    (
        "on-plugin-http-call-response.wit",
        include_str!("../wit/on-plugin-http-call-response.wit"),
    ),
    (
        "on-queue-ready.wit",
        include_str!("../wit/on-queue-ready.wit"),
    ),
    (
        "on-request-body.wit",
        include_str!("../wit/on-request-body.wit"),
    ),
    (
        "on-request-headers.wit",
        include_str!("../wit/on-request-headers.wit"),
    ),
    (
        "on-request-trailers.wit",
        include_str!("../wit/on-request-trailers.wit"),
    ),
    (
        "on-response-body.wit",
        include_str!("../wit/on-response-body.wit"),
    ),
    (
        "on-response-headers.wit",
        include_str!("../wit/on-response-headers.wit"),
    ),
    (
        "on-response-trailers.wit",
        include_str!("../wit/on-response-trailers.wit"),
    ),
    ("on-tick.wit", include_str!("../wit/on-tick.wit")),
    (
        "plugin-lifecycle.wit",
        include_str!("../wit/plugin-lifecycle.wit"),
    ),
    (
        "plugin-properties.wit",
        include_str!("../wit/plugin-properties.wit"),
    ),
    ("plugin.wit", include_str!("../wit/plugin.wit")),
    ("properties.wit", include_str!("../wit/properties.wit")),
    ("shared-data.wit", include_str!("../wit/shared-data.wit")),
    (
        "shared-queues.wit",
        include_str!("../wit/shared-queues.wit"),
    ),
    (
        "stream-control.wit",
        include_str!("../wit/stream-control.wit"),
    ),
    ("timers.wit", include_str!("../wit/timers.wit")),
    ("types.wit", include_str!("../wit/types.wit")),
    (
        "vm-configuration.wit",
        include_str!("../wit/vm-configuration.wit"),
    ),
    ("worlds.wit", include_str!("../wit/worlds.wit")),
];

/// The package declaration at the beginning of every file of the contract.
pub const PACKAGE: &str = "tidegate:proxy@0.1.0";

/// Returns the WIT world of a plugin with the given callbacks.
///
/// The world lists no imports. The SDK's bindings declare them, and the linker keeps those that are used.
pub fn world_with(callbacks: &[&Callback]) -> String {
    let mut text = String::from("package tidegate:plugin;\n\nworld plugin {\n");
    for interface in ["plugin", "http-filter"]
        .into_iter()
        .chain(callbacks.iter().map(|callback| callback.interface))
    {
        text.push_str(&format!("  export {};\n", qualified(interface)));
    }
    text.push_str("}\n\n");
    text.push_str(&format!("package {PACKAGE} {{\n"));
    for (_, file) in FILES {
        for line in file.lines().filter(|line| !line.starts_with("package ")) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text.push_str("}\n");
    text
}

/// Returns the fully qualified name of an interface of the contract, such as `tidegate:proxy/types@0.1.0`.
pub fn qualified(interface: &str) -> String {
    match PACKAGE.split_once('@') {
        Some((package, version)) => format!("{package}/{interface}@{version}"),
        None => format!("{PACKAGE}/{interface}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;
    use crate::callback::CALLBACKS;

    fn contract_folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")
    }

    #[test]
    fn every_wit_file_is_embedded() {
        let embedded: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        let on_disk: BTreeSet<String> = fs::read_dir(contract_folder())
            .expect("wit/ can be read")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("a UTF-8 name")
            })
            .filter(|name| name.ends_with(".wit"))
            .collect();
        assert_eq!(
            embedded, on_disk,
            "FILES in guest/macros/src/contract.rs must list what wit/ holds"
        );
    }

    #[test]
    fn every_file_starts_with_the_package_declaration() {
        for (name, text) in FILES {
            assert_eq!(
                text.lines().next(),
                Some(format!("package {PACKAGE};").as_str()),
                "wit/{name} must open with the package, or `PACKAGE` in contract.rs must follow it"
            );
        }
    }

    #[test]
    fn callbacks_match_the_exports_of_world_all() {
        let (_, worlds) = FILES
            .iter()
            .find(|(name, _)| *name == "worlds.wit")
            .expect("worlds.wit");
        let all = worlds.split("world all").nth(1).expect("a world `all`");
        let exported: BTreeSet<&str> = all
            .lines()
            .filter_map(|line| line.trim().strip_prefix("export ")?.strip_suffix(';'))
            .collect();
        let listed: BTreeSet<&str> = CALLBACKS
            .iter()
            .map(|callback| callback.interface)
            .collect();
        assert_eq!(
            listed, exported,
            "CALLBACKS in guest/macros/src/callback.rs must follow wit/worlds.wit"
        );
    }

    #[test]
    fn world_exports_only_the_requested_callbacks() {
        let callback = Callback::named("on_log").expect("on_log is a callback");
        let text = world_with(&[callback]);
        let own = text
            .split("package tidegate:proxy")
            .next()
            .expect("a part before the contract");
        assert!(own.contains("export tidegate:proxy/on-log@0.1.0;"), "{own}");
        assert!(!own.contains("on-request-headers"), "{own}");
    }
}
