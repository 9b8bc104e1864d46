//! Go: checks whether it is installed with everything that the judge needs, and builds the judge.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use xtask::shell;

/// What `go` writes where a module is neither in its cache nor within reach; anything else is a fault of ours.
const UNREACHABLE: [&str; 5] = [
    "Get \"http",
    "reading http",
    "module lookup disabled",
    "unable to access",
    "executable file not found",
];

/// Envoy Gateway, the version that `tidegate manifest` writes for, with the sum that `tests/gateway/go.sum` has.
const GATEWAY: (&str, &str) = (
    "github.com/envoyproxy/gateway@v1.9.1",
    "h1:vAVp6/AlBXJ1aOhp1mxL7fNEzVEfjADUguUhm2wzxQY=",
);

/// Its definition of a policy.
const GATEWAY_DEFINITION: &str = "charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_envoyextensionpolicies.yaml";

/// Whether the judge can be built on this machine.
pub enum Readiness {
    /// It can.
    Ready,
    /// It cannot, for this reason.
    Lacking(String),
}

/// Looks for Go and for the modules that the judge is made of; fetches those that are within reach.
pub fn readiness(module: &Path) -> Result<Readiness> {
    let wanted = wanted_version(module)?;
    let output = match go(module).args(["env", "GOVERSION"]).output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Readiness::Lacking(format!(
                "no `go` on PATH; install Go {wanted} or newer"
            )));
        }
        Err(error) => return Err(error).context("failed to start `go`"),
    };
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if older(found.trim_start_matches("go"), &wanted) || !output.status.success() {
        let found = if found.is_empty() {
            String::from_utf8_lossy(&output.stderr).trim().to_owned()
        } else {
            format!("`go` is {found}")
        };
        return Ok(Readiness::Lacking(format!(
            "{found}; install Go {wanted} or newer"
        )));
    }
    let listed = go(module)
        .args(["list", "-mod=readonly", "-deps", "./judge"])
        .output()
        .context("failed to start `go list`")?;
    if listed.status.success() {
        return Ok(Readiness::Ready);
    }
    let said = String::from_utf8_lossy(&listed.stderr);
    match unreachable(&said) {
        Some(line) => Ok(Readiness::Lacking(format!(
            "its Go modules are neither cached nor within reach: {line}"
        ))),
        None => bail!("`go list` fails in {}:\n{said}", module.display()),
    }
}

/// The line that says that a module is out of reach, if one does.
fn unreachable(said: &str) -> Option<&str> {
    let mut lines = said.lines();
    let line = lines.find(|line| UNREACHABLE.iter().any(|sign| line.contains(sign)));
    line.map(str::trim)
}

/// Builds the judge, from Go's own cache where it can.
pub fn build(module: &Path, folder: &Path) -> Result<PathBuf> {
    shell::say(&format!(
        "building the judge in {} (minutes the first time, seconds afterwards)",
        module.display()
    ));
    let binary = folder.join(format!("judge{}", std::env::consts::EXE_SUFFIX));
    shell::run(
        go(module)
            .args([
                "build",
                "-mod=readonly",
                "-trimpath",
                "-ldflags=-s -w",
                "-o",
            ])
            .arg(&binary)
            .arg("./judge"),
    )?;
    Ok(binary)
}

/// That the Go here is formatted.
pub fn check_format(module: &Path) -> Result<()> {
    let unformatted = shell::read(Command::new("gofmt").current_dir(module).args(["-l", "."]))?;
    ensure!(
        unformatted.is_empty(),
        "`gofmt -w` has not seen, in {}:\n{unformatted}",
        module.display()
    );
    Ok(())
}

/// That Go and Kubernetes' libraries say what `tables/` says they do.
pub fn check_tables(module: &Path) -> Result<()> {
    shell::run(go(module).args(["test", "-mod=readonly", "-trimpath", "./tables"]))
}

/// Istio's custom resource definitions, out of the same module.
pub fn definitions(module: &Path) -> Result<PathBuf> {
    let folder = shell::read(go(module).args([
        "list",
        "-mod=readonly",
        "-m",
        "-f",
        "{{.Dir}}",
        "istio.io/istio",
    ]))?;
    Ok(Path::new(folder.trim()).join("manifests/charts/base/files/crd-all.gen.yaml"))
}

/// The definition of Envoy Gateway's policy, out of its module, or why that is not here. Istio's judge is not built from it, so that
/// the judge's module does not know it, and its requirements do not become Istio's.
pub fn gateway_definition(scratch: &Path) -> Result<Result<PathBuf, String>> {
    let folder = download(scratch, GATEWAY.0, GATEWAY.1)?;
    Ok(folder.map(|folder| folder.join(GATEWAY_DEFINITION)))
}

/// The folder of a module that no `go.mod` here requires, with this sum, or why it is not here.
pub fn download(scratch: &Path, module: &str, sum: &str) -> Result<Result<PathBuf, String>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Downloaded {
        dir: Option<PathBuf>,
        sum: Option<String>,
        error: Option<String>,
    }
    let output = go(scratch)
        .args(["mod", "download", "-json", module])
        .output()
        .context("failed to start `go mod download`")?;
    let downloaded: Downloaded = serde_json::from_slice(&output.stdout).with_context(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("`go mod download {module}` says nothing: {said}")
    })?;
    if let Some(error) = downloaded.error {
        let Some(line) = unreachable(&error) else {
            bail!("`go mod download {module}` fails: {error}");
        };
        return Ok(Err(format!(
            "{module} is neither cached nor within reach: {line}"
        )));
    }
    ensure!(
        downloaded.sum.as_deref() == Some(sum),
        "{module} is another one than this was written for: its sum is {:?}, not {sum}",
        downloaded.sum
    );
    let folder = downloaded.dir.context("a module has a folder")?;
    Ok(Ok(folder))
}

/// Go in a folder, as it is installed: a newer one is not fetched.
fn go(folder: &Path) -> Command {
    let mut command = Command::new("go");
    command.current_dir(folder).env("GOTOOLCHAIN", "local");
    command
}

/// The `go` line of `go.mod`.
fn wanted_version(module: &Path) -> Result<String> {
    let path = module.join("go.mod");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("go "))
        .map(|version| version.trim().to_owned())
        .with_context(|| format!("{} does not say which Go it wants", path.display()))
}

/// `1.9.2` is older than `1.26.0`. What is no number counts as 0, as in `1.27rc1`.
fn older(found: &str, wanted: &str) -> bool {
    let numbers = |version: &str| -> Vec<u32> {
        version
            .split('.')
            .map(|part| {
                let digits = part.find(|c: char| !c.is_ascii_digit());
                part[..digits.unwrap_or(part.len())].parse().unwrap_or(0)
            })
            .chain([0, 0, 0])
            .take(3)
            .collect()
    };
    numbers(found) < numbers(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise one release admits a policy, and another says what becomes of it.
    #[test]
    fn envoy_gateway_version_matches_go_sum() {
        let (module, sum) = GATEWAY;
        let line = format!("{} {sum}\n", module.replace('@', " "));
        let sums = include_str!("../../../gateway/go.sum");
        assert!(sums.contains(&line), "tests/gateway/go.sum has no {line}");
    }

    #[test]
    fn go_versions_are_compared_as_numbers() {
        assert!(older("1.9.2", "1.26.0"));
        assert!(older("", "1.26.0"));
        assert!(!older("1.26.0", "1.26.0"));
        assert!(!older("1.26.8", "1.26.0"));
        assert!(!older("1.27rc1", "1.26.0"));
        assert!(!older("1.26.8-X:nodwarf5", "1.26.0"));
    }
}
