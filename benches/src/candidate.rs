//! The candidates of the load comparison: several implementations of the tutorial's work, each with a server, also as chains of several
//! plugins, and two of the work of the plugin `rate-limit`.
//!
//! The candidates for the tutorial let requests pass up to a limit per second, respond to the others with 403 and `powered-by`, and add two
//! headers to every response. Those for `rate-limit` let requests of each client address pass up to a limit per minute, respond to the
//! others with 429 and `retry-after`, and count both. `plain` and `empty` do nothing, and show the cost of the server and of an empty plugin.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_deploy::envoy::{Bootstrap, Module, Plugin, Upstream};

use crate::affinity::Cores;
use crate::modules::Modules;
use crate::process::{Says, Server};

/// A limit that is never reached under load.
pub const OUT_OF_REACH: u64 = 1_000_000_000;

/// The numbers of plugins in the chains that are measured.
pub const CHAINS: &[usize] = &[1, 4, 8, 16];

/// A row of a table.
pub struct Candidate {
    /// Its name in the table.
    pub name: String,
    /// The rows that it is compared with.
    pub family: Family,
    /// The plugin, if there is one.
    pub module: Option<Vec<u8>>,
    /// How often the plugin is in the chain.
    pub plugins: usize,
    /// Whether the candidate does the work of its family, so that it can be verified.
    pub works: bool,
    kind: Kind,
}

/// A family of candidates that have the same proxy and upstream, and are compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Envoy with a `direct_response` route instead of an upstream.
    Envoy,
    /// Envoy and `tidegate run`, with the same upstream on the load generator's core.
    Proxy,
    /// Envoy as in the first family, with the plugin `rate-limit` or its twin.
    RateLimit,
}

/// Creates a module that lets this many requests pass.
type MakeModule = fn(&Modules, u64) -> Result<Vec<u8>>;

enum Kind {
    /// Envoy with native filters before the router, which are created for a limit.
    Filters(fn(u64) -> Vec<Value>),
    /// Envoy with a Wasm filter.
    Wasm(MakeModule),
    /// `tidegate run` with this engine.
    Run(&'static str, fn(&Modules) -> Result<Vec<u8>>),
}

/// The environment in which candidates are started.
pub struct Environment {
    /// The cores.
    pub cores: Cores,
    /// The plugins.
    pub modules: Modules,
    /// The binary of Envoy, if there is one for this platform.
    pub envoy: Option<PathBuf>,
    /// The command-line tool, if a candidate needs it.
    pub tidegate: Option<PathBuf>,
    /// The upstream of the family [`Family::Proxy`].
    pub upstream: SocketAddr,
    /// The directory for files that servers read.
    pub folder: TempDir,
}

// === impl Candidate ===

impl Candidate {
    /// Returns all candidates, in the order of the table. Those with Envoy are included only if there is an Envoy. The first candidate of
    /// each family is its baseline.
    pub fn all(modules: &Modules, has_envoy: bool, chains: &[usize]) -> Result<Vec<Candidate>> {
        let mut all = Vec::new();
        if has_envoy {
            all.push(Candidate::filters("envoy, plain", |_| Vec::new(), false));
            all.push(Candidate::wasm(
                "envoy, empty Wasm filter",
                |modules, _| Ok(modules.empty.clone()),
                false,
                modules,
            )?);
            all.push(Candidate::wasm(
                "envoy, floor (hand-written)",
                |modules, limit| modules.floor(limit),
                true,
                modules,
            )?);
            all.push(Candidate::wasm(
                "envoy, floor with contexts",
                |modules, limit| modules.floor_with_contexts(limit),
                true,
                modules,
            )?);
            all.push(Candidate::filters("envoy, native filters", native, true));
            all.push(Candidate::filters("envoy, Lua", lua, true));
            all.push(Candidate::wasm(
                "envoy, Rust SDK twin",
                |modules, _| Ok(modules.twin.clone()),
                true,
                modules,
            )?);
            if modules.go_twin.is_some() {
                all.push(Candidate::wasm(
                    "envoy, Go SDK",
                    |modules, _| modules.go_twin.clone().context("there is no Go"),
                    true,
                    modules,
                )?);
            }
            all.push(Candidate::wasm(
                "envoy, adapted",
                |modules, _| Ok(modules.adapted.clone()),
                true,
                modules,
            )?);
            all.push(Candidate::wasm(
                "envoy, adapted (bare target)",
                |modules, _| Ok(modules.adapted_bare.clone()),
                true,
                modules,
            )?);
        }
        all.extend(Candidate::of_proxies(modules, has_envoy, chains)?);
        if has_envoy {
            all.extend(Candidate::of_rate_limit(modules)?);
        }
        Ok(all)
    }

    /// Returns the candidates that have the same upstream.
    fn of_proxies(modules: &Modules, has_envoy: bool, chains: &[usize]) -> Result<Vec<Candidate>> {
        let twin: MakeModule = |modules, _| Ok(modules.twin.clone());
        let adapted: MakeModule = |modules, _| Ok(modules.adapted.clone());
        let mut all = Vec::new();
        if has_envoy {
            all.push(Candidate::filters(
                "proxy: envoy, plain",
                |_| Vec::new(),
                false,
            ));
            let envoy = |name, module| Candidate::wasm(name, module, true, modules);
            for &plugins in chains {
                all.push(envoy("proxy: envoy, Rust SDK twin", twin)?.repeated(plugins));
                all.push(envoy("proxy: envoy, adapted", adapted)?.repeated(plugins));
            }
        }
        let run =
            |name, engine, module, works| Candidate::run(name, engine, module, works, modules);
        let empty = |modules: &Modules| Ok(modules.empty.clone());
        all.push(run(
            "proxy: tidegate, empty module",
            "proxy-wasm",
            empty,
            false,
        )?);
        for &plugins in chains {
            let module = |modules: &Modules| Ok(modules.adapted.clone());
            let name = "proxy: tidegate, adapted";
            all.push(run(name, "proxy-wasm", module, true)?.repeated(plugins));
            let module = |modules: &Modules| Ok(modules.component.clone());
            let name = "proxy: tidegate, component";
            all.push(run(name, "component", module, true)?.repeated(plugins));
        }
        for candidate in &mut all {
            candidate.family = Family::Proxy;
        }
        Ok(all)
    }

    /// Puts the plugin into the chain several times.
    fn repeated(mut self, plugins: usize) -> Candidate {
        if plugins > 1 {
            self.name = format!("{} x{plugins}", self.name);
        }
        self.plugins = plugins;
        self
    }

    fn of_rate_limit(modules: &Modules) -> Result<[Candidate; 4]> {
        let plain = Candidate::filters("rate-limit, plain", |_| Vec::new(), false);
        let wasm = |name, module: MakeModule| Candidate::wasm(name, module, true, modules);
        let all = [
            plain,
            wasm("rate-limit, twin (Rust)", |modules, _| {
                Ok(modules.rate_limit_twin.clone())
            })?,
            wasm("rate-limit, plugin", |modules, _| {
                Ok(modules.rate_limit.clone())
            })?,
            wasm("rate-limit, plugin (bare target)", |modules, _| {
                Ok(modules.rate_limit_bare.clone())
            })?,
        ];
        Ok(all.map(|candidate| Candidate {
            family: Family::RateLimit,
            ..candidate
        }))
    }

    fn filters(name: &str, filters: fn(u64) -> Vec<Value>, works: bool) -> Candidate {
        Candidate {
            name: name.to_owned(),
            plugins: 0,
            family: Family::Envoy,
            module: None,
            works,
            kind: Kind::Filters(filters),
        }
    }

    fn wasm(name: &str, module: MakeModule, works: bool, modules: &Modules) -> Result<Candidate> {
        let bytes = module(modules, OUT_OF_REACH)?;
        Ok(Candidate {
            name: name.to_owned(),
            plugins: 1,
            family: Family::Envoy,
            module: Some(bytes),
            works,
            kind: Kind::Wasm(module),
        })
    }

    fn run(
        name: &str,
        engine: &'static str,
        module: fn(&Modules) -> Result<Vec<u8>>,
        works: bool,
        modules: &Modules,
    ) -> Result<Candidate> {
        let bytes = module(modules)?;
        Ok(Candidate {
            name: name.to_owned(),
            plugins: 1,
            family: Family::Proxy,
            module: Some(bytes),
            works,
            kind: Kind::Run(engine, module),
        })
    }

    /// Starts a server with one worker that lets `limit` requests pass, each second or, in the family `RateLimit`, each minute.
    pub fn start(&self, environment: &Environment, limit: u64) -> Result<Server> {
        let upstream = (self.family == Family::Proxy).then_some(environment.upstream);
        let configuration = self.works.then(|| match self.family {
            Family::Envoy | Family::Proxy => configuration(limit),
            Family::RateLimit => rate_limit_configuration(limit),
        });
        match &self.kind {
            Kind::Filters(filters) => envoy(environment, filters(limit), Vec::new(), upstream),
            Kind::Wasm(module) => {
                let module = module(&environment.modules, limit)?;
                let plugin = |number| {
                    let name = format!("bench-{number}");
                    let mut plugin = Plugin::new(name, Module::Inline(module.clone()));
                    plugin.configuration = configuration.clone().map(String::into_bytes);
                    plugin
                };
                let plugins = (0..self.plugins).map(plugin).collect();
                envoy(environment, Vec::new(), plugins, upstream)
            }
            Kind::Run(engine, module) => run(
                environment,
                engine,
                &module(&environment.modules)?,
                self.plugins,
                configuration.as_deref(),
                1,
            ),
        }
        .with_context(|| format!("failed to start `{}`", self.name))
    }
}

/// Returns the configuration of the tutorial's plugins: the limit, and no log line for each request.
pub fn configuration(limit: u64) -> String {
    json!({ "requests_per_second": limit, "log": false }).to_string()
}

/// Returns the configuration of `rate-limit` and of its twin: a limit for each client, as in the recipe in `docs/rate-limit.md`.
fn rate_limit_configuration(limit: u64) -> String {
    let rule = json!({ "name": "per-client", "limit": format!("{limit}/m"), "key": [{ "client_address": {} }] });
    json!({ "rules": [rule], "response": { "enable_retry_after_header": true } }).to_string()
}

/// Starts `tidegate run` with a plugin, which is in the chain `plugins` times, the environment's upstream, and metrics.
pub fn run(
    environment: &Environment,
    engine: &str,
    module: &[u8],
    plugins: usize,
    configuration: Option<&str>,
    workers: usize,
) -> Result<Server> {
    let mut file = tempfile::Builder::new()
        .suffix(".wasm")
        .tempfile_in(&environment.folder)?;
    file.write_all(module).context("failed to write a plugin")?;
    let plugin = match configuration {
        Some(configuration) => format!("{}={configuration}", file.path().display()),
        None => file.path().display().to_string(),
    };
    let mut command = Command::new(
        environment
            .tidegate
            .as_ref()
            .context("the command-line tool has not been built")?,
    );
    command.arg("run").args(vec![plugin; plugins]);
    command.args([
        "--admin",
        "127.0.0.1:0",
        "--engine",
        engine,
        "--workers",
        &workers.to_string(),
    ]);
    command.args([
        "--upstream",
        &format!("http://{}", environment.upstream),
        "--listen",
        "127.0.0.1:0",
    ]);
    // The plugin has been read when the server is ready, so the file can be removed.
    Server::start(command, environment.cores, Says::Address)
}

/// Starts Envoy with native filters and plugins. Without an upstream, it responds itself.
fn envoy(
    environment: &Environment,
    filters: Vec<Value>,
    plugins: Vec<Plugin>,
    upstream: Option<SocketAddr>,
) -> Result<Server> {
    // Envoy reports its port only through the admin interface. Instead, a port is chosen that is currently free.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let port = upstream.map_or(1, |upstream| upstream.port());
    let mut bootstrap = Bootstrap::new(address, Upstream::new("127.0.0.1", port));
    bootstrap.plugins = plugins;
    let mut json = bootstrap.to_json();
    let manager = json
        .pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config")
        .context("a bootstrap without a connection manager")?;
    if upstream.is_none() {
        let route = manager
            .pointer_mut("/route_config/virtual_hosts/0/routes/0")
            .and_then(Value::as_object_mut)
            .context("a bootstrap without a route")?;
        route.remove("route");
        route.insert(
            "direct_response".into(),
            json!({ "status": 200, "body": { "inline_string": "ok" } }),
        );
    }
    if let (false, Some(manager)) = (filters.is_empty(), manager.as_object_mut()) {
        manager.insert("local_reply_config".into(), refusal());
    }
    let chain = manager
        .pointer_mut("/http_filters")
        .and_then(Value::as_array_mut)
        .context("a bootstrap without filters")?;
    chain.splice(0..0, filters);

    let mut file = tempfile::Builder::new()
        .suffix(".json")
        .tempfile_in(&environment.folder)?;
    serde_json::to_writer(&mut file, &json).context("failed to write a bootstrap")?;
    file.flush()?;
    let mut command = Command::new(
        environment
            .envoy
            .as_ref()
            .context("there is no Envoy for this platform")?,
    );
    command.arg("--config-path").arg(file.path()).args([
        "--concurrency",
        "1",
        "--disable-hot-restart",
    ]);
    command.args(["--log-level", "error", "--component-log-level", "main:info"]);
    Server::start(
        command,
        environment.cores,
        Says::Words("starting main dispatch loop", address),
    )
}

/// Returns the two native filters of Envoy that together do the tutorial's work.
fn native(limit: u64) -> Vec<Value> {
    let always = json!({ "default_value": { "numerator": 100, "denominator": "HUNDRED" } });
    let added = |name: &str, value: &str| json!({ "append": { "header": { "key": name, "value": value }, "append_action": "APPEND_IF_EXISTS_OR_ADD" } });
    vec![
        json!({
            "name": "envoy.filters.http.header_mutation",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
                "mutations": {
                    "response_mutations": [added("who-am-i", "wasm-extension"), added("injected-by", "istio-api!")],
                },
            },
        }),
        json!({
            "name": "envoy.filters.http.local_ratelimit",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
                "stat_prefix": "limit",
                "token_bucket": { "max_tokens": limit, "tokens_per_fill": limit, "fill_interval": "1s" },
                "filter_enabled": always,
                "filter_enforced": always,
                "status": { "code": "Forbidden" },
                "response_headers_to_add": [{ "header": { "key": "powered-by", "value": "proxy-wasm-go-sdk!!" } }],
            },
        }),
    ]
}

/// Returns the body of the response of the native rate limit, which the connection manager sets.
fn refusal() -> Value {
    json!({
        "mappers": [{
            "filter": { "status_code_filter": { "comparison": { "op": "EQ", "value": { "default_value": 403, "runtime_key": "none" } } } },
            "body_format_override": { "text_format_source": { "inline_string": "rate limited, wait and retry." } },
        }],
    })
}

fn lua(limit: u64) -> Vec<Value> {
    let source = include_str!("tutorial.lua").replace("LIMIT", &limit.to_string());
    vec![json!({
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": { "inline_string": source },
        },
    })]
}
