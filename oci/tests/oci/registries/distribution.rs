//! CNCF Distribution, as packaged by Debian, on loopback, with its own directory.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tempfile::TempDir;

/// The credentials of a registry that requires them. The password contains characters that are special in headers and helpers.
pub const USER: &str = "mate";
pub const PASSWORD: &str = "s3cret pass:word";
const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuWqE.ZbojV4lW1JhHwMXr3EQklLDUc6y";

const PATIENCE: Duration = Duration::from_secs(60);

/// A running registry. It is killed when dropped.
pub struct Distribution {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
    folder: Arc<Folder>,
}

struct Folder(TempDir);

// === impl Folder ===

impl Default for Folder {
    fn default() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }
}

// === impl Distribution ===

impl Distribution {
    /// Starts a registry without access control.
    pub fn open() -> Self {
        Self::start(Arc::default(), "")
    }

    /// The same over TLS, with this certificate and key.
    pub fn over_tls(&self, certificate: &str, key: &str) -> Self {
        let more = format!("  tls: {{certificate: {certificate}, key: {key}}}\n");
        Self::start(self.folder.clone(), &more)
    }

    /// Starts a registry that requires credentials.
    pub fn locked() -> Self {
        Self::start(
            Arc::default(),
            "auth: {htpasswd: {realm: 'a realm, \"quoted\"', path: FOLDER/htpasswd}}\n",
        )
    }

    fn start(folder: Arc<Folder>, more: &str) -> Self {
        let path = folder.0.path().display();
        let more = more.replace("FOLDER", &path.to_string());
        let configuration = format!(
            "version: 0.1\n\
             log: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {path}/data}}}}\n\
             http:\n  addr: 127.0.0.1:0\n  secret: loopback\n{more}"
        );
        std::fs::write(folder.0.path().join("htpasswd"), format!("{USER}:{HASH}\n"))
            .expect("a file");
        std::fs::write(folder.0.path().join("config.yaml"), configuration).expect("a file");
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(folder.0.path().join("config.yaml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`docker-registry` on PATH, which this test needs");
        let log = child.stderr.take().expect("a log");
        let (found, address) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to the end, because a registry that cannot log stops.
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("listening on ") {
                    let address = rest.split(['"', ',']).next().unwrap_or_default().to_owned();
                    let _ = found.send(address);
                }
            }
        });
        let mut registry = Self {
            child,
            address: String::new(),
            folder,
        };
        registry.address = address
            .recv_timeout(PATIENCE)
            .expect("docker-registry says where it listens");
        registry
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        // This fails if the process has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
