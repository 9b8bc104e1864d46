//! Computes orders and formats the results as single lines.

use tidegate_deploy::istio::order::{
    Answer, File, Layer, Options, OrderError, Ordered, Step, Traffic, order,
};
use tidegate_deploy::yaml;

pub const GATEWAY: &str = "gateway.networking.k8s.io/gateway-name=public";
pub const WAYPOINT: &str =
    "gateway.networking.k8s.io/gateway-name=way,gateway.istio.io/managed=istio.io-mesh-controller";

pub fn options(workloads: &[&str]) -> Options {
    Options {
        root_namespace: "istio-system".into(),
        namespace: "default".into(),
        workloads: workloads
            .iter()
            .map(|text| text.parse().expect("valid workload"))
            .collect(),
    }
}

pub fn ask(text: &str, workloads: &[&str]) -> Result<Vec<Ordered>, OrderError> {
    answer(text, workloads).map(|answer| answer.workloads)
}

pub fn answer(text: &str, workloads: &[&str]) -> Result<Answer, OrderError> {
    let documents = yaml::parse(text).expect("valid YAML");
    let file = File {
        name: "plugins.yaml",
        documents: &documents,
    };
    order(&[file], &options(workloads))
}

/// Returns a WasmPlugin in a namespace. `spec` is the content of its `spec`.
pub fn plugin(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{url: 'oci://h.io/a:1', {spec}}}\n"
    )
}

pub fn extension(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: extensions.istio.io/v1alpha1\nkind: TrafficExtension\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n"
    )
}

/// Returns the names of the plugins in a chain, with `|` in place of Istio's own filters.
pub fn names(steps: &[Step]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for step in steps {
        match step {
            Step::Plugin { id, .. } => names.push(&id.name),
            Step::Istio { .. } if names.last().is_some_and(|last| *last != "|") => names.push("|"),
            _ => {}
        }
    }
    if names.last() == Some(&"|") {
        names.pop();
    }
    names.join(" ")
}

/// Returns the chains of a workload as `TRAFFIC: NAMES`. Network chains are marked with `tcp`.
pub fn chains(ordered: &Ordered) -> Vec<String> {
    let chains = ordered.chains.iter().map(|chain| {
        let traffic = match chain.traffic {
            Traffic::Inbound => "in",
            Traffic::Outbound => "out",
            Traffic::Gateway => "gateway",
            Traffic::Waypoint => "waypoint",
        };
        let layer = if chain.layer == Layer::Network {
            " tcp"
        } else {
            ""
        };
        let service = chain
            .service
            .as_ref()
            .map(|it| format!(" {it}"))
            .unwrap_or_default();
        format!("{traffic}{layer}{service}: {}", names(&chain.steps))
    });
    chains.collect()
}

#[track_caller]
pub fn gives(text: &str, workload: &str, expected: &[&str]) {
    let ordered = ask(text, &[workload]).expect("order should be computed");
    assert_eq!(chains(&ordered[0]), expected, "{workload}\n{text}");
}

/// Returns the reason for a plugin in the first chain.
#[track_caller]
pub fn why(text: &str, workload: &str, name: &str) -> String {
    let ordered = ask(text, &[workload]).expect("order should be computed");
    let mut steps = ordered[0].chains[0].steps.iter();
    let found = steps.find_map(|step| match step {
        Step::Plugin { id, why, .. } if id.name == name => Some(why.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{name} is not there"))
}

#[track_caller]
pub fn left_out(text: &str, workload: &str) -> Vec<String> {
    let ordered = ask(text, &[workload]).expect("order should be computed");
    let plugins = ordered[0].left_out.iter();
    plugins
        .map(|it| format!("{}: {}", it.id.name, it.why))
        .collect()
}
