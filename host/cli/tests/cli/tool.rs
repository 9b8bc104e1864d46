//! Runs the tool, and creates its input files.

use crate::binary;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The time limit of every wait.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A small Proxy-Wasm module: it adds `x-plugin: here` to responses, and logs its configuration and the ends of bodies.
const MODULE: &str = r#"(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $read (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 16) "x-pluginherelast piece")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 65536)
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $read (i32.const 7) (i32.const 0) (local.get 1) (i32.const 0) (i32.const 4)))
    (drop (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4))))
    i32.const 1)
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (drop (call $add (i32.const 2) (i32.const 16) (i32.const 8) (i32.const 24) (i32.const 4)))
    i32.const 0)
  (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
    (if (local.get 2) (then (drop (call $log (i32.const 2) (i32.const 28) (i32.const 10)))))
    i32.const 0))"#;

/// The result of running the tool.
pub struct Done {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// A running `tidegate run`.
pub struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: Receiver<String>,
}

/// A `tidegate run` that is ready to serve.
pub struct Serving {
    running: Running,
    /// The lines before the address.
    pub introduction: Vec<String>,
    pub address: SocketAddr,
}

/// A temporary directory.
pub struct Folder(tempfile::TempDir);

pub fn tidegate<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Done {
    tidegate_with(args, b"")
}

/// Runs the tool with this input.
pub fn tidegate_with<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>, stdin: &[u8]) -> Done {
    let mut child = command(args)
        .stdin(Stdio::piped())
        .spawn()
        .expect("the tool");
    let pipe = child.stdin.take().expect("a stdin");
    let stdin = stdin.to_vec();
    let feeding = std::thread::spawn(move || feed(pipe, &stdin));
    let output = child.wait_with_output().expect("the tool's output");
    feeding.join().expect("a stdin that was fed");
    Done {
        status: output.status,
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).expect("messages in UTF-8"),
    }
}

fn feed(mut pipe: ChildStdin, bytes: &[u8]) {
    // The tool may close its stdin without reading it.
    let _ = pipe.write_all(bytes);
}

fn command<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(binary::path());
    command
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env_remove("RUST_BACKTRACE");
    command
}

/// Starts `tidegate run` on a free port.
pub fn start<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Running {
    let mut command = command(["run", "--listen", "127.0.0.1:0"]);
    command.args(args);
    launch(command)
}

/// Starts a command that serves.
pub fn launch(mut command: Command) -> Running {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .expect("the tool");
    let stdout = BufReader::new(child.stdout.take().expect("a stdout"));
    let stderr = lines(child.stderr.take().expect("a stderr"));
    Running {
        child,
        stdout,
        stderr,
    }
}

/// Runs `tidegate run` on a free port until it is ready.
pub fn serve<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Serving {
    start(args).ready()
}

fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            // The receiver may have been dropped.
            let _ = sender.send(line);
        }
    });
    receiver
}

impl Done {
    /// Asserts that the tool failed because of its input: exit code 1, one line on stderr that contains all of these parts, and nothing
    /// on stdout.
    #[track_caller]
    pub fn fails_with(&self, parts: &[&str]) {
        self.ends_with(1, parts);
    }

    /// The same with exit code 3: because of a file, the network or a missing program.
    #[track_caller]
    pub fn lacks(&self, parts: &[&str]) {
        self.ends_with(3, parts);
    }

    #[track_caller]
    fn ends_with(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.status.code(), Some(code), "{}", self.stderr);
        assert!(self.stdout.is_empty());
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "expected `{part}` in: {}",
                self.stderr
            );
        }
    }

    /// Asserts that the arguments are invalid: exit code 2, and this part on stderr.
    #[track_caller]
    pub fn misses(&self, part: &str) {
        assert_eq!(self.status.code(), Some(2), "{}", self.stderr);
        assert!(
            self.stderr.contains(part),
            "expected `{part}` in: {}",
            self.stderr
        );
    }

    #[track_caller]
    pub fn succeeds(&self) -> &[u8] {
        assert!(self.status.success(), "{}", self.stderr);
        &self.stdout
    }
}

impl Serving {
    /// A response to `GET PATH`, head and body.
    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a read timeout");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
        )
        .expect("a request");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response");
        response
    }

    /// Waits until it exits.
    pub fn end(self) -> ExitStatus {
        self.running.end()
    }
}

impl Deref for Serving {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl Running {
    /// Waits for the next line on stderr.
    #[track_caller]
    pub fn line(&self) -> String {
        self.stderr
            .recv_timeout(PATIENCE)
            .expect("a line on stderr")
    }

    /// Waits until it is ready.
    pub fn ready(mut self) -> Serving {
        let mut introduction = Vec::new();
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line).expect("a line") == 0 {
                let said: Vec<_> = self.stderr.iter().collect();
                panic!("the tool ended before it was ready: {said:?}");
            }
            if let Some(address) = line.trim_end().strip_prefix("listening on http://") {
                let address = address.parse().expect("an address");
                return Serving {
                    running: self,
                    introduction,
                    address,
                };
            }
            introduction.push(line.trim_end().to_owned());
        }
    }

    /// Waits for a line on stderr.
    #[track_caller]
    pub fn says(&self, part: &str) {
        self.says_within(PATIENCE, part);
    }

    /// Waits for a line on stderr, and returns all lines up to it.
    #[track_caller]
    pub fn says_within(&self, patience: Duration, part: &str) -> Vec<String> {
        let begun = Instant::now();
        let mut said = Vec::new();
        while let Some(left) = patience.checked_sub(begun.elapsed()) {
            match self.stderr.recv_timeout(left) {
                Ok(line) if line.contains(part) => {
                    said.push(line);
                    return said;
                }
                Ok(line) => said.push(line),
                Err(_) => break,
            }
        }
        panic!("expected `{part}` on stderr, which has {said:?}");
    }

    /// Sends a signal as a shell or a supervisor would.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status();
        assert!(sent.expect("the command `kill`").success());
    }

    /// Waits until it exits.
    pub fn end(mut self) -> ExitStatus {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("a status") {
                return status;
            }
            std::thread::yield_now();
        }
        panic!("it does not end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // This fails if the process has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file to the directory, and returns its path as an argument.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("a file");
        text(&path)
    }

    /// Writes the Proxy-Wasm module to the directory.
    pub fn module(&self, name: &str) -> String {
        self.file(name, module())
    }

    /// The names of the files in the directory.
    pub fn names(&self) -> Vec<String> {
        names(self.0.path())
    }
}

/// The names of the files in a directory, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder");
    let mut names: Vec<_> = entries
        .map(|entry| {
            let name = entry.expect("an entry").file_name();
            name.to_string_lossy().into_owned()
        })
        .collect();
    names.sort();
    names
}

/// The module as bytes.
pub fn module() -> Vec<u8> {
    wat::parse_str(MODULE).expect("a module")
}

/// A component of the contract's world `all`. Its functions have the right types, and trap.
pub fn component() -> Vec<u8> {
    component_of("package cli:test; world plugin { include tidegate:proxy/all@0.1.0; }")
}

/// A component of the only world in this WIT. Its functions have the right types, and trap.
pub fn component_of(wit: &str) -> Vec<u8> {
    use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
    use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

    let mut resolve = Resolve {
        all_features: true,
        ..Resolve::default()
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    resolve.push_dir(folder).expect("the contract");
    let package = resolve.push_str("world.wit", wit).expect("a package");
    let world = resolve.select_world(&[package], None).expect("a world");
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("a module with its world");
    ComponentEncoder::default()
        .module(&module)
        .and_then(|mut it| it.encode())
        .expect("a component")
}

pub fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// The commands in the help, each before its subcommands, such as `manifest envoy`; without `help`.
pub fn commands() -> Vec<String> {
    let mut commands = Vec::new();
    for command in listed(&["--help"]) {
        let within = listed(&[&command, "--help"]);
        let within = within.iter().map(|name| format!("{command} {name}"));
        commands.extend([command.clone()].into_iter().chain(within));
    }
    commands
}

/// The commands that a help text lists.
fn listed(arguments: &[&str]) -> Vec<String> {
    let help = tidegate(arguments).succeeds().to_vec();
    let help = String::from_utf8(help).expect("UTF-8");
    let list = help
        .lines()
        .skip_while(|line| !["Commands:", "Kinds:"].contains(line))
        .skip(1);
    let names = list.take_while(|line| !line.is_empty());
    // The second line of a description is indented further.
    names
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}
