//! Whether real Envoys accept the output of `manifest`, in each way in which it can be passed to them.
//!
//! Envoy runs in validation mode: it reads the configuration, starts the plugins as when serving, and exits.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tidegate_components::guests::{self, Shape};
use tidegate_testkit::envoy::Release;

use crate::binary;
use crate::tool::{Folder, text, tidegate};

/// The Envoy of a release.
pub fn envoy(release: Release) -> PathBuf {
    match tidegate_tests::envoy(release).expect("an Envoy") {
        Ok(envoy) => envoy,
        Err(no_wheel) => panic!("{no_wheel}"),
    }
}

/// A component of one of our plugins in the folder.
pub fn plugin(folder: &Folder, name: &str) -> String {
    let component = guests::component(name, Shape::Wasip2).expect("a component");
    folder.file(&format!("{name}.wasm"), component)
}

/// `tidegate manifest` of two plugins, the second of which has a configuration.
fn manifest(folder: &Folder) -> Vec<String> {
    let configured = plugin(folder, "headers");
    let configuration =
        r#"{"rules": [{"response": [{"set": {"name": "x-a", "value": "b: #c"}}]}]}"#;
    vec![
        "manifest".to_owned(),
        "envoy".to_owned(),
        "--upstream".to_owned(),
        "http://127.0.0.1:9000".to_owned(),
        plugin(folder, "hello"),
        format!("{configured}={configuration}"),
    ]
}

#[track_caller]
fn accepts(what: &str, output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {said}");
    let verdict = String::from_utf8_lossy(&output.stdout);
    assert!(verdict.contains("' OK"), "{what}: {verdict}{said}");
}

fn validates(release: Release) {
    let envoy = envoy(release);
    let folder = Folder::new();
    let manifest = manifest(&folder);
    let modules = text(&folder.path("modules"));
    for (file, options) in [
        // Envoy determines the format from the file extension, and treats a file without one as JSON.
        ("envoy", vec![]),
        ("envoy.json", vec![]),
        ("envoy.yaml", vec!["--format", "yaml"]),
        ("beside.json", vec!["--module-dir", &modules]),
        (
            "beside.yaml",
            vec!["--module-dir", &modules, "--format", "yaml"],
        ),
    ] {
        let path = text(&folder.path(file));
        let options = options.into_iter().chain(["-o", &path]);
        tidegate(manifest.iter().map(String::as_str).chain(options)).succeeds();
        let output = Command::new(&envoy)
            .args(["--mode", "validate", "-c", &path])
            .output();
        accepts(file, &output.expect("Envoy"));
    }

    // As in the help of `manifest`: from one process to the other, through `/dev/fd`.
    let output = Command::new("bash")
        .args([
            "-c",
            r#""$0" --mode validate -c <("$@")"#,
            &text(&envoy),
            binary::path(),
        ])
        .args(&manifest)
        .output();
    accepts("/dev/fd", &output.expect("the command `bash`"));
}

#[test]
#[ignore = "needs envoy"]
fn manifest_is_accepted_by_envoy_1_40_0_needs_envoy() {
    validates(Release::V1_40_0);
}

#[test]
#[ignore = "needs envoy"]
fn manifest_is_accepted_by_envoy_1_36_4_needs_envoy() {
    validates(Release::V1_36_4);
}

/// Otherwise the tests above would not depend on the plugins.
#[test]
#[ignore = "needs envoy"]
fn envoy_validation_starts_the_plugins_needs_envoy() {
    let envoy = envoy(Release::V1_40_0);
    let folder = Folder::new();
    let path = text(&folder.path("envoy.json"));
    let plugin = plugin(&folder, "headers");
    let arguments = ["manifest", "envoy", "--upstream", "http://h"];
    let taken = format!("{plugin}={{\"rules\": []}}");
    tidegate(arguments.into_iter().chain([&*taken, "-o", &path])).succeeds();
    // `manifest` would reject a configuration that violates the plugin's schema.
    let manifest = fs::read_to_string(&path).expect("the manifest");
    let refused = manifest.replace("\\\"rules\\\"", "\\\"rule\\\"");
    assert_ne!(manifest, refused);
    fs::write(&path, refused).expect("a manifest");
    let output = Command::new(envoy)
        .args(["--mode", "validate", "-c", &path])
        .output()
        .expect("Envoy");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("rule: unknown field"), "{said}");
}
