//! `tidegate new --language`: the files in each language, and whether that language's tools build them.
//!
//! The builds run the commands in the plugin's README. Few machines have wit-bindgen and wasm-tools: for C and Go, the libraries that these
//! tools consist of replace them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tidegate_components::{Encoder, c, go, languages, workspace};
use wit_parser::Resolve;

use crate::author::tidegate_in;
use crate::tool::{Folder, module, names, text, tidegate};

/// Each language with its source file, and the beginning of the first build command.
const LANGUAGES: &[(&str, &[&str], &str)] = &[
    (
        "go",
        &[
            "allocator.go",
            "export_tidegate_proxy_http_filter/filter.go",
            "export_tidegate_proxy_on_http_call_response/handle.go",
            "export_tidegate_proxy_on_request_headers/handle.go",
            "export_tidegate_proxy_on_response_headers/handle.go",
            "export_tidegate_proxy_plugin/plugin.go",
            "go.mod",
            "go.sum",
        ],
        "wit-bindgen go wit",
    ),
    (
        "javascript",
        &["build.mjs", "package.json", "plugin.js"],
        "npm install",
    ),
    (
        "python",
        &["app.py", "http_filter.py", "plugin.py"],
        "componentize-py -d wit ",
    ),
    ("c", &["Makefile", "plugin.c"], "make"),
];

/// The files of every plugin, besides the contract.
const OTHERS: [&str; 5] = [
    ".gitignore",
    "README.md",
    "scenarios/.schema.json",
    "scenarios/greeting.yaml",
    "wit/world.wit",
];

/// Creates the plugin `my-plugin`. Returns its directory and the output.
fn made(folder: &Folder, language: &str) -> (PathBuf, String) {
    let plugin = folder.path("my-plugin");
    let done = tidegate(["new", &text(&plugin), "--language", language]);
    let said = String::from_utf8_lossy(done.succeeds()).into_owned();
    (plugin, said)
}

#[test]
fn every_language_has_source_world_scenario_and_commands() {
    let contract = names(&workspace::root().join("wit"));
    for (language, source, build) in LANGUAGES {
        let folder = Folder::new();
        let (plugin, said) = made(&folder, language);
        assert_eq!(folder.names(), ["my-plugin"]);
        for command in [
            *build,
            "tidegate test --plugin my-plugin.wasm\n",
            "tidegate run my-plugin.wasm --upstream echo\n",
        ] {
            assert!(
                said.contains(&format!("\n  {command}")),
                "expected `{command}` in: {said}"
            );
        }

        let contract = contract
            .iter()
            .map(|file| format!("wit/deps/tidegate/{file}"));
        let own = source.iter().chain(&OTHERS).map(|file| (*file).to_owned());
        let mut expected: Vec<String> = contract.chain(own).collect();
        expected.sort();
        assert_eq!(files(&plugin), expected, "{language}");
        for file in &expected {
            let text = fs::read_to_string(plugin.join(file)).expect("a text");
            for part in ["{{", "../wit", "greeter.wasm"] {
                assert!(!text.contains(part), "`{part}` in {language}'s {file}");
            }
        }

        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(plugin.join("wit")).expect("a package");
        resolve
            .select_world(&[package], Some("greeter"))
            .expect("the world");
        // Any plugin can be used, because nothing runs.
        fs::write(plugin.join("my-plugin.wasm"), module()).expect("a file");
        let listed = tidegate_in(&plugin, &["test", "--plugin", "my-plugin.wasm", "--list"]);
        let listed = String::from_utf8_lossy(listed.succeeds()).into_owned();
        assert!(listed.starts_with("greeting\t"), "{listed}");
    }
}

#[test]
fn rust_only_options_are_rejected_for_other_languages() {
    let folder = Folder::new();
    let path = text(&folder.path("greeter"));
    for (option, value) in [("--template", "http"), ("--sdk", "0.1.0")] {
        tidegate(["new", &path, "--language", "python", option, value]).misses(option);
    }
    tidegate(["new", &path, "--language", "cobol"]).misses("cobol");
    let wrong = text(&folder.path("a.b"));
    tidegate(["new", &wrong, "--language", "python"]).fails_with(&["`a.b`", "contains '.'"]);
    assert_eq!(folder.names(), [""; 0]);
    // Names that are reserved in Rust are rejected only for Rust.
    tidegate(["new", &text(&folder.path("fn")), "--language", "python"]).succeeds();
    assert_eq!(folder.names(), ["fn"]);
}

/// The packages of npm are linked from another test. The last step of the installation, which builds, can be run separately.
#[cfg(unix)]
#[test]
#[ignore = "needs npm"]
fn javascript_plugin_builds_and_passes_check_needs_npm() {
    languages::build(languages::Language::JavaScript)
        .expect("a build")
        .expect("npm");
    let packages = workspace::target().join("languages/javascript/javascript/node_modules");
    let folder = Folder::new();
    let (plugin, _) = made(&folder, "javascript");
    std::os::unix::fs::symlink(packages, plugin.join("node_modules")).expect("a link");
    run(&plugin, "npm run prepare", None);
    is_accepted(&plugin);
}

#[test]
#[ignore = "needs pip"]
fn python_plugin_builds_and_passes_check_needs_pip() {
    let folder = Folder::new();
    let (plugin, _) = made(&folder, "python");
    let readme = fs::read_to_string(plugin.join("README.md")).expect("a README");
    assert!(readme.contains(languages::COMPONENTIZE_PY), "{readme}");
    let tools = languages::pip(languages::COMPONENTIZE_PY).expect("componentize-py");
    run(&plugin, &command(&plugin, "componentize-py "), Some(&tools));
    is_accepted(&plugin);
}

#[test]
#[ignore = "needs make and pip"]
fn c_plugin_builds_and_passes_its_scenario_needs_make() {
    let folder = Folder::new();
    let (plugin, _) = made(&folder, "c");
    let tools = languages::pip(languages::ZIG).expect("zig");
    c::bind(&world(&plugin), &plugin.join("generated")).expect("bindings");
    run(&plugin, "make generated/core.wasm", Some(&tools));
    let core = fs::read(plugin.join("generated/core.wasm")).expect("a module");
    let component = Encoder::Newest.encode(&core, None).expect("a component");
    fs::write(plugin.join("my-plugin.wasm"), component).expect("a file");
    passes(&plugin);
}

#[test]
#[ignore = "needs go"]
fn go_plugin_builds_and_passes_check_needs_go() {
    let folder = Folder::new();
    let (plugin, _) = made(&folder, "go");
    let world = world(&plugin);
    go::bind(&world, &plugin).expect("bindings");
    run(&plugin, &command(&plugin, "go mod edit "), None);
    run(&plugin, &command(&plugin, "GOOS=wasip1 "), None);
    let core = fs::read(plugin.join("core.wasm")).expect("a module");
    let component = go::encode(&world, core).expect("a component");
    fs::write(plugin.join("my-plugin.wasm"), component).expect("a file");
    is_accepted(&plugin);
}

/// Its scenario passes in both engines.
#[track_caller]
fn passes(plugin: &Path) {
    let done = tidegate_in(plugin, &["test", "--plugin", "my-plugin.wasm"]);
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", done.stderr);
    assert!(said.contains("3 passed"), "{said}");
}

/// It can be adapted, and every Envoy accepts it. The same source runs in `tests/languages.rs` and `tests/go.rs`: compiling a language's
/// runtime takes at least ten seconds for each engine.
#[track_caller]
fn is_accepted(plugin: &Path) {
    let done = tidegate_in(plugin, &["check", "my-plugin.wasm"]);
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", done.stderr);
    assert!(said.contains(": component, module sha256:"), "{said}");
}

/// The command in a plugin's README that starts with this text.
#[track_caller]
fn command(plugin: &Path, start: &str) -> String {
    let readme = fs::read_to_string(plugin.join("README.md")).expect("a README");
    let line = readme.lines().find(|line| line.starts_with(start));
    line.expect("a command").to_owned()
}

fn world(plugin: &Path) -> String {
    fs::read_to_string(plugin.join("wit/world.wit")).expect("the world")
}

/// Runs a command in a plugin's directory, with the tools that pip installed in `tools`.
#[track_caller]
fn run(plugin: &Path, command: &str, tools: Option<&Path>) {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(plugin)
        .stdin(Stdio::null());
    if let Some(tools) = tools {
        let path = env::var_os("PATH").unwrap_or_default();
        let path = [tools.join("bin")]
            .into_iter()
            .chain(env::split_paths(&path));
        shell
            .env("PATH", env::join_paths(path).expect("a path"))
            .env("PYTHONPATH", tools)
            .env("ZIG_GLOBAL_CACHE_DIR", tools.join("cache"));
    }
    let output = shell.output().expect("a shell");
    assert!(
        output.status.success(),
        "{command}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The files in a directory and its subdirectories, sorted.
fn files(folder: &Path) -> Vec<String> {
    let mut files: Vec<String> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|entry| entry.expect("an entry").into_path())
        .filter(|path| path.is_file())
        .map(|path| text(path.strip_prefix(folder).expect("a path below the folder")))
        .collect();
    files.sort();
    files
}
