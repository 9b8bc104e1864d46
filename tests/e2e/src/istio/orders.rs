//! Orders: whether `tidegate chain` and istiod run the same plugins in each workload, in the same order.
//!
//! `tests/istio/orders` contains a directory for each case. `tidegate chain` lists the chains. istiod's own code is then called for each of
//! these proxies, for every combination of traffic, port and service in which the plugins could differ, and for the listeners that it would
//! send to Envoy, which contain its own filters.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::judge::{Ordered as Istio, Place};
use super::{Report, Setup};

/// The output of `tidegate chain --format json`.
#[derive(Deserialize)]
struct Answer {
    workloads: Vec<Workload>,
    unused: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Workload {
    #[serde(default)]
    name: String,
    namespace: String,
    labels: BTreeMap<String, String>,
    role: String,
    chains: Vec<Chain>,
    left_out: Vec<Value>,
}

#[derive(Deserialize)]
struct Chain {
    traffic: String,
    service: Option<Service>,
    layer: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Service {
    kind: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(tag = "by", rename_all = "camelCase")]
enum Step {
    Istio {
        filter: String,
    },
    Plugin {
        phase: Option<String>,
        kind: String,
        namespace: String,
        name: String,
        ports: Vec<u16>,
    },
}

/// The filter after which a chain processes requests. The filters before it process connections.
const MANAGER: &str = "envoy.filters.network.http_connection_manager";

/// The label that identifies the controller of a Gateway's pods.
const MANAGED: &str = "gateway.istio.io/managed";

/// Returns the part of a step that is compared.
type OfStep = fn(&Step) -> Option<String>;

/// Compares the chains of every case.
pub fn compare(setup: &mut Setup) -> Result<Report> {
    let mut differences = Vec::new();
    let mut compared = 0;
    let cases = cases(&setup.module.join("orders"))?;
    for case in &cases {
        let folder = case.to_string_lossy();
        let printed = setup
            .tidegate
            .run(&["chain", "-f", &folder, "--format", "json"])?;
        ensure!(
            printed.succeeded,
            "`tidegate chain -f {folder}` fails: {}",
            printed.stderr
        );
        let ours: Answer = serde_json::from_str(&printed.stdout)
            .with_context(|| format!("unexpected output of `tidegate chain -f {folder}`"))?;
        let proxies: Vec<Value> = ours.workloads.iter().map(Workload::proxy).collect();
        let istio = setup.judge.order(&documents(case)?, &proxies)?;
        let name = case.file_name().unwrap_or_default().to_string_lossy();
        let chains = istio.chains.len() + istio.filters.len();
        ensure!(
            istio.chains.iter().any(|chain| !chain.plugins.is_empty()),
            "no plugin applies to any workload of the case `{name}`"
        );
        compared += chains;
        let found = ours.differences(&istio);
        differences.extend(found.into_iter().map(|it| format!("orders/{name}: {it}")));
    }
    Ok(Report {
        compared: format!("{compared} chains of {} cases", cases.len()),
        differences,
    })
}

/// Returns the directories of all cases, sorted.
fn cases(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut cases = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?
    {
        cases.push(entry.context("failed to read a folder")?.path());
    }
    cases.sort();
    ensure!(!cases.is_empty(), "{} is empty", folder.display());
    Ok(cases)
}

/// Returns all files of a case as one stream.
fn documents(case: &Path) -> Result<String> {
    let mut stream = String::new();
    for entry in fs::read_dir(case).with_context(|| format!("failed to read {}", case.display()))? {
        let path = entry.context("failed to read a folder")?.path();
        let text = fs::read_to_string(&path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        stream.push_str("---\n");
        stream.push_str(&text);
    }
    Ok(stream)
}

/// Splits a listener's filters into network filters and HTTP filters. Omits what `tidegate chain` does not list: the connection manager
/// between them, filters that only waypoints have, and the RBAC filter that precedes an external authorization filter.
fn parts(filters: &[String]) -> (Vec<String>, Vec<String>) {
    let mut told: Vec<String> = Vec::new();
    for filter in filters {
        if filter.ends_with(".ext_authz") && told.last().is_some_and(|it| it.ends_with(".rbac")) {
            told.pop();
        }
        if filter != "connect_authority" {
            told.push(filter.clone());
        }
    }
    match told.iter().position(|filter| filter == MANAGER) {
        Some(at) => (told[..at].to_vec(), told[at + 1..].to_vec()),
        None => (told, Vec::new()),
    }
}

/// Formats a plugin that does not apply, in the form that istiod's names end with.
fn id(left_out: &Value) -> String {
    let text = |field: &str| left_out[field].as_str().unwrap_or_default();
    format!(" {} {}/{}", text("kind"), text("namespace"), text("name"))
}

/// Returns whether this is a plugin. Istio's own filters have no namespace.
fn is_plugin(filter: &str) -> bool {
    filter.contains('/')
}

// === impl Answer ===

impl Answer {
    fn differences(&self, istio: &Istio) -> Vec<String> {
        let mut differences = Vec::new();
        for (gateway, label) in &istio.gateways {
            let ours = self
                .workloads
                .iter()
                .find(|it| it.is_gateway(gateway))
                .and_then(|it| it.labels.get(MANAGED).cloned())
                .unwrap_or_default();
            if ours != *label {
                differences.push(format!(
                    "the pods of the Gateway {gateway} are `{ours}` for tidegate, and `{label}` for istiod"
                ));
            }
        }
        let mut compare = |place: &Place, layer: &str, of: OfStep, istio: &[String]| {
            let Some(workload) = self.workloads.get(place.workload) else {
                differences.push(format!("istiod answers for workload {}", place.workload));
                return;
            };
            let ours = workload.steps(place, layer).filter_map(of);
            let ours: Vec<String> = ours.collect();
            if ours != istio {
                differences.push(format!(
                    "{}, {} {} {} port {}: tidegate's chain of {layer} has\n  {}\nand istiod's\n  {}",
                    workload.words(),
                    place.traffic,
                    place.layer,
                    place.service,
                    place.port,
                    ours.join("\n  "),
                    istio.join("\n  ")
                ));
            }
        };
        for judged in &istio.chains {
            compare(
                &judged.place,
                &judged.place.layer,
                Step::in_phase,
                &judged.plugins,
            );
            // Except at waypoints, network plugins also run before the HTTP filters.
            if judged.place.layer == "network" && judged.place.traffic != "waypoint" {
                compare(
                    &judged.place,
                    "before http",
                    Step::in_phase,
                    &judged.plugins,
                );
            }
        }
        for judged in &istio.filters {
            let (before, after) = parts(&judged.filters);
            let place = &judged.place;
            match place.layer.as_str() {
                "http" => {
                    compare(place, "http", Step::called, &after);
                    if before.iter().any(|it| is_plugin(it)) {
                        compare(place, "before http", Step::called, &before);
                    }
                }
                // `tidegate chain` does not list chains without plugins.
                _ if before.iter().any(|it| is_plugin(it)) => {
                    compare(place, "network", Step::called, &before);
                }
                _ => {}
            }
        }
        for (index, workload) in self.workloads.iter().enumerate() {
            let mut judged = istio
                .chains
                .iter()
                .filter(|chain| chain.place.workload == index);
            // A plugin that istiod has in a chain must not be listed as not applying.
            let is_in = |id: &str| {
                judged
                    .clone()
                    .any(|chain| chain.plugins.iter().any(|plugin| plugin.ends_with(id)))
            };
            for left_out in &workload.left_out {
                let id = id(left_out);
                if is_in(&id) {
                    differences.push(format!(
                        "{} does not get{id} for tidegate, and does for istiod",
                        workload.words()
                    ));
                }
            }
            // A service that the waypoint does not handle must not have a chain.
            for chain in workload.chains.iter().filter(|it| it.service.is_some()) {
                let service = chain.service();
                if !judged.clone().any(|it| it.place.service == service) {
                    differences.push(format!(
                        "{} handles {service} for tidegate, and does not for istiod",
                        workload.words()
                    ));
                }
            }
            if judged.next().is_none() {
                differences.push(format!("istiod returned no chain for {}", workload.words()));
            }
        }
        for unused in &self.unused {
            let id = id(unused);
            let mut plugins = istio.chains.iter().flat_map(|chain| &chain.plugins);
            if plugins.any(|plugin| plugin.ends_with(&id)) {
                differences.push(format!(
                    "no workload gets{id} for tidegate, and one does for istiod"
                ));
            }
        }
        differences
    }
}

// === impl Workload ===

impl Workload {
    /// Returns the proxy in the format of the judge's requests.
    fn proxy(&self) -> Value {
        json!({ "namespace": self.namespace, "labels": self.labels, "role": self.role })
    }

    fn is_gateway(&self, gateway: &str) -> bool {
        let own = self.name.strip_prefix("Gateway/");
        own.is_some_and(|name| format!("{}/{name}", self.namespace) == gateway)
    }

    fn words(&self) -> String {
        format!(
            "{} {} {:?} in {}",
            self.role, self.name, self.labels, self.namespace
        )
    }

    /// Returns the steps for a listener that the judge was asked about. `layer` is `http`, `before http` (the network filters before the
    /// HTTP filters) or `network`.
    fn steps(&self, asked: &Place, layer: &str) -> impl Iterator<Item = &Step> {
        let of = |layer: &str, service: &str| {
            self.chains.iter().find(|chain| {
                chain.traffic == asked.traffic && chain.layer == layer && chain.service() == service
            })
        };
        // Services without plugins share one chain.
        let has_own = |service: &str| self.chains.iter().any(|chain| chain.service() == service);
        let service = match has_own(&asked.service) {
            true => asked.service.as_str(),
            false => "",
        };
        let kept = match layer {
            "network" => "network",
            _ => "http",
        };
        // Network chains without plugins are not listed.
        let steps: &[Step] = of(kept, service).map_or(&[], |chain| &chain.steps);
        let at = steps.iter().position(Step::is_manager);
        let steps = match layer {
            "http" => &steps[at.map_or(0, |at| at + 1)..],
            "network" => steps,
            _ => &steps[..at.unwrap_or(0)],
        };
        let port = asked.port;
        steps.iter().filter(move |step| match step {
            Step::Istio { .. } => true,
            Step::Plugin { ports, .. } => ports.is_empty() || ports.contains(&port),
        })
    }
}

// === impl Chain ===

impl Chain {
    /// Returns the service in the judge's format. Empty for the chain of all other services.
    fn service(&self) -> String {
        let named = |it: &Service| format!("{}/{} in {}", it.kind, it.name, it.namespace);
        self.service.as_ref().map(named).unwrap_or_default()
    }
}

// === impl Step ===

impl Step {
    fn is_manager(&self) -> bool {
        matches!(self, Self::Istio { filter } if filter == MANAGER)
    }

    /// Returns a plugin with its phase.
    fn in_phase(&self) -> Option<String> {
        match self {
            Self::Istio { .. } => None,
            Self::Plugin { phase, .. } => {
                let phase = phase.as_deref().unwrap_or("UNSPECIFIED");
                self.called().map(|called| format!("{phase} {called}"))
            }
        }
    }

    /// Returns the name of a plugin or of one of Istio's filters.
    fn called(&self) -> Option<String> {
        Some(match self {
            Self::Istio { filter } => filter.clone(),
            Self::Plugin {
                kind,
                namespace,
                name,
                ..
            } => format!("{kind} {namespace}/{name}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of `tidegate chain` for a gateway with two plugins, the second of which applies only to port 80.
    fn ours() -> Answer {
        let plugin = |name: &str, ports: &[u16]| json!({ "by": "plugin", "phase": null, "kind": "WasmPlugin", "namespace": "shop", "name": name, "ports": ports });
        let own = |filter: &str| json!({ "by": "istio", "filter": filter, "what": "" });
        let steps = [
            plugin("net", &[]),
            own(MANAGER),
            plugin("a", &[]),
            plugin("b", &[80]),
        ];
        let network =
            json!({ "traffic": "gateway", "layer": "network", "steps": [plugin("net", &[])] });
        serde_json::from_value(json!({ "workloads": [{
            "name": "Gateway/public",
            "namespace": "shop",
            "labels": { MANAGED: "istio.io-gateway-controller" },
            "role": "gateway",
            "chains": [{ "traffic": "gateway", "layer": "http", "steps": steps }, network],
            "left-out": [{ "kind": "WasmPlugin", "namespace": "shop", "name": "c", "why": "" }],
        }], "unused": [{ "kind": "WasmPlugin", "namespace": "bank", "name": "d", "why": "" }] }))
        .expect("valid answer")
    }

    fn differences(
        label: &str,
        at_80: &[&str],
        at_443: &[&str],
        connections: &[&str],
    ) -> Vec<String> {
        let chain = |layer: &str, port: u16, names: &[&str]| {
            let plugins: Vec<String> = names
                .iter()
                .map(|name| format!("UNSPECIFIED WasmPlugin shop/{name}"))
                .collect();
            json!({ "workload": 0, "traffic": "gateway", "layer": layer, "port": port, "plugins": plugins })
        };
        let istio = json!({
            "gateways": { "shop/public": label },
            "filters": [],
            "chains": [chain("http", 80, at_80), chain("http", 443, at_443), chain("network", 80, connections)],
        });
        ours().differences(&serde_json::from_value(istio).expect("valid answer"))
    }

    #[test]
    fn every_difference_is_reported() {
        let label = "istio.io-gateway-controller";
        assert!(differences(label, &["a", "b"], &["a"], &["net"]).is_empty());
        let one = |found: Vec<String>, words: &str| {
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(words), "{found:?}");
        };
        one(
            differences("", &["a", "b"], &["a"], &["net"]),
            "the pods of the Gateway shop/public",
        );
        one(
            differences(label, &["b", "a"], &["a"], &["net"]),
            "port 80: tidegate's chain of http",
        );
        one(
            differences(label, &["a", "b"], &["a", "b"], &["net"]),
            "port 443: tidegate's chain of http",
        );
        // Network plugins are in a separate chain, and also before the HTTP filters.
        assert_eq!(differences(label, &["a", "b"], &["a"], &[]).len(), 2);
        let found = differences(label, &["a", "b", "c"], &["a"], &["net"]);
        assert!(
            found
                .iter()
                .any(|it| it.contains("does not get WasmPlugin shop/c")),
            "{found:?}"
        );
    }

    #[test]
    fn services_handled_by_waypoints_are_compared() {
        let mut ours = ours();
        let chain = json!({
            "traffic": "waypoint", "layer": "http", "steps": [],
            "service": { "kind": "Service", "namespace": "bank", "name": "a" },
        });
        ours.workloads[0]
            .chains
            .push(serde_json::from_value(chain).expect("valid chain"));
        let of = |service: &str, plugins: &[&str]| {
            let judged = json!({
                "gateways": {},
                "filters": [],
                "chains": [{ "workload": 0, "traffic": "waypoint", "layer": "http", "service": service, "port": 0, "plugins": plugins }],
            });
            ours.differences(&serde_json::from_value(judged).expect("valid answer"))
        };
        assert!(of("Service/a in bank", &[]).is_empty());
        let found = of("Service/b in bank", &[]);
        assert!(
            found
                .iter()
                .any(|it| it.contains("handles Service/a in bank for tidegate")),
            "{found:?}"
        );
        let found = of("Service/a in bank", &["AUTHN WasmPlugin bank/d"]);
        assert!(
            found
                .iter()
                .any(|it| it.contains("no workload gets WasmPlugin bank/d")),
            "{found:?}"
        );
    }
}
