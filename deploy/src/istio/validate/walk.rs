//! Checks a document against the rule table.
//!
//! The order is that of the API server: null fields are removed first, then types are checked, then the constraints of each
//! field. The constraints of an object are checked only if its fields are valid, so that each mistake results in one
//! finding.

use super::schema::{Check, Fault, Schema, Shape, Step, Test, path, rule_id};
use super::{Finding, Kind, Report, Severity, checks, table};
use crate::yaml::{Mapping, Node, Position, Value, excerpt};

/// Adds the findings for which a document of this kind is rejected.
pub fn walk(kind: Kind, root: &Node, prefix: &str, report: &mut Report) {
    let mut walk = Walk {
        kind,
        prefix,
        steps: Vec::new(),
        report,
    };
    walk.node(table::root(kind), root);
}

struct Walk<'a, 'f> {
    kind: Kind,
    /// The path of the document in the text.
    prefix: &'a str,
    steps: Vec<Step<'a>>,
    report: &'f mut Report,
}

// === impl Walk ===

impl<'a> Walk<'a, '_> {
    fn node(&mut self, schema: &'a Schema, node: &'a Node) {
        if schema.nullable && node.is_null() {
            return;
        }
        let before = self.report.errors;
        match (schema.shape, &node.value) {
            (Shape::Mapping, Value::Mapping(mapping)) => match &schema.each {
                _ if schema.open => {}
                None => self.object(schema, node, mapping),
                Some(values) => {
                    for entry in &mapping.entries {
                        if !entry.value.is_null() {
                            self.steps.push(Step::Key(&entry.key.name));
                            self.node(values, &entry.value);
                            self.steps.pop();
                        }
                    }
                }
            },
            (Shape::List, Value::Sequence(nodes)) => {
                for (index, item) in nodes.iter().enumerate() {
                    if let Some(items) = &schema.each {
                        self.steps.push(Step::Index(index));
                        self.node(items, item);
                        self.steps.pop();
                    }
                }
                if let Some(key) = &schema.key
                    && self.report.errors == before
                {
                    self.unique(nodes, key);
                }
            }
            (Shape::Any, _)
            | (Shape::String, Value::String(_))
            | (Shape::Integer, Value::Integer(_)) => {}
            _ => self.wrong_shape(schema.shape, node),
        }
        // The constraints of the object are meaningful only if its fields are valid.
        if self.report.errors > before {
            return;
        }
        for check in &schema.checks {
            if let Some(fault) = check.test.apply(schema, node) {
                self.fault(check, fault, node);
                return;
            }
        }
    }

    fn object(&mut self, schema: &'a Schema, node: &'a Node, mapping: &'a Mapping) {
        let fields = &schema.fields;
        for entry in &mapping.entries {
            let Some(field) = fields.iter().find(|field| field.name == entry.key.name) else {
                let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
                let mut message = match &entry.key.written {
                    Some(written) => {
                        format!(
                            "`{}` is `{}` in YAML 1.1, which is an ",
                            excerpt(written),
                            excerpt(&entry.key.name)
                        )
                    }
                    None => String::new(),
                };
                message.push_str("unknown field: ");
                message.push_str(&match nearest(&entry.key.name, &names) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => format!("expected one of {}", names.join(", ")),
                });
                let id = rule_id(&self.steps, "unknown");
                self.steps.push(Step::Field(&entry.key.name));
                self.add(id, entry.key.position, message);
                self.steps.pop();
                continue;
            };
            // A null field is removed before anything is checked, unless null is a valid value.
            if entry.value.is_null() && !field.schema.nullable {
                continue;
            }
            self.steps.push(Step::Field(&field.name));
            self.node(&field.schema, &entry.value);
            self.steps.pop();
        }
        for field in fields.iter().filter(|field| field.required) {
            let value = mapping.get(&field.name);
            if value.is_none_or(Node::is_null) {
                self.steps.push(Step::Field(&field.name));
                let message = match value {
                    Some(_) => "is null, which is treated as missing: set a value",
                    None => "required field is missing",
                };
                let position = value.map_or(node.position, |value| value.position);
                self.add(rule_id(&self.steps, "required"), position, message.into());
                self.steps.pop();
            }
        }
    }

    fn unique(&mut self, items: &'a [Node], key: &'a str) {
        let mut seen: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
        for (index, item) in items.iter().enumerate() {
            let value = item.get(key).map(Node::to_json).unwrap_or_default();
            let Some(first) = seen.insert(value.to_string(), index) else {
                continue;
            };
            seen.insert(value.to_string(), first);
            let id = rule_id(&self.steps, "unique");
            let position = item.get(key).map_or(item.position, |node| node.position);
            self.steps.push(Step::Index(index));
            self.steps.push(Step::Field(key));
            self.add(
                id,
                position,
                format!("{value} duplicates item {first} (counting from 0): remove one of them"),
            );
            self.steps.truncate(self.steps.len() - 2);
        }
    }

    fn wrong_shape(&mut self, shape: Shape, node: &Node) {
        // Only a root that is not a mapping has no name, and such a root has no kind.
        let wanted = shape.name().unwrap_or("something else");
        let is = node.value.kind();
        let written = node.written.as_deref().map(excerpt);
        let message = match (written, shape) {
            (Some(written), Shape::String) if !written.is_empty() => format!(
                "must be a string, and `{written}` without quotes is {is}: write \"{written}\""
            ),
            (Some(written), _) if !written.is_empty() => {
                format!("must be {wanted}, and `{written}` is {is}")
            }
            // Only if the quotes are the only problem.
            (None, Shape::Integer) if node.text().is_some_and(|it| it.parse::<i64>().is_ok()) => {
                format!("must be {wanted}, but is {is}: write it without quotes")
            }
            _ => format!("must be {wanted}, but is {is}"),
        };
        self.add(rule_id(&self.steps, "type"), node.position, message);
    }

    fn fault(&mut self, check: &Check, fault: Fault, node: &Node) {
        let mut message = fault.message;
        if !check.fix.is_empty() {
            message.push_str(": ");
            message.push_str(check.fix);
        }
        let id = rule_id(&self.steps, check.word);
        let (field, position) = match fault.at {
            Some((name, position)) => {
                let mut steps = self.steps.clone();
                steps.push(Step::Field(&name));
                (path(&steps), position)
            }
            None => (path(&self.steps), node.position),
        };
        self.push(id, position, field, message);
    }

    fn add(&mut self, rule: String, position: Position, message: String) {
        self.push(rule, position, path(&self.steps), message);
    }

    fn push(&mut self, rule: String, position: Position, field: String, message: String) {
        self.report.add(Finding {
            severity: Severity::Error,
            rule,
            kind: Some(self.kind),
            position,
            field: format!("{}{field}", self.prefix),
            message,
        });
    }
}

// === impl Test ===

impl Test {
    fn apply(&self, schema: &Schema, node: &Node) -> Option<Fault> {
        match self {
            &Self::MinLength(least) => {
                let length = node.text()?.chars().count();
                (length < least).then(|| Fault::here("is empty: set a value"))?
            }
            &Self::MaxLength(most) => {
                let length = node.text()?.chars().count();
                (length > most).then(|| {
                    Fault::here(format!(
                        "has {length} characters, which exceeds the maximum of {most}"
                    ))
                })?
            }
            &Self::MaxBytes(most) => {
                let length = node.text()?.len();
                (length > most).then(|| {
                    Fault::here(format!(
                        "has {length} bytes in UTF-8, which exceeds istiod's maximum of {most}"
                    ))
                })?
            }
            Self::OneOf(values) => {
                let text = node.text()?;
                if values.iter().any(|value| value == text) {
                    return None;
                }
                let known: Vec<&str> = values.iter().map(String::as_str).collect();
                Fault::here(match nearest(text, &known) {
                    Some(value) => {
                        format!("unknown value `{}`: did you mean `{value}`?", excerpt(text))
                    }
                    None => match values.as_slice() {
                        [value] => format!("unknown value `{}`: expected `{value}`", excerpt(text)),
                        _ => format!(
                            "unknown value `{}`: expected one of {}",
                            excerpt(text),
                            values.join(", ")
                        ),
                    },
                })
            }
            Self::Pattern(regex) => {
                let text = node.text()?;
                (!regex.is_match(text))
                    .then(|| Fault::here(format!("`{}` does not match `{regex}`", excerpt(text))))?
            }
            &Self::Minimum(least) => match node.value {
                Value::Integer(value) if value < least => {
                    Fault::here(format!("{value} is less than the minimum of {least}"))
                }
                _ => None,
            },
            &Self::Maximum(most) => match node.value {
                Value::Integer(value) if value > most => {
                    Fault::here(format!("{value} exceeds the maximum of {most}"))
                }
                _ => None,
            },
            Self::Int32 => match node.value {
                Value::Integer(value) if i32::try_from(value).is_err() => Fault::here(format!(
                    "{value} does not fit into 32 bits: it must be from {} to {}",
                    i32::MIN,
                    i32::MAX
                )),
                _ => None,
            },
            &Self::MaxItems(most) => {
                let count = node.items()?.len();
                (count > most).then(|| {
                    Fault::here(format!(
                        "has {count} items, which exceeds the maximum of {most}: use several resources"
                    ))
                })?
            }
            &Self::MaxProperties(most) => {
                let count = node.mapping()?.entries.len();
                (count > most).then(|| {
                    Fault::here(format!(
                        "has {count} fields, which exceeds the maximum of {most}"
                    ))
                })?
            }
            Self::KnownFields => checks::known_fields(schema, node),
            Self::Node(_, check) => check(node),
        }
    }
}

/// Returns the known word that was probably intended.
pub fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    // Longer words are not typing errors.
    if word.len() > 40 {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let distances = known
        .iter()
        .map(|name| (distance(&lower, &name.to_ascii_lowercase()), *name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2 && distance < word.len().div_ceil(2)).then_some(name)
}

/// Returns the edit distance between two words, in characters.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, char) in one.chars().enumerate() {
        let mut left = at + 1;
        let mut above_left = at;
        let mut next = vec![left];
        for (above, wanted) in row.iter().skip(1).zip(&other) {
            let replaced = above_left + usize::from(char != *wanted);
            left = replaced.min(left + 1).min(above + 1);
            above_left = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_known_value_is_found_for_a_typo() {
        let known = ["FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"];
        assert_eq!(nearest("FAIL_CLOSED", &known), Some("FAIL_CLOSE"));
        assert_eq!(nearest("fail_open", &known), Some("FAIL_OPEN"));
        assert_eq!(nearest("IGNORE", &known), None);
        assert_eq!(nearest("x", &["y"]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "ab"), 2);
    }
}
