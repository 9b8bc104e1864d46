//! The same source yields the same digest in any directory: a plugin is built in two directories and pushed.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tidegate_components::workspace;

use crate::shipping::registries::Distribution;
use crate::shipping::ship;
use crate::tool::text;

const PLUGIN: &str = "istio-tutorial";

#[test]
#[ignore = "needs docker-registry"]
fn push_gives_the_same_digest_from_two_checkouts_needs_docker_registry() {
    // Kept between runs, to reuse the builds of dependencies.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reproducible");
    // Paths of different depth and length, so that a path in a plugin would also change its size.
    let places = ["a", "another/checkout/that-is-deeper"].map(|place| folder.join(place));
    let components = std::thread::scope(|scope| {
        let builds = places.each_ref().map(|place| scope.spawn(|| build(place)));
        builds.map(|build| build.join().expect("a build"))
    });
    let [one, other] = components
        .each_ref()
        .map(|path| std::fs::read(path).expect("a component"));
    assert!(
        one == other,
        "the components differ, of {} and {} bytes",
        one.len(),
        other.len()
    );
    for place in &places {
        let place = text(place);
        let is_told = one
            .windows(place.len())
            .any(|window| window == place.as_bytes());
        assert!(!is_told, "the component says that it was built in {place}");
    }

    let registry = Distribution::open();
    let digests = ["one", "other"].map(|name| format!("oci://{}/{name}:v1", registry.address));
    let digests: Vec<_> = components
        .iter()
        .zip(digests)
        .map(|(component, place)| {
            let done = ship([
                "push",
                &text(component),
                &place,
                "--with-component",
                "--format",
                "json",
            ]);
            let result: Value = serde_json::from_slice(done.succeeds()).expect("JSON");
            let beside = result["component"]["url"].as_str().expect("a url");
            let beside = beside.rsplit('@').next().expect("a digest").to_owned();
            (result["sha256"].clone(), beside)
        })
        .collect();
    assert_eq!(digests[0], digests[1]);
}

/// Copies the workspace to a directory, and builds the plugin with the documented command.
fn build(place: &Path) -> PathBuf {
    remove_checkout(place);
    check_out(&workspace::root(), place);
    let output = workspace::cargo()
        .args([
            "build",
            "--locked",
            "--offline",
            "--quiet",
            "--profile",
            "plugin",
        ])
        .args(["--target", "wasm32-wasip2", "--package", PLUGIN])
        .current_dir(place)
        // Each with its own target directory, and without the compiler flags of this build.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .output()
        .expect("cargo");
    assert!(
        output.status.success(),
        "are the wasm targets there? `cargo xtask setup` adds them:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    place.join("target/wasm32-wasip2/plugin/istio_tutorial.wasm")
}

/// Removes the checkout of an earlier run, except for its target directory.
fn remove_checkout(place: &Path) {
    let Ok(entries) = std::fs::read_dir(place) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            std::fs::remove_dir_all(path).expect("a folder that is removed");
        } else if path.is_file() {
            std::fs::remove_file(path).expect("a file that is removed");
        }
    }
}

/// Copies the files of a checkout with the targets of its links, without files that tools have created.
fn check_out(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (name, path) = (entry.file_name(), entry.path());
        if path.is_dir() {
            let is_left = [".git", "__pycache__", "node_modules", "target"];
            if !is_left.iter().any(|left| name == *left) {
                check_out(&path, &to.join(name));
            }
        } else {
            std::fs::copy(&path, to.join(name)).expect("a copy");
        }
    }
}
