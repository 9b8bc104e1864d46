//! Snapshots of the help text of every command, and of representative errors. `docs/cli.md` contains the help texts, too.
//!
//! `BLESS=1` writes the snapshots. They are reviewed like code, and are never updated in a commit that changes behavior.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binary;
use crate::tool::{Folder, commands, module, text, tidegate};

/// Files that errors are about, beside `module.wasm`.
const FILES: &[(&str, &str)] = &[
    ("empty.wasm", ""),
    ("text.wasm", "hello, world"),
    ("config.json", "{\"name\": \"x\"}"),
    (
        "no-steps.yaml",
        "about: nothing\nplugins: [{ guest: plugin }]\n",
    ),
    (
        "unknown-key.yaml",
        "about: nothing\nplugins: [{ guest: plugin }]\nstep:\n- request: { path: / }\n",
    ),
    (
        "status.yaml",
        "steps:\n- request: { path: /, expect: { status: ok } }\n",
    ),
    ("method.yaml", "steps:\n- request: { path: [a] }\n"),
    (
        "path.yaml",
        "about: nothing\nsteps:\n- request: { path: greet }\n",
    ),
    (
        "unfinished.yaml",
        "about: nothing\nsteps:\n- begin: { id: one, path: / }\n",
    ),
    (
        "number.yaml",
        "about: nothing\nupstream:\n- { path: /, status: 99 }\nsteps:\n- request: { path: / }\n",
    ),
    ("mapping.yaml", "kind: WasmPlugin\nspec: url: oci://x/y\n"),
    ("open.yaml", "kind: WasmPlugin\nspec: {url: oci://x/y\n"),
    ("tab.yaml", "kind: WasmPlugin\nspec:\n\turl: oci://x/y\n"),
    ("twice.yaml", "kind: WasmPlugin\nkind: WasmPlugin\n"),
    ("alias.yaml", "kind: *nowhere\n"),
    (
        "version.yaml",
        "apiVersion: extensions.istio.io/v1\nkind: WasmPlugin\nmetadata: {name: x}\nspec: {url: oci://x/y}\n",
    ),
    (
        "group.yaml",
        "apiVersion: extensions.istio.com/v1alpha1\nkind: WasmPlugin\nmetadata: {name: x}\nspec: {url: oci://x/y@sha256:1}\n",
    ),
    (
        "no-url.yaml",
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: x}\nspec: {}\n",
    ),
    (
        "phase.yaml",
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: X}\nspec: {url: oci://x/y, phase: FIRST, priority: high, unknown: 1}\n",
    ),
    (
        "tag.yaml",
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: x}\nspec: {url: oci://x/y:latest, match: [], verificationKey: k}\n",
    ),
];

/// Calls that fail, or warn. A line is what a user types after `tidegate`.
const CALLS: &[&str] = &[
    // How the tool is called.
    "serve",
    "order -f tag.yaml",
    "test --home component",
    "test --format human",
    "push module.wasm oci://127.0.0.1:1/plugins/x:1 --json",
    "run",
    "run ={}",
    "run module.wasm --upstream https://example.com",
    "run module.wasm --upstream http://example.com/path",
    "run module.wasm --cluster auth",
    "run module.wasm --cluster auth=https://example.com",
    "run module.wasm --cluster upstream=http://example.com",
    "run module.wasm --cluster auth=http://a --cluster auth=http://b",
    "run - -",
    "run module.wasm --workers 0",
    "run module.wasm --listen 8080",
    "run module.wasm --engine v8",
    "run module.wasm --log-level loud",
    "adapt module.wasm",
    "test --runtime moon",
    "test --envoy 1.2.3",
    "completions tcsh",
    // Files.
    "run missing.wasm",
    "run empty.wasm",
    "run text.wasm",
    "run core.wasm",
    "run component.wasm",
    "run module.wasm=@missing.json",
    "run module.wasm=config.json",
    "run module.wasm --env NAME",
    "run module.wasm --failure-policy never",
    "run module.wasm --engine component",
    "adapt missing.wasm -o out.wasm",
    "adapt text.wasm -o out.wasm",
    "adapt core.wasm -o out.wasm",
    "adapt module.wasm -o out.wasm",
    "adapt component.wasm -o out.wasm",
    "inspect missing.wasm",
    "inspect text.wasm",
    "wit -o text.wasm/wit",
    "test --schema -o missing/schema.json",
    "new",
    // Projects.
    "new empty.wasm",
    "new 1st",
    "new self",
    "new a/b!",
    "new greeter --sdk missing",
    "build",
    "dev",
    "test",
    "test --plugin missing.wasm no-steps.yaml",
    "test --plugin module.wasm no/missing.yaml",
    "test --plugin module.wasm no-steps.yaml",
    "test --plugin module.wasm unknown-key.yaml",
    "test --plugin module.wasm status.yaml",
    "test --plugin module.wasm method.yaml",
    "test --plugin module.wasm path.yaml",
    "test --plugin module.wasm unfinished.yaml",
    "test --plugin module.wasm number.yaml",
    "test --plugin module.wasm mapping.yaml",
    "test --plugin text.wasm no-steps.yaml",
    // Manifests that are written.
    "manifest module.wasm",
    "manifest envoy module.wasm",
    "manifest envoy module.wasm --upstream http://h --name x",
    "manifest wasm-plugin module.wasm",
    "manifest wasm-plugin module.wasm --url example.com/x",
    "manifest wasm-plugin module.wasm --url oci://example.com/plugins/x:1",
    "manifest wasm-plugin module.wasm --url oci://example.com/plugins/x:1 --sha256 12",
    "manifest wasm-plugin module.wasm --url file:///x.wasm --name A_B",
    "manifest wasm-plugin module.wasm --url file:///x.wasm --namespace a.b",
    "manifest wasm-plugin module.wasm --url file:///x.wasm --selector app",
    "manifest wasm-plugin module.wasm --url file:///x.wasm --target-ref web",
    "manifest envoy-extension-policy module.wasm --url file:///x.wasm",
    "manifest envoy-filter module.wasm --url file:///x.wasm --phase AUTHN",
    // Manifests that are read.
    "check missing.yaml",
    "check mapping.yaml",
    "check open.yaml",
    "check tab.yaml",
    "check twice.yaml",
    "check alias.yaml",
    "check version.yaml",
    "check group.yaml",
    "check no-url.yaml",
    "check phase.yaml",
    "check tag.yaml",
    "check config.json",
    "chain -f missing.yaml",
    "chain -f open.yaml",
    "chain -f tag.yaml --workload app=web",
    "chain -f tag.yaml --namespace a.b",
    // Registries.
    "push missing.wasm oci://127.0.0.1:1/plugins/x:1",
    "push text.wasm oci://127.0.0.1:1/plugins/x:1",
    "push module.wasm 127.0.0.1:1/plugins/x:1",
    "push module.wasm oci://127.0.0.1:1/plugins/X:1",
    "push module.wasm oci://127.0.0.1:1/plugins/x",
    "push module.wasm oci://127.0.0.1:1/plugins/x:1",
    "push module.wasm oci://127.0.0.1:1/plugins/x:1 --password-stdin",
    "pull oci://127.0.0.1:1/plugins/x:1 -o out.wasm",
    "pull oci://127.0.0.1:1/plugins/x:1 --sha256 12 -o out.wasm",
    "pull oci://127.0.0.1:1/plugins/x --component",
    "check text.wasm",
    "check core.wasm",
    "check component.wasm",
    "check module.wasm --envoy 1.35",
    "check tag.yaml --istio 2.0",
    "check module.wasm --module module.wasm",
    "validate -f tag.yaml",
    "manifest --kind WasmPlugin module.wasm",
    "check oci://127.0.0.1:1/plugins/x:1",
];

#[test]
fn help_matches_the_snapshots() {
    let folder = snapshots().join("help");
    let pages = pages();
    let expected: BTreeSet<String> = pages.iter().map(|(command, _)| file(command)).collect();
    for (command, help) in &pages {
        compare(&folder.join(file(command)), help);
    }
    let found: BTreeSet<String> = fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    assert_eq!(found, expected, "one snapshot for each command");
}

/// What precedes the help texts in `docs/cli.md`.
const INTRODUCTION: &str = "\
# Command line

The help texts of all commands, as `tidegate help` prints them. This page is generated from them: a test fails if it differs, and
`BLESS=1 cargo xtask test -p tidegate --test cli snapshots` writes it.

With `--verbose`, every command prints details to stderr: the files that it reads and writes, the detected type, size and digest of each
plugin, registries, the programs that it runs and their versions, hits of the code cache, and the duration of long operations. Each line
starts with the time since the start of the command: `[0.012s] adapted a component of 92346 bytes in 9 ms: module, …`. The wording can
change between releases. `run` and `dev` also print the proxy's own log lines from level `debug`; `--log-level` applies to the log
lines of plugins.

";

#[test]
fn cli_reference_matches_the_help() {
    let (mut index, mut texts) = (String::new(), String::new());
    for (command, help) in pages() {
        let title = match command.as_str() {
            "tidegate" => "tidegate".to_owned(),
            command => format!("tidegate {command}"),
        };
        index += &format!("* [`{title}`](#{})\n", title.replace(' ', "-"));
        // Blank lines within the help of an option are indented.
        let lines: Vec<_> = help.lines().map(str::trim_end).collect();
        let help = lines.join("\n");
        texts += &format!("\n## `{title}`\n\n```text\n{}\n```\n", help.trim_end());
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    compare(&page, &format!("{INTRODUCTION}{index}{texts}"));
}

#[test]
#[cfg(target_os = "linux")]
fn errors_match_the_snapshot() {
    let folder = Folder::new();
    for (name, text) in FILES {
        folder.file(name, text);
    }
    folder.file("module.wasm", module());
    for (name, text) in [("core.wasm", "(module)"), ("component.wasm", "(component)")] {
        folder.file(name, wat::parse_str(text).expect("a module"));
    }
    let place = fs::canonicalize(folder.path(".")).expect("the folder");
    let mut said = String::new();
    for call in CALLS {
        let output = Command::new(binary::path())
            .args(call.split(' '))
            .current_dir(&place)
            .env_remove("RUST_BACKTRACE")
            .env("TIDEGATE_CACHE", place.join("cache"))
            .env("DOCKER_CONFIG", &place)
            .env("HOME", &place)
            .stdin(std::process::Stdio::null())
            .output()
            .expect("the tool");
        let code = output.status.code().expect("an exit code");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        let stdout = String::from_utf8(output.stdout).expect("UTF-8");
        let lines = (stdout + &stderr)
            .replace(&text(&place), "/FOLDER")
            // The copy of the tool that these tests run.
            .replace("tidegate-under-test", "tidegate");
        writeln!(
            said,
            "$ tidegate {call}\n{}\n[exit code {code}]\n",
            lines.trim_end()
        )
        .expect("a text that grows");
    }
    compare(&snapshots().join("errors.txt"), &said);
}

/// `tidegate` and all commands, each with its help.
fn pages() -> Vec<(String, String)> {
    let tool = ["tidegate".to_owned()].into_iter();
    let help = |command: String| {
        let words = command.split(' ').filter(|word| *word != "tidegate");
        let help = tidegate(words.chain(["--help"])).succeeds().to_vec();
        let help = String::from_utf8(help).expect("UTF-8");
        // The copy of the tool that these tests run.
        let help = help.replace("tidegate-under-test", "tidegate");
        (command, help)
    };
    tool.chain(commands()).map(help).collect()
}

/// The file of a command's help.
fn file(command: &str) -> String {
    format!("{}.txt", command.replace(' ', "-"))
}

fn snapshots() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots")
}

#[track_caller]
fn compare(file: &Path, said: &str) {
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, said).expect("a snapshot");
        return;
    }
    let expected = fs::read_to_string(file).unwrap_or_default();
    assert!(
        said == expected,
        "{} differs; `BLESS=1` writes it:\n{}",
        file.display(),
        similar::TextDiff::from_lines(expected.as_str(), said).unified_diff()
    );
}
