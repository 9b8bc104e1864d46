//! The options for serving, which `run` and `dev` share.

use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use tidegate_host::{
    CircuitBreakers, Cluster, Clusters, EngineKind, FailurePolicy, PluginSpec, Profile, ServeError,
    Server, ServerConfig, SystemClock, Timeouts, Upstream,
};

use crate::dashboard::{Dashboard, DashboardArgs};
use crate::descriptors;
use crate::logs::{Least, Stderr};
use crate::plugin::{self, Plugin};
use crate::profile::ProfileArg;
use crate::upstream::{ClusterArg, UpstreamUrl};
use crate::{cache, logs};

/// The addresses of the proxy and its upstream, and how plugins run.
#[derive(Args)]
pub struct ServeArgs {
    /// Address to listen on. Port 0 chooses a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    listen: SocketAddr,

    /// Upstream: `http://HOST[:PORT]`, or `echo`, a built-in server that responds with the request it received
    #[arg(long, value_name = "URL", default_value = "echo", value_parser = upstream)]
    upstream: Upstream,

    /// Cluster to which plugins can send HTTP calls: its name, and the URL of its server, `http://HOST[:PORT]`. Repeat the option for
    /// several clusters. If NAME is `HOST` or `HOST:PORT`, plugins can also use the name that the cluster has in Istio,
    /// `outbound|PORT||HOST`
    #[arg(long = "cluster", value_name = "NAME=URL", value_parser = ClusterArg::parse)]
    clusters: Vec<ClusterArg>,

    /// Engine that runs the plugins. Components are adapted for `proxy-wasm`. Default: detected from the file
    #[arg(long)]
    engine: Option<Engine>,

    /// Number of worker threads. Each has its own plugin instances, and therefore its own plugin state; only shared data and
    /// metrics are common to all. Default: the number of cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,

    /// Imitate a proxy: normalize paths, add and remove fields before plugins see a request, and set `server` in responses, as this proxy
    /// does by default
    #[arg(long, default_value = "envoy")]
    profile: ProfileArg,

    /// Minimum log level
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: Least,

    /// Set an environment variable for the plugins. Plugins do not inherit the environment of this process
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,

    /// What to do after a plugin traps, like Envoy's `failure_policy`
    #[arg(long, value_name = "POLICY", default_value = "reload")]
    failure_policy: Policy,

    /// Serve `/metrics`, in Prometheus' text format, and `/ready` on this address. Port 0 chooses a free port. Anyone who can connect
    /// can read them, so use a loopback address or an internal network
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    admin: Option<SocketAddr>,

    #[command(flatten)]
    dashboard: DashboardArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Policy {
    /// Restart the plugin, at most once a second; until then, requests get 503
    Reload,
    /// Respond with 503 to all further requests
    Closed,
    /// Let requests bypass the plugin
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// The component model, in wasmtime
    Component,
    /// The Proxy-Wasm ABI, as in Envoy
    ProxyWasm,
}

/// The configuration of a server, without plugins.
pub struct Serving {
    config: ServerConfig,
    clusters: Vec<ClusterArg>,
    dashboard: Option<Dashboard>,
}

// === impl ServeArgs ===

impl ServeArgs {
    /// The plugin as the server expects it. Fails if the configuration does not satisfy the plugin's schema.
    pub fn spec(&self, plugin: &Plugin) -> anyhow::Result<PluginSpec> {
        plugin::validate(&plugin.bytes, &plugin.configuration)
            .with_context(|| format!("the configuration of `{}`", plugin.place))?;
        let (engine, module) = match (self.engine, plugin.kind) {
            (Some(Engine::Component), EngineKind::ProxyWasm) => bail!(
                "`{}` is a Proxy-Wasm module, but the `component` engine runs only components: remove `--engine`",
                plugin.place
            ),
            (Some(Engine::ProxyWasm), EngineKind::Component) => {
                (EngineKind::ProxyWasm, plugin.adapted()?)
            }
            (_, kind) => (kind, plugin.bytes.clone()),
        };
        let mut spec = PluginSpec::new(&plugin.name, module);
        spec.engine = Some(engine);
        spec.configuration.clone_from(&plugin.configuration);
        spec.environment.clone_from(&self.environment);
        spec.failure_policy = match self.failure_policy {
            Policy::Reload => FailurePolicy::Reload,
            Policy::Closed => FailurePolicy::Closed,
            Policy::Open => FailurePolicy::Open,
        };
        Ok(spec)
    }

    /// Prepares to serve. From now on, log lines of plugins and the proxy are written to stderr, and the dashboard is served if it is
    /// enabled.
    pub fn open(&self) -> anyhow::Result<Serving> {
        descriptors::raise_limit();
        ClusterArg::distinct(&self.clusters)?;
        let mut clusters = Clusters::default();
        for ClusterArg { name, url } in &self.clusters {
            clusters.insert(name.clone(), Cluster::new(&url.host, url.port)?);
        }
        let dashboard = self.dashboard.start()?;
        let config = ServerConfig {
            listen: self.listen,
            admin: self.admin,
            upstream: self.upstream.clone(),
            workers: self.workers.map_or_else(cores, usize::from),
            timeouts: Timeouts::default(),
            circuit_breakers: CircuitBreakers::default(),
            profile: self.profile.into(),
            plugins: Vec::new(),
            clock: Arc::new(SystemClock),
            logs: Arc::new(Stderr::install(self.log_level)),
            shared_data: Arc::default(),
            queues: Arc::default(),
            metrics: Arc::default(),
            clusters,
            attributes: Arc::default(),
            observer: dashboard.as_ref().map(Dashboard::observer),
            code: None,
            code_cache_dir: cache::code(),
        };
        Ok(Serving {
            config,
            clusters: self.clusters.clone(),
            dashboard,
        })
    }
}

// === impl Serving ===

impl Serving {
    /// Starts a server with these plugins.
    pub fn start(&self, plugins: Vec<PluginSpec>) -> Result<Server, ServeError> {
        let begun = Instant::now();
        let server = Server::start(ServerConfig {
            plugins,
            ..self.config.clone()
        })?;
        logs::detail(|| {
            format!(
                "compiled and started the plugins in {} ms; {}",
                begun.elapsed().as_millis(),
                cache::usage(
                    self.config.code_cache_dir.as_deref(),
                    server.code_cache_stats()
                )
            )
        });
        Ok(server)
    }

    /// The lines that describe the server before it starts.
    pub fn introduction(&self, plugins: &[Plugin], specs: &[PluginSpec]) -> String {
        let workers = match self.config.workers {
            1 => "1 worker".to_owned(),
            count => format!("{count} workers"),
        };
        let mut text = format!(
            "{workers}: each worker has its own plugin instances; only shared data and metrics are common to all workers\n"
        );
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
                None => ", with configuration".to_owned(),
            };
            text.push_str(&format!(
                "plugin {}: {}, engine {engine}{adapted}{configuration}\n",
                plugin.name, plugin.place
            ));
        }
        match &self.config.upstream {
            Upstream::Echo => text.push_str("upstream: echo\n"),
            Upstream::Http { host, port } => {
                text.push_str(&format!("upstream: {host} port {port}\n"))
            }
        }
        if self.config.profile != Profile::default() {
            text.push_str(&format!("profile: {}\n", self.config.profile));
        }
        for ClusterArg { name, url } in &self.clusters {
            text.push_str(&format!("cluster {name}: {} port {}\n", url.host, url.port));
        }
        if let Some(dashboard) = &self.dashboard {
            text += &format!("dashboard on http://{}\n", dashboard.address());
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
                plugin::adapt(&self.bytes, &tidegate_adapter::Options::default())
                    .map(Into::into)
                    .with_context(|| format!("cannot adapt `{}`", self.place))
            }
        }
    }
}

/// The lines with the addresses on which a server listens. The last one means that it accepts requests.
pub fn addresses(server: &Server) -> String {
    let mut text = String::new();
    if let Some(admin) = server.admin_addr() {
        text.push_str(&format!("metrics on http://{admin}/metrics\n"));
    }
    text.push_str(&format!("listening on http://{}\n", server.local_addr()));
    text
}

/// Parses an address to listen on.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "expected IP:PORT, such as 127.0.0.1:8080".to_owned())
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

/// The number of threads that can run in parallel, or 1 if it is unknown.
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
