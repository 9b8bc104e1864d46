//! Manifests: with any flags, Istio admits the output of `tidegate manifest`, and `tidegate check` reports nothing.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Report, Setup};

const DIGEST: &str = "5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a";

/// A digest that consists only of digits, which YAML parses as a number unless it is quoted.
const DIGITS: &str = "1234567890123456789012345678901234567890123456789012345678901234";

/// A digest that looks like a number with an exponent.
const EXPONENT: &str = "12345678901234567890123456789012345678901234567890123456789012e4";

/// The arguments for Istio's plugin kinds in addition to the URL: each alone, then in combinations.
const FLAGS: [&str; 34] = [
    "",
    "--name other-name --namespace shop",
    "--name on --namespace null",
    "--selector app=web",
    "--selector app=web,istio.io/rev=1.31,empty=",
    "--selector yes=no,1=2",
    "--target-ref Gateway/public",
    "--target-ref GatewayClass/istio-waypoint",
    "--target-ref Service/web,ServiceEntry/api",
    "--phase AUTHN",
    "--phase AUTHZ",
    "--phase STATS",
    "--priority 0",
    "--priority -5",
    "--priority 2147483647",
    "--priority -2147483648",
    "--fail-strategy FAIL_OPEN",
    "--fail-strategy FAIL_CLOSE",
    "--fail-strategy FAIL_RELOAD",
    "--image-pull-secret registry",
    "--image-pull-policy IfNotPresent",
    "--image-pull-policy Always",
    "--match-mode CLIENT",
    "--match-mode SERVER --port 80",
    "--match-mode CLIENT_AND_SERVER --port 1,443,65535",
    "--port 8080",
    "--env LIMIT=1 --env HOSTNAME",
    "--env YES=yes --env EMPTY= --env URL=a=b",
    "--type HTTP",
    "--type NETWORK",
    "--plugin-name greeter",
    "--plugin-name 1e3",
    "--name all --namespace shop --selector app=web --phase AUTHZ --priority 7 --fail-strategy FAIL_RELOAD --match-mode SERVER \
     --port 80,443 --env A=1 --env B --type HTTP --plugin-name all --image-pull-secret registry --image-pull-policy IfNotPresent",
    "--target-ref Gateway/public --phase STATS --priority 1 --fail-strategy FAIL_OPEN --match-mode CLIENT",
];

/// The URLs of modules, each with a digest.
const URLS: [&str; 6] = [
    "--url oci://registry.example.com:5000/team/plugin:v1@sha256:DIGEST",
    "--url oci://registry.example.com/plugin --sha256 DIGEST",
    "--url oci://registry.example.com/plugin:v1 --sha256 DIGITS",
    "--url oci://registry.example.com/plugin:v1 --sha256 EXPONENT",
    "--url https://plugins.example.com/plugin.wasm",
    "--url file:///opt/plugins/plugin.wasm",
];

/// Arguments that only `EnvoyFilter` supports.
const FILTERS: [&str; 4] = [
    "--context SIDECAR_INBOUND",
    "--context SIDECAR_OUTBOUND --selector app=web --fail-strategy FAIL_OPEN --env A=1",
    "--context GATEWAY --fail-strategy FAIL_RELOAD --plugin-name other --namespace shop --name other",
    "--context GATEWAY --target-ref Gateway/public",
];

/// The rule that warns about a negative priority.
const WARNED: &str = "priority.negative";

/// The warning that istiod returns for every `EnvoyFilter`, regardless of its content.
const ALWAYS_WARNED: &str = "EnvoyFilter exposes internal implementation details";

/// A configuration, and the form in which the plugin receives it.
struct Configuration {
    /// The configuration in the file.
    given: Value,
    /// The configuration that the plugin receives.
    arrives: Value,
}

/// Prints a manifest for each set of flags, and checks that it is admitted.
pub fn compare_flags(setup: &mut Setup) -> Result<Report> {
    let mut differences = Vec::new();
    let commands = commands();
    let module = setup.tutorial.module.clone();
    let module = module.to_string_lossy();
    for (kind, arguments) in &commands {
        let shown = format!("tidegate manifest {} {arguments}", subcommand(kind));
        let words: Vec<&str> = arguments.split_whitespace().collect();
        let warned = if arguments.contains("--priority -") {
            WARNED
        } else {
            ""
        };
        if let Err(difference) = admitted(setup, &words, &module, kind, warned)? {
            differences.push(format!("{shown}{difference}"));
        }
    }
    Ok(Report {
        compared: format!("{} manifests", commands.len()),
        differences,
    })
}

/// Prints a manifest for each configuration, and checks which configuration the plugin would receive.
pub fn compare_configurations(setup: &mut Setup) -> Result<Report> {
    let mut differences = Vec::new();
    let configurations = configurations();
    let [pinned, ..] = URLS.map(fill);
    let module = setup.rate_limit.module.clone();
    let module = module.to_string_lossy();
    for Configuration { given, arrives } in &configurations {
        for kind in ["WasmPlugin", "TrafficExtension"] {
            let words: Vec<&str> = pinned.split_whitespace().collect();
            let shown = format!(
                "tidegate manifest {} with the configuration {given}",
                subcommand(kind)
            );
            let plugin = format!("{module}={given}");
            match admitted(setup, &words, &plugin, kind, "")? {
                Err(difference) => differences.push(format!("{shown}{difference}")),
                Ok(configuration) => {
                    let gets: Value = serde_json::from_str(&configuration).unwrap_or_default();
                    if as_doubles(&gets) != as_doubles(arrives) {
                        differences.push(format!("{shown}: the plugin gets {configuration}"));
                    }
                }
            }
        }
    }
    Ok(Report {
        compared: format!("{} configurations in manifests", configurations.len()),
        differences,
    })
}

/// Prints a manifest. Returns the configuration that Istio extracts from it, or why it is not admitted.
pub fn admitted(
    setup: &mut Setup,
    arguments: &[&str],
    plugin: &str,
    kind: &str,
    warned: &str,
) -> Result<Result<String, String>> {
    let mut command = setup.tidegate.command();
    command
        .args(["manifest", subcommand(kind), plugin])
        .args(arguments);
    let printed = setup.tidegate.outcome(&mut command)?;
    if !printed.succeeded {
        return Ok(Err(format!(" fails: {}", printed.stderr)));
    }
    let mut verdicts = setup.judge.validate(&printed.stdout)?;
    let documents = verdicts.len();
    let (Some(verdict), 1) = (verdicts.pop(), documents) else {
        return Ok(Err(format!(" prints {documents} documents")));
    };
    if !verdict.admitted() || verdict.kind != kind || verdict.name.is_empty() {
        return Ok(Err(format!(
            ": Istio says of the {} `{}`: {}\n{}",
            verdict.kind,
            verdict.name,
            verdict.words(),
            printed.stdout
        )));
    }
    if let Some(warning) = verdict
        .warnings
        .iter()
        .find(|warning| !warning.starts_with(ALWAYS_WARNED))
    {
        return Ok(Err(format!(": Istio warns: {warning}\n{}", printed.stdout)));
    }
    let path = setup.scratch.path().join("manifest.yaml");
    fs::write(&path, &printed.stdout)
        .with_context(|| format!("failed to write {}", path.display()))?;
    let path = path.to_string_lossy();
    let module = setup.tutorial.module.to_string_lossy();
    let findings = setup.tidegate.validate(&[&path, "--module", &module])?;
    Ok(
        match findings.iter().find(|finding| finding.rule != warned) {
            None => Ok(verdict.configuration),
            Some(finding) => Err(format!(
                ": `tidegate check` says: {}: {} [{}]\n{}",
                finding.field, finding.message, finding.rule, printed.stdout
            )),
        },
    )
}

/// Converts all numbers to doubles, as Istio does. All other values must be equal; a null is not equivalent to an absent field.
fn as_doubles(given: &Value) -> Value {
    match given {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(as_doubles).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), as_doubles(value)))
            .collect(),
        other => other.clone(),
    }
}

/// Returns a configuration for each text that YAML might parse as another type, and some with numbers and nulls.
fn configurations() -> Vec<Configuration> {
    let texts = [
        "",
        " ",
        "yes",
        "No",
        "on",
        "y",
        "true",
        "null",
        "~",
        "1",
        "0x10",
        "0o17",
        "017",
        "1e3",
        "1_000",
        "12:30:45",
        ".inf",
        "-.NaN",
        "2026-01-01",
        "- a",
        "a: b",
        "a:",
        "#",
        "a # b",
        "'",
        "\"",
        "'a' \"b\"",
        "\\",
        "\\n",
        "a\nb\n",
        "a\n\n",
        "\na",
        "  a",
        "a  ",
        "\ta",
        "a\r\nb",
        "ü",
        "😀",
        "\u{7}",
        "\u{0}",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "\u{7f}",
        "<script>&amp;",
        "{{x}}",
        "${x}",
        "%",
        "@",
        "`",
        "|",
        ">",
        "!tag",
        "&anchor",
        "*alias",
        "---",
        "...",
        "--- a",
        "=",
        "<<",
        "?",
        "? a",
        "[",
        "]",
        "{",
        "}",
        ",",
        "a, b",
    ];
    let long = "plugin and proxy ".repeat(200);
    let whole = texts
        .into_iter()
        .chain([long.as_str()])
        .map(|text| {
            json!({
                "rules": [{ "name": "all", "limit": "5/s" }],
                "response": { "body": text, "response_headers_to_add": [{ "name": "x-text", "value": "a" }] },
            })
        })
        .chain([
            json!({ "rules": [{ "name": "all", "limit": "1/s" }] }),
            json!({ "rules": [{ "name": "all", "limit": "1000/s", "burst": 10 }], "response": { "status": 503 } }),
        ])
        .map(|given| Configuration {
            arrives: given.clone(),
            given,
        });
    // Manifests omit null fields, because `kubectl apply` would remove them and `kubectl create` would not.
    let nulls = [
        (
            json!({ "rules": [{ "name": "all", "limit": "1/s", "burst": 4_294_967_295_u32 }], "response": null }),
            json!({ "rules": [{ "name": "all", "limit": "1/s", "burst": 4_294_967_295_u32 }] }),
        ),
        (
            json!({ "rules": [{ "name": "all", "limit": "1/s" }], "response": { "body": null, "status": 503 }, "stat_prefix": null }),
            json!({ "rules": [{ "name": "all", "limit": "1/s" }], "response": { "status": 503 } }),
        ),
    ]
    .map(|(given, arrives)| Configuration { given, arrives });
    whole.chain(nulls).collect()
}

/// Returns each set of flags with the first URL, and each URL without flags, for each kind that supports them.
fn commands() -> Vec<(&'static str, String)> {
    let [pinned, ..] = URLS;
    let mut commands = Vec::new();
    for kind in ["WasmPlugin", "TrafficExtension"] {
        commands.extend(FLAGS.map(|flags| (kind, format!("{pinned} {flags}"))));
        commands.extend(URLS.map(|url| (kind, url.to_owned())));
    }
    for url in [
        "--url file:///opt/plugins/plugin.wasm",
        "--url oci://registry.example.com/plugin:v1@sha256:DIGEST",
    ] {
        commands.extend(FILTERS.map(|flags| ("EnvoyFilter", format!("{url} {flags}"))));
    }
    let commands = commands.into_iter();
    commands
        .map(|(kind, arguments)| (kind, fill(&arguments)))
        .collect()
}

/// Returns the subcommand of `tidegate manifest` that prints the given kind.
pub fn subcommand(kind: &str) -> &'static str {
    match kind {
        "WasmPlugin" => "wasm-plugin",
        "TrafficExtension" => "traffic-extension",
        "EnvoyExtensionPolicy" => "envoy-extension-policy",
        _ => "envoy-filter",
    }
}

/// Replaces the placeholders with digests.
pub fn fill(command: &str) -> String {
    command
        .replace("DIGEST", DIGEST)
        .replace("DIGITS", DIGITS)
        .replace("EXPONENT", EXPONENT)
}
