//! `tidegate doctor`: on this machine, without a linker, and with simulated tools.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::binary;
use crate::tool::{Done, Folder};

/// The simulated tools are shell scripts. Fixes create files in `$STATE`.
const RUSTUP: &str = r#"case "$*" in
    --version) echo 'rustup 1.29.0' ;;
    'show active-toolchain') echo 'stable-made-up (default)' ;;
    'update stable') : > "$STATE/updated" ;;
    'target add wasm32-wasip2') : > "$STATE/target" ;;
    *) exit 1 ;;
esac"#;
const RUSTC: &str = r#"case "$*" in
    '--version --verbose')
        if [ -e "$STATE/updated" ]; then release=1.200.0; else release=1.80.1; fi
        echo "rustc $release (made up)"; echo 'host: made-up'; echo "release: $release" ;;
    '--print target-libdir --target wasm32-wasip2')
        if [ -e "$STATE/target" ]; then echo "$STATE"; else echo "$STATE/none"; fi ;;
    *) exit 1 ;;
esac"#;
const CARGO: &str = r#"case "$*" in
    --version) echo 'cargo 1.80.1' ;;
    'build '*' made-up '*)
        if [ ! -e "$STATE/gcc" ]; then echo 'error: linker `cc` not found' >&2; exit 101; fi ;;
    'build '*' wasm32-wasip2 '*) ;;
    *) echo 'error: no such command' >&2; exit 101 ;;
esac"#;
const APT: &str = r#"case "$*" in
    --version) echo 'apt 3.0' ;;
    update) : > "$STATE/refreshed" ;;
    'install -y gcc libc6-dev') [ -e "$STATE/refreshed" ] && : > "$STATE/gcc" ;;
    *) exit 1 ;;
esac"#;

/// A machine that has only these tools.
struct Machine {
    folder: Folder,
}

impl Machine {
    fn with(tools: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        for name in ["bin", "state", "project"] {
            fs::create_dir(folder.path(name)).expect("a folder");
        }
        for (name, script) in tools {
            let path = folder.path("bin").join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a tool");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        Self { folder }
    }

    /// Runs a shell command in the project's directory, with the path of `tidegate` in `$TIDEGATE`.
    fn run(&self, line: &str) -> Done {
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", line])
            .current_dir(self.folder.path("project"))
            .env("PATH", self.folder.path("bin"))
            .env("STATE", self.folder.path("state"))
            .env("TIDEGATE", binary::path())
            .env("TIDEGATE_CACHE", self.folder.path("cache"));
        done(&mut shell)
    }
}

/// The environment of the command, without that of the test.
fn done(command: &mut Command) -> Done {
    for variable in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "RUST_BACKTRACE"] {
        command.env_remove(variable);
    }
    let output = command
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null())
        .output()
        .expect("a program that starts");
    Done {
        status: output.status,
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).expect("messages in UTF-8"),
    }
}

fn parsed(done: &Done) -> Value {
    serde_json::from_slice(&done.stdout).expect("JSON")
}

/// The check with this name.
#[track_caller]
fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("checks");
    checks
        .iter()
        .find(|check| check["name"] == name)
        .unwrap_or_else(|| panic!("no `{name}` in {report:#}"))
}

/// The names of requirements that are missing.
fn lacking(report: &Value) -> Vec<&str> {
    let checks = report["checks"].as_array().expect("checks");
    checks
        .iter()
        .filter(|check| check["required"] == true && check["ok"] == false)
        .filter_map(|check| check["name"].as_str())
        .collect()
}

#[test]
fn doctor_passes_on_this_machine() {
    let folder = Folder::new();
    let mut doctor = Command::new(binary::path());
    doctor
        .args(["doctor", "--format", "json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("TIDEGATE_CACHE", folder.path("deep/cache"));
    let done = done(&mut doctor);
    done.succeeds();
    let report = parsed(&done);
    assert_eq!(report["ok"], true);
    assert_eq!(report["fix"], json!([]));
    assert_eq!(lacking(&report), [""; 0]);
    assert_eq!(check(&report, "cargo component")["required"], false);
    assert_eq!(check(&report, "Python 3")["required"], false);
    // The cache directory is kept, and is empty.
    let left = fs::read_dir(folder.path("deep/cache")).expect("the cache");
    assert_eq!(left.count(), 0);
}

#[test]
fn missing_linker_is_detected_with_the_real_toolchain() {
    let rustc = Command::new("rustc")
        .args(["--print", "sysroot"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("rustc");
    let sysroot = PathBuf::from(String::from_utf8(rustc.stdout).expect("UTF-8").trim());
    if sysroot.join("bin/cc").exists() {
        eprintln!("not tested: this toolchain lies where the C compiler does");
        return;
    }
    let folder = Folder::new();
    // The cargo and rustc of the toolchain are available, but neither rustup nor a C compiler.
    let mut doctor = Command::new(binary::path());
    doctor
        .args(["doctor", "--format", "json"])
        .current_dir(folder.path("."))
        .env("PATH", sysroot.join("bin"))
        .env("CARGO_HOME", folder.path("cargo-home"))
        .env("TIDEGATE_CACHE", folder.path("cache"));
    let done = done(&mut doctor);
    assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
    let report = parsed(&done);
    assert_eq!(lacking(&report), ["C linker"]);
    let linker = check(&report, "C linker");
    assert_eq!(linker["detail"], "linker `cc` not found");
    assert_eq!(linker["fix"], report["fix"]);
    assert_eq!(report["fix"].as_array().map(Vec::is_empty), Some(false));
    let target = check(&report, "target wasm32-wasip2");
    assert_eq!(target["detail"], "compiles and links");
}

#[test]
#[cfg(target_os = "linux")]
fn suggested_commands_fix_everything_in_order() {
    let machine = Machine::with(&[
        ("rustup", RUSTUP),
        ("rustc", RUSTC),
        ("cargo", CARGO),
        ("apt-get", APT),
        ("id", "echo 0"),
    ]);
    // A file in place of the cache directory.
    machine.folder.file("cache", "");
    let before = machine.run("exec $TIDEGATE doctor --format json");
    assert_eq!(before.status.code(), Some(1), "{}", before.stderr);
    assert_eq!(
        before.stderr,
        "error: requirements are missing: cache folder, Rust, C linker, target wasm32-wasip2\n"
    );
    let report = parsed(&before);
    assert_eq!(
        check(&report, "Rust")["detail"],
        "1.80.1 is older than 1.95"
    );
    assert_eq!(
        report["fix"],
        json!([
            "export TIDEGATE_CACHE=\"$PWD/target/tidegate-cache\"",
            "rustup update stable",
            "apt-get update",
            "apt-get install -y gcc libc6-dev",
            "rustup target add wasm32-wasip2",
        ])
    );
    let commands: Vec<&str> = report["fix"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();

    // After all fixes but the last one, the last requirement is still missing.
    let (last, first) = commands.split_last().expect("commands");
    let script = format!(
        "set -e\n{}\n$TIDEGATE doctor --format json > between.json && exit 7\n{last}\nexec $TIDEGATE doctor",
        first.join("\n")
    );
    let after = machine.run(&script);
    let said = String::from_utf8_lossy(after.succeeds()).into_owned();
    let between = fs::read(machine.folder.path("project/between.json")).expect("a report");
    let between: Value = serde_json::from_slice(&between).expect("JSON");
    assert_eq!(lacking(&between), ["target wasm32-wasip2"]);
    assert_eq!(between["fix"], json!([last]));
    for line in [
        "ok        Rust                  1.200.0\n",
        "ok        C linker              links for made-up\n",
        "ok        target wasm32-wasip2  compiles and links\n",
        "optional  cargo component       only `--tool cargo-component` needs it\n",
        "optional  Python 3              required to download Envoy for tests: cannot run `python3`: ",
        "\n\nOptional:\n  cargo install --locked cargo-component\n  apt-get update\n  apt-get install -y python3\n",
    ] {
        assert!(said.contains(line), "expected `{line}` in: {said}");
    }
    assert!(!said.contains("lacking"), "{said}");
}

#[test]
fn rust_is_suggested_first_on_a_bare_machine() {
    let done = Machine::with(&[]).run("exec $TIDEGATE doctor");
    assert_eq!(done.status.code(), Some(1));
    assert!(
        done.stderr
            .ends_with(": Rust, C linker, target wasm32-wasip2\n"),
        "{}",
        done.stderr
    );
    let said = String::from_utf8(done.stdout).expect("UTF-8");
    let at = |part: &str| {
        said.find(part)
            .unwrap_or_else(|| panic!("no `{part}` in: {said}"))
    };
    assert!(at("Run these commands in order:\n") < at("https://sh.rustup.rs | sh\n"));
    assert!(at("https://sh.rustup.rs | sh\n") < at("/.cargo/env\"\n"));
    assert!(at("/.cargo/env\"\n") < at("rustup target add wasm32-wasip2\n"));
    assert!(at("rustup target add wasm32-wasip2\n") < at("\nOptional:\n"));
    assert_eq!(said.matches("sh.rustup.rs").count(), 1);
}

#[test]
fn fix_for_missing_toolchain_is_suggested() {
    for (says, fix) in [
        (
            "error: rustup could not choose a version of cargo to run, and no default is configured.",
            "rustup default stable",
        ),
        (
            "error: toolchain '1.95.0-made-up' is not installed",
            "rustup toolchain install",
        ),
    ] {
        let fails = format!("[ \"$RUSTUP_AUTO_INSTALL\" = 0 ] && echo \"{says}\" >&2\nexit 1");
        let machine = Machine::with(&[("rustup", RUSTUP), ("cargo", &fails), ("rustc", &fails)]);
        let report = parsed(&machine.run("exec $TIDEGATE doctor --format json"));
        let rust = check(&report, "Rust");
        assert_eq!(rust["detail"], says.trim_start_matches("error: "));
        assert_eq!(rust["fix"], json!([fix]));
        assert_eq!(
            report["fix"].as_array().and_then(|all| all.last()),
            Some(&json!("rustup target add wasm32-wasip2"))
        );
    }
}

#[test]
fn control_characters_in_tool_output_are_escaped() {
    let fails = "printf 'error: \\033[31mred\\n' >&2; exit 1";
    let done = Machine::with(&[("cargo", fails)]).run("exec $TIDEGATE doctor");
    let said = String::from_utf8(done.stdout).expect("UTF-8");
    assert!(said.contains("\\u{1b}[31mred\n"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said}");
}

#[test]
fn invalid_cargo_config_is_not_reported_as_missing_linker() {
    let folder = Folder::new();
    fs::create_dir(folder.path(".cargo")).expect("a folder");
    folder.file(".cargo/config.toml", "build = 7");
    let mut doctor = Command::new(binary::path());
    doctor
        .args(["doctor", "--format", "json"])
        .current_dir(folder.path("."))
        .env("TIDEGATE_CACHE", folder.path("cache"));
    let report = parsed(&done(&mut doctor));
    let linker = check(&report, "C linker");
    assert_eq!(linker["ok"], false);
    assert_eq!(linker["fix"], json!([]));
    let detail = linker["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("config"), "{detail}");
    assert_eq!(report["fix"], json!([]));
}
