//! `tidegate check` with manifests: files, directories and stdin; text and JSON; exit codes.
//!
//! The rules are tested in `deploy/tests/validate.rs`.

use serde_json::Value;

use crate::tool::{Folder, component, tidegate, tidegate_with};

const GOOD: &str = "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata:
  name: greeter
spec:
  url: oci://registry.example.com/greeter@sha256:5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a
";

fn stdout(done: &crate::tool::Done) -> String {
    String::from_utf8(done.stdout.clone()).expect("lines in UTF-8")
}

#[test]
fn valid_manifest_passes_without_findings() {
    let folder = Folder::new();
    let file = folder.file(
        "good.yaml",
        format!("{GOOD}---\napiVersion: v1\nkind: Service\n"),
    );
    let done = tidegate(["check", &file]);
    assert_eq!(done.succeeds(), b"");
    assert!(
        done.stderr.contains(
            "checked 1 document (1 of other kinds skipped) against Istio 1.31: 0 errors, 0 warnings"
        ),
        "{}",
        done.stderr
    );
}

#[test]
fn error_is_reported_with_location_and_exit_code_1() {
    let folder = Folder::new();
    let file = folder.file("bad.yaml", format!("{GOOD}  failStrategy: FAIL_CLOSED\n"));
    let done = tidegate(["check", &file]);
    assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
    assert_eq!(
        stdout(&done),
        format!(
            "{file}:7:17: error: spec.failStrategy: unknown value `FAIL_CLOSED`: did you mean `FAIL_CLOSE`? [failStrategy.enum]\n"
        )
    );
    assert_eq!(
        done.stderr,
        "checked 1 document against Istio 1.31: 1 error, 0 warnings\n"
    );
}

#[test]
fn warnings_fail_only_with_strict() {
    let folder = Folder::new();
    let file = folder.file("warned.yaml", format!("{GOOD}  priority: -5\n"));
    let done = tidegate(["check", &file]);
    done.succeeds();
    assert!(stdout(&done).contains(":7:13: warning: spec.priority: "));
    let strict = tidegate(["check", &file, "--strict"]);
    assert_eq!(strict.status.code(), Some(1), "{}", strict.stderr);
    assert_eq!(stdout(&strict), stdout(&done));
}

#[test]
fn module_digest_in_place_of_image_digest_is_reported() {
    let folder = Folder::new();
    let module = folder.file("empty.wasm", b"\0asm\x01\0\0\0");
    let sum = "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476";
    let tagged = "url: oci://registry.example.com/greeter:v1";
    let with = |sum: &str| {
        let lines = GOOD.lines().map(|line| match line.contains("url: ") {
            true => format!("  {tagged}\n"),
            false => format!("{line}\n"),
        });
        format!("{}  sha256: {sum}\n", lines.collect::<String>())
    };
    let file = folder.file("plugin.yaml", with(sum));
    assert_eq!(tidegate(["check", &file]).succeeds(), b"");
    let done = tidegate(["check", &file, "--module", &module]);
    done.succeeds();
    assert!(
        stdout(&done).contains("[sha256.of-module]"),
        "{}",
        stdout(&done)
    );
    // For a component, this is the digest of the adapted module.
    let bytes = component();
    let adapted = tidegate_adapter::adapt(&bytes, &Default::default()).expect("a module");
    let sum = tidegate_oci::Digest::of(&adapted);
    let module = folder.file("component.wasm", bytes);
    let file = folder.file("plugin.yaml", with(sum.hex()));
    let done = tidegate(["check", &file, "--module", &module]);
    assert!(
        stdout(&done).contains("[sha256.of-module]"),
        "{}",
        stdout(&done)
    );
}

#[test]
fn directories_are_read_in_order_and_reported_as_json() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("nested")).expect("a folder");
    folder.file("nested/b.yml", GOOD.replace("url", "uri"));
    folder.file(
        "a.json",
        r#"{"kind": "WasmPlugin", "spec": {"url": "ftp://h/x"}}"#,
    );
    folder.file("c.txt", "no manifest");
    let root = folder.path("").display().to_string();
    let done = tidegate(["check", &root, "--format", "json"]);
    assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
    let report: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(report["documents"], 2);
    assert_eq!(report["errors"], 5);
    let found: Vec<_> = report["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|finding| {
            let file = finding["input"].as_str().expect("a file");
            let name = file.rsplit('/').next().expect("a name");
            format!(
                "{name}:{}:{} {}",
                finding["line"], finding["column"], finding["rule"]
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            "a.json:1:1 \"apiVersion.required\"",
            "a.json:1:1 \"metadata.required\"",
            "a.json:1:40 \"url.scheme\"",
            "b.yml:6:3 \"spec.unknown\"",
            "b.yml:6:3 \"url.required\"",
        ]
    );
}

#[test]
fn invalid_yaml_is_located_and_does_not_stop_the_check() {
    let folder = Folder::new();
    let broken = folder.file("a.yaml", "kind: [WasmPlugin\nspec: }\n");
    let binary = folder.file("b.yaml", b"kind: \x07");
    // With CRLF line endings.
    let utf16: Vec<u8> = "\u{feff}"
        .encode_utf16()
        .chain(GOOD.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let good = folder.file("c.yaml", utf16);
    let done = tidegate(["check", &broken, &binary, &good]);
    assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
    let lines = stdout(&done);
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with(&format!("{broken}:2:")), "{lines:?}");
    assert!(lines[0].ends_with("[yaml.syntax]"), "{lines:?}");
    assert!(
        lines[1].starts_with(&format!("{binary}:1:7: error: unexpected character")),
        "{lines:?}"
    );
    assert!(
        done.stderr
            .contains("checked 1 document against Istio 1.31: 2 errors, 0 warnings")
    );
}

#[test]
fn stdin_is_checked_and_control_characters_are_escaped() {
    let text = format!("{GOOD}  phase: \"\\e[31m\"\n");
    let done = tidegate_with(["check", "-"], text.as_bytes());
    assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
    assert!(
        stdout(&done).starts_with("stdin:7:10: error: spec.phase: unknown value `\\u{1b}[31m`"),
        "{}",
        stdout(&done)
    );
}

#[test]
fn unreadable_input_is_named() {
    let folder = Folder::new();
    let missing = crate::tool::text(&folder.path("missing.yaml"));
    tidegate(["check", &missing]).lacks(&["cannot read", "missing.yaml"]);
    let empty = crate::tool::text(&folder.path(""));
    tidegate(["check", &empty]).fails_with(&["contains no .yaml"]);
    tidegate(["check"]).misses("<INPUT>...");
}

/// The kind is served by 1.30 and newer.
#[test]
fn istio_release_determines_served_kinds() {
    let folder = Folder::new();
    let extension = GOOD
        .replace("WasmPlugin", "TrafficExtension")
        .replace("  url:", "  wasm:\n    url:");
    let file = folder.file("extension.yaml", extension);
    tidegate(["check", &file]).succeeds();
    tidegate(["check", &file, "--istio", "1.30"]).succeeds();
    let done = tidegate(["check", &file, "--istio", "1.29"]);
    assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
    assert_eq!(
        stdout(&done),
        format!(
            "{file}:2:7: error: kind: Istio 1.29 does not serve TrafficExtension; 1.30 and newer do [kind.served]\n"
        )
    );
    assert!(
        done.stderr.contains("against Istio 1.29:"),
        "{}",
        done.stderr
    );
    tidegate(["check", &file, "--istio", "1.2"]).misses("use one of 1.28, 1.29, 1.30, 1.31");
}

#[test]
fn kind_of_another_api_group_is_skipped_with_a_note() {
    let folder = Folder::new();
    let other = GOOD.replace("extensions.istio.io", "extensions.higress.io");
    let file = folder.file("higress.yaml", other);
    let done = tidegate(["check", &file, "--strict"]);
    done.succeeds();
    let said = stdout(&done);
    assert!(
        said.starts_with(&format!("{file}:1:13: note: apiVersion: "))
            && said.contains("`extensions.higress.io`")
            && said.ends_with("[document.group]\n"),
        "{said}"
    );
    assert!(
        done.stderr
            .contains("checked 0 documents (1 of other kinds skipped)"),
        "{}",
        done.stderr
    );
    // A mistake in the name of Istio's own group is not another kind.
    let wrong = GOOD.replace("extensions.istio.io", "networking.istio.io");
    let file = folder.file("wrong.yaml", wrong);
    assert_eq!(tidegate(["check", &file]).status.code(), Some(1));
}

#[test]
fn options_without_effect_are_rejected() {
    let folder = Folder::new();
    let manifest = folder.file("good.yaml", GOOD);
    let module = folder.module("plugin.wasm");
    tidegate(["check", &module, "--module", &module]).misses("`--module` has no effect");
    let sha256 = ["--sha256", &"0".repeat(64)];
    tidegate([&["check", &manifest], &sha256[..]].concat()).misses("`--sha256` has no effect");
    tidegate([&["check", &module, &module], &sha256[..]].concat()).misses("a single input");
    tidegate(["check", &manifest, "--envoy", "1.40"]).misses("`--envoy` has no effect");
    tidegate(["check", &module, "--istio", "1.30"]).misses("`--istio` has no effect");
    tidegate(["check", &module, "--plain-http"]).misses("`--plain-http` has no effect");
}

#[test]
fn duplicate_input_reports_its_findings_twice() {
    let folder = Folder::new();
    let file = folder.file("bad.yaml", format!("{GOOD}  failStrategy: FAIL_CLOSED\n"));
    let done = tidegate(["check", &file, &file]);
    assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
    assert_eq!(stdout(&done).lines().count(), 2);
    assert!(done.stderr.contains("2 errors"), "{}", done.stderr);
}

#[test]
fn findings_are_printed_despite_an_unreadable_input() {
    let folder = Folder::new();
    let file = folder.file("bad.yaml", format!("{GOOD}  failStrategy: FAIL_CLOSED\n"));
    let missing = crate::tool::text(&folder.path("missing.yaml"));
    let done = tidegate(["check", &missing, &file]);
    assert!(stdout(&done).contains("[failStrategy.enum]"));
    assert_eq!(done.status.code(), Some(3));
    assert!(
        done.stderr.contains("cannot read") && done.stderr.contains("missing.yaml"),
        "{}",
        done.stderr
    );
}

/// The second input would be empty, and no error would be found in it.
#[test]
fn stdin_can_be_used_only_once() {
    let run = |arguments: &[&str]| tidegate_with(arguments.iter().copied(), GOOD.as_bytes());
    run(&["check", "-", "--module", "-"]).misses("stdin can be used only once");
    run(&["check", "-", "-"]).misses("stdin can be used only once");
    let folder = Folder::new();
    let manifest = folder.file("good.yaml", GOOD);
    tidegate(["check", &manifest, "--module", &manifest])
        .fails_with(&["good.yaml", "is not a WebAssembly binary"]);
}
