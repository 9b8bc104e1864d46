//! Helpers for tests of `push`, `pull` and `check`: the tool without the user's Docker configuration, and registries.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::binary;
use crate::tool::Done;

#[expect(
    dead_code,
    unused_imports,
    reason = "the library's tests need more of it"
)]
#[path = "../../../../oci/tests/oci/registries/mod.rs"]
pub mod registries;

/// Starts the tool with a Docker configuration of the test, or none, and with input.
pub fn start<S: AsRef<OsStr>>(
    args: impl IntoIterator<Item = S>,
    docker: Option<&Path>,
    stdin: &[u8],
) -> Child {
    let nowhere = Path::new(env!("CARGO_MANIFEST_DIR")).join("no-docker-here");
    let mut child = Command::new(binary::path())
        .args(args)
        .env("DOCKER_CONFIG", docker.unwrap_or(&nowhere))
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool");
    // The input fits in a pipe. The tool need not read it.
    let _ = child.stdin.take().expect("a stdin").write_all(stdin);
    child
}

/// Runs the tool until it exits.
pub fn run<S: AsRef<OsStr>>(
    args: impl IntoIterator<Item = S>,
    docker: Option<&Path>,
    stdin: &[u8],
) -> Done {
    let output = start(args, docker, stdin)
        .wait_with_output()
        .expect("the tool's output");
    Done {
        status: output.status,
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).expect("messages in UTF-8"),
    }
}

/// Runs the tool without configuration and input.
pub fn ship<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Done {
    run(args, None, b"")
}
