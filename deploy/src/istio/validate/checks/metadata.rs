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

const NOT_QUALIFIED: &str = "is no qualified name: use at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at \
     both ends, and before it, if wanted, a DNS name and a `/`";

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
        "`{}` is no name of an object: use at most 253 lower case letters, digits, `-` and `.`, with a letter or digit at both \
         ends and around each `.`",
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
        "`{}` is no name of a namespace: use at most 63 lower case letters, digits and `-`, with a letter or digit at both ends",
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
        "`{}` is no value of a label: use at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
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
        "annotations have {bytes} bytes together, and {MOST_ANNOTATIONS} are the most: move data elsewhere"
    ))
}
