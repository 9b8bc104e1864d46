//! Runs the tools of this machine, and determines how others are installed.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::logs;
use crate::project::{cargo, target};

/// A Rust toolchain.
pub struct Rust {
    /// Such as `1.95.0`.
    pub version: String,
    /// The target of this machine.
    pub host: String,
}

/// How a system installs its packages.
pub struct Installation {
    /// The prefix of commands that require root: empty if this user is root.
    as_root: &'static str,
    manager: Option<&'static Manager>,
}

/// A package manager: its program, the commands that refresh its index and install packages, and the names of packages.
struct Manager {
    program: &'static str,
    refresh: Option<&'static str>,
    install: &'static str,
    c_compiler: &'static str,
    python: &'static str,
}

const MANAGERS: [Manager; 5] = [
    Manager {
        program: "apt-get",
        refresh: Some("apt-get update"),
        install: "apt-get install -y",
        c_compiler: "gcc libc6-dev",
        python: "python3",
    },
    Manager {
        program: "dnf",
        refresh: None,
        install: "dnf install -y",
        c_compiler: "gcc",
        python: "python3",
    },
    Manager {
        program: "zypper",
        refresh: None,
        install: "zypper install -y",
        c_compiler: "gcc",
        python: "python3",
    },
    Manager {
        program: "pacman",
        refresh: None,
        install: "pacman -S --noconfirm",
        c_compiler: "gcc",
        python: "python",
    },
    Manager {
        program: "apk",
        refresh: None,
        install: "apk add",
        c_compiler: "gcc musl-dev",
        python: "python3",
    },
];

/// Runs a tool. Returns its output, or the reason why it failed, in one line.
pub fn output<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = S>,
) -> Result<String, String> {
    let program = program.as_ref();
    let mut command = Command::new(program);
    command
        .args(args)
        // A toolchain that is specified but not installed is a finding, and must not be installed now.
        .env("RUSTUP_AUTO_INSTALL", "0")
        .env("CARGO_TERM_COLOR", "never")
        .stdin(Stdio::null());
    let begun = Instant::now();
    let output = command.output();
    logs::detail(|| {
        let result = match &output {
            Ok(output) => output.status.to_string(),
            Err(error) => error.to_string(),
        };
        let took = begun.elapsed().as_millis();
        format!("ran {command:?} in {took} ms: {result}")
    });
    let output = output.map_err(|error| format!("cannot run `{}`: {error}", program.display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // Rust's tools print the error first; Python prints it last, after the traceback.
    let line = said
        .lines()
        .find(|line| line.starts_with("error"))
        .or_else(|| said.lines().last())
        .unwrap_or_default();
    let line = line.trim().trim_start_matches("error: ");
    Err(if line.is_empty() {
        format!("`{}` ended with {}", program.display(), output.status)
    } else {
        line.to_owned()
    })
}

/// cargo and rustc.
pub fn rust() -> Result<Rust, String> {
    output(cargo(), ["--version"])?;
    let said = output(target::rustc(), ["--version", "--verbose"])?;
    let field = |name: &str| said.lines().find_map(|line| line.strip_prefix(name));
    match (field("release: "), field("host: ")) {
        (Some(version), Some(host)) => Ok(Rust {
            version: version.to_owned(),
            host: host.to_owned(),
        }),
        _ => {
            Err("the output of `rustc --version --verbose` contains no release and host".to_owned())
        }
    }
}

/// Whether rustup is installed.
pub fn rustup() -> bool {
    output("rustup", ["--version"]).is_ok()
}

/// The version of Python, if it has the modules that are used. pip is used if it is installed, but is not required.
pub fn python() -> Result<String, String> {
    const USED: &str = "import hashlib, json, ssl, sys, urllib.request, zipfile\n\
                        print('%d.%d.%d' % sys.version_info[:3])";
    let version = output("python3", ["-c", USED])?;
    Ok(match output("python3", ["-m", "pip", "--version"]) {
        Ok(_) => format!("{version}, with pip"),
        Err(_) => format!("{version}, without pip, which is not required"),
    })
}

/// How packages are installed here.
pub fn installation() -> Installation {
    let is_root = output("id", ["-u"]).is_ok_and(|id| id == "0");
    Installation {
        as_root: if is_root { "" } else { "sudo " },
        manager: MANAGERS
            .iter()
            .find(|manager| output(manager.program, ["--version"]).is_ok()),
    }
}

// === impl Rust ===

impl Rust {
    /// Whether it is this version, such as `1.95`, or newer.
    pub fn is_at_least(&self, oldest: &str) -> bool {
        let numbers = |version: &str| -> Vec<u64> {
            // `1.97.0-nightly`
            let release = version.split('-').next().unwrap_or_default();
            release
                .split('.')
                .map_while(|part| part.parse().ok())
                .collect()
        };
        numbers(&self.version) >= numbers(oldest)
    }
}

// === impl Installation ===

impl Installation {
    /// The commands that install a C compiler, which links for Rust.
    pub fn c_compiler(&self) -> Vec<String> {
        if cfg!(windows) {
            return vec![
                "winget install --id Microsoft.VisualStudio.2022.BuildTools --override \"--passive --wait \
                 --add Microsoft.VisualStudio.Workload.VCTools --includeRecommended\""
                    .to_owned(),
            ];
        }
        self.packages(|manager| manager.c_compiler, "a C compiler")
    }

    /// The commands that install Python.
    pub fn python(&self) -> Vec<String> {
        self.packages(|manager| manager.python, "Python 3")
    }

    fn packages(&self, package: fn(&Manager) -> &'static str, what: &str) -> Vec<String> {
        // Apple's developer tools contain both.
        if cfg!(target_os = "macos") {
            return vec!["xcode-select --install".to_owned()];
        }
        let Some(manager) = self.manager else {
            return vec![format!(
                "# install {what} with this system's package manager"
            )];
        };
        let install = format!("{} {}", manager.install, package(manager));
        let refresh = manager.refresh.map(str::to_owned);
        let commands = refresh.into_iter().chain([install]);
        commands
            .map(|command| format!("{}{command}", self.as_root))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_numerically() {
        let rust = |version: &str| Rust {
            version: version.to_owned(),
            host: String::new(),
        };
        assert!(rust("1.95.0").is_at_least("1.95"));
        assert!(rust("1.100.0").is_at_least("1.95"));
        assert!(rust("1.97.0-nightly").is_at_least("1.95"));
        assert!(rust("2.0.0").is_at_least("1.95"));
        assert!(!rust("1.94.1").is_at_least("1.95"));
        assert!(!rust("1.9.0").is_at_least("1.95"));
        assert!(!rust("unknown").is_at_least("1.95"));
    }
}
