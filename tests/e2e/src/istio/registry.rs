//! A real registry: CNCF Distribution, as packaged by Debian, on loopback.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

const READY_WITHIN: Duration = Duration::from_secs(20);

/// The user with read and write access if credentials are required.
pub const USER: &str = "mate";
/// See [`USER`].
pub const PASSWORD: &str = "tide-in";
const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuQtUPAlYtYXUHZL8wqMQo3QwLpzK/EmC";

/// A running registry, which is stopped when dropped.
pub struct Registry {
    child: Child,
    /// The address, as `127.0.0.1:PORT`.
    pub address: String,
}

impl Registry {
    /// Starts a registry that stores its data in a separate directory. Returns `None` if `docker-registry` is not installed. With a realm,
    /// the registry requires credentials.
    pub fn start(folder: &Path, realm: Option<&str>) -> Result<Option<Registry>> {
        fs::create_dir_all(folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
        let mut configuration = format!(
            "version: 0.1\n\
             log: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {data}}}}}\n\
             http: {{addr: '127.0.0.1:0', secret: loopback}}\n",
            data = serde_json::to_string(&folder.join("data"))?,
        );
        if let Some(realm) = realm {
            let users = folder.join("htpasswd");
            fs::write(&users, format!("{USER}:{HASH}\n"))?;
            configuration.push_str(&format!(
                "auth: {{htpasswd: {{realm: {}, path: {}}}}}\n",
                serde_json::to_string(realm)?,
                serde_json::to_string(&users)?
            ));
        }
        let path = folder.join("registry.yaml");
        fs::write(&path, configuration)
            .with_context(|| format!("failed to write {}", path.display()))?;
        let started = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let child = match started {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("failed to start docker-registry"),
        };
        let mut registry = Registry {
            child,
            address: String::new(),
        };
        registry.address = registry.ready()?;
        Ok(Some(registry))
    }

    /// Waits until the registry has logged its address. The thread continues to read the log, so that the registry never blocks.
    fn ready(&mut self) -> Result<String> {
        let log = self
            .child
            .stderr
            .take()
            .context("docker-registry has no log")?;
        let (found, listening) = mpsc::channel();
        let (said, heard) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if let Some(address) = listens(&line) {
                    // The receiver is dropped once the address is known.
                    _ = found.send(address.to_owned());
                }
                _ = said.send(line);
            }
        });
        match listening.recv_timeout(READY_WITHIN) {
            Ok(address) => Ok(address),
            Err(_) => {
                let log: Vec<String> = heard.try_iter().collect();
                bail!(
                    "docker-registry did not log its address:\n{}",
                    log.join("\n")
                )
            }
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // The registry may have ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Parses a line such as `… msg="listening on 127.0.0.1:35563" …`.
fn listens(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("listening on ")?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_address_is_parsed_from_the_log() {
        let line = r#"time="2026-01-01T00:00:00Z" level=info msg="listening on 127.0.0.1:35563" go.version=go1.19.8"#;
        assert_eq!(listens(line), Some("127.0.0.1:35563"));
        assert_eq!(listens("level=info msg=\"redis not configured\""), None);
    }
}
