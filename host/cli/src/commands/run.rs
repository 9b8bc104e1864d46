//! `tidegate run`: runs a proxy with plugins.

use std::path::Path;

use clap::Args;
use tidegate_host::{EngineKind, ServeError};

use crate::file;
use crate::logs;
use crate::plugin::{self, Plugin, PluginArg};
use crate::serve::{self, ServeArgs};
use crate::stop::{StopSignal, stop};

/// Run an HTTP proxy with plugins
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    /// Components or Proxy-Wasm modules, in the order in which requests pass through them. PLUGIN is a file, `-` for stdin, or an `oci://`
    /// reference. CONFIG is the configuration itself, or `@FILE` to read it from a file
    #[arg(required = true, value_name = plugin::SYNTAX)]
    plugins: Vec<PluginArg>,

    /// Name of the plugin in logs and properties; also its root ID (`root_id`). Give the option once for each plugin, in the same
    /// order. Default: the name of the file or image
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,

    #[command(flatten)]
    serve: ServeArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidegate run greeter.wasm
  tidegate run greeter.wasm='{\"greeting\": \"hello\"}' --upstream http://127.0.0.1:9000
  tidegate run rate-limit.wasm=@limits.json headers.wasm=@headers.json --workers 4
  tidegate run greeter.wasm --engine proxy-wasm --log-level debug
  tidegate run oci://127.0.0.1:5000/greeter:1.0.0 --name greeter --env LOG=verbose
  tidegate run greeter.wasm --cluster auth=http://127.0.0.1:9001
  tidegate run greeter.wasm --profile istio
  tidegate run greeter.wasm --dashboard
  tidegate run greeter.wasm --admin 127.0.0.1:9901

Press Ctrl-C to stop. Requests in flight have ten seconds to finish.";

// === impl Run ===

impl Run {
    pub fn execute(self) -> anyhow::Result<()> {
        let plugins = plugin::read(&self.plugins, &self.name)?;
        let specs = plugins
            .iter()
            .map(|plugin| self.serve.spec(plugin))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let serving = self.serve.open()?;
        let introduction = serving.introduction(&plugins, &specs);
        let server = match serving.start(specs) {
            Err(error @ ServeError::Load(_)) => {
                plugins.iter().for_each(note_unsupported);
                return Err(explained(error, &refusals(&plugins)));
            }
            Err(error) => {
                warn(&plugins);
                return Err(error.into());
            }
            Ok(server) => server,
        };
        // Not earlier: while there are no requests to wait for, a signal ends the process immediately.
        let mut signal = StopSignal::new()?;
        let listening = introduction + &serve::addresses(&server);
        // A closed stdout is no reason not to serve.
        let _ = file::write(Path::new("-"), listening.as_bytes());
        // This takes longer than a start with code from the cache, so neither requests nor signals wait for it.
        std::thread::spawn(move || warn(&plugins));
        signal.wait();
        stop(server, signal);
        Ok(())
    }
}

/// Warns about what this proxy does not implement, and about what Envoy would reject.
fn warn(plugins: &[Plugin]) {
    plugins.iter().for_each(note_unsupported);
    for refusal in refusals(plugins) {
        logs::note(&format!("warning: {}", refusal.message));
    }
}

/// Warns about hostcalls that this proxy does not implement. Without the warning, a module that waits for a gRPC response would
/// just hang.
fn note_unsupported(plugin: &Plugin) {
    let hostcalls =
        tidegate_adapter::inspect(&plugin.bytes).map_or_else(|_| Vec::new(), |it| it.hostcalls);
    let missing = plugin::unsupported(&hostcalls);
    if !missing.is_empty() {
        logs::note(&format!(
            "warning: `{}` imports hostcalls that this proxy does not implement: {}",
            plugin.place,
            missing.join(", ")
        ));
    }
}

/// The reason why Envoy would reject a plugin, which this proxy can possibly run.
struct Refusal {
    /// The plugin's name.
    plugin: String,
    message: String,
    /// Whether the plugin is a component, and the reason is the error of `adapt`.
    is_of_component: bool,
}

/// The reasons why Envoy would reject plugins.
fn refusals(plugins: &[Plugin]) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for plugin in plugins {
        let place = &plugin.place;
        let is_of_component = plugin.kind == EngineKind::Component;
        let messages = match is_of_component {
            true => match tidegate_adapter::inspect(&plugin.bytes) {
                Ok(inspection) => inspection.rejection.into_iter().collect(),
                Err(error) => vec![error.to_string()],
            },
            false => {
                let errors = tidegate_adapter::check(&plugin.bytes);
                errors.iter().map(ToString::to_string).collect()
            }
        };
        let what = match is_of_component {
            true => "cannot adapt",
            false => "Envoy rejects",
        };
        refusals.extend(messages.into_iter().map(|message| Refusal {
            plugin: plugin.name.clone(),
            message: format!("{what} `{place}`: {message}"),
            is_of_component,
        }));
    }
    refusals
}

/// The error for plugins that cannot be loaded. If a component cannot be adapted either, this is the error of `adapt`.
fn explained(error: ServeError, refusals: &[Refusal]) -> anyhow::Error {
    let failed = match &error {
        ServeError::Load(error) => error.plugin(),
        _ => None,
    };
    let is_of_failed = |it: &&Refusal| it.is_of_component && Some(it.plugin.as_str()) == failed;
    match refusals.iter().find(is_of_failed) {
        Some(refusal) => anyhow::anyhow!(
            "{}",
            refusal.message.replacen("cannot adapt", "cannot run", 1)
        ),
        None => error.into(),
    }
}
