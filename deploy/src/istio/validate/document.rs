//! Classifies the documents of a text. Documents of the two kinds are validated, lists are expanded, and objects without a
//! kind or version are rejected, as `kubectl` does before it sends a request.

use std::borrow::Cow;

use super::{Finding, Kind, Options, Report, Severity, foreign_group, walk, warnings};
use crate::istio::LIST_IN_LIST;
use crate::yaml::{Entry, Key, Node, Position, Value};

/// A problem in an object that is not a valid document.
struct Fault {
    /// The name of the field, which is also the rule's keyword. Empty for the document itself.
    field: &'static str,
    position: Position,
    message: String,
}

/// Validates a document or, if it is a list, each of its items.
pub fn judge(root: &Node, options: &Options, report: &mut Report) {
    // There may be nothing between two separators, which is not a document.
    if root.is_null() {
        return;
    }
    // The kind is not considered: any object with items is a list.
    let Some(items) = root.get("items").filter(|_| has_text(root, "kind")) else {
        return alone(root, "", options, report);
    };
    if let Some(fault) = no_document(root).or_else(|| no_list(items)) {
        report.take(fault.report(""));
        return;
    }
    let items = items.items().unwrap_or_default();
    if let Some((index, item)) = items.iter().enumerate().find(|(_, item)| is_list(item)) {
        report.take(list_in_list(item).report(&format!("items[{index}].")));
        return;
    }
    for (index, item) in items.iter().enumerate() {
        alone(
            &inherit(root, item),
            &format!("items[{index}]."),
            options,
            report,
        );
    }
}

/// Validates a document that is not a list.
fn alone(root: &Node, prefix: &str, options: &Options, report: &mut Report) {
    if let Some(kind) = Kind::of(root) {
        let mut about = Report {
            judged: 1,
            ..Report::default()
        };
        if options.release < kind.since() {
            about.add(Finding {
                severity: Severity::Error,
                rule: "kind.served".to_owned(),
                kind: Some(kind),
                position: root.get("kind").map_or(root.position, |it| it.position),
                field: format!("{prefix}kind"),
                message: format!(
                    "Istio {} does not serve {kind}; {} and newer do",
                    options.release,
                    kind.since()
                ),
            });
        } else {
            walk::walk(kind, root, prefix, &mut about);
            warnings::warn(kind, root, prefix, options, &mut about);
        }
        report.take(about);
    } else if let Some(fault) = no_document(root) {
        report.take(fault.report(prefix));
    } else {
        report.skipped += 1;
        if let (Some(group), Some(version)) = (foreign_group(root), root.get("apiVersion")) {
            report.add(Finding {
                severity: Severity::Note,
                rule: "document.group".to_owned(),
                kind: None,
                position: version.position,
                field: format!("{prefix}apiVersion"),
                message: format!(
                    "the kind belongs to the API group `{group}` and not to Istio: the document is skipped"
                ),
            });
        }
    }
}

/// Returns why the type of a document cannot be determined.
fn no_document(root: &Node) -> Option<Fault> {
    let Some(mapping) = root.mapping() else {
        return Some(Fault {
            field: "",
            position: root.position,
            message: format!(
                "a document must be a mapping with `apiVersion` and `kind`, but this is {}",
                root.value.kind()
            ),
        });
    };
    ["kind", "apiVersion"].into_iter().find_map(|field| {
        let value = mapping.get(field).filter(|value| !value.is_null());
        match value.map(Node::text) {
            None => Some(Fault {
                field,
                position: root.position,
                message: "required field is missing".into(),
            }),
            Some(Some(text)) if !text.is_empty() => None,
            _ => Some(Fault {
                field,
                position: value.map_or(root.position, |value| value.position),
                message: "must be a non-empty string".into(),
            }),
        }
    })
}

fn no_list(items: &Node) -> Option<Fault> {
    if items.is_null() || items.items().is_some() {
        return None;
    }
    Some(Fault {
        field: "items",
        position: items.position,
        message: format!("must be a list of documents, but is {}", items.value.kind()),
    })
}

/// kubectl treats any object with items as a list, regardless of its kind.
fn is_list(item: &Node) -> bool {
    item.get("items")
        .is_some_and(|items| items.items().is_some())
}

fn list_in_list(item: &Node) -> Fault {
    Fault {
        field: "items",
        position: item.position,
        message: LIST_IN_LIST.into(),
    }
}

/// A list item without kind and version inherits them from the list.
fn inherit<'a>(list: &Node, item: &'a Node) -> Cow<'a, Node> {
    let Some(mapping) = item
        .mapping()
        .filter(|_| !has_text(item, "kind") && !has_text(item, "apiVersion"))
    else {
        return Cow::Borrowed(item);
    };
    let mut mapping = mapping.clone();
    for name in ["apiVersion", "kind"] {
        let Some(text) = list.get(name).and_then(Node::text) else {
            continue;
        };
        mapping.entries.retain(|entry| entry.key.name != name);
        mapping.entries.push(Entry {
            key: Key {
                name: name.to_owned(),
                position: item.position,
                written: None,
            },
            value: Node {
                value: Value::String(text.trim_end_matches("List").to_owned()),
                position: item.position,
                written: None,
            },
        });
    }
    Cow::Owned(Node {
        value: Value::Mapping(mapping),
        ..item.clone()
    })
}

fn has_text(node: &Node, name: &str) -> bool {
    let text = node.get(name).and_then(Node::text);
    text.is_some_and(|text| !text.is_empty())
}

// === impl Fault ===

impl Fault {
    fn report(self, prefix: &str) -> Report {
        let word = match self.field {
            "" => "type",
            field => field,
        };
        let mut report = Report {
            judged: 1,
            ..Report::default()
        };
        report.add(Finding {
            severity: Severity::Error,
            rule: format!("document.{word}"),
            kind: None,
            position: self.position,
            field: format!("{prefix}{}", self.field)
                .trim_end_matches('.')
                .to_owned(),
            message: self.message,
        });
        report
    }
}
