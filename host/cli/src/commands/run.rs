//! `tidegate run`: serve with plugins.

use std::io::Write as _;
use std::net::SocketAddr;
use std::num::NonZero;
use std::process::exit;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use tidegate_host::{EngineKind, PluginSpec, Server, ServerConfig, SystemClock, Upstream};

use crate::dashboard::{Dashboard, DashboardArgs};
use crate::logs::{Least, Stderr, note};
use crate::plugin::{self, Plugin, PluginArg};
use crate::upstream::UpstreamUrl;

/// How long requests that are under way may take when the proxy is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Serve HTTP with plugins
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    /// Plugins, in the order that requests pass them; CONFIG is a JSON file or, beginning with `{`, JSON itself
    #[arg(required = true, value_name = "PLUGIN.wasm[=CONFIG]")]
    plugins: Vec<PluginArg>,

    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Where requests go: `http://HOST[:PORT]`, or `echo` for a built-in server that answers with what it received
    #[arg(long, value_name = "URL", default_value = "echo", value_parser = upstream)]
    upstream: Upstream,

    /// What runs the plugins; components are adapted first where it is `proxy-wasm`. What a file is made for, if not given
    #[arg(long)]
    engine: Option<Engine>,

    /// Threads that serve, each with plugin instances, and so with counters and other state, of its own; one for each core
    /// if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,

    /// The least level of log lines that are shown
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: Least,

    #[command(flatten)]
    dashboard: DashboardArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// wasmtime's component model
    Component,
    /// The Proxy-Wasm ABI, as in Envoy
    ProxyWasm,
}

const EXAMPLES: &str = "\
Examples:
  tidegate run greeter.wasm
  tidegate run greeter.wasm='{\"name\": \"x-hello\"}' --upstream http://127.0.0.1:9000
  tidegate run rate-limit.wasm=limits.json headers.wasm=headers.json --workers 4
  tidegate run greeter.wasm --engine proxy-wasm --log-level debug
  tidegate run greeter.wasm --dashboard

Stop with ctrl-c: requests that are under way get ten seconds to finish.";

// === impl Run ===

impl Run {
    pub fn execute(self) -> anyhow::Result<()> {
        let plugins = plugin::read(&self.plugins)?;
        let specs = plugins
            .iter()
            .map(|plugin| self.spec(plugin))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let workers = self.workers.map_or_else(cores, usize::from);
        let mut introduction = self.introduction(workers, &plugins, &specs);
        let dashboard = self.dashboard.start()?;
        if let Some(dashboard) = &dashboard {
            introduction += &format!("dashboard on http://{}\n", dashboard.address());
        }
        let server = Server::start(ServerConfig {
            listen: self.listen,
            upstream: self.upstream,
            workers,
            plugins: specs,
            clock: Arc::new(SystemClock),
            logs: Arc::new(Stderr::install(self.log_level)),
            observer: dashboard.as_ref().map(Dashboard::observer),
        })?;
        // Not earlier: until there are requests to wait for, a signal ends the process at once, as it does by itself.
        let mut stop = StopSignal::new()?;
        // A closed stdout is no reason not to serve.
        let mut stdout = std::io::stdout().lock();
        let _ = writeln!(
            stdout,
            "{introduction}listening on http://{}",
            server.local_addr()
        );
        let _ = stdout.flush();
        drop(stdout);

        stop.wait();
        note("stopping: waiting for requests that are under way; once more to stop at once");
        std::thread::spawn(move || {
            stop.wait();
            // What a shell reports of a program that was interrupted.
            exit(130);
        });
        server.shutdown(GRACE);
        Ok(())
    }

    fn spec(&self, plugin: &Plugin) -> anyhow::Result<PluginSpec> {
        let (engine, module) = match (self.engine, plugin.kind) {
            (Some(Engine::Component), EngineKind::ProxyWasm) => bail!(
                "`{}` is a Proxy-Wasm module, and engine `component` runs components: leave `--engine` out",
                plugin.path.display()
            ),
            (Some(Engine::ProxyWasm), EngineKind::Component) => {
                (EngineKind::ProxyWasm, plugin.adapted()?)
            }
            (_, kind) => (kind, plugin.bytes.clone()),
        };
        let mut spec = PluginSpec::new(&plugin.name, module);
        spec.engine = Some(engine);
        spec.configuration.clone_from(&plugin.configuration);
        Ok(spec)
    }

    fn introduction(&self, workers: usize, plugins: &[Plugin], specs: &[PluginSpec]) -> String {
        let workers = match workers {
            1 => "1 worker".to_owned(),
            count => format!("{count} workers"),
        };
        let mut text =
            format!("{workers}: plugins keep their state per worker, none of it is shared\n");
        for (plugin, spec) in plugins.iter().zip(specs) {
            let engine = spec.engine.unwrap_or(plugin.kind);
            let adapted = if engine == plugin.kind {
                ""
            } else {
                ", adapted"
            };
            let configuration = match &plugin.configuration_file {
                Some(file) => format!(", configuration from {}", file.display()),
                None if plugin.configuration.is_empty() => String::new(),
                None => ", configuration given".to_owned(),
            };
            let path = plugin.path.display();
            text.push_str(&format!(
                "plugin {}: {path}, engine {engine}{adapted}{configuration}\n",
                plugin.name
            ));
        }
        match &self.upstream {
            Upstream::Echo => text.push_str("upstream: echo\n"),
            Upstream::Http { host, port } => {
                text.push_str(&format!("upstream: {host} port {port}\n"))
            }
        }
        text
    }
}

// === impl Plugin ===

impl Plugin {
    /// The plugin as a Proxy-Wasm module, adapted if it is a component.
    pub fn adapted(&self) -> anyhow::Result<bytes::Bytes> {
        match self.kind {
            EngineKind::ProxyWasm => Ok(self.bytes.clone()),
            EngineKind::Component => {
                tidegate_adapter::adapt(&self.bytes, &tidegate_adapter::Options::default())
                    .map(Into::into)
                    .with_context(|| format!("cannot adapt `{}`", self.path.display()))
            }
        }
    }
}

/// How many threads can run at once, or one if the system will not say.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

fn upstream(text: &str) -> Result<Upstream, String> {
    if text == "echo" {
        return Ok(Upstream::Echo);
    }
    let UpstreamUrl { host, port } = UpstreamUrl::parse(text)?;
    Ok(Upstream::Http { host, port })
}

/// The wish that the proxy stop: ctrl-c, or what a supervisor sends.
struct StopSignal {
    runtime: tokio::runtime::Runtime,
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 2],
}

// === impl StopSignal ===

#[cfg(unix)]
impl StopSignal {
    fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let runtime = runtime()?;
        let signals = {
            let _inside = runtime.enter();
            let listen = |kind| signal(kind).context("cannot listen for signals");
            [
                listen(SignalKind::interrupt())?,
                listen(SignalKind::terminate())?,
            ]
        };
        Ok(Self { runtime, signals })
    }

    fn wait(&mut self) {
        let [interrupt, terminate] = &mut self.signals;
        self.runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
    }
}

#[cfg(not(unix))]
impl StopSignal {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            runtime: runtime()?,
        })
    }

    fn wait(&mut self) {
        // Without a way to listen there is none to stop politely either; the process is ended from outside.
        if self.runtime.block_on(tokio::signal::ctrl_c()).is_err() {
            self.runtime.block_on(std::future::pending::<()>());
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for signals")
}
