//! Checks project conventions that the compiler does not enforce. Each failure message says what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate_components::workspace;
use wit_parser::{Docs, Resolve, Stability, TypeDefKind};

/// The maximum number of lines in a file. Most files have a third of it.
const MOST_LINES: usize = 800;

#[test]
fn crate_dependencies_follow_the_architecture() {
    let crates = Crates::read();
    let tidegate = |name: &str| name.starts_with("tidegate-");
    let mut wrong = Vec::new();
    for (name, package) in &crates.0 {
        let sees = |other: &str| crates.sees(name, other);
        let mut forbid = |forbidden: bool, why: &str| {
            if forbidden {
                wrong.push(format!("{} ({}): {why}", name, package.folder));
            }
        };
        let guests = ["guest/", "tests/guests/", "benches/guests/"];
        if guests
            .iter()
            .any(|guests| package.folder.starts_with(guests))
        {
            forbid(
                ["tidegate-host", "tidegate-adapter", "tidegate-deploy"]
                    .into_iter()
                    .any(sees),
                "a plugin may only depend on the contract and the SDK",
            );
        }
        forbid(
            package.is_published && package.dependencies.iter().any(|it| crates.is_private(it)),
            "a published crate must not depend on an unpublished one",
        );
        match package.folder.as_str() {
            "host" => forbid(
                ["tidegate-adapter", "clap"].into_iter().any(sees),
                "the host must not depend on the adapter or clap",
            ),
            "adapter" => {
                forbid(
                    ["wasmtime", "wasmtime-wasi", "tidegate-host"]
                        .into_iter()
                        .any(sees),
                    "the adapter must not depend on a runtime",
                );
            }
            "host/semantics" => forbid(
                package.dependencies.iter().any(|name| tidegate(name))
                    || ["wasmtime", "tokio", "hyper"].into_iter().any(sees),
                "what plugins can observe needs none of ours, no WebAssembly and no I/O",
            ),
            "adapter/bridge" => forbid(
                !package.dependencies.is_empty(),
                "the bridge may only depend on `core`",
            ),
            "deploy" | "oci" => forbid(
                package.dependencies.iter().any(|name| tidegate(name)),
                "deploy and oci must not depend on other crates of the workspace",
            ),
            "host/cli" | "testkit" | "tests" | "benches" | "xtask" => {}
            _ => forbid(
                sees("tidegate-host") && sees("tidegate-adapter"),
                "only host/cli, testkit, tests, benches and xtask may depend on both the host and the adapter",
            ),
        }
    }
    assert!(
        wrong.is_empty(),
        "dependencies that the architecture forbids:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_file_starts_with_a_module_doc_comment() {
    let silent: Vec<String> = rust_files()
        .into_iter()
        .filter(|(_, source)| !source.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert!(
        silent.is_empty(),
        "files without a module doc comment (`//!`), which describes the purpose of the file:\n{}",
        silent.join("\n")
    );
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = rust_files()
        .into_iter()
        .map(|(path, source)| (path, source.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert!(
        long.is_empty(),
        "files of more than {MOST_LINES} lines; split them by subject:\n{}",
        long.join("\n")
    );
}

#[test]
fn no_file_has_a_catch_all_name() {
    let drawers = [
        "utils", "util", "helpers", "helper", "misc", "common", "manager",
    ];
    let found: Vec<String> = rust_files()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| {
            drawers.iter().any(|drawer| {
                Path::new(path)
                    .file_stem()
                    .is_some_and(|stem| stem == *drawer)
            })
        })
        .collect();
    assert!(
        found.is_empty(),
        "files with names that do not describe their contents:\n{}",
        found.join("\n")
    );
}

#[test]
fn no_unexpected_lock_file_exists() {
    let others: Vec<String> =
        files(|path| path.file_name().is_some_and(|name| name == "Cargo.lock"))
            .into_iter()
            // The fuzz target is a separate workspace, because it requires another toolchain.
            .filter(|path| path != "Cargo.lock" && path != "adapter/fuzz/Cargo.lock")
            .collect();
    assert!(
        others.is_empty(),
        "lock files other than the workspace's own:\n{}",
        others.join("\n")
    );
}

#[test]
fn every_interface_has_its_own_file() {
    let resolve = contract();
    for (_, interface) in &resolve.interfaces {
        let name = interface
            .name
            .clone()
            .expect("interfaces in a package are named");
        let file = workspace::root().join(format!("wit/{name}.wit"));
        let text = fs::read_to_string(&file)
            .unwrap_or_else(|_| panic!("interface `{name}` belongs in wit/{name}.wit"));
        assert_eq!(
            text.matches("\ninterface ").count(),
            1,
            "wit/{name}.wit must contain exactly one interface, `{name}`"
        );
    }
}

#[test]
fn every_contract_item_has_docs_and_since() {
    let resolve = contract();
    let mut silent = Vec::new();
    let mut look = |what: String, docs: &Docs, stability: &Stability| {
        if docs
            .contents
            .as_deref()
            .is_none_or(|text| text.trim().is_empty())
        {
            silent.push(format!("{what} has no doc comment"));
        }
        if !matches!(stability, Stability::Stable { .. }) {
            silent.push(format!("{what} has no @since"));
        }
    };
    for (_, world) in &resolve.worlds {
        look(
            format!("world {}", world.name),
            &world.docs,
            &world.stability,
        );
    }
    for (_, interface) in &resolve.interfaces {
        let name = interface.name.clone().unwrap_or_default();
        look(
            format!("interface {name}"),
            &interface.docs,
            &interface.stability,
        );
        for function in interface.functions.values() {
            look(
                format!("{name}.{}", function.name),
                &function.docs,
                &function.stability,
            );
        }
        for (type_name, id) in &interface.types {
            let ty = &resolve.types[*id];
            // The docs of a `use` are those of the original type.
            if !matches!(ty.kind, TypeDefKind::Type(_)) {
                look(format!("{name}.{type_name}"), &ty.docs, &ty.stability);
            }
            // Cases and fields have no `@since`, because cases and fields are never added to an existing type.
            for (part, docs) in parts(&ty.kind) {
                look(format!("{name}.{type_name}.{part}"), docs, &ty.stability);
            }
        }
    }
    assert!(silent.is_empty(), "missing in wit/:\n{}", silent.join("\n"));
}

/// Returns the cases or fields of a type, with their docs.
fn parts(kind: &TypeDefKind) -> Vec<(&str, &Docs)> {
    fn named<T>(parts: &[T], part: impl Fn(&T) -> (&str, &Docs)) -> Vec<(&str, &Docs)> {
        parts.iter().map(part).collect()
    }
    match kind {
        TypeDefKind::Record(record) => named(&record.fields, |field| (&field.name, &field.docs)),
        TypeDefKind::Enum(list) => named(&list.cases, |case| (&case.name, &case.docs)),
        TypeDefKind::Variant(list) => named(&list.cases, |case| (&case.name, &case.docs)),
        TypeDefKind::Flags(list) => named(&list.flags, |flag| (&flag.name, &flag.docs)),
        _ => Vec::new(),
    }
}

#[test]
fn every_known_difference_names_its_test() {
    let text = fs::read_to_string(workspace::root().join("docs/host-differences.md"))
        .expect("failed to read docs/host-differences.md");
    let mut wrong = Vec::new();
    let mut rows = 0;
    for row in text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Subject"))
    {
        rows += 1;
        let named = row
            .trim_end_matches('|')
            .rsplit('|')
            .next()
            .unwrap_or_default()
            .trim()
            .trim_matches('`')
            .to_owned();
        if !test_exists(&named) {
            wrong.push(format!(
                "{row}\n  names no test: `{named}` is neither a scenario nor `edge/kind/case` nor `file.rs::test`"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "docs/host-differences.md:\n{}",
        wrong.join("\n")
    );
    assert!(
        rows > 0,
        "docs/host-differences.md has no rows: does the parser still match the format?"
    );
}

#[test]
fn scenarios_named_in_events_exist() {
    let text = fs::read_to_string(workspace::root().join("docs/events.md"))
        .expect("failed to read docs/events.md");
    let named: Vec<&str> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|it| it.split('/').count() == 2)
        .collect();
    assert!(
        named.len() > 5,
        "{named:?}: does the parser still match the format?"
    );
    let missing: Vec<_> = named.iter().filter(|it| !test_exists(it)).collect();
    assert!(missing.is_empty(), "docs/events.md: {missing:?}");
}

#[test]
fn readme_contains_the_http_template() {
    let read = |path: &str| fs::read_to_string(workspace::root().join(path)).expect(path);
    assert!(read("README.md").contains(&read("host/cli/templates/http/src/lib.rs")));
}

/// `interface/name` is a scenario, `edge/kind/name` a case in `tests/edge`, and `path/file.rs::test` a Rust test.
fn test_exists(named: &str) -> bool {
    if let Some((kind, case)) = named
        .strip_prefix("edge/")
        .and_then(|it| it.split_once('/'))
    {
        let file = workspace::root().join(format!("tests/edge/{kind}.yaml"));
        let start = format!("- name: {case}");
        return fs::read_to_string(file)
            .is_ok_and(|source| source.lines().any(|line| line == start));
    }
    match named.split_once("::") {
        Some((file, test)) => fs::read_to_string(workspace::root().join(file))
            .is_ok_and(|source| source.contains(&format!("fn {test}("))),
        None => {
            !named.is_empty()
                && workspace::scenarios()
                    .join(format!("{named}.yaml"))
                    .is_file()
        }
    }
}

fn contract() -> Resolve {
    let mut resolve = Resolve::default();
    resolve
        .push_dir(workspace::root().join("wit"))
        .expect("wit/ should be a valid package");
    resolve
}

/// Returns the Rust files of the workspace and their contents, without generated files.
fn rust_files() -> Vec<(String, String)> {
    files(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .into_iter()
        .map(|path| {
            let source = fs::read_to_string(workspace::root().join(&path))
                .expect("failed to read a source file");
            (path, source)
        })
        // `cargo component build` writes its bindings to the source directory. git ignores them too.
        .filter(|(_, source)| !source.starts_with("// Generated by `wit-bindgen`"))
        .collect()
}

/// Returns the files of the workspace, relative to its root.
fn files(wanted: impl Fn(&Path) -> bool) -> Vec<String> {
    let root = workspace::root();
    let foreign = |path: &Path| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        ["target", ".git", "node_modules"].contains(&name) || path == workspace::target()
    };
    let mut found: Vec<String> = walkdir::WalkDir::new(&root)
        .into_iter()
        .filter_entry(|entry| !foreign(entry.path()))
        .map(|entry| entry.expect("failed to read a directory entry").into_path())
        .filter(|path| path.is_file() && wanted(path))
        .map(|path| {
            path.strip_prefix(&root)
                .expect("path should be below the root")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    found.sort();
    found
}

/// The crates of the workspace, by name.
struct Crates(BTreeMap<String, Package>);

struct Package {
    /// The crate's directory, relative to the workspace root.
    folder: String,
    /// Whether the crate can be published to a registry.
    is_published: bool,
    /// The dependencies of the library or binary, without those of its tests.
    dependencies: BTreeSet<String>,
}

impl Crates {
    fn read() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(workspace::root())
            .output()
            .expect("failed to run `cargo metadata`");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata: serde_json::Value =
            serde_json::from_slice(&output.stdout).expect("valid JSON");
        let text = |value: &serde_json::Value| {
            value.as_str().expect("value should be a string").to_owned()
        };
        let packages = metadata["packages"]
            .as_array()
            .expect("`packages` should be a list")
            .iter()
            .map(|package| {
                let dependencies = package["dependencies"]
                    .as_array()
                    .expect("`dependencies` should be a list")
                    .iter();
                let manifest = PathBuf::from(text(&package["manifest_path"]));
                let folder = manifest
                    .parent()
                    .and_then(|folder| folder.strip_prefix(workspace::root()).ok());
                let is_published = package["publish"]
                    .as_array()
                    .is_none_or(|registries| !registries.is_empty());
                let package_of = Package {
                    is_published,
                    folder: folder
                        .expect("crate should be below the root")
                        .to_string_lossy()
                        .into_owned(),
                    dependencies: dependencies
                        .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
                        .map(|dependency| text(&dependency["name"]))
                        .collect(),
                };
                (text(&package["name"]), package_of)
            });
        Self(packages.collect())
    }

    /// Returns whether this is a crate of the workspace that is not published.
    fn is_private(&self, name: &str) -> bool {
        self.0
            .get(name)
            .is_some_and(|package| !package.is_published)
    }

    /// Returns whether a crate depends on another, directly or through crates of the workspace.
    fn sees(&self, name: &str, other: &str) -> bool {
        let Some(package) = self.0.get(name) else {
            return false;
        };
        package.dependencies.contains(other)
            || package
                .dependencies
                .iter()
                .any(|next| self.sees(next, other))
    }
}
