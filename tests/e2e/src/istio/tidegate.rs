//! Runs the command-line tool like a user, with only the given credentials.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use xtask::workspace::Workspace;

/// Where it is, and what it sees of the machine.
pub struct Tidegate {
    binary: PathBuf,
    docker_config: PathBuf,
}

/// What a command of it came to.
pub struct Outcome {
    /// Whether its exit code was 0.
    pub succeeded: bool,
    /// What it printed.
    pub stdout: String,
    /// What it said, without colours.
    pub stderr: String,
}

/// What `validate` says to a document.
#[derive(Deserialize)]
pub struct Finding {
    /// Where it is.
    #[serde(rename = "input")]
    pub file: String,
    /// Where in the file, counted from 1.
    pub line: usize,
    /// `error` or `warning`.
    pub severity: String,
    /// The rule's name.
    pub rule: String,
    /// As people write it.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

// === impl Tidegate ===

impl Tidegate {
    /// A copy of the dev build, which has to be up to date: cargo may build another at the same time.
    pub fn new(workspace: &Workspace, scratch: &Path) -> Result<Tidegate> {
        let built = workspace.dev_binary("tidegate");
        let binary = scratch.join(built.file_name().unwrap_or_default());
        fs::copy(&built, &binary).with_context(|| format!("failed to copy {}", built.display()))?;
        Ok(Tidegate {
            binary,
            docker_config: scratch.join("no-docker-config"),
        })
    }

    /// To be given arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .env("DOCKER_CONFIG", &self.docker_config)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        self.outcome(self.command().args(arguments))
    }

    /// What `check` finds in manifests. Its exit code says no more than the findings do.
    pub fn validate(&self, arguments: &[&str]) -> Result<Vec<Finding>> {
        #[derive(Deserialize)]
        struct Report {
            findings: Vec<Finding>,
        }
        let outcome = self.outcome(
            self.command()
                .args(["check", "--format", "json"])
                .args(arguments),
        )?;
        let report: Report = serde_json::from_str(&outcome.stdout)
            .with_context(|| format!("`tidegate check` reports nothing: {}", outcome.stderr))?;
        let failed = report
            .findings
            .iter()
            .any(|finding| finding.severity == "error");
        ensure!(
            failed != outcome.succeeded,
            "the exit code of `tidegate check` is not about its findings: {}",
            outcome.stderr
        );
        Ok(report.findings)
    }

    /// Runs it with credentials as options.
    pub fn run_as(&self, arguments: &[&str], who: Option<(&str, &str)>) -> Result<Outcome> {
        let mut command = self.command();
        command.args(arguments);
        let Some((user, password)) = who else {
            return self.outcome(&mut command);
        };
        let mut child = command
            .args(["--username", user, "--password-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start {}", self.binary.display()))?;
        let mut stdin = child.stdin.take().context("tidegate has no input")?;
        // It may have refused its arguments already, and then says so.
        _ = stdin.write_all(password.as_bytes());
        drop(stdin);
        Outcome::of(
            child
                .wait_with_output()
                .context("failed to wait for tidegate")?,
        )
    }

    /// Runs it with credentials where docker keeps them.
    pub fn run_with_docker_config(&self, arguments: &[&str], config: &str) -> Result<Outcome> {
        let folder = tempfile::tempdir().context("failed to make a folder")?;
        fs::write(folder.path().join("config.json"), config)
            .context("failed to write docker's file")?;
        self.outcome(
            self.command()
                .args(arguments)
                .env("DOCKER_CONFIG", folder.path()),
        )
    }

    /// Runs a command of it to its end.
    pub fn outcome(&self, command: &mut Command) -> Result<Outcome> {
        Outcome::of(
            command
                .output()
                .with_context(|| format!("failed to start {}", self.binary.display()))?,
        )
    }
}

// === impl Outcome ===

impl Outcome {
    fn of(output: Output) -> Result<Outcome> {
        Ok(Outcome {
            succeeded: output.status.success(),
            stdout: String::from_utf8(output.stdout)
                .context("tidegate prints what is not UTF-8")?,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}
