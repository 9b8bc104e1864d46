//! `tidegate new` and `tidegate build`, in a separate directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::binary;
use crate::tool::{Done, Folder, text, tidegate};

/// Runs a program in a directory, offline, with the crates that this workspace has downloaded. All plugins share a target directory, so
/// that the SDK is built once.
pub fn run_in(folder: &Path, program: &str, args: &[&str]) -> Done {
    let output = Command::new(program)
        .args(args)
        .current_dir(folder)
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TARGET_DIR", target())
        .env("CARGO_TERM_COLOR", "never")
        .env("PATH", path())
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("`{program}` does not start: {error}"));
    Done {
        status: output.status,
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).expect("messages in UTF-8"),
    }
}

/// Runs `tidegate` in a directory.
pub fn tidegate_in(folder: &Path, args: &[&str]) -> Done {
    run_in(folder, binary::path(), args)
}

/// The directory in which this workspace installs cargo-component.
pub fn tools() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools/bin")
}

/// PATH, preceded by the directory of those tools.
fn path() -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = [tools()].into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(all).expect("a path")
}

/// The target directory of these plugins, which is kept between runs.
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("authors")
}

fn made(folder: &Folder, name: &str, more: &[&str]) -> PathBuf {
    let path = folder.path(name);
    let path_text = text(&path);
    let done = tidegate(["new", &path_text].iter().chain(more));
    let said = String::from_utf8_lossy(done.succeeds()).into_owned();
    assert!(
        said.contains(name) && said.contains("tidegate test"),
        "{said}"
    );
    path
}

#[test]
fn every_template_passes_lints_and_reports_capabilities() {
    for (template, callback, capability) in [
        ("http", "on-response-headers", "http-fields.set"),
        ("rate-limit", "on-request-headers", "local-responses.send"),
        ("headers", "on-response-headers", "http-fields.remove"),
    ] {
        let folder = Folder::new();
        let plugin = made(
            &folder,
            &format!("my-{template}"),
            &["--template", template],
        );
        run_in(&plugin, "cargo", &["fmt", "--check"]).succeeds();
        run_in(
            &plugin,
            "cargo",
            &["clippy", "--quiet", "--all-targets", "--", "-D", "warnings"],
        )
        .succeeds();
        run_in(&plugin, "cargo", &["test", "--quiet"]).succeeds();

        let built = tidegate_in(&plugin, &["build", "-o", "plugin.wasm"]);
        let said = String::from_utf8_lossy(built.succeeds()).into_owned();
        for part in [
            "plugin.wasm\n",
            "adapted",
            callback,
            capability,
            "wasi:cli/stdout",
        ] {
            assert!(said.contains(part), "expected `{part}` in: {said}");
        }
        tidegate(["inspect".as_ref(), plugin.join("plugin.wasm").as_os_str()]).succeeds();
        // Only the target directory and the project were written.
        assert_eq!(folder.names(), [format!("my-{template}")]);
        assert!(!plugin.join("target").exists());
    }
}

#[test]
fn cargo_and_cargo_component_builds_pass_same_scenarios() {
    let folder = Folder::new();
    let plugin = made(&folder, "greeter", &["--template", "headers"]);
    let components = ["cargo", "cargo-component"].map(|tool| {
        let file = format!("{tool}.wasm");
        tidegate_in(&plugin, &["build", "--tool", tool, "-o", &file]).succeeds();
        tidegate_in(&plugin, &["test", "--tool", tool]).succeeds();
        fs::read(plugin.join(file)).expect("the component")
    });
    assert_ne!(components[0], components[1], "one tool built both");
}

#[test]
fn new_uses_the_specified_sdk() {
    let folder = Folder::new();
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest/sdk");
    let plugin = made(&folder, "greeter", &["--sdk", &text(&sdk)]);
    assert!(!plugin.join("vendor").exists());
    tidegate_in(&plugin, &["build"]).succeeds();

    let plugin = made(&folder, "later", &["--sdk", "0.1.0"]);
    let manifest = fs::read_to_string(plugin.join("Cargo.toml")).expect("a manifest");
    assert!(
        manifest.contains("tidegate-guest = { version = \"0.1.0\" }"),
        "{manifest}"
    );

    let wrong = Path::new(env!("CARGO_MANIFEST_DIR")).to_owned();
    let done = tidegate(["new", &text(&folder.path("wrong")), "--sdk", &text(&wrong)]);
    done.fails_with(&["not the manifest of the crate `tidegate-guest`"]);
    assert_eq!(folder.names(), ["greeter", "later"]);
}

#[test]
fn new_does_not_overwrite_existing_files() {
    let folder = Folder::new();
    fs::create_dir(folder.path("empty")).expect("a folder");
    made(&folder, "empty", &[]);
    let again = tidegate(["new", &text(&folder.path("empty"))]);
    again.fails_with(&["already exists", "empty"]);
    folder.file("file", "kept");
    tidegate(["new", &text(&folder.path("file"))]).fails_with(&["already exists"]);
    assert_eq!(
        fs::read_to_string(folder.path("file")).expect("the file"),
        "kept"
    );
    tidegate(["new", &text(&folder.path("fn"))])
        .fails_with(&["`fn`", "is reserved by Rust or cargo"]);
    assert_eq!(folder.names(), ["empty", "file"]);
}

#[test]
fn new_warns_if_a_workspace_includes_the_plugin() {
    let folder = Folder::new();
    let member = folder.path("plugins/old");
    fs::create_dir_all(member.join("src")).expect("a folder");
    fs::write(
        member.join("Cargo.toml"),
        "[package]\nname = \"old\"\nedition = \"2024\"\n",
    )
    .expect("a manifest");
    fs::write(member.join("src/lib.rs"), "").expect("a source");
    let root = "[workspace]\nresolver = \"3\"\nmembers = [\"plugins/*\"]\n";
    folder.file("Cargo.toml", root);
    let metadata = || {
        let args = ["metadata", "--no-deps", "--format-version", "1"];
        run_in(&folder.path(""), "cargo", &args)
    };
    metadata().succeeds();

    let new = |path: &str| {
        let done = tidegate_in(&folder.path(""), &["new", path]);
        done.succeeds();
        done.stderr
    };
    let said = new("plugins/greeter");
    let fix = "exclude = [\"plugins/greeter\"]";
    assert!(
        said.contains("Cargo.toml` includes `greeter`") && said.contains(fix),
        "{said}"
    );
    assert!(!metadata().status.success());
    // The suggested line fixes it. If no pattern includes the plugin, nothing is printed.
    folder.file("Cargo.toml", format!("{root}{fix}\n"));
    metadata().succeeds();
    assert_eq!(new("apart/greeter"), "");
    metadata().succeeds();
}

#[test]
fn build_reports_project_errors() {
    let folder = Folder::new();
    let empty = folder.path("empty");
    fs::create_dir(&empty).expect("a folder");
    tidegate_in(&empty, &["build"]).fails_with(&["tidegate new PATH"]);

    let plugin = made(&folder, "greeter", &[]);
    let manifest = fs::read_to_string(plugin.join("Cargo.toml")).expect("a manifest");
    let rlib = manifest.replace("crate-type = [\"cdylib\"]", "crate-type = [\"rlib\"]");
    fs::write(plugin.join("Cargo.toml"), rlib).expect("a manifest");
    let done = tidegate_in(&plugin, &["build"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(
        done.stderr.contains("crate-type = [\"cdylib\"]"),
        "{}",
        done.stderr
    );
    fs::write(plugin.join("Cargo.toml"), &manifest).expect("a manifest");

    // Cargo reports the error with its location.
    fs::write(plugin.join("src/lib.rs"), "fn broken( {").expect("a source");
    let done = tidegate_in(&plugin, &["build"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(done.stderr.contains("src/lib.rs:1:"), "{}", done.stderr);
    assert!(
        done.stderr.ends_with("failed for `greeter`\n"),
        "{}",
        done.stderr
    );

    tidegate_in(&plugin, &["build", "--package", "other"])
        .fails_with(&["no package `other`", "greeter"]);
}
