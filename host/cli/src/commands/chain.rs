//! `tidegate chain`: shows which plugins run in a workload, in which order, and why.
//!
//! The rules are in `tidegate-deploy`; this file prints the table.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use clap::Args;
use tidegate_deploy::istio::order::{self, Answer, Chain, Layer, Options, Step, Traffic, Workload};
use tidegate_deploy::resource::Namespace;
use tidegate_deploy::yaml::{self, Location};
use tidegate_testkit::report::terminal;

use crate::format::FormatArgs;
use crate::manifests::{ManifestArgs, ManifestFile};
use crate::{file, logs};

/// Show which plugins run in each workload of an Istio mesh, in which order, and why
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ChainArgs {
    #[command(flatten)]
    manifests: ManifestArgs,

    /// Show only this workload. Default: the Deployments, StatefulSets, DaemonSets, ReplicaSets, ReplicationControllers, Jobs,
    /// CronJobs, Pods, Argo Rollouts and Gateways in the files; if there are none, the workloads that selectors and targetRefs name
    #[arg(short, long, value_name = "NAMESPACE[/KEY=VALUE,…]")]
    workload: Vec<Workload>,

    /// Root namespace: its resources apply to the whole mesh
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    root_namespace: Namespace,

    /// Namespace of resources that do not specify one
    #[arg(short, long, default_value = "default")]
    namespace: Namespace,

    #[command(flatten)]
    format: FormatArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidegate chain -f plugins.yaml
  tidegate chain -f manifests/
  tidegate chain -f plugins/*.yaml deployments.yaml \\
      --workload shop/app=web,version=v2
  kubectl get wasmplugins,deployments -A -o yaml | \\
      tidegate chain -f - --format json
  kubectl get wasmplugins,services,namespaces -A -o yaml | tidegate chain -f -

WasmPlugins and TrafficExtensions are ordered; EnvoyFilters are only counted. Istio orders plugins of the same phase and \
priority by creation time. Only a cluster sets the creation time; manifests without one are ordered by name here.

Workloads with a label `istio=…gateway` and workloads that use the `gateway` injection template are treated as gateways; all \
others are assumed to have a sidecar. Whether a Gateway is a \
waypoint is determined by its GatewayClass, or, if the files do not contain the class, by the name of the class. Gateways of \
the classes istio-east-west, istio-remote and istio-agentgateway, and of controllers other than Istio's, are skipped.

The waypoint of a Service or ServiceEntry is determined by its labels `istio.io/use-waypoint` and \
`istio.io/use-waypoint-namespace`, or else by those of its Namespace. If no label is found, and the \
files lack the service or its Namespace, the service is assumed to use the waypoints of its namespace. A waypoint that is not in the \
files is assumed to accept services from all namespaces.";

/// The text for a missing number.
const NONE: &str = "-";

// === impl ChainArgs ===

impl ChainArgs {
    pub fn execute(self) -> anyhow::Result<()> {
        let mut texts = Vec::new();
        for ManifestFile { name, bytes } in self.manifests.read()? {
            let documents = yaml::parse(&yaml::decode(&bytes)).map_err(|error| {
                let location = Location::new(&name, Some(error.position));
                anyhow!("{location}: {}", error.message)
            })?;
            logs::detail(|| format!("`{name}`: {} documents", documents.len()));
            texts.push((name, documents));
        }
        let files: Vec<_> = texts
            .iter()
            .map(|(name, documents)| order::File { name, documents })
            .collect();
        let options = Options {
            root_namespace: self.root_namespace.to_string(),
            namespace: self.namespace.to_string(),
            workloads: self.workload,
        };
        let answer = order::order(&files, &options)?;
        logs::detail(|| {
            let chains = answer.workloads.iter().map(|it| it.chains.len());
            format!(
                "{} workloads with {} chains, {} unused plugins, root namespace `{}`",
                answer.workloads.len(),
                chains.sum::<usize>(),
                answer.unused.len(),
                options.root_namespace
            )
        });
        let text = if self.format.is_json() {
            let answer =
                serde_json::to_value(&answer).context("cannot write the chains as JSON")?;
            format!("{answer:#}\n")
        } else {
            table(&answer)
        };
        file::write(Path::new("-"), text.as_bytes())?;
        if answer.envoy_filters.any() {
            logs::note(&answer.envoy_filters.to_string());
        }
        Ok(())
    }
}

fn table(answer: &Answer) -> String {
    let mut text = String::new();
    for ordered in &answer.workloads {
        let mut name = ordered.workload.to_string();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        for group in grouped(&ordered.chains) {
            let Some(chain) = group.first() else { continue };
            if !has_plugin(chain) {
                line(&mut text, &format!("{name}, {}: no plugin", title(&group)));
            } else {
                line(&mut text, &format!("{name}, {}", title(&group)));
                rows(&mut text, chain);
            }
            text.push('\n');
        }
        for left_out in &ordered.left_out {
            line(
                &mut text,
                &format!("  not {}: {}", left_out.id, left_out.why),
            );
        }
        if !ordered.left_out.is_empty() {
            text.push('\n');
        }
    }
    if !answer.unused.is_empty() {
        line(&mut text, "Plugins of services that no waypoint handles");
        for unused in &answer.unused {
            line(&mut text, &format!("  {}: {}", unused.id, unused.why));
        }
        text.push('\n');
    }
    text.pop();
    text
}

fn has_plugin(chain: &Chain) -> bool {
    let mut steps = chain.steps.iter();
    steps.any(|step| matches!(step, Step::Plugin { .. }))
}

/// Groups chains that are shown once: those with the same filters, and those without any plugin.
fn grouped(chains: &[Chain]) -> Vec<Vec<&Chain>> {
    let mut groups: Vec<Vec<&Chain>> = Vec::new();
    for chain in chains {
        let same = groups.iter_mut().find(|group| {
            group.first().is_some_and(|first| {
                (first.layer, &first.service) == (chain.layer, &chain.service)
                    && (first.steps == chain.steps || !has_plugin(first) && !has_plugin(chain))
            })
        });
        match same {
            Some(group) => group.push(chain),
            None => groups.push(vec![chain]),
        }
    }
    groups
}

/// The title of a group of chains.
fn title(group: &[&Chain]) -> String {
    let traffics: Vec<_> = group
        .iter()
        .map(|chain| match chain.traffic {
            Traffic::Inbound => "inbound",
            Traffic::Outbound => "outbound",
            Traffic::Gateway | Traffic::Waypoint => "all",
        })
        .collect();
    let traffics = traffics.join(" and ");
    let Some(chain) = group.first() else {
        return traffics;
    };
    let layer = match chain.layer {
        Layer::Http => "requests",
        Layer::Network => "connections that are not HTTP",
    };
    match &chain.service {
        Some(service) => format!("{traffics} {layer} to {service}"),
        None => format!("{traffics} {layer}"),
    }
}

/// Writes one line for each filter; for plugins with the number, phase, priority, ports and reason.
fn rows(text: &mut String, chain: &Chain) {
    let mut rows = vec![["#", "PHASE", "PRIORITY", "FILTER", "WHY"].map(str::to_owned)];
    let mut number = 0;
    for step in &chain.steps {
        rows.push(match step {
            Step::Istio { filter, what } => [
                String::new(),
                String::new(),
                String::new(),
                (*filter).to_owned(),
                (*what).to_owned(),
            ],
            Step::Plugin {
                id,
                priority,
                ports,
                why,
                ..
            } => {
                number += 1;
                let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
                let only = match ports.as_slice() {
                    [] => String::new(),
                    ports => format!("; only port {}", ports.join(", ")),
                };
                [
                    number.to_string(),
                    step.phase().unwrap_or_default().to_owned(),
                    priority.map_or_else(|| NONE.to_owned(), |priority| priority.to_string()),
                    id.to_string(),
                    format!("{why}{only}"),
                ]
            }
        });
    }
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (n, phase, priority, filter) = (width(0), width(1), width(2), width(3));
    for [a, b, c, d, e] in &rows {
        line(
            text,
            &format!("  {a:>n$}  {b:<phase$}  {c:>priority$}  {d:<filter$}  {e}"),
        );
    }
}

/// Writes a line with control characters escaped: names come from files, and a terminal would interpret control characters in them.
fn line(text: &mut String, line: &str) {
    terminal::escape(line.trim_end(), text);
    let _ = writeln!(text);
}
