//! Go: checks whether it is installed with everything that the judge needs, and builds the judge.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use xtask::shell;

/// Parts of the messages of `go` for modules that are neither cached nor reachable. Any other message is a bug.
const UNREACHABLE: [&str; 5] = [
    "Get \"http",
    "reading http",
    "module lookup disabled",
    "unable to access",
    "executable file not found",
];

/// Envoy Gateway's module in the version that `tidegate manifest` supports, with its checksum in `tests/gateway/go.sum`.
const GATEWAY: (&str, &str) = (
    "github.com/envoyproxy/gateway@v1.9.1",
    "h1:vAVp6/AlBXJ1aOhp1mxL7fNEzVEfjADUguUhm2wzxQY=",
);

/// The path of the policy's CRD in the module.
const GATEWAY_DEFINITION: &str = "charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_envoyextensionpolicies.yaml";

/// Whether the judge can be built on this machine.
pub enum Readiness {
    /// The judge can be built.
    Ready,
    /// The judge cannot be built, for this reason.
    Lacking(String),
}

/// Checks for Go and for the judge's modules, and downloads the modules that are reachable.
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

/// Returns the line that reports an unreachable module, if there is one.
fn unreachable(said: &str) -> Option<&str> {
    let mut lines = said.lines();
    let line = lines.find(|line| UNREACHABLE.iter().any(|sign| line.contains(sign)));
    line.map(str::trim)
}

/// Builds the judge, using Go's build cache.
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

/// Checks that the Go code is formatted.
pub fn check_format(module: &Path) -> Result<()> {
    let unformatted = shell::read(Command::new("gofmt").current_dir(module).args(["-l", "."]))?;
    ensure!(
        unformatted.is_empty(),
        "`gofmt -w` has not seen, in {}:\n{unformatted}",
        module.display()
    );
    Ok(())
}

/// Checks that Go and Kubernetes' libraries return the results in `tables/`.
pub fn check_tables(module: &Path) -> Result<()> {
    shell::run(go(module).args(["test", "-mod=readonly", "-trimpath", "./tables"]))
}

/// Returns the path of Istio's CRDs, from the same module that the judge uses.
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

/// Returns the path of the CRD of Envoy Gateway's policy, or why it is not available. Its module is not a dependency of Istio's judge, so
/// that its requirements do not affect the versions of Istio's dependencies.
pub fn gateway_definition(scratch: &Path) -> Result<Result<PathBuf, String>> {
    let folder = download(scratch, GATEWAY.0, GATEWAY.1)?;
    Ok(folder.map(|folder| folder.join(GATEWAY_DEFINITION)))
}

/// Returns the directory of a module that no `go.mod` in this repository requires, with the given checksum, or why it is not available.
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
        format!("`go mod download {module}` printed no JSON: {said}")
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

/// Returns a `go` command for a directory. It uses the installed toolchain and does not download a newer one.
fn go(folder: &Path) -> Command {
    let mut command = Command::new("go");
    command.current_dir(folder).env("GOTOOLCHAIN", "local");
    command
}

/// Returns the version in the `go` line of `go.mod`.
fn wanted_version(module: &Path) -> Result<String> {
    let path = module.join("go.mod");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("go "))
        .map(|version| version.trim().to_owned())
        .with_context(|| format!("{} does not say which Go it wants", path.display()))
}

/// Compares two versions by number, so that `1.9.2` is older than `1.26.0`. Parts that are not numbers count as 0, as in `1.27rc1`.
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

    /// With different versions, one release would admit a policy and another would translate it.
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
