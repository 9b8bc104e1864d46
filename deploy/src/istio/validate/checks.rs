//! The checks that are more than a number or a list of words: the CRDs' patterns and CEL rules, the webhook's own, and what
//! Kubernetes asks of any object's metadata.
//!
//! Each says what is wrong with a node, or nothing. Which node it is asked of is in `table.rs`.

use super::schema::{Fault, excerpt};
use super::url::{self, Refusal};
use crate::yaml::{Node, Value};

/// How many bytes all annotations of an object may have together.
const MOST_ANNOTATIONS: usize = 256 << 10;

/// Annotations that istiod keeps to itself.
const ISTIODS: [&str; 4] = [
    "istio.io/dry-run",
    "internal.istio.io/webhook-always-reject",
    "internal.istio.io/parent-namespace",
    "internal.istio.io/parents",
];

// --- Patterns of the CRDs.

/// `(^$|^[a-f0-9]{64}$)`
pub fn is_sha256(text: &str) -> bool {
    text.is_empty()
        || (text.len() == 64
            && text
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'f' | b'0'..=b'9')))
}

/// `^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
pub fn is_group(text: &str) -> bool {
    text.is_empty() || text.split('.').all(is_label)
}

/// `^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$`
pub fn is_kind(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Lower case letters, digits and hyphens, not at the ends.
fn is_label(text: &str) -> bool {
    let end = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let bytes = text.as_bytes();
    end(bytes.first())
        && end(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

// --- CEL rules of the CRDs.

/// A URL that something can be fetched from.
pub fn url(node: &Node) -> Option<Fault> {
    let text = node.text()?;
    let verdict = url::admit(text);
    let shown = excerpt(text);
    match verdict {
        Ok(()) => None,
        Err(Refusal::Unreadable(why)) => Fault::here(format!(
            "`{shown}` is no URL: {why}; an image is `oci://REGISTRY/REPOSITORY:TAG`"
        )),
        Err(Refusal::Scheme(scheme)) if !text.contains("://") => Fault::here(format!(
            "in `{shown}`, `{}` is taken for a scheme, which must be oci, http, https or file: write `oci://{shown}`",
            excerpt(&scheme)
        )),
        Err(Refusal::Scheme(scheme)) => Fault::here(format!(
            "nothing is fetched by `{}://`: use oci, http, https or file",
            excerpt(&scheme)
        )),
    }
}

/// What a plugin applies to is said in one way.
pub fn one_target(node: &Node) -> Option<Fault> {
    let mut there = ["selector", "targetRef", "targetRefs"]
        .into_iter()
        .filter_map(|name| entry(node, name));
    let (first, second) = (there.next()?, there.next()?);
    Fault::at(
        &second.key.name,
        second.key.position,
        format!("stands beside `{}`: keep one of them", first.key.name),
    )
}

/// A `TrafficExtension` is one thing.
pub fn wasm_or_lua(node: &Node) -> Option<Fault> {
    match (entry(node, "wasm"), entry(node, "lua")) {
        (None, None) => Fault::here("has neither `wasm` nor `lua`: say what it runs"),
        _ => None,
    }
}

/// The schema's half of the same rule.
pub fn not_wasm_and_lua(node: &Node) -> Option<Fault> {
    let (wasm, lua) = (entry(node, "wasm")?, entry(node, "lua")?);
    let second = if wasm.key.position < lua.key.position {
        lua
    } else {
        wasm
    };
    Fault::at(
        &second.key.name,
        second.key.position,
        "`wasm` and `lua` exclude each other: make two resources of them",
    )
}

/// Labels are selected by equality.
pub fn no_wildcard_in_value(node: &Node) -> Option<Fault> {
    if !node.text()?.contains('*') {
        return None;
    }
    Fault::here("has a `*` in it, and labels are compared as they are: name the value")
}

/// Labels are selected by equality.
pub fn no_wildcard_in_key(node: &Node) -> Option<Fault> {
    let entries = &node.mapping()?.entries;
    let entry = entries.iter().find(|entry| {
        // What is null is not there.
        entry.key.name.contains('*') && !entry.value.is_null()
    })?;
    Fault::at(
        &entry.key.name,
        entry.key.position,
        "the key has a `*` in it, and labels are compared as they are: name the label",
    )
}

/// A label has a name.
pub fn no_empty_key(node: &Node) -> Option<Fault> {
    let entry = entry(node, "")?;
    Fault::at("", entry.key.position, "the key is empty: name the label")
}

/// Policies stay in their namespace.
pub fn no_namespace(node: &Node) -> Option<Fault> {
    if node.text()?.is_empty() {
        return None;
    }
    Fault::here("a target is always in the resource's own namespace: leave this field out")
}

/// A variable that comes from the proxy's environment has no value here.
pub fn value_only_inline(node: &Node) -> Option<Fault> {
    if node.get("valueFrom")?.text()? != "HOST" {
        return None;
    }
    let value = entry(node, "value")?;
    Fault::at(
        "value",
        value.key.position,
        "with `valueFrom: HOST` the value is the proxy's own: leave one of the two out",
    )
}

// --- The webhook's rules.

/// istiod attaches plugins to few things.
pub fn allowed_target(node: &Node) -> Option<Fault> {
    let group = node.get("group").and_then(Node::text).unwrap_or_default();
    let kind = node.get("kind")?;
    let allowed = [
        ("", "Service"),
        ("core", "Service"),
        ("networking.istio.io", "ServiceEntry"),
        ("gateway.networking.k8s.io", "Gateway"),
        ("gateway.networking.k8s.io", "GatewayClass"),
    ];
    let name = kind.text()?;
    if allowed.contains(&(group, name)) {
        return None;
    }
    let is = if group.is_empty() {
        format!("`{name}` of the core group")
    } else {
        format!("`{name}` of `{group}`")
    };
    Fault::at(
        "kind",
        kind.position,
        format!(
            "nothing is attached to {is}: it must be Service (core group), ServiceEntry (networking.istio.io), Gateway or \
             GatewayClass (both gateway.networking.k8s.io)"
        ),
    )
}

/// Some annotations are refused.
pub fn not_istiods(node: &Node) -> Option<Fault> {
    let entries = &node.mapping()?.entries;
    let entry = entries
        .iter()
        .find(|entry| ISTIODS.contains(&entry.key.name.as_str()))?;
    Fault::at(
        &entry.key.name,
        entry.key.position,
        "istiod refuses this annotation on plugins: take it away",
    )
}

// --- Metadata.

/// An object has a name, or what one is made from.
pub fn named(node: &Node) -> Option<Fault> {
    let has = |name: &str| {
        node.get(name)
            .is_some_and(|node| node.text().is_some_and(|text| !text.is_empty()))
    };
    if has("name") || has("generateName") {
        return None;
    }
    Fault::here("has no name: add `name`, or `generateName` for `kubectl create`")
}

/// A DNS subdomain.
pub fn object_name(node: &Node) -> Option<Fault> {
    let text = node.text()?;
    // That there is one is another rule.
    if text.is_empty() || (text.len() <= 253 && text.split('.').all(is_label)) {
        return None;
    }
    Fault::here(format!(
        "`{}` is no name of an object: use at most 253 lower case letters, digits, `-` and `.`, with a letter or digit at both \
         ends and around each `.`",
        excerpt(text)
    ))
}

/// A DNS subdomain once something is behind it.
pub fn name_prefix(node: &Node) -> Option<Fault> {
    let text = node.text()?;
    // The last but one goes with the hyphen, so that no second one can stand before it: that is Kubernetes' own arithmetic.
    let masked = match text.strip_suffix('-') {
        Some(before) if !before.is_empty() => {
            let mut chars = before.chars();
            chars.next_back();
            format!("{}a", chars.as_str())
        }
        _ => text.to_owned(),
    };
    if text.is_empty() || (masked.len() <= 253 && masked.split('.').all(is_label)) {
        return None;
    }
    Fault::here(format!(
        "`{}` begins no name of an object: use lower case letters, digits, `-` and `.`, with a letter or digit first",
        excerpt(text)
    ))
}

/// A DNS label.
pub fn namespace(node: &Node) -> Option<Fault> {
    let text = node.text()?;
    if text.is_empty() || (text.len() <= 63 && is_label(text)) {
        return None;
    }
    Fault::here(format!(
        "`{}` is no name of a namespace: use at most 63 lower case letters, digits and `-`, with a letter or digit at both ends",
        excerpt(text)
    ))
}

/// Labels' keys.
pub fn label_keys(node: &Node) -> Option<Fault> {
    let entries = &node.mapping()?.entries;
    let entry = entries
        .iter()
        .find(|entry| !is_qualified_name(&entry.key.name))?;
    Fault::at(&entry.key.name, entry.key.position, NOT_QUALIFIED)
}

/// Labels' values.
pub fn label_value(node: &Node) -> Option<Fault> {
    let text = node.text()?;
    if text.is_empty() || is_name_part(text) {
        return None;
    }
    Fault::here(format!(
        "`{}` is no value of a label: use at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
        excerpt(text)
    ))
}

/// Annotations' keys, in which case does not matter.
pub fn annotation_keys(node: &Node) -> Option<Fault> {
    let entries = &node.mapping()?.entries;
    let entry = entries
        .iter()
        .find(|entry| !is_qualified_name(&entry.key.name.to_lowercase()))?;
    Fault::at(&entry.key.name, entry.key.position, NOT_QUALIFIED)
}

/// All annotations together.
pub fn annotations_size(node: &Node) -> Option<Fault> {
    let bytes: usize = node
        .mapping()?
        .entries
        .iter()
        .map(|entry| entry.key.name.len() + entry.value.text().map_or(0, str::len))
        .sum();
    if bytes <= MOST_ANNOTATIONS {
        return None;
    }
    Fault::here(format!(
        "annotations have {bytes} bytes together, and {MOST_ANNOTATIONS} are the most: move data elsewhere"
    ))
}

/// A finalizer's name.
pub fn finalizer(node: &Node) -> Option<Fault> {
    if is_qualified_name(node.text()?) {
        return None;
    }
    Fault::here(NOT_QUALIFIED)
}

const NOT_QUALIFIED: &str = "is no qualified name: use at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at \
     both ends, and before it, if wanted, a DNS name and a `/`";

fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        None => is_name_part(text),
        Some((prefix, name)) => {
            prefix.len() <= 253 && prefix.split('.').all(is_label) && is_name_part(name)
        }
    }
}

fn is_name_part(text: &str) -> bool {
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && end(bytes.first())
        && end(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// A field that is there: null ones are taken away before anything is asked.
fn entry<'a>(node: &'a Node, name: &str) -> Option<&'a crate::yaml::Entry> {
    node.mapping()?
        .entry(name)
        .filter(|entry| entry.value.value != Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_the_crds() {
        for (text, group, kind) in [
            ("", true, false),
            ("a", true, true),
            ("A", false, true),
            ("a.b-c.d", true, false),
            ("a..b", false, false),
            ("-a", false, false),
            ("a-", false, false),
            ("a-b", true, true),
            ("1a", true, false),
            ("a_b", false, false),
            ("a\n", false, false),
            ("ä", false, false),
        ] {
            assert_eq!(is_group(text), group, "{text:?} as a group");
            assert_eq!(is_kind(text), kind, "{text:?} as a kind");
        }
    }

    #[test]
    fn qualified_names_are_those_of_kubernetes() {
        for name in ["a", "A.b_c-d", "example.com/a", "a/1"] {
            assert!(is_qualified_name(name), "{name}");
        }
        for name in [
            "",
            "/a",
            "a/",
            "a/b/c",
            "Example.com/a",
            "-a",
            "a b",
            "ä",
            "a_b/c",
        ] {
            assert!(!is_qualified_name(name), "{name}");
        }
    }
}
