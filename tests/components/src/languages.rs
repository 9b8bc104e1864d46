//! Builds the greeter in languages other than Rust, with the commands in its README, and the plugin `contract`, which
//! calls the functions that the greeter does not call. [`go`](crate::go) builds both in Go.
//!
//! The languages' tools come from their own package registries and are large, so this is only done if the programs that
//! download them are on the PATH. Downloads and builds are in `target/languages`.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use bytes::Bytes;

use crate::workspace;

/// A language in which the greeter is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// With componentize-js.
    JavaScript,
    /// With componentize-py.
    Python,
    /// With wit-bindgen and zig's C compiler.
    C,
    /// With the Proxy-Wasm Go SDK. The result is a Proxy-Wasm module instead of a component.
    Go,
}

/// What is not installed, and how to install it.
#[derive(Debug)]
pub struct Missing(String);

/// The Python package with componentize-py.
pub const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";

/// Builds the greeter, or returns why it cannot be built on this machine.
pub fn build(language: Language) -> Result<Result<Bytes, Missing>> {
    // Tests run in parallel, and `contract` in JavaScript also builds the greeter, because it uses the greeter's
    // packages.
    static JAVASCRIPT: Mutex<()> = Mutex::new(());
    if let Some(missing) = language.missing() {
        return Ok(Err(missing));
    }
    let _building = (language == Language::JavaScript)
        .then(|| JAVASCRIPT.lock().unwrap_or_else(PoisonError::into_inner));
    let source = match language {
        Language::Go => workspace::root().join("tests/languages/go"),
        _ => workspace::root().join("guest/examples/greeter"),
    };
    let copy = place(&language.to_string());
    let newest = mirror(&source, &copy)?;
    let wasm = match language {
        Language::JavaScript => javascript(&copy.join("javascript"), newest),
        Language::Python => python(&copy.join("python"), "greeter", newest),
        Language::C => c(&copy.join("c")),
        Language::Go => go(&copy),
    }
    .with_context(|| format!("failed to build the greeter in {language}"))?;
    read(&wasm).map(Ok)
}

/// Builds the plugin `contract`, which exists in JavaScript and Python, or returns why it cannot be built on this
/// machine.
pub fn build_contract(language: Language) -> Result<Result<Bytes, Missing>> {
    if let Some(missing) = language.missing() {
        return Ok(Err(missing));
    }
    let copy = place(&format!("contract-{language}"));
    let newest = mirror(&workspace::root().join("tests/languages/contract"), &copy)?;
    let wasm = match language {
        Language::JavaScript => javascript_contract(&copy.join("javascript"), newest),
        Language::Python => python(&copy.join("python"), "contract", newest),
        Language::C | Language::Go => bail!("`contract` does not exist in {language}"),
    }
    .with_context(|| format!("failed to build `contract` in {language}"))?;
    read(&wasm).map(Ok)
}

/// Builds the smallest plugin in Python, or returns why it cannot be built on this machine.
pub fn build_bare_python() -> Result<Result<Bytes, Missing>> {
    if let Some(missing) = Language::Python.missing() {
        return Ok(Err(missing));
    }
    let copy = place("bare-python");
    let newest = mirror(&workspace::root().join("tests/languages/bare"), &copy)?;
    let wasm =
        python(&copy.join("python"), "bare", newest).context("failed to build `bare` in Python")?;
    read(&wasm).map(Ok)
}

/// Returns the directory in which a plugin is built.
fn place(name: &str) -> PathBuf {
    workspace::target().join("languages").join(name)
}

fn read(wasm: &Path) -> Result<Bytes> {
    let bytes = fs::read(wasm).with_context(|| format!("failed to read {}", wasm.display()))?;
    Ok(bytes.into())
}

const INSTALL: &str = "`cargo install wit-bindgen-cli wasm-tools`";

fn javascript(folder: &Path, newest: SystemTime) -> Result<PathBuf> {
    let wasm = folder.join("greeter.wasm");
    let npm = |arguments: &[&str]| {
        run(Command::new("npm")
            .args(arguments)
            .args(["--loglevel", "error"])
            .current_dir(folder))
    };
    // If everything is already installed, npm 11 removes a package when it installs again. In that case only the last
    // step of the installation, the build, is run.
    let done = folder.join("node_modules/.done");
    if is_newer(&wasm, newest, &done) {
        return Ok(wasm);
    }
    remove(&wasm)?;
    if done.is_file() {
        npm(&["run", "prepare"])?;
    } else {
        for stale in ["node_modules", "package-lock.json"] {
            let stale = folder.join(stale);
            if stale.is_dir() {
                fs::remove_dir_all(&stale)
                    .context("failed to remove an incomplete installation")?;
            } else if stale.is_file() {
                fs::remove_file(&stale).context("failed to remove an incomplete installation")?;
            }
        }
        npm(&["install", "--no-audit", "--no-fund"])?;
        fs::write(done, "").context("failed to record the installation")?;
    }
    Ok(wasm)
}

/// Builds `contract` with the packages of the greeter, which are too large to install twice.
fn javascript_contract(folder: &Path, newest: SystemTime) -> Result<PathBuf> {
    if let Err(missing) = build(Language::JavaScript)? {
        bail!("{missing}");
    }
    let packages = place("javascript").join("javascript/node_modules");
    let wasm = folder.join("contract.wasm");
    if is_newer(&wasm, newest, &packages.join(".done")) {
        return Ok(wasm);
    }
    remove(&wasm)?;
    run(Command::new("node")
        .arg(packages.join("@bytecodealliance/componentize-js/src/cli.js"))
        .args(["plugin.js", "--wit", "../wit", "--world-name", "contract"])
        .args(["--disable", "random", "clocks", "http"])
        .args(["fetch-event", "stdio"])
        .args(["--out", "contract.wasm"])
        .current_dir(folder))?;
    Ok(wasm)
}

fn python(folder: &Path, world: &str, newest: SystemTime) -> Result<PathBuf> {
    let file = format!("{world}.wasm");
    let wasm = folder.join(&file);
    let tools = pip(COMPONENTIZE_PY)?;
    if is_newer(&wasm, newest, &tools.join("done")) {
        return Ok(wasm);
    }
    remove(&wasm)?;
    run(Command::new(tools.join("bin/componentize-py"))
        .args(["-d", "../wit", "-w", world])
        .args(["componentize", "--stub-wasi", "app", "-o", &file])
        .current_dir(folder)
        .env("PYTHONPATH", &tools))?;
    Ok(wasm)
}

fn c(folder: &Path) -> Result<PathBuf> {
    let tools = pip(ZIG)?;
    run(Command::new("make")
        .current_dir(folder)
        .env("PATH", path()?)
        .env("PYTHONPATH", &tools)
        .env("ZIG_GLOBAL_CACHE_DIR", tools.join("cache")))?;
    Ok(folder.join("greeter.wasm"))
}

fn go(folder: &Path) -> Result<PathBuf> {
    let wasm = folder.join("greeter.wasm");
    go_sdk(folder, &wasm)?;
    Ok(wasm)
}

/// Builds a plugin with the Proxy-Wasm Go SDK. The result is a Proxy-Wasm module.
fn go_sdk(folder: &Path, wasm: &Path) -> Result<()> {
    run(Command::new("go")
        .args(["build", "-buildmode=c-shared", "-o"])
        .arg(wasm)
        .arg(".")
        .current_dir(folder)
        .envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("GOFLAGS", "")]))
}

/// Builds the plugin in a directory of this repository with the Proxy-Wasm Go SDK, or returns why it cannot be built on
/// this machine.
pub fn build_go_sdk(source: &Path) -> Result<Result<Bytes, Missing>> {
    if let Some(missing) = absent("go", &["version"], "Go") {
        return Ok(Err(missing));
    }
    let name = source.file_name().context("the directory has no name")?;
    let wasm = workspace::target()
        .join("languages")
        .join(name)
        .with_extension("wasm");
    if let Some(folder) = wasm.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
    }
    go_sdk(source, &wasm)?;
    let bytes = fs::read(&wasm).with_context(|| format!("failed to read {}", wasm.display()))?;
    Ok(Ok(bytes.into()))
}

/// The Python package with zig, which includes a C compiler for WebAssembly.
pub const ZIG: &str = "ziglang==0.16.0";

/// Returns whether `python3` with pip is on the PATH.
pub fn has_pip() -> bool {
    absent("python3", &["-m", "pip", "--version"], "Python's pip").is_none()
}

/// Installs a Python package to a separate directory with pip. The Python of a Linux distribution often permits no
/// other kind of installation.
pub fn pip(requirement: &str) -> Result<PathBuf> {
    // Tests run in parallel, and only one of them may install.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _installing = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = workspace::target()
        .join("languages")
        .join(requirement.replace("==", "-"));
    if !folder.join("done").is_file() {
        run(Command::new("python3")
            .args(["-m", "pip", "install", "--quiet"])
            .args(["--disable-pip-version-check", "--upgrade", "--target"])
            .arg(&folder)
            .arg(requirement))?;
        fs::write(folder.join("done"), "").context("failed to record the installation")?;
    }
    Ok(folder)
}

/// Returns the PATH, preceded by the directory of this workspace's tools.
fn path() -> Result<std::ffi::OsString> {
    let own = workspace::target().join("tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(
        [own].into_iter().chain(std::env::split_paths(&path)),
    )?)
}

/// Copies a directory and follows its links. Files that exist only in the target are kept. Returns the modification
/// time of the newest copy.
fn mirror(from: &Path, to: &Path) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in walkdir::WalkDir::new(from).follow_links(true) {
        let entry = entry?;
        let target = to.join(entry.path().strip_prefix(from)?);
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target)
                .with_context(|| format!("failed to create {}", target.display()))?;
        } else {
            let bytes = fs::read(entry.path())?;
            // Unchanged files keep their modification time, so that make does not rebuild.
            if fs::read(&target).ok().as_deref() != Some(&bytes[..]) {
                fs::write(&target, bytes)
                    .with_context(|| format!("failed to write {}", target.display()))?;
            }
            newest = newest.max(fs::metadata(&target)?.modified()?);
        }
    }
    Ok(newest)
}

/// Removes the result of an earlier build, so that an interrupted build leaves nothing that seems up to date.
fn remove(built: &Path) -> Result<()> {
    match fs::remove_file(built) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", built.display()))
        }
        _ => Ok(()),
    }
}

/// Returns whether the result is newer than its sources and than the file that records the installation of the tools.
fn is_newer(built: &Path, sources: SystemTime, tools: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    match (modified(built), modified(tools)) {
        (Ok(built), Ok(tools)) => built > sources && built > tools,
        _ => false,
    }
}

fn absent(program: &str, arguments: &[&str], what: &str) -> Option<Missing> {
    let found = path().ok().is_some_and(|path| {
        Command::new(program)
            .args(arguments)
            .env("PATH", path)
            .stdin(Stdio::null())
            .output()
            .is_ok_and(|output| output.status.success())
    });
    (!found).then(|| {
        Missing(format!(
            "`{program}` is not on PATH; it is provided by {what}"
        ))
    })
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

impl Language {
    /// Returns what is required to build plugins in this language but not installed.
    fn missing(self) -> Option<Missing> {
        match self {
            Self::JavaScript => absent("npm", &["--version"], "Node.js"),
            Self::Python => absent("python3", &["-m", "pip", "--version"], "Python's pip"),
            Self::C => absent("make", &["--version"], "make")
                .or_else(|| absent("python3", &["-m", "pip", "--version"], "Python's pip"))
                .or_else(|| absent("wit-bindgen", &["--version"], INSTALL))
                .or_else(|| absent("wasm-tools", &["--version"], INSTALL)),
            Self::Go => absent("go", &["version"], "Go"),
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JavaScript => "javascript",
            Self::Python => "python",
            Self::C => "c",
            Self::Go => "go",
        })
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
