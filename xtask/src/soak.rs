//! `cargo xtask soak [NAME...]`: tests that take longer than those of `cargo xtask test`, each with a limit.
//!
//! The last line of the output contains the commit.

use std::fs;
use std::num::NonZero;
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use xtask::workspace::Workspace;
use xtask::{setup, shell};

/// A long-running test.
struct Soak {
    name: &'static str,
    /// A description, with the number of repetitions.
    what: &'static str,
    run: fn(&Workspace) -> Result<Outcome>,
}

enum Outcome {
    Done,
    Skipped(String),
}

const ALL: &[Soak] = &[
    Soak {
        name: "allocator",
        what: "10 000 requests to a guest whose allocator returns random addresses: both engines must agree",
        run: |workspace| {
            let count = ("TIDEGATE_SEQUENCES", "10000");
            test(workspace, "tidegate-tests", "allocator", &[], count)
        },
    },
    Soak {
        name: "bodies",
        what: "request and response bodies of 1 GiB through `tidegate run` in each engine, with fast and slow peers: at most 80 MB",
        run: |workspace| memory_of_tool(workspace, "bodies", ("TIDEGATE_BODY_MIB", "1024")),
    },
    Soak {
        name: "connections",
        what: "10 000 idle connections to `tidegate run` in each engine: at most 13 KB each, and others are served",
        run: |workspace| {
            // The test has one descriptor for each connection, and some others.
            let limit = shell::read(Command::new("sh").args(["-c", "ulimit -Hn"]));
            let limit = limit.ok().and_then(|text| text.trim().parse::<u64>().ok());
            if limit.is_some_and(|limit| limit < 11_000) {
                let reason = "`ulimit -Hn` must be at least 11000";
                return Ok(Outcome::Skipped(reason.to_owned()));
            }
            memory_of_tool(workspace, "connections", ("TIDEGATE_CONNECTIONS", "10000"))
        },
    },
    Soak {
        name: "events",
        what: "100 000 HTTP calls from Rust, in both engines, and from Go, JavaScript and Python, and 1 000 000 requests with timers and queues in each engine: memory and descriptors must not grow, except that Python leaks each filter; the smallest plugin in Python is measured beside it",
        run: |workspace| {
            let count = ("TIDEGATE_EVENTS", "100000");
            // With the other profile it takes hours.
            let release = &["--release", "--"];
            test_with(workspace, "tidegate-tests", "flat", release, count)
        },
    },
    Soak {
        name: "fuzz",
        what: "1 000 000 damaged components of every shape: the adapter must not panic, and its results must be consistent",
        run: fuzz,
    },
    Soak {
        name: "go",
        what: "100 000 requests to a plugin in Go in each runtime available on this platform, with garbage collection in every tenth",
        run: |workspace| {
            if shell::read(Command::new("go").arg("version")).is_err() {
                return Ok(Outcome::Skipped("`go` is not on PATH".to_owned()));
            }
            let count = ("TIDEGATE_REQUESTS", "100000");
            test(workspace, "tidegate-tests", "go", &["collector"], count)
        },
    },
    Soak {
        name: "http1",
        what: "2 000 000 damaged HTTP/1.1 messages: pieces must not matter, httparse must find the same heads, and what is forwarded must be read alike",
        run: |workspace| {
            let mut command = workspace.cargo();
            command
                .args(["test", "--locked", "--package", "tidegate-host", "--lib"])
                .args(["--", "damaged_messages", "--nocapture"])
                .env("TIDEGATE_DAMAGED_MESSAGES", "2000000");
            shell::run(&mut command)?;
            Ok(Outcome::Done)
        },
    },
    Soak {
        name: "languages",
        what: "the greeter in JavaScript and Python also in the oldest Envoy",
        run: |workspace| {
            let is_missing = |program: &str, arguments: &[&str]| {
                shell::read(Command::new(program).args(arguments)).is_err()
            };
            if is_missing("npm", &["--version"])
                || is_missing("python3", &["-m", "pip", "--version"])
            {
                let reason = "`npm` and Python's pip must be on PATH";
                return Ok(Outcome::Skipped(reason.to_owned()));
            }
            let every = ("TIDEGATE_EVERY_ENVOY", "1");
            test(workspace, "tidegate-tests", "languages", &[], every)
        },
    },
    Soak {
        name: "memory",
        what: "1 000 000 requests to `tidegate run` in each engine: its memory after each tenth, which must not grow",
        run: |workspace| {
            if !cfg!(target_os = "linux") {
                return Ok(Outcome::Skipped("only supported on Linux".to_owned()));
            }
            let mut command = workspace.cargo();
            command.args(["bench", "--locked", "--bench", "rps", "--", "--million"]);
            shell::run(&mut command)?;
            Ok(Outcome::Done)
        },
    },
    Soak {
        name: "reload",
        what: "1000 reloads under load: no request may fail",
        run: |workspace| {
            let count = ("TIDEGATE_RELOADS", "1000");
            test(
                workspace,
                "tidegate-host",
                "proxy",
                &["reload_under_load"],
                count,
            )
        },
    },
    Soak {
        name: "restart",
        what: "100 restarts under the load of 16 clients: no request may fail",
        run: |workspace| {
            let count = ("TIDEGATE_RESTARTS", "100");
            test(
                workspace,
                "tidegate-host",
                "proxy",
                &["restart_under_load"],
                count,
            )
        },
    },
];

/// The number of damaged inputs that the fuzzer generates.
const FUZZ_RUNS: u64 = 1_000_000;

/// Runs the named tests, or all of them.
pub fn run(workspace: &Workspace, names: &[String]) -> Result<()> {
    let known = || ALL.iter().map(|soak| soak.name).collect::<Vec<_>>();
    for name in names {
        ensure!(
            known().contains(&name.as_str()),
            "no soak test `{name}`; available tests: {}",
            known().join(", ")
        );
    }
    let chosen = |soak: &&Soak| names.is_empty() || names.iter().any(|name| name == soak.name);
    let commit = commit(workspace);
    let mut failed = Vec::new();
    let mut lines = Vec::new();
    setup::run(workspace)?;
    for soak in ALL.iter().filter(chosen) {
        shell::say(&format!("{}: {}", soak.name, soak.what));
        let begun = Instant::now();
        let outcome = (soak.run)(workspace);
        let seconds = begun.elapsed().as_secs();
        lines.push(match outcome {
            Ok(Outcome::Done) => format!("{}: ok, {seconds} s: {}", soak.name, soak.what),
            Ok(Outcome::Skipped(reason)) => format!("{}: SKIPPED: {reason}", soak.name),
            Err(error) => {
                failed.push(soak.name);
                format!("{}: FAILED after {seconds} s: {error:#}", soak.name)
            }
        });
    }
    shell::say(&format!("at {commit}"));
    for line in &lines {
        shell::say(line);
    }
    ensure!(failed.is_empty(), "{} failed", failed.join(", "));
    Ok(())
}

/// The names and descriptions of the tests.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    ALL.iter().map(|soak| (soak.name, soak.what))
}

/// The tested commit, and whether files differ from it.
fn commit(workspace: &Workspace) -> String {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(&workspace.root).args(arguments);
        shell::read(&mut command)
    };
    match git(&["rev-parse", "--short=10", "HEAD"]) {
        Ok(commit) => {
            let is_clean = git(&["status", "--porcelain"]).is_ok_and(|it| it.trim().is_empty());
            let remark = if is_clean { "" } else { ", with changes" };
            format!("commit {}{remark}", commit.trim())
        }
        Err(_) => "an unknown commit".to_owned(),
    }
}

/// Runs the tests whose names contain one of `filter`, with an environment variable that sets the number of repetitions.
fn test(
    workspace: &Workspace,
    package: &str,
    test: &str,
    filter: &[&str],
    count: (&str, &str),
) -> Result<Outcome> {
    let arguments = [&["--"], filter].concat();
    test_with(workspace, package, test, &arguments, count)
}

/// Runs a test program like [`test`], with arguments for `cargo test`.
fn test_with(
    workspace: &Workspace,
    package: &str,
    test: &str,
    arguments: &[&str],
    (variable, count): (&str, &str),
) -> Result<Outcome> {
    let mut command = workspace.cargo();
    command
        .args(["test", "--locked", "--package", package, "--test", test])
        .args(arguments)
        .arg("--nocapture")
        .env(variable, count);
    shell::run(&mut command)?;
    Ok(Outcome::Done)
}

/// Runs a test of the tool's memory, with the tool that is built for releases.
fn memory_of_tool(workspace: &Workspace, filter: &str, count: (&str, &str)) -> Result<Outcome> {
    if !cfg!(target_os = "linux") {
        return Ok(Outcome::Skipped("only supported on Linux".to_owned()));
    }
    let mut build = workspace.cargo();
    build.args(["build", "--locked", "--release", "--package", "tidegate"]);
    shell::run(&mut build)?;
    let mut command = workspace.cargo();
    command
        .args([
            "test",
            "--locked",
            "--package",
            "tidegate",
            "--test",
            "memory",
        ])
        .args(["--", filter, "--nocapture"])
        .env("TIDEGATE_TOOL", workspace.target.join("release/tidegate"))
        .env(count.0, count.1);
    shell::run(&mut command)?;
    Ok(Outcome::Done)
}

/// Builds components of every shape, and fuzzes the adapter with them.
fn fuzz(workspace: &Workspace) -> Result<Outcome> {
    let nightly = || {
        let mut command = Command::new("rustup");
        command
            .current_dir(&workspace.root)
            .args(["run", "nightly", "cargo", "fuzz"]);
        command
    };
    if shell::read(nightly().arg("--version")).is_err() {
        let missing = "there is no cargo-fuzz or no nightly toolchain: `rustup toolchain install nightly` and `cargo install cargo-fuzz --locked`";
        return Ok(Outcome::Skipped(missing.to_owned()));
    }
    let folder = workspace.target.join("fuzz");
    let (inputs, corpus, artifacts) = (
        folder.join("inputs"),
        folder.join("corpus"),
        folder.join("artifacts"),
    );
    let mut make = workspace.cargo();
    make.args(["run", "--locked", "--package", "tidegate-tests"])
        .args(["--bin", "fuzz-inputs", "--"])
        .arg(&inputs);
    shell::run(&mut make)?;
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
    }
    // Without this option, the fuzzer takes long to determine the maximum length of inputs.
    let seed = corpus.join("seed");
    fs::write(&seed, [0x55; 51]).with_context(|| format!("failed to write {}", seed.display()))?;
    let Some(prefix) = artifacts.to_str() else {
        bail!("{} is not UTF-8", artifacts.display())
    };
    let jobs = thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let mut fuzz = nightly();
    // The code is safe Rust, so no sanitizer is needed, which would be slower.
    fuzz.args(["run", "--sanitizer", "none", "--fuzz-dir"])
        .arg(workspace.root.join("adapter/fuzz"))
        .arg("--target-dir")
        .arg(&folder)
        .arg("adapt")
        .arg(&corpus)
        .arg("--")
        .arg(format!("-runs={}", FUZZ_RUNS.div_ceil(jobs)))
        .arg(format!("-jobs={jobs}"))
        .arg(format!("-workers={jobs}"))
        .arg(format!("-artifact_prefix={prefix}/"))
        .args(["-max_len=51", "-len_control=0", "-timeout=60"])
        .args(["-rss_limit_mb=4096", "-print_final_stats=1"])
        // The fuzzer writes a log of each job to its working directory.
        .current_dir(&folder)
        .env("TIDEGATE_FUZZ_INPUTS", &inputs);
    shell::run(&mut fuzz)?;
    Ok(Outcome::Done)
}
