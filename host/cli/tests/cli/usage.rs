//! Help, versions, and invalid arguments.

use std::collections::BTreeMap;
use std::path::Path;

use crate::tool::{Folder, module, text, tidegate, tidegate_with};

#[test]
fn version_includes_wasmtime_and_contract_versions() {
    let done = tidegate(["--version"]);
    let version = String::from_utf8(done.succeeds().to_vec()).expect("UTF-8");
    assert!(
        version.starts_with("tidegate 0.1.0 (wasmtime 48.0."),
        "{version}"
    );
    assert!(
        version.trim_end().ends_with(", tidegate:proxy@0.1.0)"),
        "{version}"
    );
}

#[test]
fn help_output_contains_examples() {
    for command in ["run", "adapt", "inspect", "manifest", "chain", "wit"] {
        let done = tidegate([command, "--help"]);
        let help = String::from_utf8(done.succeeds().to_vec()).expect("UTF-8");
        assert!(
            help.contains("Examples:\n") && help.contains(&format!("tidegate {command} ")),
            "{help}"
        );
    }
}

#[test]
fn invalid_arguments_exit_with_code_2() {
    tidegate([""; 0]).misses("Usage: tidegate");
    tidegate(["serve"]).misses("unrecognized subcommand 'serve'");
    tidegate(["run"]).misses("<PLUGIN[=CONFIG]>");
    tidegate(["run", "={}"]).misses("the plugin before `=` is missing");
    tidegate(["run", "a.wasm", "--upstream", "https://example.com"])
        .misses("TLS to the upstream is not supported yet");
    tidegate(["run", "a.wasm", "--upstream", "http://example.com/path"])
        .misses("an upstream must not have a path");
    tidegate(["run", "a.wasm", "--cluster", "auth"])
        .misses("expected NAME=URL, such as auth=http://127.0.0.1:9000");
    tidegate(["run", "a.wasm", "--cluster", "auth=https://example.com"])
        .misses("TLS to a cluster is not supported yet");
    tidegate(["run", "a.wasm", "--workers", "0"]).misses("0 is not in 1..=1024");
    tidegate(["run", "a.wasm", "--listen", "8080"]).misses("--listen");
    tidegate(["run", "a.wasm", "--engine", "v8"]).misses("proxy-wasm");
    tidegate(["run", "a.wasm", "--log-level", "loud"]).misses("critical");
    tidegate(["adapt", "-"]).misses("--output");
    tidegate(["new"]).misses("<PATH>");
    tidegate(["pull", "oci://127.0.0.1:1/plugins/x", "--component"])
        .misses("--component requires a tag, and `oci://127.0.0.1:1/plugins/x` has none");
    let digest = format!("oci://127.0.0.1:1/plugins/x@sha256:{:064}", 0);
    tidegate(["pull", &digest, "--component"]).misses("--component cannot be used with");
    tidegate(["manifest", "a.wasm"]).misses("`a.wasm` is not a kind of manifest");
    tidegate(["manifest", "envoy", "a.wasm"]).misses("--upstream");
    tidegate(["manifest", "envoy", "a.wasm", "--upstream", "echo"]).misses("http://HOST[:PORT]");
    let twice = ["--cluster", "auth=http://a", "--cluster", "auth=http://b"];
    let manifest = ["manifest", "envoy", "a.wasm", "--upstream", "http://h"];
    tidegate(manifest.iter().chain(&twice)).misses("--cluster auth is given twice");
}

/// The second input would be empty.
#[test]
fn stdin_is_read_only_once() {
    let manifest = ["manifest", "envoy", "--upstream", "http://h"];
    for arguments in [
        &["run", "-", "-"][..],
        &["run", "a.wasm", "-", "-"],
        &[&manifest[..], &["-", "-"]].concat(),
        &["chain", "-f", "-", "-"],
    ] {
        tidegate_with(arguments, &module()).misses("stdin can be used only once");
    }
}

#[test]
fn renamed_commands_and_options_report_the_new_name() {
    for (call, new) in [
        (&["order", "-f", "a.yaml"][..], "`chain`"),
        (&["test", "--home", "component"], "`--runtime`"),
        (&["test", "--bless"], "`--update`"),
        (&["test", "--format", "human"], "`--format text`"),
        (&["inspect", "a.wasm", "--json"], "`--format json`"),
        (&["doctor", "--json"], "`--format json`"),
        (
            &["run", "a.wasm", "--fail-policy", "open"],
            "`--failure-policy`",
        ),
        (&["validate", "-f", "a.yaml"], "`check`"),
        (&["verify", "a.wasm"], "`check`"),
        (
            &["manifest", "--kind", "envoy", "a.wasm"],
            "`manifest wasm-plugin|",
        ),
    ] {
        tidegate(call).misses(&format!("has been replaced by {new}"));
    }
}

#[test]
fn wit_writes_the_contract() {
    let folder = Folder::new();
    let output = folder.path("deep/wit");
    tidegate(["wit", "-o", &text(&output)]).succeeds();
    let contract = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit"));
    assert!(contract.contains_key("worlds.wit"), "{contract:?}");
    assert_eq!(files(&output), contract);
}

/// The files in a directory, by name.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let files = entries.map(|entry| {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        let text = std::fs::read_to_string(entry.path()).expect("a text");
        (name, text)
    });
    files.collect()
}

#[test]
fn wit_reports_unwritable_output_directory() {
    let folder = Folder::new();
    let file = folder.file("file", "");
    tidegate(["wit", "-o", &format!("{file}/wit")])
        .lacks(&["cannot create the directory", "file/wit"]);
}
