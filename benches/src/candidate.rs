//! What the load comparison compares: one way of doing the tutorial's work, and how a server is started that does it.
//!
//! All do the same: let requests pass up to a limit in each second, answer the others with 403 and `powered-by`, add two headers to every
//! response. `plain` and `empty` do nothing and show what a server, and the presence of a plugin, cost by themselves.

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

/// A limit that no load reaches.
pub const OUT_OF_REACH: u64 = 1_000_000_000;

/// One row of the table.
pub struct Candidate {
    /// Its name there.
    pub name: &'static str,
    /// Which rows it is compared with.
    pub family: Family,
    /// The plugin's bytes, where there is one.
    pub module: Option<Vec<u8>>,
    /// Whether it limits and adds headers, so that it can be verified.
    pub works: bool,
    kind: Kind,
}

/// Rows are compared within a family: they have the same proxy under them and the same upstream behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Envoy, which answers by itself: a `direct_response` route instead of an upstream.
    Envoy,
    /// `tidegate run`, before an upstream on the load generator's core.
    Host,
}

enum Kind {
    /// Envoy with these filters of its own before the router; given a limit.
    Filters(fn(u64) -> Vec<Value>),
    /// Envoy with a Wasm filter.
    Wasm(fn(&Modules, u64) -> Result<Vec<u8>>),
    /// `tidegate run` with this engine.
    Run(&'static str, fn(&Modules) -> Result<Vec<u8>>),
}

/// What candidates are started with.
pub struct Environment {
    /// Where they run.
    pub cores: Cores,
    /// Plugins, built.
    pub modules: Modules,
    /// Envoy's binary, where there is one for this platform.
    pub envoy: Option<PathBuf>,
    /// The command line tool.
    pub tidegate: PathBuf,
    /// An upstream for those that need one.
    pub upstream: SocketAddr,
    /// For files that a server reads.
    pub folder: TempDir,
}

// === impl Candidate ===

impl Candidate {
    /// All of them, in the table's order; Envoy's only where there is an Envoy. The first of each family is its base.
    pub fn all(environment: &Environment) -> Result<Vec<Candidate>> {
        let modules = &environment.modules;
        let mut all = Vec::new();
        if environment.envoy.is_some() {
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
        all.push(Candidate::run(
            "tidegate, empty module",
            "proxy-wasm",
            |modules| Ok(modules.empty.clone()),
            false,
            modules,
        )?);
        all.push(Candidate::run(
            "tidegate, component",
            "component",
            |modules| Ok(modules.component.clone()),
            true,
            modules,
        )?);
        all.push(Candidate::run(
            "tidegate, adapted",
            "proxy-wasm",
            |modules| Ok(modules.adapted.clone()),
            true,
            modules,
        )?);
        all.push(Candidate::run(
            "tidegate, Rust SDK twin",
            "proxy-wasm",
            |modules| Ok(modules.twin.clone()),
            true,
            modules,
        )?);
        Ok(all)
    }

    fn filters(name: &'static str, filters: fn(u64) -> Vec<Value>, works: bool) -> Candidate {
        Candidate {
            name,
            family: Family::Envoy,
            module: None,
            works,
            kind: Kind::Filters(filters),
        }
    }

    fn wasm(
        name: &'static str,
        module: fn(&Modules, u64) -> Result<Vec<u8>>,
        works: bool,
        modules: &Modules,
    ) -> Result<Candidate> {
        let bytes = module(modules, OUT_OF_REACH)?;
        Ok(Candidate {
            name,
            family: Family::Envoy,
            module: Some(bytes),
            works,
            kind: Kind::Wasm(module),
        })
    }

    fn run(
        name: &'static str,
        engine: &'static str,
        module: fn(&Modules) -> Result<Vec<u8>>,
        works: bool,
        modules: &Modules,
    ) -> Result<Candidate> {
        let bytes = module(modules)?;
        Ok(Candidate {
            name,
            family: Family::Host,
            module: Some(bytes),
            works,
            kind: Kind::Run(engine, module),
        })
    }

    /// Starts a server with one worker that lets `limit` requests pass in a second.
    pub fn start(&self, environment: &Environment, limit: u64) -> Result<Server> {
        match &self.kind {
            Kind::Filters(filters) => envoy(environment, filters(limit), None),
            Kind::Wasm(module) => {
                let mut plugin = Plugin::new(
                    "bench",
                    Module::Inline(module(&environment.modules, limit)?),
                );
                plugin.configuration = self.works.then(|| configuration(limit).into_bytes());
                envoy(environment, Vec::new(), Some(plugin))
            }
            Kind::Run(engine, module) => {
                let module = module(&environment.modules)?;
                let configuration = self.works.then(|| configuration(limit));
                run(environment, engine, &module, configuration.as_deref(), 1)
            }
        }
        .with_context(|| format!("failed to start `{}`", self.name))
    }
}

/// What the plugins are configured with: this limit, and no log line for each request.
pub fn configuration(limit: u64) -> String {
    json!({ "requests_per_second": limit, "log": false }).to_string()
}

/// Starts `tidegate run` with one plugin before the environment's upstream.
pub fn run(
    environment: &Environment,
    engine: &str,
    module: &[u8],
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
    let mut command = Command::new(&environment.tidegate);
    command.args([
        "run",
        &plugin,
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
    // The plugin is read before the server is ready; the file may go then.
    Server::start(command, environment.cores, Says::Address)
}

fn envoy(environment: &Environment, filters: Vec<Value>, plugin: Option<Plugin>) -> Result<Server> {
    // Envoy would tell which port it was given only through its admin interface; one that was free a moment ago will do.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let mut bootstrap = Bootstrap::new(address, Upstream::new("127.0.0.1", 1));
    bootstrap.plugins.extend(plugin);
    let mut json = bootstrap.to_json();
    let manager = json
        .pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config")
        .context("a bootstrap without a connection manager")?;
    let route = manager
        .pointer_mut("/route_config/virtual_hosts/0/routes/0")
        .and_then(Value::as_object_mut)
        .context("a bootstrap without a route")?;
    route.remove("route");
    route.insert(
        "direct_response".into(),
        json!({ "status": 200, "body": { "inline_string": "ok" } }),
    );
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

/// The two filters of Envoy's own that do the tutorial's work between them.
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

/// The body of the native rate limit's answer, which is the connection manager's to say.
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
