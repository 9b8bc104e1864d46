//! Warnings about documents that Istio admits but that do not work, or do not have the apparent effect. Every warning is
//! based on observed behavior or on the source code; none is a matter of style. Warnings about how a plugin's configuration
//! is transformed are in `warnings/configuration.rs`.

mod configuration;

use super::checks;
use super::schema::{Step, path, rule_id};
use super::{Finding, Kind, Options, Origin, Report, Rule, Severity, url};
use crate::yaml::{Key, Node, Position, Value, excerpt};

/// A warning rule: a field below `spec` or below `wasm`, a keyword, and the description.
struct Row {
    id: &'static str,
    what: &'static str,
    kinds: &'static [Kind],
}

/// The prefix of a digest in the URL of an image.
const PINNED: &str = "@sha256:";

const BOTH: &[Kind] = &[Kind::WasmPlugin, Kind::TrafficExtension];

const ROWS: &[Row] = &[
    Row {
        id: "url.no-scheme",
        what: "the URL has a scheme",
        kinds: BOTH,
    },
    Row {
        id: "url.dropped",
        what: "istiod can parse the URL that was admitted",
        kinds: BOTH,
    },
    Row {
        id: "url.stale-tag",
        what: "a tag is fetched again when it is pushed again",
        kinds: BOTH,
    },
    Row {
        id: "url.latest",
        what: "an image is referenced by a digest or by a tag other than `latest`",
        kinds: BOTH,
    },
    Row {
        id: "url.no-image",
        what: "a url of an image names a registry and a repository",
        kinds: BOTH,
    },
    Row {
        id: "url.of-module",
        what: "the digest in an image's url is that of its manifest",
        kinds: BOTH,
    },
    Row {
        id: "sha256.of-module",
        what: "an image's sha256 is that of its manifest",
        kinds: BOTH,
    },
    Row {
        id: "sha256.other-digest",
        what: "the sha256 is the digest in the url",
        kinds: BOTH,
    },
    Row {
        id: "sha256.other-module",
        what: "a download's sha256 is that of its module",
        kinds: BOTH,
    },
    Row {
        id: "verificationKey.ignored",
        what: "the field is implemented in Istio",
        kinds: BOTH,
    },
    Row {
        id: "pluginConfig.empty",
        what: "the configuration is not empty when it reaches the plugin",
        kinds: BOTH,
    },
    Row {
        id: "pluginConfig.number-digits",
        what: "numbers can be represented as doubles",
        kinds: BOTH,
    },
    Row {
        id: "pluginConfig.number-form",
        what: "numbers reach the plugin as they are written",
        kinds: BOTH,
    },
    Row {
        id: "pluginConfig.null",
        what: "fields reach the plugin",
        kinds: BOTH,
    },
    Row {
        id: "pluginConfig.boolean",
        what: "plain words reach the plugin as strings",
        kinds: BOTH,
    },
    Row {
        id: "vmConfig.env.name.reserved",
        what: "variables reach the plugin",
        kinds: BOTH,
    },
    Row {
        id: "priority.negative",
        what: "a priority is not negative, because plugins without a priority run last, and not as if they had priority 0",
        kinds: BOTH,
    },
    Row {
        id: "selector.empty",
        what: "a selector has labels",
        kinds: BOTH,
    },
    Row {
        id: "targetRef.deprecated",
        what: "targets are in targetRefs",
        kinds: &[Kind::WasmPlugin],
    },
    Row {
        id: "yaml.changed-key",
        what: "keys reach the plugin as they are written",
        kinds: BOTH,
    },
    Row {
        id: "yaml.duplicate-key",
        what: "keys are unique",
        kinds: BOTH,
    },
];

/// Returns the warning rules for this kind.
pub fn rows(kind: Kind) -> Vec<Rule> {
    let rows = ROWS.iter().filter(|row| row.kinds.contains(&kind));
    rows.map(|row| Rule {
        id: row.id.into(),
        kind,
        field: field(kind, row.id),
        origin: Origin::Warning,
        what: row.what.into(),
    })
    .collect()
}

/// Returns the field that a rule is about, as a path from the root.
fn field(kind: Kind, id: &str) -> String {
    let (field, _) = id.rsplit_once('.').unwrap_or((id, ""));
    let above = match (field.split('.').next().unwrap_or_default(), kind) {
        ("yaml", _) => return "any".into(),
        ("priority" | "selector" | "targetRef", _) | (_, Kind::WasmPlugin) => "spec.",
        (_, Kind::TrafficExtension) => "spec.wasm.",
    };
    format!("{above}{field}")
}

/// Adds the warnings for a document of this kind that is admitted.
pub fn warn(kind: Kind, root: &Node, prefix: &str, options: &Options, report: &mut Report) {
    let mut warnings = Warnings {
        kind,
        prefix,
        steps: Vec::new(),
        report,
    };
    warnings.keys(root);
    let Some(spec) = root.get("spec") else {
        return;
    };
    warnings.steps.push(Step::Field("spec"));
    warnings.spec(spec);
    match kind {
        Kind::WasmPlugin => warnings.wasm(spec, options),
        Kind::TrafficExtension => {
            if let Some(wasm) = spec.get("wasm") {
                warnings.steps.push(Step::Field("wasm"));
                warnings.wasm(wasm, options);
            }
        }
    }
}

struct Warnings<'a, 'f> {
    kind: Kind,
    prefix: &'a str,
    steps: Vec<Step<'a>>,
    report: &'f mut Report,
}

// === impl Warnings ===

impl<'a> Warnings<'a, '_> {
    fn spec(&mut self, spec: &'a Node) {
        if let Some(selector) = spec.get("selector").filter(|node| !node.is_null()) {
            let labels = selector.get("matchLabels").and_then(Node::mapping);
            if labels.is_none_or(|labels| labels.entries.iter().all(|entry| entry.value.is_null()))
            {
                self.field(
                    "selector",
                    "empty",
                    selector,
                    "selects every workload of the namespace, or of the mesh if it is Istio's root namespace: add labels, or remove it to make that explicit"
                        .into(),
                );
            }
        }
        if let Some(target) = spec.get("targetRef").filter(|node| !node.is_null()) {
            self.field(
                "targetRef",
                "deprecated",
                target,
                "is deprecated: use `targetRefs`, a list with one item".into(),
            );
        }
        if let Some(priority) = spec.get("priority")
            && let Value::Integer(value) = priority.value
            && value < 0
        {
            self.field(
                "priority",
                "negative",
                priority,
                format!(
                    "plugins without a priority run last, not as if they had priority 0, so this plugin with priority {value} runs before them: set a priority for those plugins, too"
                ),
            );
        }
    }

    fn wasm(&mut self, wasm: &'a Node, options: &Options) {
        if let Some(node) = wasm.get("url")
            && let Some(text) = node.text()
            && url::admit(text).is_ok()
        {
            self.url(node, text, wasm);
            self.checksum(node, text, wasm, options);
        }
        if let Some(key) = wasm.get("verificationKey")
            && key.text().is_some_and(|text| !text.is_empty())
        {
            self.field(
                "verificationKey",
                "ignored",
                key,
                "not implemented in Istio, so nothing is verified: remove it, and pin the digest"
                    .into(),
            );
        }
        let variables = wasm.get("vmConfig").and_then(|config| config.get("env"));
        for (index, variable) in variables
            .and_then(Node::items)
            .into_iter()
            .flatten()
            .enumerate()
        {
            let name = variable.get("name");
            if let Some(name) = name.filter(|name| {
                name.text()
                    .is_some_and(|text| text.starts_with("ISTIO_META"))
            }) {
                self.steps.extend([
                    Step::Field("vmConfig"),
                    Step::Field("env"),
                    Step::Index(index),
                ]);
                self.field(
                    "name",
                    "reserved",
                    name,
                    "Istio's agent removes variables whose names start with `ISTIO_META`: rename it".into(),
                );
                self.steps.truncate(self.steps.len() - 3);
            }
        }
        if let Some(configuration) = wasm.get("pluginConfig") {
            if configuration
                .mapping()
                .is_some_and(|fields| fields.entries.is_empty())
            {
                self.field(
                    "pluginConfig",
                    "empty",
                    configuration,
                    "reaches the plugin as an empty configuration, not as `{}`: remove it to make that explicit"
                        .into(),
                );
            }
            self.steps.push(Step::Field("pluginConfig"));
            self.configuration(configuration);
            self.steps.pop();
        }
    }

    fn url(&mut self, node: &Node, text: &str, wasm: &Node) {
        let scheme = match url::reference(text) {
            Ok(scheme) => scheme,
            Err(why) => {
                let fix = if text.contains("://") {
                    "correct it".to_owned()
                } else {
                    format!("write `oci://{}`", excerpt(text))
                };
                self.field(
                    "url",
                    "dropped",
                    node,
                    format!(
                        "is admitted, but istiod cannot parse it ({why}) and drops the plugin: requests bypass it, regardless of `failStrategy`; {fix}"
                    ),
                );
                return;
            }
        };
        if scheme.is_empty() {
            self.field(
                "url",
                "no-scheme",
                node,
                match text.starts_with('/') {
                    true => format!(
                        "is treated as an image: for a file in the proxy, write `file://{}`",
                        excerpt(text)
                    ),
                    false => format!(
                        "is treated as an image without a scheme, which is rejected or dropped if it contains a port: write `oci://{}`",
                        excerpt(text)
                    ),
                },
            );
        }
        let no_image = scheme == "oci"
            && text
                .split_once("://")
                .and_then(|(_, rest)| rest.split_once('/'))
                .is_none_or(|(host, repository)| host.is_empty() || repository.is_empty());
        if no_image {
            self.field(
                "url",
                "no-image",
                node,
                "contains no repository, so the module cannot be fetched and `failStrategy` applies: write `oci://REGISTRY/REPOSITORY@sha256:…`"
                    .into(),
            );
            return;
        }
        let pinned = text.contains(PINNED)
            || wasm
                .get("sha256")
                .is_some_and(|sum| sum.text() != Some("") && !sum.is_null());
        if pinned || !(scheme.is_empty() || scheme == "oci") {
            return;
        }
        let always = match wasm.get("imagePullPolicy").and_then(Node::text) {
            None | Some("UNSPECIFIED_POLICY") => text.ends_with(":latest"),
            policy => policy == Some("Always"),
        };
        if text.ends_with(":latest") && always {
            self.field(
                "url",
                "latest",
                node,
                "proxies run the image that the tag referred to when this resource last changed, which can differ between proxies: pin the digest, as in `oci://REGISTRY/REPOSITORY@sha256:…`"
                    .into(),
            );
        } else if !always {
            self.field(
                "url",
                "stale-tag",
                node,
                "a proxy that has fetched the image does not fetch it again, even if the tag moves: pin the digest, as in `oci://REGISTRY/REPOSITORY@sha256:…`, or use a new tag for each version"
                    .into(),
            );
        }
    }

    fn checksum(&mut self, node: &Node, text: &str, wasm: &Node, options: &Options) {
        let given = wasm.get("sha256");
        // An invalid checksum is rejected elsewhere.
        let sum = given.and_then(Node::text);
        let sum = sum.filter(|sum| checks::is_sha256(sum));
        let module = options.module_sha256.as_deref();
        let is_image = match url::reference(text).as_deref() {
            Ok("" | "oci") => true,
            Ok("http" | "https") => false,
            _ => return,
        };
        let in_url = text
            .split_once(PINNED)
            .map(|(_, digest)| digest)
            .filter(|_| is_image);
        match (sum, given) {
            (Some(sum), Some(given)) if is_image && module == Some(sum) => self.field(
                "sha256",
                "of-module",
                given,
                "is the checksum of the module, but for an image it must be the digest of the image manifest: every request would get 403; `tidegate push` prints the right one"
                    .into(),
            ),
            (Some(sum), Some(given)) if in_url.is_some_and(|digest| digest != sum) => self.field(
                "sha256",
                "other-digest",
                given,
                "differs from the digest in the url: the agent rejects the image, and every request gets 403, unless the url pins an index and `sha256` is the digest of its image for linux/amd64; remove one of the two digests"
                    .into(),
            ),
            (Some(sum), Some(given)) if !is_image && module.is_some_and(|module| module != sum) => {
                self.field(
                    "sha256",
                    "other-module",
                    given,
                    "is not the checksum of the given module: unless the url refers to another module, every request gets 403"
                        .into(),
                );
            }
            (None, _) if in_url.is_some() && in_url == module => self.field(
                "url",
                "of-module",
                node,
                "contains the checksum of the module, but for an image it must be the digest of the image manifest: every request would get 403; `tidegate push` prints the right one"
                    .into(),
            ),
            _ => {}
        }
    }

    /// Warns about keys that were resolved to a different name, at any depth.
    fn keys(&mut self, node: &'a Node) {
        match &node.value {
            Value::Mapping(mapping) => {
                for key in &mapping.overwritten {
                    self.key(
                        key,
                        "yaml.duplicate-key",
                        "duplicate key: kubectl keeps only the last value; remove the other".into(),
                    );
                }
                for entry in &mapping.entries {
                    if let Some(written) = &entry.key.written
                        && self.names_are_free()
                    {
                        let (written, name) = (excerpt(written), excerpt(&entry.key.name));
                        let message = format!("the key `{written}` is read as `{name}`: quote it");
                        self.key(&entry.key, "yaml.changed-key", message);
                    }
                    self.steps.push(Step::Field(&entry.key.name));
                    self.keys(&entry.value);
                    self.steps.pop();
                }
            }
            Value::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.steps.push(Step::Index(index));
                    self.keys(item);
                    self.steps.pop();
                }
            }
            _ => {}
        }
    }

    /// Returns whether any key is permitted here. Elsewhere a changed key is an unknown field, which is rejected.
    fn names_are_free(&self) -> bool {
        self.steps.iter().any(|step| {
            matches!(
                step,
                Step::Field("pluginConfig" | "labels" | "annotations" | "matchLabels")
            )
        })
    }

    fn key(&mut self, key: &'a Key, rule: &str, message: String) {
        self.steps.push(Step::Field(&key.name));
        self.warn(rule, key.position, message);
        self.steps.pop();
    }

    fn field(&mut self, name: &'static str, word: &str, node: &Node, message: String) {
        self.steps.push(Step::Field(name));
        let rule = rule_id(&self.steps, word);
        self.warn(&rule, node.position, message);
        self.steps.pop();
    }

    fn warn(&mut self, rule: &str, position: Position, message: String) {
        self.report.add(Finding {
            severity: Severity::Warning,
            rule: rule.to_owned(),
            kind: Some(self.kind),
            position,
            field: format!("{}{}", self.prefix, path(&self.steps)),
            message,
        });
    }
}
