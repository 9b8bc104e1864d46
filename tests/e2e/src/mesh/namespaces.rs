//! Isolates the processes in separate namespaces, with `unshare` from util-linux.
//!
//! In a network namespace, every port is free, and nothing listens on the machine's own addresses. In a mount namespace, each proxy has its
//! own `/var/lib`, in which Istio's agent stores modules. A process namespace ends with its first process, which is this program: the
//! kernel then kills all processes in it. In a user namespace, none of this requires root, if the system allows users to create one.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use xtask::shell;

/// The path of the shared directory in the namespaces, see [`run_inside`].
pub const SHARED: &str = "/mnt";

/// Returns an error if the namespaces cannot be created.
pub fn require() -> Result<()> {
    shell::read(unshare().args(["ip", "link", "set", "lo", "up"])).context(
        "failed to create namespaces: run as root, or permit users to create namespaces (in a container: CAP_SYS_ADMIN)",
    )?;
    Ok(())
}

/// Runs a program in the namespaces. A directory is mounted at a path that does not depend on the machine.
pub fn run_inside(program: &Path, arguments: &[&str], shared: &Path) -> Result<()> {
    let status = unshare()
        // The loopback interface of a new network namespace is down.
        .args(["bash", "-c"])
        .arg(format!(
            "ip link set lo up && mount --bind \"$0\" {SHARED} && exec \"$@\""
        ))
        .arg(shared)
        .arg(program)
        .args(arguments)
        .status()
        .context("failed to start unshare")?;
    match status.code() {
        Some(0) => Ok(()),
        // The program has already printed the reason.
        Some(_) => bail!("the mesh failed; the logs are in target/mesh/log"),
        None => bail!("the mesh ended with {status}"),
    }
}

/// The user namespace is created first, because it permits the others. With `setpriv`, the second `unshare` is killed if this program ends
/// first; that in turn kills its child, the first process of the process namespace.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--"])
        .args(["setpriv", "--pdeathsig", "KILL", "--"])
        .args([
            "unshare",
            "--mount",
            "--net",
            "--pid",
            "--mount-proc",
            "--fork",
            "--kill-child=KILL",
            "--",
        ]);
    command
}
