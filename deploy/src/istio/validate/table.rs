//! The rule table: every field of both kinds, with the constraints of the CRD's schema, its CEL rules and istiod's webhook.
//!
//! `crds.txt` lists the constraints of the CRDs of Istio 1.31, as extracted from Istio's Go module by the end-to-end tests.
//! They are the same in all releases that serve the kind. The rules that are in no schema are written by hand: those of
//! Kubernetes, CEL and the webhook, and how to fix some of the errors.

use std::sync::LazyLock;

use super::Kind;
use super::checks::{self, metadata};
use super::schema::{Check, Schema, Test};

/// The constraints of the CRDs, one per line: kind, version, path, keyword, value in JSON.
const CRDS: &str = include_str!("crds.txt");

/// The same for the fields that all objects have. Fields that the API server sets itself are not checked.
const OBJECT: &str = r#"
. required ["apiVersion","kind","metadata"]
.apiVersion type "string"
.apiVersion enum ["extensions.istio.io/v1alpha1"]
.kind type "string"
.metadata type "object"
.metadata.name type "string"
.metadata.generateName nullable true
.metadata.namespace type "string"
.metadata.labels type "object"
.metadata.labels{} type "string"
.metadata.annotations type "object"
.metadata.annotations{} type "string"
.metadata.creationTimestamp nullable true
.metadata.deletionGracePeriodSeconds nullable true
.metadata.deletionTimestamp nullable true
.metadata.finalizers nullable true
.metadata.generation nullable true
.metadata.managedFields nullable true
.metadata.ownerReferences nullable true
.metadata.resourceVersion nullable true
.metadata.selfLink nullable true
.metadata.uid nullable true
"#;

/// Returns the schema of a document's root.
pub fn root(kind: Kind) -> &'static Schema {
    static ROOTS: LazyLock<[Schema; 2]> = LazyLock::new(|| {
        [Kind::WasmPlugin, Kind::TrafficExtension].map(|kind| {
            let (root, unknown) = read(kind);
            debug_assert!(unknown.is_empty(), "constraints not known: {unknown:?}");
            root
        })
    });
    let [wasm_plugin, traffic_extension] = &*ROOTS;
    match kind {
        Kind::WasmPlugin => wasm_plugin,
        Kind::TrafficExtension => traffic_extension,
    }
}

/// Returns the schema of a kind, and the lines that are not supported.
fn read(kind: Kind) -> (Schema, Vec<&'static str>) {
    let mut root = Schema::default();
    let mut unknown = Vec::new();
    let of_objects = OBJECT.lines().filter(|line| !line.is_empty());
    for line in of_objects.chain(constraints(kind)) {
        // For the status, only the names of fields are checked.
        let known = match line.split_once(' ') {
            Some((path, constraint))
                if path.starts_with(".status") && !constraint.contains("unknown-fields") =>
            {
                root.make(path);
                Some(())
            }
            _ => root.add(line),
        };
        if known.is_none() {
            unknown.push(line);
        }
    }
    if let Some(named) = root.find(".kind") {
        let name = Test::OneOf(vec![kind.to_string()]);
        named.checks.push(Check::schema("enum", name));
    }
    for (path, check) in by_hand(kind) {
        if let Some(node) = node(&mut root, path) {
            node.checks.push(check);
        }
    }
    for (path, word, fix) in FIXES {
        let checks = node(&mut root, path).map(|node| &mut node.checks);
        let mut checks = checks.into_iter().flatten();
        if let Some(check) = checks.find(|check| check.word == *word) {
            check.fix = fix;
        }
    }
    (root, unknown)
}

/// Returns the CRD's constraints: path, keyword and value.
fn constraints(kind: Kind) -> impl Iterator<Item = &'static str> {
    let prefix = format!("{kind} v1alpha1 ");
    CRDS.lines()
        .filter_map(move |line| line.strip_prefix(&prefix))
}

/// Returns the node at a path of the document, below `spec`, or below `spec.wasm`, where a `TrafficExtension` has the
/// fields of a `WasmPlugin`.
fn node<'s>(root: &'s mut Schema, path: &str) -> Option<&'s mut Schema> {
    let places = ["", ".spec", ".spec.wasm"].map(|place| format!("{place}{path}"));
    let place = places.iter().find(|place| root.find(place).is_some())?;
    root.find(place)
}

/// How to fix a violation, where the error message does not include it.
const FIXES: &[(&str, &str, &str)] = &[
    (
        ".sha256",
        "pattern",
        "write 64 lowercase hexadecimal digits in quotes, without `sha256:`",
    ),
    (".targetRef.group", "pattern", GROUP),
    (".targetRefs[].group", "pattern", GROUP),
    (".targetRef.kind", "pattern", KIND),
    (".targetRefs[].kind", "pattern", KIND),
];

const GROUP: &str = "write the API group without a version, such as `gateway.networking.k8s.io`";
const KIND: &str = "write the kind alone, such as `Gateway`";

/// The rules that are in no schema, in the order in which they are checked. A path that does not exist in this kind belongs
/// to the other kind.
fn by_hand(kind: Kind) -> Vec<(&'static str, Check)> {
    let target = || {
        Check::webhook(
            "allowed",
            Test::Node(
                "a Service, ServiceEntry, Gateway or GatewayClass",
                checks::allowed_target,
            ),
        )
    };
    let same_namespace = || Check::cel("same-namespace", "empty", checks::no_namespace);
    let bytes = |most| Check::webhook("maxBytes", Test::MaxBytes(most));
    let wasm_or_lua = [
        (
            ".spec",
            Check::schema(
                "oneOf",
                Test::Node("not both of wasm and lua", checks::not_wasm_and_lua),
            ),
        ),
        (
            ".spec",
            Check::cel("wasm-or-lua", "one of wasm and lua", checks::wasm_or_lua),
        ),
    ];
    let mut checks = match kind {
        Kind::WasmPlugin => Vec::new(),
        Kind::TrafficExtension => wasm_or_lua.into(),
    };
    checks.extend([
        (
            ".metadata",
            Check::object("named", "a name or a generateName", metadata::named),
        ),
        (
            ".metadata.name",
            Check::object("dns-subdomain", "a DNS subdomain", metadata::object_name),
        ),
        (
            ".metadata.namespace",
            Check::object("dns-label", "a DNS label", metadata::namespace),
        ),
        (
            ".metadata.labels",
            Check::object(
                "qualified-name",
                "keys are qualified names",
                metadata::label_keys,
            ),
        ),
        (
            ".metadata.labels{}",
            Check::object("label-value", "a label value", metadata::label_value),
        ),
        (
            ".metadata.annotations",
            Check::object(
                "qualified-name",
                "keys are qualified names, regardless of their case",
                metadata::annotation_keys,
            ),
        ),
        (
            ".metadata.annotations",
            Check::object(
                "size",
                "262144 bytes or fewer altogether",
                metadata::annotations_size,
            ),
        ),
        (
            ".metadata.annotations",
            Check::webhook(
                "reserved",
                Test::Node("no annotation that istiod rejects", metadata::not_istiods),
            ),
        ),
        (".status", Check::strict("unknown", Test::KnownFields)),
        (
            ".spec",
            Check::cel(
                "one-target",
                "at most one of selector, targetRef and targetRefs",
                checks::one_target,
            ),
        ),
        (
            ".url",
            Check::cel(
                "scheme",
                "a URL with the scheme oci, http, https or file, or with none",
                checks::url,
            ),
        ),
        (".imagePullSecret", bytes(253)),
        (".pluginName", bytes(256)),
        (".vmConfig.env[].name", bytes(256)),
        (".lua.inlineCode", bytes(65536)),
        (
            ".vmConfig.env[]",
            Check::cel(
                "inline",
                "a value only without valueFrom: HOST",
                checks::value_only_inline,
            ),
        ),
        (
            ".selector.matchLabels{}",
            Check::cel("wildcard", "no wildcard", checks::no_wildcard_in_value),
        ),
        (
            ".selector.matchLabels",
            Check::cel("wildcard", "no * in a key", checks::no_wildcard_in_key),
        ),
        (
            ".selector.matchLabels",
            Check::cel("empty-key", "no empty key", checks::no_empty_key),
        ),
        (".targetRef", target()),
        (".targetRefs[]", target()),
        (".targetRef.namespace", same_namespace()),
        (".targetRefs[].namespace", same_namespace()),
    ]);
    checks
}

#[cfg(test)]
mod tests {
    use super::super::{Origin, rules};
    use super::*;

    #[test]
    fn every_crd_constraint_is_supported() {
        for kind in [Kind::WasmPlugin, Kind::TrafficExtension] {
            assert_eq!(read(kind).1, [""; 0], "{kind}");
        }
    }

    /// Compares the CEL rules of the CRDs with the rules in `by_hand` at the same paths.
    #[test]
    fn every_crd_cel_rule_has_a_handwritten_check() {
        for kind in [Kind::WasmPlugin, Kind::TrafficExtension] {
            let rules = rules();
            let mut ours: Vec<&str> = rules
                .iter()
                .filter(|rule| rule.kind == kind)
                .filter(|rule| rule.origin == Origin::Cel || rule.id == "spec.oneOf")
                .map(|rule| rule.field.as_str())
                .collect();
            let mut theirs: Vec<&str> = in_cel(kind)
                .filter_map(|line| line.split(' ').next()?.strip_prefix('.'))
                .collect();
            ours.sort_unstable();
            theirs.sort_unstable();
            assert_eq!(ours, theirs, "{kind}");
        }
    }

    /// If the text of a rule changes, a person has to review it, and update its function in `checks.rs` and this list.
    #[test]
    fn crd_cel_rules_match_the_reviewed_list() {
        let mut theirs: Vec<&str> = [Kind::WasmPlugin, Kind::TrafficExtension]
            .into_iter()
            .flat_map(in_cel)
            .filter_map(|line| Some(line.split_once(' ')?.1))
            .collect();
        theirs.sort_unstable();
        theirs.dedup();
        let known: Vec<&str> = KNOWN.lines().collect();
        assert_eq!(theirs, known);
    }

    fn in_cel(kind: Kind) -> impl Iterator<Item = &'static str> {
        let words = [" x-kubernetes-validations ", " oneOf "];
        constraints(kind).filter(move |line| words.iter().any(|word| line.contains(word)))
    }

    const KNOWN: &str = r#"oneOf [{"not":{"anyOf":[{"required":["wasm"]},{"required":["lua"]}]}},{"required":["wasm"]},{"required":["lua"]}]
x-kubernetes-validations {"message":"cross namespace referencing is not currently supported","rule":"self.size() == 0"}
x-kubernetes-validations {"message":"exactly one of wasm or lua must be set","rule":"has(self.wasm) != has(self.lua)"}
x-kubernetes-validations {"message":"key must not be empty","rule":"self.all(key, key.size() != 0)"}
x-kubernetes-validations {"message":"only one of targetRefs or selector can be set","rule":"(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1"}
x-kubernetes-validations {"message":"only one of targetRefs or selector can be set","rule":"(has(self.selector) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1"}
x-kubernetes-validations {"message":"url must have schema one of [http, https, file, oci]","rule":"isURL(self) ? (url(self).getScheme() in [\"\", \"http\", \"https\", \"file\", \"oci\"]) : (isURL(\"http://\" + self) &&\nurl(\"http://\" + self).getScheme() in [\"\", \"http\", \"https\", \"file\", \"oci\"])"}
x-kubernetes-validations {"message":"url must have schema one of [http, https, file, oci]","rule":"isURL(self) ? (url(self).getScheme() in [\"\", \"http\", \"https\", \"oci\", \"file\"]) : (isURL(\"http://\" + self) &&\nurl(\"http://\" + self).getScheme() in [\"\", \"http\", \"https\", \"oci\", \"file\"])"}
x-kubernetes-validations {"message":"value may only be set when valueFrom is INLINE","rule":"(has(self.valueFrom) ? self.valueFrom : \"\") != \"HOST\" || !has(self.value)"}
x-kubernetes-validations {"message":"wildcard not allowed in label key match","rule":"self.all(key, !key.contains(\"*\"))"}
x-kubernetes-validations {"message":"wildcard not allowed in label value match","rule":"!self.contains(\"*\")"}"#;

    #[test]
    fn every_handwritten_check_belongs_to_an_existing_field() {
        let kinds = [Kind::WasmPlugin, Kind::TrafficExtension];
        let mut roots = kinds.map(|kind| read(kind).0);
        for (kind, root) in kinds.into_iter().zip(&mut roots) {
            for (path, check) in by_hand(kind) {
                let is_others = match kind {
                    Kind::WasmPlugin => path.starts_with(".lua"),
                    Kind::TrafficExtension => {
                        path.starts_with(".targetRef") && !path.starts_with(".targetRefs")
                    }
                };
                assert!(
                    is_others != node(root, path).is_some(),
                    "{kind}: {path} {}",
                    check.word
                );
            }
        }
        for (path, word, fix) in FIXES {
            let has = |root: &mut Schema| {
                let checks = node(root, path).map(|node| &node.checks);
                checks.is_some_and(|checks| {
                    checks.iter().any(|it| it.word == *word && it.fix == *fix)
                })
            };
            assert!(roots.iter_mut().any(has), "{path} {word}");
        }
    }
}
