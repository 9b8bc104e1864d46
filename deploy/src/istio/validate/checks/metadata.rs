//! What is asked of any object's metadata, by Kubernetes and, of annotations, by istiod.
//!
//! Each says what is wrong with a node, or nothing. Which node it is asked of is in `table.rs`.

use super::super::schema::Fault;
use crate::resource::names;
use crate::yaml::{Node, excerpt};

/// How many bytes all annotations of an object may have together.
const MOST_ANNOTATIONS: usize = 256 << 10;

/// Annotations that istiod keeps to itself.
const ISTIODS: [&str; 4] = [
    "istio.io/dry-run",
    "internal.istio.io/webhook-always-reject",
    "internal.istio.io/parent-namespace",
    "internal.istio.io/parents",
];

const NOT_QUALIFIED: &str = "is not a valid qualified name: use at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at \
     both ends, optionally prefixed with a DNS name and `/`";

/// Some annotations are refused.
pub fn not_istiods(node: &Node) -> Option<Fault> {
    let entries = &node.mapping()?.entries;
    let entry = entries
        .iter()
        .find(|entry| ISTIODS.contains(&entry.key.name.as_str()))?;
    Fault::at(
        &entry.key.name,
        entry.key.position,
        "istiod rejects this annotation on plugins: remove it",
    )
}

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
    if text.is_empty() || names::is_dns_subdomain(text) {
        return None;
    }
    Fault::here(format!(
        "`{}` is not a valid object name: use at most 253 characters: lowercase letters, digits, `-` and `.`; each part between dots must start and end with a letter or digit",
        excerpt(text)
    ))
}

/// A DNS label.
pub fn namespace(node: &Node) -> Option<Fault> {
    let text = node.text()?;
    if text.is_empty() || names::is_dns_label(text) {
        return None;
    }
    Fault::here(format!(
        "`{}` is not a valid namespace name: use at most 63 lowercase letters, digits and `-`, starting and ending with a letter or digit",
        excerpt(text)
    ))
}

/// Labels' keys.
pub fn label_keys(node: &Node) -> Option<Fault> {
    let entries = &node.mapping()?.entries;
    let entry = entries
        .iter()
        .find(|entry| !names::is_qualified_name(&entry.key.name))?;
    Fault::at(&entry.key.name, entry.key.position, NOT_QUALIFIED)
}

/// Labels' values.
pub fn label_value(node: &Node) -> Option<Fault> {
    let text = node.text()?;
    if names::is_label_value(text) {
        return None;
    }
    Fault::here(format!(
        "`{}` is not a valid label value: use at most 63 letters, digits, `-`, `_` and `.`, starting and ending with a letter or digit",
        excerpt(text)
    ))
}

/// Annotations' keys, in which case does not matter.
pub fn annotation_keys(node: &Node) -> Option<Fault> {
    let entries = &node.mapping()?.entries;
    let entry = entries
        .iter()
        .find(|entry| !names::is_qualified_name(&entry.key.name.to_lowercase()))?;
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
        "annotations have a total size of {bytes} bytes, which exceeds {MOST_ANNOTATIONS}: move data elsewhere"
    ))
}
