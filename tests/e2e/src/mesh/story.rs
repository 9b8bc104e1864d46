//! Runs steps: commands as a user types them, and requests that are repeated until the responses are as expected. Everything is recorded in
//! the transcript. The steps are in `tutorial` and `symptoms`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::control_plane::{ControlPlane, REGISTRY};
use super::namespaces::SHARED;
use super::parts::{self, Parts};
use super::process::eventually;
use super::proxies::{self, GATEWAY, Proxy, SIDECAR, Workload};
use super::transcript::Transcript;
use xtask::http::{self, Answer};

/// The maximum time until an applied change takes effect.
pub const SHOWS_WITHIN: Duration = Duration::from_secs(30);

/// The headers that the plugins set. A response must have the headers that a step lists, and no others of these.
const WATCHED: [&str; 4] = ["who-am-i", "injected-by", "powered-by", "seen-by"];

/// The title of a step, and the function that runs it.
pub type Step = (&'static str, fn(&mut Story) -> Result<()>);

/// The mesh, and the state of the run.
pub struct Story<'a> {
    pub parts: &'a Parts,
    pub plane: &'a ControlPlane,
    pub gateway: Proxy,
    pub sidecar: Proxy,
    transcript: Transcript,
    steps: usize,
    /// The directory in which commands are run.
    folder: PathBuf,
    /// The pinned references of the pushed components.
    pinned: BTreeMap<String, String>,
}

// === impl Story ===

impl<'a> Story<'a> {
    /// Starts the workloads.
    pub fn begin(parts: &'a Parts, plane: &'a ControlPlane) -> Result<Story<'a>> {
        proxies::start_application()?;
        let folder = PathBuf::from(SHARED);
        for plugin in [
            "istio-tutorial.wasm",
            "headers.wasm",
            "probe.wasm",
            "ext-auth.wasm",
            "rate-limit.wasm",
        ] {
            parts::copy(&parts.plugins.join(plugin), &folder.join(plugin))?;
        }
        Ok(Story {
            gateway: Proxy::start(&GATEWAY, parts, plane)?,
            sidecar: Proxy::start(&SIDECAR, parts, plane)?,
            parts,
            plane,
            transcript: Transcript::begin(parts.folder.join("transcript.md")),
            steps: 0,
            folder,
            pinned: BTreeMap::new(),
        })
    }

    /// Runs the steps.
    pub fn tell(&mut self, steps: &[Step]) -> Result<()> {
        for (title, step) in steps {
            self.steps += 1;
            self.transcript.step(self.steps, title)?;
            step(self).with_context(|| format!("step `{title}` failed"))?;
        }
        Ok(())
    }

    /// Completes the transcript and returns it.
    pub fn end(self) -> Result<String> {
        self.transcript.end()
    }

    /// Runs a line as typed into a shell, with `tidegate` and `kubectl` on the PATH, and returns its output.
    pub fn shell(&mut self, line: &str) -> Result<String> {
        let (status, said) = self.run(line)?;
        ensure!(status.success(), "`{line}` ended with {status}");
        Ok(said)
    }

    /// Runs a command that must succeed and print the given warning.
    pub fn warned(&mut self, line: &str, of: &str) -> Result<()> {
        let said = self.shell(line)?;
        ensure!(
            said.contains(of),
            "`{line}` should print the warning `{of}`"
        );
        Ok(())
    }

    /// Runs a command that must fail with the given reason.
    pub fn refused(&mut self, line: &str, reason: &str) -> Result<()> {
        self.fails(line, 1, reason)
    }

    /// Runs a command that must fail because something does not exist in the registry.
    pub fn lacks(&mut self, line: &str, reason: &str) -> Result<()> {
        self.fails(line, 3, reason)
    }

    fn fails(&mut self, line: &str, code: i32, reason: &str) -> Result<()> {
        let (status, said) = self.run(line)?;
        ensure!(
            status.code() == Some(code),
            "`{line}` ended with {status}, expected {code}"
        );
        ensure!(
            said.contains(reason),
            "`{line}` should print the reason `{reason}`"
        );
        Ok(())
    }

    fn run(&mut self, line: &str) -> Result<(ExitStatus, String)> {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", self.parts.bin.display());
        let mut bash = Command::new("bash");
        bash.current_dir(&self.folder)
            .env("PATH", path)
            .args(["-o", "pipefail", "-c", line]);
        let output = self
            .plane
            .environment(&mut bash)
            .output()
            .context("failed to start bash")?;
        // Notes on standard error are printed while a command runs; its result is printed last.
        let said = [output.stderr.as_slice(), &output.stdout].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        self.transcript.console(&format!("$ {line}\n{said}"))?;
        Ok((output.status, said))
    }

    /// Adds a note to the transcript.
    pub fn note(&mut self, text: &str) -> Result<()> {
        self.transcript.console(&format!("# {text}"))
    }

    /// Adds the description of what was done before the run.
    pub fn told(&mut self, text: &str) -> Result<()> {
        self.transcript.console(text)
    }

    /// Returns the path of a file in the directory in which commands are run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file for a command, and adds it to the transcript.
    pub fn file(&mut self, name: &str, contents: &str) -> Result<()> {
        parts::write(&self.folder.join(name), contents)?;
        self.transcript
            .console(&format!("$ cat {name}\n{contents}"))
    }

    /// Sends one request per expected response, and repeats all of them until the responses are as expected.
    pub fn until(&mut self, workload: &Workload, expected: &[&str]) -> Result<()> {
        let exchanges: Vec<_> = expected.iter().map(|answer| ("/get", *answer)).collect();
        self.until_all(workload, &exchanges)
    }

    /// The same, with a path for each request.
    pub fn until_all(&mut self, workload: &Workload, exchanges: &[(&str, &str)]) -> Result<()> {
        let address = workload.address;
        eventually(SHOWS_WITHIN, || {
            let answers = exchanges
                .iter()
                .map(|(path, _)| http::get(address, path).map(|answer| show(&answer)))
                .collect::<Result<Vec<_>>>()?;
            let expected: Vec<_> = exchanges.iter().map(|(_, answer)| *answer).collect();
            ensure!(
                answers == expected,
                "the {} responded with\n{}\nexpected\n{}",
                workload.name,
                answers.join("\n"),
                expected.join("\n")
            );
            Ok(())
        })?;
        for (number, (path, answer)) in (1..).zip(exchanges) {
            self.transcript
                .console(&format!("{number}. GET http://{address}{path} -> {answer}"))?;
        }
        Ok(())
    }

    /// Pushes a component, and stores its pinned reference.
    pub fn push(&mut self, component: &str, image: &str) -> Result<()> {
        let said = self.shell(&format!(
            "tidegate push {component} oci://{REGISTRY}/{image}"
        ))?;
        let pinned = said
            .split_whitespace()
            .find(|word| word.starts_with("oci://") && word.contains("@sha256:"))
            .with_context(|| format!("push printed no pinned reference of {component}"))?;
        self.pinned.insert(component.to_owned(), pinned.to_owned());
        Ok(())
    }

    /// Applies the output of `tidegate manifest` for a plugin that was pushed.
    pub fn apply(&mut self, kind: &str, plugin: &str, flags: &str) -> Result<()> {
        let component = plugin.split('=').next().unwrap_or(plugin);
        let pinned = self
            .pinned
            .get(component)
            .with_context(|| format!("{component} was not pushed"))?;
        self.shell(&format!(
            "tidegate manifest {kind} {plugin} --url {pinned} {flags} | kubectl apply -f -"
        ))?;
        Ok(())
    }
}

/// Formats a response for the transcript: status, watched headers, body.
fn show(answer: &Answer) -> String {
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| WATCHED.contains(&name.as_str()))
        .map(|(name, value)| format!("\n   {name}: {value}"));
    let body = answer.body.trim_end();
    let body = if body.is_empty() {
        String::new()
    } else {
        format!("\n   {body}")
    };
    format!("{}{}{body}", answer.status, headers.collect::<String>())
}
