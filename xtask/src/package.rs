//! `cargo xtask package`: builds every published crate from its own package, with the other crates from their packages, and with a
//! toolchain without wasm targets.
//!
//! `cargo package` can verify packages, but builds each with its own dependency features: it builds wasmtime a second time, and everything
//! again in each run. Here, the packages are combined into a workspace. Each package is checked alone, with the features that it requests.
//! Then all are built together, and share the builds of dependencies with the rest of the project.
//!
//! Instead of downloading a second toolchain to find out whether the build compiles anything for a wasm target, this binary acts as
//! RUSTC_WRAPPER and rejects such targets.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use xtask::shell;
use xtask::workspace::{Group, Workspace};

/// The environment variable that marks the wrapper.
pub const REFUSE_WASM: &str = "XTASK_REFUSE_WASM";

/// Packages the crates and builds the packages. Nothing is uploaded.
pub fn run(workspace: &Workspace) -> Result<()> {
    let published = |group| {
        let packages = workspace.group(group).filter(|it| it.is_published());
        packages.map(|it| it.name.clone()).collect::<Vec<_>>()
    };
    let groups = Group::ALL.map(published);
    let names: Vec<&String> = groups.iter().flatten().collect();
    ensure!(
        !names.is_empty(),
        "no package of the workspace is published"
    );

    let folder = workspace.target.join("package");
    let mut command = workspace.cargo();
    // The working copy is packaged, including uncommitted changes.
    command.args(["package", "--locked", "--allow-dirty", "--no-verify"]);
    for name in &names {
        command.args(["--package", name]);
    }
    shell::run(&mut command)?;
    let packages = unpack(workspace, &folder, &names)?;

    let wrapper = env::current_exe().context("failed to determine the path of this binary")?;
    let cargo = |subcommand: &str| {
        let mut command = workspace.cargo();
        command
            .current_dir(&packages)
            .env("CARGO_TARGET_DIR", &workspace.target)
            .env("RUSTC_WRAPPER", &wrapper)
            .env(REFUSE_WASM, "1")
            // The lock file of the project, which contains more packages.
            .args([subcommand, "--offline"]);
        command
    };
    for name in &names {
        shell::run(cargo("check").args(["--package", name]))?;
    }
    for group in groups.iter().filter(|group| !group.is_empty()) {
        let mut command = cargo("build");
        for name in group {
            command.args(["--package", name]);
        }
        shell::run(&mut command)?;
    }
    Ok(())
}

/// Creates a workspace of packages that depend on each other, and returns its directory.
fn unpack(workspace: &Workspace, folder: &Path, names: &[&String]) -> Result<PathBuf> {
    let version = env!("CARGO_PKG_VERSION");
    let temporary =
        tempfile::tempdir_in(folder).context("failed to create a temporary directory")?;
    let mut manifest =
        "[workspace]\nresolver = \"3\"\nmembers = [\"*\"]\n\n[patch.crates-io]\n".to_owned();
    for name in names {
        let file = folder.join(format!("{name}-{version}.crate"));
        shell::run(
            Command::new("tar")
                .args(["-xzf"])
                .arg(&file)
                .arg("-C")
                .arg(temporary.path()),
        )?;
        writeln!(manifest, "{name} = {{ path = \"{name}-{version}\" }}")?;
    }
    fs::write(temporary.path().join("Cargo.toml"), manifest)?;
    fs::copy(
        workspace.root.join("Cargo.lock"),
        temporary.path().join("Cargo.lock"),
    )?;
    let packages = folder.join("unpacked");
    update(temporary.path(), &packages)
        .with_context(|| format!("failed to write {}", packages.display()))?;
    Ok(packages)
}

/// Makes a directory identical to another. The modification times of unchanged files are kept, so that cargo rebuilds only what has
/// changed.
fn update(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        let source = from.join(entry.file_name());
        if !source.exists() || source.is_dir() != entry.path().is_dir() {
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            update(&entry.path(), &target)?;
            continue;
        }
        let content = fs::read(entry.path())?;
        if fs::read(&target).ok().as_ref() != Some(&content) {
            fs::write(&target, content)?;
        }
    }
    Ok(())
}

/// Acts as RUSTC_WRAPPER: runs rustc with its arguments, unless they specify a wasm target.
pub fn refuse_wasm(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let Some((rustc, rest)) = arguments.split_first() else {
        eprintln!("xtask: {REFUSE_WASM} is set, but no rustc was passed");
        return ExitCode::FAILURE;
    };
    if names_wasm(rest) {
        eprintln!("xtask: a package is compiled for a wasm target: {rest:?}");
        return ExitCode::FAILURE;
    }
    match Command::new(rustc).args(rest).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!(
                "xtask: failed to start {}: {error}",
                rustc.to_string_lossy()
            );
            ExitCode::FAILURE
        }
    }
}

/// Both `--target wasm32-wasip2` and `--target=wasm32-wasip2`.
fn names_wasm(arguments: &[OsString]) -> bool {
    let mut after_target = false;
    arguments.iter().any(|argument| {
        let argument = argument.to_string_lossy();
        let target = if after_target {
            Some(&*argument)
        } else {
            argument.strip_prefix("--target=")
        };
        let wasm = target.is_some_and(|target| target.starts_with("wasm"));
        after_target = argument == "--target";
        wasm
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[&str]) -> bool {
        names_wasm(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn wasm_target_is_detected_in_both_argument_forms() {
        assert!(names(&[
            "--crate-name",
            "bridge",
            "--target",
            "wasm32-unknown-unknown"
        ]));
        assert!(names(&["--target=wasm32-wasip2", "src/lib.rs"]));
        assert!(!names(&[
            "--crate-name",
            "wasmtime",
            "--target",
            "x86_64-unknown-linux-gnu",
            "wasm32"
        ]));
        assert!(!names(&["-"]));
    }
}
