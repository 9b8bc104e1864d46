//! Runs the command-line tool like a user, with only the given credentials.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use xtask::workspace::Workspace;

/// The command-line tool, and the Docker configuration that it uses.
pub struct Tidegate {
    binary: PathBuf,
    docker_config: PathBuf,
}

/// The result of a command.
pub struct Outcome {
    /// Whether the exit code was 0.
    pub succeeded: bool,
    /// The standard output.
    pub stdout: String,
    /// The standard error, without colors.
    pub stderr: String,
}

/// A finding of `check`.
#[derive(Deserialize)]
pub struct Finding {
    /// The file.
    #[serde(rename = "input")]
    pub file: String,
    /// The line in the file, numbered from 1.
    pub line: usize,
    /// `error` or `warning`.
    pub severity: String,
    /// The rule's name.
    pub rule: String,
    /// The path of the field.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

// === impl Tidegate ===

impl Tidegate {
    /// Copies the dev build, which must be up to date. It is copied because cargo may rebuild it in the meantime.
    pub fn new(workspace: &Workspace, scratch: &Path) -> Result<Tidegate> {
        let built = workspace.dev_binary("tidegate");
        let binary = scratch.join(built.file_name().unwrap_or_default());
        fs::copy(&built, &binary).with_context(|| format!("failed to copy {}", built.display()))?;
        Ok(Tidegate {
            binary,
            docker_config: scratch.join("no-docker-config"),
        })
    }

    /// Returns a command without arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .env("DOCKER_CONFIG", &self.docker_config)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command and waits for it.
    pub fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        self.outcome(self.command().args(arguments))
    }

    /// Returns the findings of `check` in manifests. Its exit code contains no further information.
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
            .with_context(|| format!("`tidegate check` printed no report: {}", outcome.stderr))?;
        let failed = report
            .findings
            .iter()
            .any(|finding| finding.severity == "error");
        ensure!(
            failed != outcome.succeeded,
            "the exit code of `tidegate check` does not match its findings: {}",
            outcome.stderr
        );
        Ok(report.findings)
    }

    /// Runs a command with credentials as options.
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
        let mut stdin = child
            .stdin
            .take()
            .context("tidegate has no standard input")?;
        // If the tool has already rejected its arguments, it does not read the password, and reports the reason itself.
        _ = stdin.write_all(password.as_bytes());
        drop(stdin);
        Outcome::of(
            child
                .wait_with_output()
                .context("failed to wait for tidegate")?,
        )
    }

    /// Runs a command with credentials in Docker's configuration file.
    pub fn run_with_docker_config(&self, arguments: &[&str], config: &str) -> Result<Outcome> {
        let folder = tempfile::tempdir().context("failed to create a temporary directory")?;
        fs::write(folder.path().join("config.json"), config)
            .context("failed to write docker's file")?;
        self.outcome(
            self.command()
                .args(arguments)
                .env("DOCKER_CONFIG", folder.path()),
        )
    }

    /// Runs a prepared command and waits for it.
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
                .context("the output of tidegate is not UTF-8")?,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}
