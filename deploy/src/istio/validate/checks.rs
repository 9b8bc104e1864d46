//! Checks that are more complex than a limit or a list of values: the CEL rules of the CRDs, and the webhook's own rules.
//! Kubernetes' checks of the metadata of all objects are in `checks/metadata.rs`.
//!
//! Each function returns what is wrong with a node, or `None`. `table.rs` specifies the nodes that it applies to.

pub mod metadata;

use super::schema::{Fault, Schema};
use super::url::{self, Refusal};
use crate::yaml::{Node, Value, excerpt};

/// Returns whether the text consists of 64 lowercase hexadecimal digits.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'f' | b'0'..=b'9'))
}

// --- CEL rules of the CRDs.

/// The URL must be valid and have a supported scheme.
pub fn url(node: &Node) -> Option<Fault> {
    let text = node.text()?;
    let verdict = url::admit(text);
    let shown = excerpt(text);
    match verdict {
        Ok(()) => None,
        Err(Refusal::Unreadable(why)) => Fault::here(format!(
            "`{shown}` is not a valid URL: {why}; an image is `oci://REGISTRY/REPOSITORY:TAG`"
        )),
        Err(Refusal::Scheme(scheme)) if !text.contains("://") => Fault::here(format!(
            "in `{shown}`, `{}` is parsed as a scheme, which must be oci, http, https or file: write `oci://{shown}`",
            excerpt(&scheme)
        )),
        Err(Refusal::Scheme(scheme)) => Fault::here(format!(
            "unsupported scheme `{}`: use oci, http, https or file",
            excerpt(&scheme)
        )),
    }
}

/// Only one way of specifying what a plugin applies to may be used.
pub fn one_target(node: &Node) -> Option<Fault> {
    let mut there = ["selector", "targetRef", "targetRefs"]
        .into_iter()
        .filter_map(|name| entry(node, name));
    let (first, second) = (there.next()?, there.next()?);
    Fault::at(
        &second.key.name,
        second.key.position,
        format!(
            "cannot be combined with `{}`: remove one of them",
            first.key.name
        ),
    )
}

/// A `TrafficExtension` must specify either a Wasm plugin or a Lua script.
pub fn wasm_or_lua(node: &Node) -> Option<Fault> {
    match (entry(node, "wasm"), entry(node, "lua")) {
        (None, None) => Fault::here("has neither `wasm` nor `lua`: add one of them"),
        _ => None,
    }
}

/// The part of the same rule that is in the schema.
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
        "`wasm` and `lua` are mutually exclusive: use two resources",
    )
}

/// Labels are selected by equality, so values must not contain wildcards.
pub fn no_wildcard_in_value(node: &Node) -> Option<Fault> {
    if !node.text()?.contains('*') {
        return None;
    }
    Fault::here("contains `*`, but label values are compared literally: write the value")
}

/// Labels are selected by equality, so keys must not contain wildcards.
pub fn no_wildcard_in_key(node: &Node) -> Option<Fault> {
    let entries = &node.mapping()?.entries;
    let entry = entries.iter().find(|entry| {
        // A null field is treated as absent.
        entry.key.name.contains('*') && !entry.value.is_null()
    })?;
    Fault::at(
        &entry.key.name,
        entry.key.position,
        "the key contains `*`, but label keys are compared literally: write the key",
    )
}

/// The key of a label must not be empty.
pub fn no_empty_key(node: &Node) -> Option<Fault> {
    let entry = entry(node, "")?;
    Fault::at("", entry.key.position, "the key is empty: write the key")
}

/// A target must not specify a namespace, because policies apply only within their own namespace.
pub fn no_namespace(node: &Node) -> Option<Fault> {
    if node.text()?.is_empty() {
        return None;
    }
    Fault::here("cross-namespace references are not supported: remove this field")
}

/// A variable that is taken from the proxy's environment must not have a value.
pub fn value_only_inline(node: &Node) -> Option<Fault> {
    if node.get("valueFrom")?.text()? != "HOST" {
        return None;
    }
    let value = entry(node, "value")?;
    Fault::at(
        "value",
        value.key.position,
        "`value` cannot be combined with `valueFrom: HOST`: remove one of them",
    )
}

// --- The webhook's rules.

/// istiod attaches plugins only to certain kinds.
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
            "plugins cannot be attached to {is}: use Service (core group), ServiceEntry (networking.istio.io), Gateway or GatewayClass (both gateway.networking.k8s.io)"
        ),
    )
}

// --- The status.

/// Known objects in the status must not have unknown fields. Other fields of the status are arbitrary, and the types of the
/// known fields are not checked.
pub fn known_fields(schema: &Schema, node: &Node) -> Option<Fault> {
    stray(schema, node, "")
}

fn stray(schema: &Schema, node: &Node, path: &str) -> Option<Fault> {
    if let Some(items) = node.items() {
        let (mut items, nothing) = (items.iter().enumerate(), Schema::default());
        let of_items = match &schema.each {
            Some(each) => each,
            None if schema.open => return None,
            None => &nothing,
        };
        return items.find_map(|(at, node)| stray(of_items, node, &format!("{path}[{at}]")));
    }
    node.mapping()?.entries.iter().find_map(|entry| {
        let path = format!("{path}.{}", entry.key.name);
        let mut fields = schema.fields.iter();
        match fields.find(|field| field.name == entry.key.name) {
            Some(field) => stray(&field.schema, &entry.value, &path),
            None if schema.open => None,
            None => Fault::at(
                path.trim_start_matches('.'),
                entry.key.position,
                "is not a field of the status, which the control plane manages: remove the status",
            ),
        }
    })
}

/// Returns a field that is present. Null fields are removed before anything is checked.
fn entry<'a>(node: &'a Node, name: &str) -> Option<&'a crate::yaml::Entry> {
    node.mapping()?
        .entry(name)
        .filter(|entry| entry.value.value != Value::Null)
}
