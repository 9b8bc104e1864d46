//! `tidegate run`: serve with plugins.

use std::path::Path;

use clap::Args;
use tidegate_host::{EngineKind, ServeError};

use crate::file;
use crate::logs;
use crate::plugin::{self, Plugin, PluginArg};
use crate::serve::ServeArgs;
use crate::stop::{StopSignal, stop};

/// Serve HTTP with plugins
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    /// Plugins, in the order that requests pass them; CONFIG is a JSON file or, beginning with `{`, JSON itself
    #[arg(required = true, value_name = "PLUGIN.wasm[=CONFIG]")]
    plugins: Vec<PluginArg>,

    #[command(flatten)]
    serve: ServeArgs,
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
            .map(|plugin| self.serve.spec(plugin))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let refusals = refusals(&plugins);
        let serving = self.serve.open()?;
        let introduction = serving.introduction(&plugins, &specs);
        let server = serving
            .start(specs)
            .map_err(|error| explained(error, &refusals))?;
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

/// Names the components that `adapt` refuses, each with the reason: this proxy may run what Envoy cannot.
fn refusals(plugins: &[Plugin]) -> Vec<String> {
    let mut refusals = Vec::new();
    for plugin in plugins.iter().filter(|it| it.kind == EngineKind::Component) {
        let refusal = match tidegate_adapter::inspect(&plugin.bytes) {
            Ok(inspection) => inspection.refusal,
            Err(error) => Some(error.to_string()),
        };
        if let Some(refusal) = refusal {
            let refusal = format!("cannot adapt `{}`: {refusal}", plugin.path.display());
            logs::note(&refusal);
            refusals.push(refusal);
        }
    }
    refusals
}

/// Why the proxy does not start. Of a component that cannot be adapted either, `run` says the same as `adapt` does.
fn explained(error: ServeError, refusals: &[String]) -> anyhow::Error {
    let is_load = matches!(error, ServeError::Load(_));
    match refusals.first() {
        Some(refusal) if is_load => anyhow::anyhow!("{refusal}"),
        _ => error.into(),
    }
}
