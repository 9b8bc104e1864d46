//! `tidegate dev`: builds and serves a plugin, and reloads it on every change.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use anyhow::Context as _;
use clap::Args;
use tidegate_host::{ServeError, Server};

use crate::dev::{Author, News, Version};
use crate::logs::{complain, detail, note, status};
use crate::project::{How, Which};
use crate::serve::{self, ServeArgs, Serving};
use crate::stop::{StopSignal, stop};
use crate::{cache, file};

/// Run an HTTP proxy with the plugin in this directory, and rebuild and reload it on every change
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Dev {
    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    how: How,

    /// Name of the plugin in logs and properties; also its root ID (`root_id`). Default: the name of the package
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The plugin's configuration, or `@FILE`; the file is watched as well
    #[arg(long, value_name = "CONFIG")]
    config: Option<String>,

    #[command(flatten)]
    serve: ServeArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidegate dev
  tidegate dev --config @limits.json --upstream http://127.0.0.1:9000
  tidegate dev --package greeter --engine proxy-wasm --log-level debug
  tidegate dev --dashboard

A change takes effect once the plugin has been built and has accepted its configuration. Until then, and if either fails, the \
previous version keeps serving. Requests in flight finish with the version with which they started; none fails because of a reload.

Press Ctrl-C to stop. Requests in flight have ten seconds to finish.";

/// The server and the version that it serves.
struct Stage {
    serving: Serving,
    /// `None` until a version has started.
    now: Option<(Server, Box<Version>)>,
}

// === impl Dev ===

impl Dev {
    pub fn execute(self) -> anyhow::Result<()> {
        let author = Author::new(self.which, self.how, self.name, self.config)?;
        let stage = Stage {
            serving: self.serve.open()?,
            now: None,
        };
        let (sender, news) = channel();
        let builder = sender.clone();
        note(&format!("building {}", author.plugin()));
        // The thread ends with the process, without waiting for an active build.
        thread::Builder::new()
            .name("tidegate-author".into())
            .spawn(move || author.work(&builder))
            .context("cannot start a thread")?;
        stage.run(&self.serve, &news, &sender)
    }
}

// === impl Stage ===

impl Stage {
    fn run(
        mut self,
        args: &ServeArgs,
        news: &Receiver<News>,
        sender: &Sender<News>,
    ) -> anyhow::Result<()> {
        for news in news {
            match news {
                News::Version(version) => self.take(args, version, sender)?,
                News::Failed(error) => self.keep(&error),
                News::Stop(signal) => {
                    status("");
                    if let Some((server, _)) = self.now {
                        stop(server, signal);
                    }
                    return Ok(());
                }
            }
            if let Some((server, version)) = &self.now {
                status(&format!(
                    "{} on http://{}, waiting for changes",
                    version.plugin.name,
                    server.local_addr()
                ));
            }
        }
        Ok(())
    }

    /// Serves a version if it starts, and otherwise keeps the previous one.
    fn take(
        &mut self,
        args: &ServeArgs,
        version: Box<Version>,
        sender: &Sender<News>,
    ) -> anyhow::Result<()> {
        if let Some((_, before)) = &self.now
            && before.plugin.bytes == version.plugin.bytes
            && before.plugin.configuration == version.plugin.configuration
        {
            note("nothing to reload: the component and its configuration are unchanged");
            return Ok(());
        }
        let spec = match args.spec(&version.plugin) {
            Ok(spec) => spec,
            Err(error) => {
                self.keep(&error);
                return Ok(());
            }
        };
        let Some((server, before)) = &mut self.now else {
            match self.serving.start(vec![spec.clone()]) {
                Ok(server) => {
                    let introduction = self
                        .serving
                        .introduction(std::slice::from_ref(&version.plugin), &[spec]);
                    // Before the address is printed: a supervisor may send the signal as soon as it reads the address.
                    listen(sender)?;
                    introduce(&server, &introduction, &version);
                    self.now = Some((server, version));
                }
                // A change of the plugin can fix these errors.
                Err(error @ (ServeError::Load(_) | ServeError::Start(_))) => {
                    self.keep(&error.into());
                }
                Err(error) => return Err(error.into()),
            }
            return Ok(());
        };
        match server.reload(&[spec]) {
            Ok(()) => {
                let took = version.since.elapsed().as_millis();
                detail(|| {
                    let cache = cache::code();
                    cache::usage(cache.as_deref(), server.code_cache_stats())
                });
                note(&format!(
                    "reloaded in {took} ms: {}",
                    changes(before, &version)
                ));
                *before = version;
            }
            Err(error) => self.keep(&error.into()),
        }
        Ok(())
    }

    /// Prints the reason why the version does not change.
    fn keep(&self, error: &anyhow::Error) {
        complain(error);
        note(match self.now {
            Some(_) => "still serving the previous version",
            None => "not serving yet: waiting for a change",
        });
    }
}

/// Prints the addresses to stdout, for users and for programs that have started the command.
fn introduce(server: &Server, introduction: &str, version: &Version) {
    let addresses = serve::addresses(server);
    let text = format!("{introduction}{}{addresses}", version.account);
    // A closed stdout is no reason not to serve.
    let _ = file::write(Path::new("-"), text.as_bytes());
}

/// Sends a message when a signal arrives. While there are no requests to wait for, this is not called, and a signal ends the process
/// immediately.
fn listen(sender: &Sender<News>) -> anyhow::Result<()> {
    let mut signal = StopSignal::new()?;
    let sender = sender.clone();
    thread::Builder::new()
        .name("tidegate-signal".into())
        .spawn(move || {
            signal.wait();
            let _ = sender.send(News::Stop(signal));
        })
        .context("cannot start a thread")?;
    Ok(())
}

/// The differences between two versions, in one line.
fn changes(before: &Version, version: &Version) -> String {
    let mut changes = version.account.since(&before.account);
    if before.plugin.configuration != version.plugin.configuration {
        changes.push("the configuration has changed".into());
    }
    if changes.is_empty() {
        changes.push("sizes, callbacks and capabilities are unchanged".into());
    }
    changes.join("; ")
}
