//! Runs the "Quickstart" section of README as a new user would.
//!
//! The commands are read from the page, so that the page cannot contain commands that do not work. They run in an empty directory, with a
//! separate home directory, without network, and with only the documented tools on PATH: rustup's toolchain, a C compiler for linking,
//! Python 3, and a shell. At the end, only the project and the cache directory may have been written. The target directory is kept, because
//! building all dependencies each time would take too long.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use xtask::workspace::Workspace;
use xtask::{http, shell};

const SECTION: &str = "## Quickstart";

/// The command on the page that installs `tidegate`. It has been run before.
const INSTALL: &str = "cargo install --locked --path host/cli";

/// The default address of `tidegate dev`.
const ADDRESS: &str = "127.0.0.1:8080";

/// The time limit for building a plugin and its dependencies on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A line of the page: a command, and the comment after `#`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line<'a> {
    command: &'a str,
    remark: &'a str,
}

/// A user at a terminal.
struct Newcomer {
    /// The current directory.
    folder: PathBuf,
    path: OsString,
    home: PathBuf,
    /// The directory for temporary files, which the linker needs.
    temporary: PathBuf,
    /// The directory of the crates that cargo has downloaded.
    cargo_home: PathBuf,
    rustup_home: PathBuf,
    /// The target directory, shared with the tests of the command line so that dependencies are not built again.
    target: PathBuf,
}

/// `tidegate dev` in another terminal. It is killed when dropped.
struct Dev {
    child: Child,
    lines: Receiver<String>,
    address: SocketAddr,
}

/// Runs the commands of the page with the `tidegate` that is installed in `bin`.
pub fn check(workspace: &Workspace, bin: &Path) -> Result<()> {
    shell::say("running the commands of README's Quickstart in an empty directory, offline");
    let page =
        fs::read_to_string(workspace.root.join("README.md")).context("failed to read README.md")?;
    let [first, second] = blocks(&page)?;
    let place = tempfile::tempdir().context("failed to create a temporary directory")?;
    let mut newcomer = Newcomer::new(place.path(), bin, workspace.target.join("tmp/authors"))?;

    let (&last, before) = first
        .split_last()
        .context("README's first block is empty")?;
    ensure!(
        before.first().is_some_and(|line| line.command == INSTALL),
        "README's first command is not `{INSTALL}`"
    );
    for line in &before[1..] {
        newcomer.run(line.command)?;
    }
    let dev = newcomer.dev(last.command)?;
    for line in &second {
        match line.command.strip_prefix("curl -i http://") {
            Some(url) => dev.ask(url, line.remark)?,
            None => newcomer.run(line.command)?,
        }
    }
    drop(dev);
    newcomer.left_nothing_behind(place.path())
}

/// The tools of a user with rustup, a C compiler and Python 3, and those that the page's commands use.
const TOOLS: [&str; 9] = [
    "as", "cargo", "cc", "ld", "python3", "rustc", "rustup", "sed", "sh",
];

/// Creates a directory with links to these tools on this machine.
fn offer(tools: &Path) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    for tool in TOOLS {
        let found = std::env::split_paths(&path)
            .map(|folder| folder.join(tool))
            .find(|file| file.is_file());
        let Some(found) = found else { continue };
        #[cfg(unix)]
        std::os::unix::fs::symlink(&found, tools.join(tool))
            .with_context(|| format!("failed to create a link to {}", found.display()))?;
        #[cfg(not(unix))]
        bail!(
            "cannot create a link to {} on this platform",
            found.display()
        );
    }
    Ok(())
}

/// The two `sh` blocks of the section.
fn blocks(page: &str) -> Result<[Vec<Line<'_>>; 2]> {
    let section = page
        .split_once(SECTION)
        .map(|(_, rest)| rest.split("\n## ").next().unwrap_or(rest))
        .with_context(|| format!("README has no section `{SECTION}`"))?;
    let blocks: Vec<Vec<Line<'_>>> = section
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .map(|block| block.lines().filter_map(Line::parse).collect())
        .collect();
    blocks
        .try_into()
        .ok()
        .context("README's section must have two `sh` blocks, one for each terminal")
}

// === impl Line ===

impl<'a> Line<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (command, remark) = text.split_once(" # ").unwrap_or((text, ""));
        let (command, remark) = (command.trim(), remark.trim());
        (!command.is_empty()).then_some(Self { command, remark })
    }
}

// === impl Newcomer ===

impl Newcomer {
    fn new(place: &Path, bin: &Path, target: PathBuf) -> Result<Self> {
        let old_home = std::env::home_dir().context("failed to determine the home directory")?;
        let named = |name: &str, below: &str| {
            std::env::var_os(name).map_or_else(|| old_home.join(below), PathBuf::from)
        };
        let (folder, home) = (place.join("work"), place.join("home"));
        fs::create_dir(&folder)?;
        fs::create_dir(&home)?;
        let temporary = place.join("temporary");
        fs::create_dir(&temporary)?;
        let tools = place.join("tools");
        fs::create_dir(&tools)?;
        offer(&tools)?;
        Ok(Self {
            folder,
            path: std::env::join_paths([bin, &tools]).context("failed to build PATH")?,
            home,
            temporary,
            cargo_home: named("CARGO_HOME", ".cargo"),
            rustup_home: named("RUSTUP_HOME", ".rustup"),
            target,
        })
    }

    /// Runs a line. `cd` affects the following lines.
    fn run(&mut self, command: &str) -> Result<()> {
        eprintln!("$ {command}");
        for part in command.split(" && ") {
            match part.strip_prefix("cd ") {
                Some(folder) => self.folder = self.folder.join(folder.trim()),
                None => {
                    let status = self
                        .shell(part)
                        .status()
                        .with_context(|| format!("failed to start `{part}`"))?;
                    ensure!(status.success(), "README's `{part}` ended with {status}");
                }
            }
        }
        Ok(())
    }

    fn dev(&self, command: &str) -> Result<Dev> {
        ensure!(
            command == "tidegate dev",
            "README's first block does not end with `tidegate dev`"
        );
        // The only difference from the page: the port, which may be in use on this machine.
        let command = format!("exec {command} --listen 127.0.0.1:0");
        eprintln!("$ {command}");
        let mut child = self
            .shell(&command)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start `{command}`"))?;
        let stdout = child
            .stdout
            .take()
            .context("`tidegate dev` has no standard output")?;
        let (found, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                println!("{line}");
                // The receiver is dropped at the end of the test.
                _ = found.send(line);
            }
        });
        let mut dev = Dev {
            child,
            lines,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        dev.address = dev.listening()?;
        Ok(dev)
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .current_dir(&self.folder)
            .env("PATH", &self.path)
            .env("HOME", &self.home)
            .env("TMPDIR", &self.temporary)
            .env("CARGO_HOME", &self.cargo_home)
            .env("RUSTUP_HOME", &self.rustup_home)
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TARGET_DIR", &self.target)
            .stdin(Stdio::null());
        // Settings of this process do not apply to a project elsewhere.
        for name in [
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTFLAGS",
            "XDG_CACHE_HOME",
            "TIDEGATE_CACHE",
        ] {
            shell.env_remove(name);
        }
        shell
    }

    /// Checks that only the project and the cache directory were written.
    fn left_nothing_behind(&self, place: &Path) -> Result<()> {
        let project = self
            .folder
            .file_name()
            .context("failed to determine the project directory")?
            .to_owned();
        ensure!(
            names(&place.join("work"))? == [project],
            "files outside the project were written"
        );
        let temporary = names(&self.temporary)?;
        ensure!(
            temporary.is_empty(),
            "temporary files were not removed: {temporary:?}"
        );
        let mut strays = names(&self.home)?;
        if let Some(at) = strays
            .iter()
            .position(|name| name == ".cache" || name == "Library")
        {
            let cache = self.home.join(strays.swap_remove(at));
            let cache = if cache.ends_with("Library") {
                cache.join("Caches")
            } else {
                cache
            };
            strays.extend(names(&cache)?.into_iter().filter(|name| name != "tidegate"));
        }
        ensure!(
            strays.is_empty(),
            "files were written to the home directory: {strays:?}"
        );
        Ok(())
    }
}

fn names(folder: &Path) -> Result<Vec<OsString>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.file_name())).collect()
}

// === impl Dev ===

impl Dev {
    fn listening(&mut self) -> Result<SocketAddr> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    let address = line
                        .split_whitespace()
                        .find_map(|word| word.strip_prefix("http://")?.parse().ok());
                    if let Some(address) = address {
                        return Ok(address);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("`tidegate dev` is not listening after {PATIENCE:?}")
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("`tidegate dev` ended with {}", self.child.wait()?)
                }
            }
        }
    }

    /// Repeats `curl -i` until the response has the header that the page shows, because the change is built first. No request may fail.
    fn ask(&self, url: &str, header: &str) -> Result<()> {
        let path = url.strip_prefix(ADDRESS).with_context(|| {
            format!("README sends a request to `{url}`, but `tidegate dev` listens on {ADDRESS}")
        })?;
        let (name, value) = header.split_once(": ").with_context(|| {
            format!("README does not state the header that `curl -i http://{url}` prints")
        })?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = http::get(self.address, path)?;
            ensure!(answer.status == 200, "GET {path} -> {}", answer.status);
            if answer.values(name).eq([value]) {
                println!("GET {path} -> 200, {name}: {value}");
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "README states `{header}`, but the values of {name} are {:?}",
                answer.values(name).collect::<Vec<_>>()
            );
            // Only the response shows that the new version is served.
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // This fails if the process has already exited.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quickstart_is_parsed_as_two_shell_blocks() {
        let page = "# T\n## Quickstart\ntext\n```sh\na b   # why\n\ncd c && d\n```\nthen\n```sh\ncurl -i http://x/ # n: v\n```\n## Next\n```sh\nno\n```\n";
        let [first, second] = blocks(page).expect("section should have two blocks");
        let line = |command, remark| Line { command, remark };
        assert_eq!(first, [line("a b", "why"), line("cd c && d", "")]);
        assert_eq!(second, [line("curl -i http://x/", "n: v")]);
        assert!(blocks("## Quickstart\n```sh\na\n```\n").is_err());
        assert!(blocks("nothing").is_err());
    }
}
