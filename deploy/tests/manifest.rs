//! Tests the manifests, both as text and as parsed by Kubernetes.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tidegate_deploy::configuration::{Configuration, Way};
use tidegate_deploy::gateway::{ExtensionPolicy, MergeType};
use tidegate_deploy::istio::envoy_filter::{Context, EnvoyFilter};
use tidegate_deploy::istio::manifest::Deployment;
use tidegate_deploy::istio::model::{
    FailStrategy, MatchMode, Phase, PluginType, PullPolicy, Variable,
};
use tidegate_deploy::istio::validate::{self, Kind};
use tidegate_deploy::resource::{Metadata, Scope, TargetRef};
use tidegate_deploy::source::{ImageReference, Source};
use tidegate_deploy::yaml;

const DIGEST: &str = "1234567890123456789012345678901234567890123456789012345678901234";
const MODULE: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

fn image() -> Source {
    let reference = ImageReference {
        repository: "registry.example:5000/plugins/greeter".into(),
        tag: Some("1.2.3".into()),
        digest: None,
    };
    Source::image(reference, Some(DIGEST.into()), MODULE).expect("valid source")
}

fn metadata() -> Metadata {
    Metadata {
        name: "greeter".parse().expect("valid name"),
        namespace: Some("shop".parse().expect("valid name")),
    }
}

fn targets(texts: &[&str]) -> Scope {
    Scope::Targets(texts.iter().map(|text| text.parse().expect(text)).collect())
}

fn full() -> Deployment {
    let labels = [("app".to_owned(), "web".to_owned())];
    Deployment {
        scope: Scope::Selector(labels.into()),
        configuration: Some(json!({ "header": "x-hello", "limit": 10 })),
        plugin_name: Some("root".into()),
        phase: Some(Phase::Authn),
        priority: Some(-5),
        mode: Some(MatchMode::Server),
        ports: vec![80, 8080],
        fail_strategy: Some(FailStrategy::Reload),
        pull_policy: Some(PullPolicy::IfNotPresent),
        pull_secret: Some("registry".into()),
        environment: vec![
            Variable {
                name: "TZ".into(),
                value: Some("no".into()),
            },
            Variable {
                name: "HOSTNAME".into(),
                value: None,
            },
        ],
        plugin_type: Some(PluginType::Http),
        ..Deployment::new(metadata(), image())
    }
}

/// Returns the document as the API server receives it.
#[track_caller]
fn read(text: &str) -> Value {
    let documents = yaml::parse(text).expect("valid YAML");
    assert_eq!(documents.len(), 1, "{text}");
    documents[0].root.to_json()
}

/// Returns Istio's errors and warnings for a manifest.
fn complaints(text: &str) -> Vec<String> {
    let options = validate::Options {
        module_sha256: Some(MODULE.into()),
        ..validate::Options::default()
    };
    let report = validate::validate(text, &options).expect("valid YAML");
    assert_eq!(report.judged, 1, "{text}");
    let findings = report.findings.iter();
    findings
        .map(|it| format!("{} {}", it.field, it.message))
        .collect()
}

/// Istio admits every generated manifest, and `validate` reports nothing.
#[test]
fn manifests_pass_validation() {
    let plain = Deployment::new(metadata(), image());
    let path = Source::parse("file:///plugins/a.wasm", None, MODULE).expect("valid source");
    let download = Source::parse("https://h.io/a.wasm", None, MODULE).expect("valid source");
    for deployment in [
        Deployment {
            priority: Some(5),
            ..full()
        },
        plain.clone(),
        Deployment {
            source: path,
            ..plain.clone()
        },
        Deployment {
            source: download,
            ..plain.clone()
        },
        Deployment {
            scope: targets(&["Gateway/a"]),
            ..plain.clone()
        },
        Deployment {
            scope: targets(&["Service/a"]),
            ..plain.clone()
        },
        Deployment {
            scope: targets(&["ServiceEntry/a"]),
            ..plain.clone()
        },
    ] {
        for kind in [Kind::WasmPlugin, Kind::TrafficExtension] {
            let text = deployment
                .to_yaml(kind)
                .expect("manifest should be generated");
            assert_eq!(complaints(&text), [""; 0], "{text}");
        }
    }
    let class = Deployment {
        metadata: Metadata {
            namespace: "istio-system".parse().ok(),
            ..metadata()
        },
        scope: targets(&["GatewayClass/istio-waypoint"]),
        ..plain
    };
    let text = class
        .to_yaml(Kind::WasmPlugin)
        .expect("manifest should be generated");
    assert_eq!(complaints(&text), [""; 0], "{text}");
}

#[test]
fn wasm_plugin_contains_every_option() {
    let text = full()
        .to_yaml(Kind::WasmPlugin)
        .expect("manifest should be generated");
    let expected = format!(
        r#"apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata:
  name: greeter
  namespace: shop
spec:
  selector:
    matchLabels:
      app: web
  url: oci://registry.example:5000/plugins/greeter:1.2.3@sha256:{DIGEST}
  sha256: "{DIGEST}" # of the image's manifest, not of the module
  imagePullPolicy: IfNotPresent
  imagePullSecret: registry
  pluginName: root
  type: HTTP
  failStrategy: FAIL_RELOAD
  pluginConfig:
    header: x-hello
    limit: 10
  vmConfig:
    env:
    - name: TZ
      value: "no"
    - name: HOSTNAME
      valueFrom: HOST
  phase: AUTHN
  priority: -5
  match:
  - mode: SERVER
    ports:
    - number: 80
    - number: 8080
"#
    );
    assert_eq!(text, expected);
}

#[test]
fn traffic_extension_is_equivalent_to_wasm_plugin() {
    let plugin = read(
        &full()
            .to_yaml(Kind::WasmPlugin)
            .expect("manifest should be generated"),
    );
    let extension = read(
        &full()
            .to_yaml(Kind::TrafficExtension)
            .expect("manifest should be generated"),
    );
    assert_eq!(extension["kind"], "TrafficExtension");
    assert_eq!(extension["metadata"], plugin["metadata"]);
    let mut spec = extension["spec"]
        .as_object()
        .expect("`spec` should be a mapping")
        .clone();
    let wasm = spec.remove("wasm").expect("`wasm` should exist");
    spec.extend(wasm.as_object().expect("`wasm` should exist").clone());
    assert_eq!(Value::Object(spec), plugin["spec"]);
}

#[test]
fn minimal_wasm_plugin_contains_only_url_and_digest() {
    let metadata = Metadata {
        namespace: None,
        ..metadata()
    };
    let deployment = Deployment::new(metadata, image());
    let document = read(
        &deployment
            .to_yaml(Kind::WasmPlugin)
            .expect("manifest should be generated"),
    );
    assert_eq!(
        document,
        json!({
            "apiVersion": "extensions.istio.io/v1alpha1",
            "kind": "WasmPlugin",
            "metadata": { "name": "greeter" },
            "spec": { "url": image().url(), "sha256": DIGEST },
        })
    );
}

#[test]
fn target_refs_contain_their_api_group() {
    let deployment = Deployment {
        scope: targets(&["Service/reviews", "Gateway/public"]),
        ..Deployment::new(metadata(), image())
    };
    let document = read(
        &deployment
            .to_yaml(Kind::TrafficExtension)
            .expect("manifest should be generated"),
    );
    assert_eq!(
        document["spec"]["targetRefs"],
        json!([
            { "group": "", "kind": "Service", "name": "reviews" },
            { "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public" },
        ])
    );
}

#[test]
fn ineffective_or_invalid_options_are_rejected() {
    let plain = || Deployment::new(metadata(), image());
    let gateway = || Deployment {
        scope: targets(&["Gateway/public"]),
        ..plain()
    };
    let service = || Deployment {
        scope: targets(&["Service/a"]),
        ..plain()
    };
    let twice = |name: &str| Variable {
        name: name.into(),
        value: None,
    };
    for (deployment, message) in [
        (
            Deployment {
                mode: Some(MatchMode::Server),
                ..gateway()
            },
            "mode SERVER never matches on `Gateway/public`",
        ),
        (
            Deployment {
                mode: Some(MatchMode::Client),
                ..service()
            },
            "mode CLIENT never matches on `Service/a`",
        ),
        (
            Deployment {
                ports: vec![80],
                ..service()
            },
            "a port never matches on `Service/a`",
        ),
        (
            Deployment {
                scope: targets(&["HTTPRoute/a"]),
                ..plain()
            },
            "Istio cannot attach a plugin to `HTTPRoute/a`",
        ),
        (
            Deployment {
                scope: targets(&["Gateway/a"; 17]),
                ..plain()
            },
            "17 target references",
        ),
        (
            Deployment {
                environment: vec![twice("A"), twice("A")],
                ..plain()
            },
            "`A` is specified twice",
        ),
        (
            Deployment {
                environment: vec![twice("")],
                ..plain()
            },
            "a name of 1 to 256 characters",
        ),
    ] {
        let error = deployment.to_yaml(Kind::WasmPlugin).expect_err(message);
        assert!(error.to_string().contains(message), "{error}");
    }
    let connections = Deployment {
        plugin_type: Some(PluginType::Network),
        ports: vec![80],
        ..service()
    };
    connections
        .to_yaml(Kind::WasmPlugin)
        .expect("network plugins may have ports");
}

fn filter() -> EnvoyFilter {
    EnvoyFilter {
        metadata: metadata(),
        scope: full().scope,
        context: Context::SidecarInbound,
        source: image(),
        configuration: Some("{\"big\": 9007199254740993,\n \"y\": null}\n".into()),
        plugin_name: None,
        fail_strategy: FailStrategy::Close,
        environment: full().environment,
        capabilities: ["fd_write", "proxy_log", "proxy_on_log"]
            .map(str::to_owned)
            .into(),
    }
}

#[test]
fn envoy_filter_consists_of_two_patches() {
    let text = filter().to_yaml().expect("manifest should be generated");
    assert!(text.starts_with("# The first patch"), "{text}");
    let document = read(&text);
    assert_eq!(
        document["spec"]["workloadSelector"],
        json!({ "labels": { "app": "web" } })
    );
    let [first, second] = document["spec"]["configPatches"]
        .as_array()
        .expect("manifest should have patches")
        .as_slice()
    else {
        panic!("{document}");
    };
    assert_eq!(first["applyTo"], "HTTP_FILTER");
    assert_eq!(first["patch"]["operation"], "INSERT_BEFORE");
    assert_eq!(second["applyTo"], "EXTENSION_CONFIG");
    for patch in [first, second] {
        assert_eq!(patch["match"]["context"], "SIDECAR_INBOUND");
        assert_eq!(patch["patch"]["value"]["name"], "shop.greeter");
    }
    let config = &second["patch"]["value"]["typed_config"]["config"];
    assert_eq!(
        *config,
        json!({
            "name": "shop.greeter",
            "root_id": "",
            "failure_policy": "FAIL_CLOSED",
            "capability_restriction_config": { "allowed_capabilities": {
                "fd_write": {}, "proxy_log": {}, "proxy_on_log": {},
            } },
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": "{\"big\": 9007199254740993,\n \"y\": null}\n",
            },
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "remote": {
                    "http_uri": { "uri": image().url(), "timeout": "30s", "cluster": "_" },
                    "sha256": DIGEST,
                } },
                "environment_variables": {
                    "key_values": { "TZ": "no" },
                    "host_env_keys": ["HOSTNAME"],
                },
            },
        })
    );
}

#[test]
fn envoy_filter_can_load_a_local_file() {
    let source = Source::parse("file:///plugins/greeter.wasm", None, MODULE).expect("valid source");
    let filter = EnvoyFilter {
        source,
        scope: targets(&["Gateway/public"]),
        context: Context::Gateway,
        configuration: None,
        ..filter()
    };
    let document = read(&filter.to_yaml().expect("manifest should be generated"));
    assert_eq!(document["spec"]["targetRefs"][0]["name"], "public");
    let config = &document["spec"]["configPatches"][1]["patch"]["value"]["typed_config"]["config"];
    assert_eq!(
        config["vm_config"]["code"],
        json!({ "local": { "filename": "/plugins/greeter.wasm" } })
    );
    assert_eq!(config.get("configuration"), None);
}

#[test]
fn envoy_filter_rejects_ineffective_targets() {
    let filter = |target: &str, context| EnvoyFilter {
        scope: targets(&[target]),
        context,
        ..filter()
    };
    for (target, context) in [
        ("Service/a", Context::SidecarInbound),
        ("GatewayClass/istio-waypoint", Context::Gateway),
        ("Gateway/a", Context::SidecarOutbound),
    ] {
        let error = filter(target, context).to_yaml().expect_err(target);
        let expected = format!("has no effect on `{target}`");
        assert!(error.to_string().contains(&expected), "{error}");
    }
}

fn target(text: &str) -> TargetRef {
    text.parse().expect("valid reference")
}

fn policy() -> ExtensionPolicy {
    ExtensionPolicy {
        metadata: metadata(),
        targets: vec![target("HTTPRoute/web")],
        merge_type: None,
        source: image(),
        configuration: Some(json!({ "on": "off" })),
        plugin_name: None,
        fail_open: false,
        pull_policy: None,
        pull_secret: Some("registry".into()),
        host_environment: vec!["HOSTNAME".into()],
    }
}

#[test]
fn extension_policy_is_rendered_for_envoy_gateway() {
    let text = policy().to_yaml().expect("manifest should be generated");
    let expected = format!(
        r#"apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
metadata:
  name: greeter
  namespace: shop
spec:
  targetRefs:
  - group: gateway.networking.k8s.io
    kind: HTTPRoute
    name: web
  wasm:
  - name: greeter
    code:
      type: Image
      image:
        url: registry.example:5000/plugins/greeter:1.2.3@sha256:{DIGEST}
        sha256: "{DIGEST}" # of the image's manifest, not of the module
        pullSecretRef:
          kind: Secret
          name: registry
    failOpen: false
    env:
      hostKeys:
      - HOSTNAME
    config:
      "on": "off"
"#
    );
    assert_eq!(text, expected);
}

#[test]
fn extension_policy_for_routes_sets_the_merge_type() {
    for (merge_type, word) in [
        (MergeType::StrategicMerge, "StrategicMerge"),
        (MergeType::JsonMerge, "JSONMerge"),
    ] {
        let merged = ExtensionPolicy {
            targets: vec![target("HTTPRoute/web"), target("GRPCRoute/api")],
            merge_type: Some(merge_type),
            ..policy()
        };
        let text = merged.to_yaml().expect("manifest should be generated");
        let expected = format!("    name: api\n  mergeType: {word}\n  wasm:\n");
        assert!(text.contains(&expected), "{text}");
    }
}

#[test]
fn extension_policy_checks_target_kind_and_merge_type() {
    let attach = |to: &str, merge_type| {
        let policy = ExtensionPolicy {
            targets: vec![target("HTTPRoute/web"), target(to)],
            merge_type,
            ..policy()
        };
        policy.to_yaml().map_err(|error| error.to_string())
    };
    for to in ["Gateway/a", "ListenerSet/a"] {
        assert!(attach(to, None).is_ok(), "{to}");
        let error = attach(to, Some(MergeType::JsonMerge)).expect_err(to);
        let expected = format!("the policy for `{to}` cannot be merged");
        assert!(error.starts_with(&expected), "{error}");
    }
    for to in ["TCPRoute/a", "TLSRoute/a", "UDPRoute/a"] {
        for merge_type in [None, Some(MergeType::JsonMerge)] {
            let error = attach(to, merge_type).expect_err(to);
            let expected = format!("accepts a policy for `{to}`, but runs no Wasm plugin there");
            assert!(error.contains(&expected), "{error}");
        }
    }
}

#[test]
fn extension_policy_rejects_unsupported_targets_and_sources() {
    let file = Source::parse("file:///p.wasm", None, MODULE).expect("valid source");
    for (policy, message) in [
        (
            ExtensionPolicy {
                targets: vec![],
                ..policy()
            },
            "requires a target",
        ),
        (
            ExtensionPolicy {
                targets: vec![target("Service/a")],
                ..policy()
            },
            "cannot attach a plugin to `Service/a`",
        ),
        (
            ExtensionPolicy {
                source: file,
                ..policy()
            },
            "cannot read files",
        ),
    ] {
        let error = policy.to_yaml().expect_err(message);
        assert!(error.to_string().contains(message), "{error}");
    }
}

/// Texts that YAML 1.1 or 1.2 could parse as another type, and arbitrary texts.
fn text() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "y",
        "Y",
        "n",
        "on",
        "off",
        "yes",
        "No",
        "true",
        "null",
        "~",
        "",
        "0777",
        "0o7",
        "0x1F",
        "0b1",
        "1_000",
        "1e3",
        "1E5",
        "12e34",
        "-1",
        "+1",
        ".5",
        "5.",
        "1.",
        ".inf",
        "-.INF",
        ".nan",
        "NaN",
        "190:20:30",
        "1:30",
        "2001-01-01",
        "2001-12-14t21:59:43.10-05:00",
        "<<",
        "=",
        "-",
        "- a",
        "? a",
        ": ",
        "a: b",
        "a #b",
        "#",
        "*a",
        "&a",
        "!a",
        "!!str a",
        "|",
        ">",
        "%",
        "@a",
        "`a",
        "{a}",
        "[a]",
        "'",
        "\"",
        "\\",
        " a",
        "a ",
        "\t",
        "\n",
        "a\n",
        "\na",
        "a\n\nb\n",
        "---",
        "...",
        "--- a",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "\0",
        "\u{7f}",
        "😀",
        DIGEST,
    ]);
    prop_oneof![
        words.prop_map(str::to_owned),
        "[a-z0-9 :#_.+-]{0,100}",
        any::<String>(),
    ]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<i64>().prop_map(|number| Value::from(number >> 11)),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(Value::from),
        prop::sample::select(vec![
            1e23,
            1e21,
            1e16,
            9_249_195_469_705_298.0,
            -0.0,
            1e-7,
            5e-324,
            0.1,
            100.0,
        ])
        .prop_map(Value::from),
        text().prop_map(Value::from),
        Just(Value::Array(vec![])),
        Just(Value::Object(Map::new())),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Converts all numbers to doubles, as Istio does.
fn as_doubles(value: &Value) -> Value {
    match value {
        // As an integer, zero has no sign.
        Value::Number(number) => number
            .as_f64()
            .map_or(Value::Null, |it| Value::from(it + 0.0)),
        Value::Array(items) => items.iter().map(as_doubles).collect(),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), as_doubles(value)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    /// A manifest that is parsed by the rules of YAML 1.1 contains the given configuration, and texts remain texts.
    #[test]
    fn configuration_round_trips_through_the_manifest(fields in prop::collection::btree_map(text(), json_value(), 1..4)) {
        let given = Value::Object(fields.into_iter().collect());
        let configuration = Configuration::new(given.to_string());
        let arrives = configuration.arrival(Way::Istio).expect("no digits should be lost").value;
        prop_assert_eq!(arrives.as_ref().map(as_doubles), Some(as_doubles(&given)));
        for kind in [Kind::WasmPlugin, Kind::TrafficExtension] {
            let deployment = Deployment { configuration: arrives.clone(), ..Deployment::new(metadata(), image()) };
            let text = deployment.to_yaml(kind).expect("manifest should be generated");
            let document = yaml::parse(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?[0].root.to_json();
            let spec = match kind {
                Kind::WasmPlugin => &document["spec"],
                Kind::TrafficExtension => &document["spec"]["wasm"],
            };
            prop_assert_eq!(as_doubles(&spec["pluginConfig"]), as_doubles(&given), "{}", text);
            // There are several ways to write numbers with an exponent, and a warning is reported for each of them.
            let mut complaints = complaints(&text);
            complaints.retain(|it| !(it.contains("e+") || it.contains("e-")));
            prop_assert_eq!(complaints, [""; 0], "{}", text);
        }
    }

    /// The same for a configuration in text form.
    #[test]
    fn configuration_round_trips_through_the_envoy_filter(given in text()) {
        let filter = EnvoyFilter { configuration: Some(given.clone().into()), ..filter() };
        let text = filter.to_yaml().expect("manifest should be generated");
        let document = yaml::parse(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?[0].root.to_json();
        let config = &document["spec"]["configPatches"][1]["patch"]["value"]["typed_config"]["config"];
        prop_assert_eq!(&config["configuration"]["value"], &Value::from(given));
    }
}
