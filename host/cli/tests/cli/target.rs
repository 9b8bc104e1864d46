//! `tidegate build` with a toolchain that lacks the WebAssembly target: when it installs the target, and when it prompts.
//!
//! A script replaces rustup, which would download the target. A script wraps rustc, and reports the target as missing until it has been
//! added.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use crate::author::target;
use crate::binary;
use crate::tool::{Folder, PATIENCE, text, tidegate};

/// A plugin, and a toolchain that lacks the target.
struct Lacking {
    folder: Folder,
    plugin: PathBuf,
}

/// The exit status of `tidegate build` on a terminal, and the output.
struct Shown {
    code: Option<i32>,
    screen: String,
}

/// Runs a command on a terminal that is connected to standard input and output.
const TERMINAL: &str =
    "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

const QUESTION: &str = "Add it with rustup? [Y/n] ";

impl Lacking {
    fn new() -> Self {
        let folder = Folder::new();
        let plugin = folder.path("greeter");
        tidegate(["new", &text(&plugin)]).succeeds();
        fs::create_dir(folder.path("bin")).expect("a folder");
        script(
            &folder.path("bin/rustup"),
            "if [ \"$1\" = --version ]; then exit; fi\n\
             echo \"$@\" >> asked\n\
             if [ -e refuse ]; then exit 7; fi\n\
             touch added\n",
        );
        script(
            &folder.path("bin/rustc-behind"),
            "if [ \"$1 $2\" = '--print target-libdir' ] && [ ! -e added ]; then echo /nowhere; exit; fi\n\
             cd \"$here\"\nexec rustc \"$@\"\n",
        );
        Self { folder, plugin }
    }

    fn build(&self, args: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(binary::path());
        command
            .arg("build")
            .args(args)
            .current_dir(&self.plugin)
            .env(
                "PATH",
                format!("{}:{path}", self.folder.path("bin").display()),
            )
            .env("RUSTC", self.folder.path("bin/rustc-behind"))
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TARGET_DIR", target())
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTFLAGS")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null());
        command
    }

    /// The arguments with which rustup was called.
    fn asked(&self) -> String {
        fs::read_to_string(self.folder.path("bin/asked")).unwrap_or_default()
    }

    /// Builds on a terminal, and types this text after the prompt.
    fn typed(&self, answer: &str) -> Shown {
        let build = self.build(&[]);
        let mut command = Command::new("python3");
        command
            .args(["-c", TERMINAL])
            .arg(build.get_program())
            .args(build.get_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(folder) = build.get_current_dir() {
            command.current_dir(folder);
        }
        for (name, value) in build.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut child = command.spawn().expect("Python 3");

        let mut output = child.stdout.take().expect("what the terminal shows");
        let mut input = child.stdin.take().expect("its keyboard");
        let answer = answer.to_owned();
        let (send, screen) = channel();
        std::thread::spawn(move || {
            let (mut screen, mut piece, mut answered) = (Vec::new(), [0; 1024], false);
            while let Ok(count @ 1..) = output.read(&mut piece) {
                screen.extend_from_slice(&piece[..count]);
                let asked = String::from_utf8_lossy(&screen).contains(QUESTION);
                if asked && !answered {
                    answered = true;
                    input
                        .write_all(answer.as_bytes())
                        .expect("a key that is heard");
                }
            }
            // The receiver may have been dropped.
            let _ = send.send(String::from_utf8_lossy(&screen).into_owned());
        });
        let screen = screen.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            child.kill().expect("a tool that can be stopped");
            panic!("the tool did not end");
        });
        Shown {
            code: child.wait().expect("the tool").code(),
            screen,
        }
    }
}

/// A script that runs in its directory.
fn script(path: &Path, text: &str) {
    let text = format!("#!/bin/sh\nhere=$(pwd)\ncd \"$(dirname \"$0\")\"\n{text}");
    fs::write(path, text).expect("a script");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a script that runs");
}

/// The expected arguments of rustup.
const ADD: &str = "target add wasm32-wasip2\n";

#[test]
fn target_is_added_without_a_terminal_only_with_yes() {
    let lacking = Lacking::new();
    let output = lacking.build(&[]).output().expect("the tool");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("`rustup target add wasm32-wasip2`, or pass `--yes`"),
        "{error}"
    );
    assert_eq!(lacking.asked(), "");

    let output = lacking.build(&["--yes"]).output().expect("the tool");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert!(
        error.contains("adding wasm32-wasip2 to the Rust toolchain"),
        "{error}"
    );
    assert_eq!(lacking.asked(), ADD);

    // Once the target is installed, there is no prompt.
    let again = lacking.build(&["--yes"]).output().expect("the tool");
    assert!(again.status.success());
    assert_eq!(lacking.asked(), ADD);
}

#[test]
fn rustup_failure_is_reported() {
    let lacking = Lacking::new();
    lacking.folder.file("bin/refuse", "");
    let output = lacking.build(&["--yes"]).output().expect("the tool");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains(&format!(
            "`rustup target add {}` ended with exit status: 7",
            "wasm32-wasip2"
        )),
        "{error}"
    );
}

#[test]
fn build_asks_before_adding_target_on_a_terminal() {
    let lacking = Lacking::new();
    // The end of the input is not consent.
    for no in ["n\n", "no\n", "what?\n", "\u{4}"] {
        let Shown { code, screen } = lacking.typed(no);
        assert_eq!(code, Some(1), "{no:?}: {screen}");
        assert!(screen.contains("or pass `--yes`"), "{no:?}: {screen}");
        assert_eq!(lacking.asked(), "", "{no:?}");
    }
    let Shown { code, screen } = lacking.typed("\n");
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("greeter"), "{screen}");
    assert_eq!(lacking.asked(), ADD);
}
