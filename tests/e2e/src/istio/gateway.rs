//! Envoy Gateway: with any flags, the API server admits the policy that `tidegate manifest` prints.
//!
//! The definition comes from Envoy Gateway's module, and the documents are validated by the API server's code, as for Istio's kinds. `e2e
//! gateway` tests how Envoy Gateway translates an admitted policy.

use anyhow::Result;

use super::manifests::{admitted, fill, subcommand};
use super::{Report, Setup};

/// The kind that all commands in this file print.
const KIND: &str = "EnvoyExtensionPolicy";

const PINNED: &str = "--url oci://registry.example.com:5000/team/plugin:v1@sha256:DIGEST";

/// The arguments in addition to the URL.
const FLAGS: [&str; 19] = [
    "--target-ref Gateway/public",
    "--target-ref ListenerSet/extra",
    "--target-ref HTTPRoute/web",
    "--target-ref GRPCRoute/api",
    "--target-ref Gateway/public,ListenerSet/extra,HTTPRoute/web,GRPCRoute/api",
    "--target-ref HTTPRoute/web --merge-type StrategicMerge",
    "--target-ref HTTPRoute/web,GRPCRoute/api --merge-type JSONMerge",
    "--target-ref HTTPRoute/a.b-c",
    "--target-ref Gateway/public --name other-name --namespace shop",
    "--target-ref Gateway/public --name on --namespace null",
    "--target-ref Gateway/public --fail-strategy FAIL_OPEN",
    "--target-ref Gateway/public --fail-strategy FAIL_CLOSE",
    "--target-ref Gateway/public --image-pull-secret registry",
    "--target-ref Gateway/public --image-pull-policy IfNotPresent",
    "--target-ref Gateway/public --image-pull-policy Always",
    "--target-ref Gateway/public --env HOSTNAME --env YES",
    "--target-ref Gateway/public --plugin-name greeter",
    "--target-ref Gateway/public --plugin-name 1e3",
    "--target-ref Gateway/public,HTTPRoute/web --name all --namespace shop --fail-strategy FAIL_OPEN --plugin-name all --env A --env B \
     --image-pull-secret registry --image-pull-policy IfNotPresent",
];

/// The URLs of modules, each with a digest.
const URLS: [&str; 4] = [
    "--url oci://registry.example.com/plugin --sha256 DIGEST",
    "--url oci://registry.example.com/plugin:v1 --sha256 DIGITS",
    "--url oci://registry.example.com/plugin:v1 --sha256 EXPONENT",
    "--url https://plugins.example.com/plugin.wasm",
];

/// Replacements in an admitted policy, with the component that then rejects it and part of the message.
const REFUSALS: [(&str, &str, &str, &str); 12] = [
    (
        "failOpen: false",
        "failOpen: 'no'",
        "schema",
        "spec.wasm[0].failOpen",
    ),
    (
        "failOpen: false",
        "failStrategy: FAIL_OPEN",
        "decode",
        "spec.wasm[0].failStrategy",
    ),
    (
        "type: Image",
        "type: File",
        "schema",
        "spec.wasm[0].code.type",
    ),
    (
        "type: Image",
        "type: HTTP",
        "cel",
        "If type is HTTP, http field needs to be set.",
    ),
    (
        "kind: Gateway",
        "kind: Service",
        "cel",
        "targetRefs[*].kind",
    ),
    (
        "kind: Gateway",
        "kind: XListenerSet",
        "cel",
        "targetRefs[*].kind",
    ),
    (
        "targetRefs:",
        "mergeType: JSONMerge\n  targetRefs:",
        "cel",
        "mergeType can only be used with xRoute targets",
    ),
    (
        "targetRefs:\n  - group: gateway.networking.k8s.io\n    kind: Gateway",
        "mergeType: Replace\n  targetRefs:\n  - group: gateway.networking.k8s.io\n    kind: HTTPRoute",
        "cel",
        "Replace is not a valid MergeType",
    ),
    (
        "group: gateway.networking.k8s.io",
        "group: ''",
        "cel",
        "targetRefs[*].group",
    ),
    (
        "targetRefs:",
        "targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: public}\n  targetRefs:",
        "cel",
        "either targetRef or targetRefs must be used",
    ),
    (
        "pullPolicy: Always",
        "pullPolicy: Never",
        "schema",
        "spec.wasm[0].code.pullPolicy",
    ),
    (
        "kind: Secret",
        "kind: ConfigMap",
        "cel",
        "only support Secret kind.",
    ),
];

/// Prints a policy for each set of flags and each URL, with and without a configuration, and checks that it is admitted.
pub fn compare_flags(setup: &mut Setup) -> Result<Report> {
    if let Some(reason) = &setup.gateway_missing {
        println!("SKIPPED: Envoy Gateway's policies before the API server's code: {reason}");
        return Ok(Report {
            compared: "0 policies".to_owned(),
            differences: Vec::new(),
        });
    }
    let target = "--target-ref HTTPRoute/web";
    let flags = FLAGS.iter().map(|flags| format!("{PINNED} {flags}"));
    let commands = flags.chain(URLS.iter().map(|url| format!("{url} {target}")));
    let commands: Vec<String> = commands.map(|arguments| fill(&arguments)).collect();
    let tutorial = setup.tutorial.module.to_string_lossy().into_owned();
    let rate_limit = setup.rate_limit.module.to_string_lossy();
    let configured = format!(
        r#"{rate_limit}={{"rules":[{{"name":"all","limit":"1/s","burst":4294967295}}],"stat_prefix":null,"response":{{"body":"{{}}: yes"}}}}"#
    );
    let mut differences = Vec::new();
    for arguments in &commands {
        let words: Vec<&str> = arguments.split_whitespace().collect();
        for plugin in [&tutorial, &configured] {
            if let Err(difference) = admitted(setup, &words, plugin, KIND, "")? {
                differences.push(format!(
                    "tidegate manifest {} {plugin} {arguments}{difference}",
                    subcommand(KIND)
                ));
            }
        }
    }
    Ok(Report {
        compared: format!("{} policies of Envoy Gateway", 2 * commands.len()),
        differences,
    })
}

/// Applies each replacement in the table to a policy, to check that invalid policies are rejected.
pub fn compare_refusals(setup: &mut Setup) -> Result<Report> {
    let mut report = Report {
        compared: "0 spoilt policies".to_owned(),
        differences: Vec::new(),
    };
    if setup.gateway_missing.is_some() {
        return Ok(report);
    }
    let arguments = fill(&format!(
        "{PINNED} --target-ref Gateway/public --image-pull-policy Always --image-pull-secret registry"
    ));
    let mut command = setup.tidegate.command();
    command
        .args(["manifest", subcommand(KIND)])
        .arg(&setup.tutorial.module);
    let printed = setup
        .tidegate
        .outcome(command.args(arguments.split_whitespace()))?;
    for (found, put, by, words) in REFUSALS {
        let spoilt = printed.stdout.replacen(found, put, 1);
        let verdicts = setup.judge.validate(&spoilt)?;
        let refusals = verdicts.iter().flat_map(|verdict| &verdict.refusals);
        let mut refusals = refusals.filter(|it| it.by == by && it.message.contains(words));
        if spoilt == printed.stdout || refusals.next().is_none() {
            let said: Vec<String> = verdicts.iter().map(super::judge::Verdict::words).collect();
            report.differences.push(format!(
                "`{put}` for `{found}` is not refused by {by} for `{words}`, but {}:\n{spoilt}{}",
                said.join("; "),
                printed.stderr
            ));
        }
    }
    report.compared = format!("{} spoilt policies", REFUSALS.len());
    Ok(report)
}
