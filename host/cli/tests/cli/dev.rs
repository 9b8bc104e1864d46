//! `dev`: from a change to a response, while requests continue.
//!
//! One long test, because it needs a running process and builds with cargo.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::author::{target, tidegate_in};
use crate::binary;
use crate::tool::{Folder, Serving, launch, text};

/// The time limit of a build that waits for builds of other tests.
const PATIENCE: Duration = Duration::from_secs(300);

const MANIFEST: &str = r#"[package]
name = "story"
version = "0.1.0"
edition = "2024"

[workspace]

[lib]
crate-type = ["cdylib"]

[dependencies]
serde = { version = "1", features = ["derive"] }
"#;

const SOURCE: &str = r#"
use tidegate_guest::prelude::*;

#[derive(serde::Deserialize)]
struct Config {
    greeting: String,
}

struct Story(Config);

#[plugin]
impl Plugin for Story {
    type Config = Config;
    type Stream = ();

    fn configure(config: Config) -> Result<Self, ConfigError> {
        Ok(Self(config))
    }

    fn on_response_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Action {
        let told = format!("VERSION {}", self.0.greeting);
        http.response_headers().append("x-told", told).or_log("tell");
        Action::Continue
    }

    // MORE
}
"#;

const MORE: &str = r#"
    fn on_request_headers(&self, _: &mut (), _: &mut HttpStream, _: EndOfStream) -> Action {
        Action::Continue
    }"#;

const WAITING: &str = r#"
fn main() {
    let mut test = std::net::TcpStream::connect("ADDRESS").expect("a test that listens");
    let _ = std::io::copy(&mut test, &mut std::io::sink());
}
"#;

/// The directory of a plugin, outside of any workspace.
struct Project {
    folder: Folder,
}

// === impl Project ===

impl Project {
    fn new() -> Self {
        let folder = Folder::new();
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let workspace = fs::canonicalize(workspace).expect("the workspace");
        let sdk = text(&workspace.join("guest/sdk"));
        fs::create_dir(folder.path("src")).expect("a folder");
        folder.file(
            "Cargo.toml",
            format!("{MANIFEST}tidegate-guest = {{ path = '{sdk}' }}\n"),
        );
        // The versions that are available offline.
        fs::copy(workspace.join("Cargo.lock"), folder.path("Cargo.lock")).expect("a lock file");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    fn write(&self, name: &str, text: &str) {
        self.folder.file(name, text);
    }

    /// Replaces a file like editors that write a temporary file and rename it.
    fn move_to(&self, name: &str, text: &str) {
        self.folder.file("src/.saving", text);
        fs::rename(self.path("src/.saving"), self.path(name)).expect("a move");
    }

    fn dev(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary::path());
        command
            .args(["dev", "--listen", "127.0.0.1:0", "--workers", "2"])
            .args(args)
            .current_dir(self.path("."))
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TARGET_DIR", target())
            .env("CARGO_TERM_COLOR", "never")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTFLAGS")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null());
        command
    }
}

fn source(version: &str) -> String {
    SOURCE.replace("VERSION", version)
}

/// The value that the plugin has added to a response.
fn told(serving: &Serving) -> String {
    let response = serving.get("/");
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    let line = response
        .lines()
        .find_map(|line| line.strip_prefix("x-told: "));
    line.unwrap_or_else(|| panic!("no mark in {response}"))
        .to_owned()
}

/// Sends requests on one connection until stopped, and returns their number. Every response must be complete, and have the header once.
fn load(address: SocketAddr, over: &AtomicBool) -> usize {
    let stream = TcpStream::connect(address).expect("a connection");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a read timeout");
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut writer = stream;
    let mut count = 0;
    while !over.load(Ordering::SeqCst) {
        writer
            .write_all(b"GET /bytes/5000 HTTP/1.1\r\nhost: h\r\n\r\n")
            .expect("a connection that is kept");
        let (mut first, mut marks, mut length) = (String::new(), 0, 0);
        reader.read_line(&mut first).expect("a status");
        assert_eq!(first, "HTTP/1.1 200 OK\r\n");
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a line");
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            marks += usize::from(name == "x-told");
            if name == "content-length" {
                length = value.parse().expect("a length");
            }
        }
        assert_eq!((marks, length), (1, 5000));
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        count += 1;
        // Leave time for builds.
        std::thread::park_timeout(Duration::from_millis(5));
    }
    count
}

#[test]
fn dev_reloads_every_edit_without_failing_requests() {
    let project = Project::new();
    project.write("src/lib.rs", &source("one").replace("Ok(Self", "Oh(Self"));
    project.write("config.json", r#"{"greeting": "hello"}"#);
    let running = launch(project.dev(&["--config", "@config.json"]));

    // Even the first build may fail.
    let said = running.says_within(PATIENCE, "not serving yet: waiting for a change");
    assert!(
        said.iter().any(|line| line.contains("error[E0425]")),
        "{said:?}"
    );
    project.write("src/lib.rs", &source("one"));
    let serving = running.ready();
    assert!(
        serving
            .introduction
            .iter()
            .any(|line| line.starts_with("callbacks    on-response-headers")),
        "{:?}",
        serving.introduction
    );
    assert_eq!(told(&serving), "one hello");

    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| load(serving.address, &over));
        // The load must be stopped even if the test fails.
        let story = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            tell(&project, &serving);
        }));
        over.store(true, Ordering::SeqCst);
        let count = load.join().expect("a load without a failure");
        if let Err(panic) = story {
            std::panic::resume_unwind(panic);
        }
        assert!(count > 100, "only {count} requests");
    });

    // A build that does not end blocks nothing: its build script waits until the test closes a connection.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    project.write(
        "build.rs",
        &WAITING.replace("ADDRESS", &address.to_string()),
    );
    let (build, _) = listener.accept().expect("a build that waits");
    serving.signal("INT");
    serving.says("stopping");
    assert!(serving.end().success());
    drop(build);
    fs::remove_file(project.path("build.rs")).expect("the build script");

    // The same configuration as in Envoy.
    project.write("src/lib.rs", &source("seven"));
    let inline = r#"{"greeting": "hello"}"#;
    let options = [
        "--engine",
        "proxy-wasm",
        "--config",
        inline,
        "--name",
        "tale",
    ];
    let serving = launch(project.dev(&options)).ready();
    let is_of_plugin = |line: &String| {
        line.starts_with("plugin tale: ")
            && line.ends_with("engine proxy-wasm, adapted, with configuration")
    };
    assert!(
        serving.introduction.iter().any(is_of_plugin),
        "{:?}",
        serving.introduction
    );
    assert_eq!(told(&serving), "seven hello");
    project.move_to("src/lib.rs", &source("eight"));
    serving.says_within(PATIENCE, "reloaded in ");
    assert_eq!(told(&serving), "eight hello");
    serving.signal("TERM");
    assert!(serving.end().success());
}

#[test]
fn dev_reports_a_missing_project() {
    let folder = Folder::new();
    tidegate_in(&folder.path("."), &["dev", "--listen", "127.0.0.1:0"])
        .fails_with(&["could not find `Cargo.toml`", "tidegate new"]);
}

fn tell(project: &Project, serving: &Serving) {
    let reloaded = |part: &str| {
        let said = serving.says_within(PATIENCE, "reloaded in ");
        let last = said.last().expect("a line");
        assert!(last.contains(part), "expected `{part}` in {said:?}");
        said
    };
    let keeps = |part: &str| {
        let said = serving.says_within(PATIENCE, "still serving the previous version");
        assert!(
            said.iter().any(|line| line.contains(part)),
            "expected `{part}` in {said:?}"
        );
    };
    let builds = |line: &String| line.contains("Compiling") || line.contains("Finished");

    project.write("src/lib.rs", &source("two"));
    let said = reloaded("");
    assert!(said.iter().any(builds), "{said:?}");
    assert!(said.contains(&"changed: src/lib.rs".to_owned()), "{said:?}");
    assert_eq!(told(serving), "two hello");

    // If a change does not compile, the previous version keeps serving.
    project.write("src/lib.rs", &source("three").replace("Ok(Self", "Oh(Self"));
    keeps("error[E0425]");
    assert_eq!(told(serving), "two hello");
    project.move_to("src/lib.rs", &source("three").replace("// MORE", MORE));
    reloaded("callback + on-request-headers");
    assert_eq!(told(serving), "three hello");

    // A change of the configuration needs no build.
    project.move_to("config.json", r#"{"greeting": "moin"}"#);
    let said = reloaded("the configuration has changed");
    assert!(!said.iter().any(builds), "{said:?}");
    assert_eq!(told(serving), "three moin");
    project.write("config.json", r#"{"greeting": 5}"#);
    keeps("plugin `story` rejects its configuration: ");
    project.write("config.json", r#"{"greeting": "#);
    keeps("not JSON");
    assert_eq!(told(serving), "three moin");
    project.write("config.json", r#"{"greeting": "moin"}"#);
    serving.says_within(PATIENCE, "nothing to reload");

    // A change without effect keeps the version, too.
    let touched = fs::File::options()
        .append(true)
        .open(project.path("src/lib.rs"))
        .expect("the source");
    touched
        .set_modified(std::time::SystemTime::now())
        .expect("a time");
    let said = serving.says_within(PATIENCE, "nothing to reload");
    assert!(said.iter().any(builds), "{said:?}");

    // Changes during a build are built after it.
    project.write("src/lib.rs", &source("four"));
    serving.says_within(PATIENCE, "Compiling story");
    project.write("src/lib.rs", &source("five"));
    let begun = Instant::now();
    while told(serving) != "five moin" {
        assert!(begun.elapsed() < PATIENCE, "an edit was lost");
        std::thread::yield_now();
    }

    // A new version that traps while it starts.
    let trapping = source("six").replace("Ok(Self(config))", "panic!(\"not today\")");
    project.write("src/lib.rs", &trapping);
    keeps("plugin `story` failed to start");
    assert_eq!(told(serving), "five moin");
}
