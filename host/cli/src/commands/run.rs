//! `tidegate run`: serve with plugins.

use std::path::Path;

use clap::Args;
use tidegate_host::{EngineKind, ServeError};

use crate::file;
use crate::logs;
use crate::plugin::{self, Plugin, PluginArg};
use crate::serve::ServeArgs;
use crate::stop::{StopSignal, stop};

/// Run an HTTP proxy with plugins
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    /// Plugins, in the order in which requests pass through them. CONFIG is the configuration itself, or
    /// `@FILE`
    #[arg(required = true, value_name = "PLUGIN.wasm[=CONFIG]")]
    plugins: Vec<PluginArg>,

    #[command(flatten)]
    serve: ServeArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidegate run greeter.wasm
  tidegate run greeter.wasm='{\"greeting\": \"hello\"}' --upstream http://127.0.0.1:9000
  tidegate run rate-limit.wasm=@limits.json headers.wasm=@headers.json --workers 4
  tidegate run greeter.wasm --engine proxy-wasm --log-level debug
  tidegate run greeter.wasm --dashboard

Press Ctrl-C to stop. Requests in flight have ten seconds to finish.";

// === impl Run ===

impl Run {
    pub fn execute(self) -> anyhow::Result<()> {
        let plugins = plugin::read(&self.plugins)?;
        let specs = plugins
            .iter()
            .map(|plugin| self.serve.spec(plugin))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let refusals = refusals(&plugins);
        let serving = self.serve.open()?;
        let introduction = serving.introduction(&plugins, &specs);
        let server = match serving.start(specs) {
            Err(error @ ServeError::Load(_)) => return Err(explained(error, &refusals)),
            started => {
                refusals.iter().for_each(|it| logs::note(&it.message));
                started?
            }
        };
        // Not earlier: until there are requests to wait for, a signal ends the process at once, as it does by itself.
        let mut signal = StopSignal::new()?;
        let listening = format!(
            "{introduction}listening on http://{}\n",
            server.local_addr()
        );
        // A closed stdout is no reason not to serve.
        let _ = file::write(Path::new("-"), listening.as_bytes());
        signal.wait();
        stop(server, signal);
        Ok(())
    }
}

/// Why Envoy would refuse a plugin that this proxy may run.
struct Refusal {
    message: String,
    /// Whether it is a component's, and so in the words of `adapt`.
    is_of_component: bool,
}

/// What Envoy would refuse.
fn refusals(plugins: &[Plugin]) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for plugin in plugins {
        let path = plugin.path.display();
        let is_of_component = plugin.kind == EngineKind::Component;
        let messages = match is_of_component {
            true => match tidegate_adapter::inspect(&plugin.bytes) {
                Ok(inspection) => inspection.refusal.into_iter().collect(),
                Err(error) => vec![error.to_string()],
            },
            false => {
                let errors = tidegate_adapter::check(&plugin.bytes);
                errors.iter().map(ToString::to_string).collect()
            }
        };
        let what = match is_of_component {
            true => "cannot adapt",
            false => "Envoy refuses",
        };
        refusals.extend(messages.into_iter().map(|message| Refusal {
            message: format!("{what} `{path}`: {message}"),
            is_of_component,
        }));
    }
    refusals
}

/// Why plugins cannot be loaded. Of a component that cannot be adapted either, `run` says the same as `adapt` does.
fn explained(error: ServeError, refusals: &[Refusal]) -> anyhow::Error {
    match refusals.iter().find(|it| it.is_of_component) {
        Some(refusal) => anyhow::anyhow!("{}", refusal.message),
        None => error.into(),
    }
}
