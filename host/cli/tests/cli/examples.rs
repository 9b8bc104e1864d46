//! Runs every example of every help text with bash.
//!
//! The examples are taken from the man pages, where lines are not wrapped. A registry of the test replaces `127.0.0.1:5000` and `ghcr.io`,
//! and servers listen on free ports. Other programs that examples use are replaced by scripts. Examples with Envoy are covered by other
//! tests.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tidegate_components::guests::{self, Shape};

use crate::author::{self, tidegate_in};
use crate::binary;
use crate::shipping::registries::Distribution;
use crate::shipping::ship;
use crate::tool::{Folder, launch, module, text, tidegate};

/// Pages whose examples run first, because others use their output.
const FIRST: [&str; 3] = ["tidegate-build", "tidegate-adapt", "tidegate-push"];

/// Other programs, and the scripts that replace them.
const OTHERS: &[(&str, &str)] = &[
    (
        "kubectl",
        "case $1 in get) cat \"$HOME/../plugins.yaml\" ;; *) cat > /dev/null ;; esac",
    ),
    ("envoy", "grep -q static_resources \"$2\""),
    ("jq", "cat > /dev/null"),
    ("man", "for page; do :; done; test -f \"$page\""),
    ("pass", "echo secret"),
    ("wit-bindgen", "test -f wit/world.wit || test -d wit"),
];

const PLUGINS: &str = "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: greeter, namespace: shop}
spec:
  url: oci://registry.example.com/greeter@sha256:5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a
";

const DEPLOYMENTS: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web, version: v2}}
";

/// The directory of a plugin, with all files that examples refer to.
struct Place {
    folder: Folder,
    registry: Distribution,
}

// === impl Place ===

impl Place {
    fn new() -> Self {
        let folder = Folder::new();
        let registry = Distribution::open();
        let greeter = folder.path("greeter");
        tidegate(["new", &text(&greeter)]).succeeds();
        tidegate_in(&greeter, &["build", "-o", "greeter.wasm"]).succeeds();
        tidegate_in(&greeter, &["adapt", "greeter.wasm"]).succeeds();
        let place = Self { folder, registry };
        for name in ["rate-limit", "headers"] {
            let component = guests::component(name, Shape::Wasip2).expect("a component");
            place.file(&format!("{name}.wasm"), component);
        }
        place.file("headers.json", "{}");
        place.file("key.pem", "-----BEGIN PUBLIC KEY-----");
        for file in [
            "plugins.yaml",
            "greeter.yaml",
            "manifests/a.yaml",
            "plugins/a.yaml",
        ] {
            place.file(file, PLUGINS);
        }
        place.file("deployments.yaml", DEPLOYMENTS);
        let greeting = greeter.join("scenarios/greeting.yaml");
        fs::copy(greeting, greeter.join("scenarios/limit.yaml")).expect("a scenario");
        for folder in [
            ".zfunc",
            ".config/fish/completions",
            ".local/share/bash-completion/completions",
        ] {
            fs::create_dir_all(place.home().join(folder)).expect("a folder");
        }
        let programs = place.programs();
        fs::create_dir_all(&programs).expect("a folder");
        symlink(binary::path(), programs.join("tidegate")).expect("a link");
        for (name, script) in OTHERS {
            let path = programs.join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a script");
        }
        let component = text(&greeter.join("greeter.wasm"));
        for image in ["greeter:1.0.0", "me/greeter:1.0.0"] {
            let image = format!("oci://{}/{image}", place.registry.address);
            ship(["push", &component, &image, "--with-component"]).succeeds();
        }
        place
    }

    fn greeter(&self) -> PathBuf {
        self.folder.path("greeter")
    }

    fn home(&self) -> PathBuf {
        self.greeter().join("home")
    }

    fn programs(&self) -> PathBuf {
        self.folder.path("programs")
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.greeter().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }

    /// Files that differ between the examples of pages.
    fn prepare(&self, page: &str) {
        let limits = match page {
            "tidegate-dev" => r#"{"greeting": "hi"}"#,
            _ => r#"{"rules": [{"name": "all", "limit": "10/s"}]}"#,
        };
        self.file("limits.json", limits);
        let source = self.greeter().join("greeter.wasm");
        let kept = self.greeter().join("kept.wasm");
        if !kept.exists() {
            fs::copy(&source, &kept).expect("a copy");
        }
        match page {
            // A plugin whose configuration is a key has no JSON Schema.
            "tidegate-manifest-envoy-filter" => fs::write(source, module()).expect("a module"),
            _ => drop(fs::copy(kept, source).expect("a component")),
        }
    }

    /// The command as it runs here.
    fn adjusted(&self, example: &str) -> String {
        let registry = format!("oci://{}", self.registry.address);
        example
            .replace("oci://127.0.0.1:5000", &registry)
            .replace("oci://ghcr.io", &registry)
            .replace("component,proxy-wasm,envoy", "component,proxy-wasm")
            .replace("--dashboard", "--dashboard=127.0.0.1:0")
            .replace("--admin 127.0.0.1:9901", "--admin 127.0.0.1:0")
    }

    fn command(&self, folder: &Path, line: &str) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = [self.programs(), author::tools()]
            .into_iter()
            .chain(std::env::split_paths(&path));
        let mut command = Command::new("bash");
        command
            .args(["-o", "pipefail", "-c", line])
            .current_dir(folder)
            .env("PATH", std::env::join_paths(path).expect("a path"))
            .env("HOME", self.home())
            .env("CARGO_HOME", cargo_home())
            .env("RUSTUP_HOME", rustup_home())
            .env("DOCKER_CONFIG", self.home())
            .env("DIGEST", "5f1c3e2a".repeat(8))
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TARGET_DIR", author::target())
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, page: &str, number: usize, example: &str) {
        let line = self.adjusted(example);
        let folder = match page {
            // Each in a directory that contains no plugin yet.
            "tidegate-new" => {
                let folder = self.folder.path(&format!("new-{number}"));
                fs::create_dir_all(&folder).expect("a folder");
                let sdk = self.folder.path("tidegate");
                if !sdk.exists() {
                    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
                    symlink(root, sdk).expect("a link");
                }
                folder
            }
            _ => self.greeter(),
        };
        let is_serving = |command: &str| line.starts_with(&format!("tidegate {command}"));
        if is_serving("run") || is_serving("dev") {
            let line = format!("exec {line} --listen 127.0.0.1:0");
            let serving = launch(self.command(&folder, &line)).ready();
            serving.signal("TERM");
            assert!(serving.end().success(), "{page}: {line}");
            return;
        }
        let output = self.command(&folder, &line).output().expect("bash");
        assert!(
            output.status.success(),
            "{page}: {line}\n{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME").map_or_else(|| user_home().join(".cargo"), PathBuf::from)
}

fn rustup_home() -> PathBuf {
    std::env::var_os("RUSTUP_HOME").map_or_else(|| user_home().join(".rustup"), PathBuf::from)
}

fn user_home() -> PathBuf {
    std::env::home_dir().expect("a home folder")
}

/// The examples of each manual page.
fn examples() -> BTreeMap<String, Vec<String>> {
    let folder = Folder::new();
    tidegate(["man", "-o", &text(&folder.path("man"))]).succeeds();
    let pages = fs::read_dir(folder.path("man")).expect("pages");
    pages
        .map(|page| {
            let page = page.expect("a page").path();
            let name = page.file_stem().expect("a name").to_string_lossy();
            let text = fs::read_to_string(&page).expect("a page");
            let (_, rest) = text.split_once(".SH EXAMPLES\n.nf\n").expect("examples");
            let (list, _) = rest.split_once("\n.fi\n").expect("an end");
            let list = list.replace("\\-", "-").replace("\\*(Aq", "'");
            let list = list.replace("\\\\", "\\").replace("\\\n", " ");
            let lines = list.lines().map(|line| line.trim().to_owned());
            (name.into_owned(), lines.collect())
        })
        .collect()
}

#[test]
#[ignore = "needs docker-registry"]
fn every_help_example_runs_needs_docker_registry() {
    let place = Place::new();
    let mut examples = examples();
    let mut pages = Vec::new();
    for page in FIRST {
        pages.push((page.to_owned(), examples.remove(page).expect("a page")));
    }
    pages.extend(examples);
    let mut count = 0;
    for (page, examples) in pages {
        place.prepare(&page);
        for (number, example) in examples.iter().enumerate() {
            place.run(&page, number, example);
            count += 1;
        }
    }
    assert!(count > 60, "{count} examples");
}
