//! The structure of a rule table: a tree of fields with checks, from which the list of rules is derived.
//!
//! `table.rs` creates the tables for both kinds, and `walk.rs` checks documents against them. Every rule has a stable
//! identifier: the field below `spec` (or below `wasm`, so that shared fields have the same identifier in both kinds),
//! followed by the rule's keyword. `ports.item.type` refers to the items of a list, `matchLabels.value.type` to the values
//! of a mapping.

use regex::Regex;
use serde_json::Value;

use super::{Kind, Origin, Rule};
use crate::yaml::{Node, Position, excerpt};

/// The constraints of a node.
#[derive(Default)]
pub struct Schema {
    pub shape: Shape,
    /// Whether null is a valid value. Otherwise the API server removes null fields before it checks anything.
    pub nullable: bool,
    /// Whether fields with any name are permitted, without constraints.
    pub open: bool,
    /// The fields of a mapping that may not have any others.
    pub fields: Vec<Field>,
    /// The constraints of the items of a list, or of the values of a mapping with arbitrary field names.
    pub each: Option<Box<Schema>>,
    /// The field whose values must be unique among the items of a list.
    pub key: Option<String>,
    /// The checks to perform if the type is correct, in this order. Only the first failure is reported.
    pub checks: Vec<Check>,
}

/// The type of a node.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Shape {
    /// Any type.
    #[default]
    Any,
    Mapping,
    List,
    String,
    Integer,
}

/// A field of a mapping.
pub struct Field {
    pub name: String,
    pub required: bool,
    pub schema: Schema,
}

/// A rule in the table.
#[derive(Clone)]
pub struct Check {
    /// The keyword of the rule in the CRD, or our own if the CRD has none.
    pub word: &'static str,
    pub origin: Origin,
    pub test: Test,
    /// How to fix a violation, if the error message does not include it.
    pub fix: &'static str,
}

/// The condition of a check.
#[derive(Clone)]
pub enum Test {
    /// The minimum number of characters in a string.
    MinLength(usize),
    MaxLength(usize),
    /// The maximum number of bytes in a string. The webhook counts bytes where the schema counts characters.
    MaxBytes(usize),
    OneOf(Vec<String>),
    Pattern(Regex),
    Minimum(i64),
    Maximum(i64),
    Int32,
    MaxItems(usize),
    MaxProperties(usize),
    /// Fields below must only have the fields in the schema.
    KnownFields,
    /// Any other condition: a short description of the rule, and a function that returns what is wrong with a node.
    Node(&'static str, fn(&Node) -> Option<Fault>),
}

/// What is wrong with a node.
#[derive(Debug, PartialEq)]
pub struct Fault {
    pub message: String,
    /// The name and position of the field of the node, if the error is not about the node itself.
    pub at: Option<(String, Position)>,
}

/// One step of a path in a document.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

/// Returns the identifier of the rule for the node at these steps: the path followed by the rule's keyword.
pub fn rule_id(steps: &[Step<'_>], word: &str) -> String {
    let mut id = String::new();
    let skipped = match steps {
        [] => return format!("document.{word}"),
        [Step::Field("spec"), Step::Field("wasm"), _, ..] => 2,
        [Step::Field("spec"), _, ..] => 1,
        _ => 0,
    };
    let steps = steps.get(skipped..).unwrap_or_default();
    for (at, step) in steps.iter().enumerate() {
        let name = match step {
            Step::Field(name) => name,
            Step::Index(_) if at + 1 == steps.len() => "item",
            Step::Index(_) => continue,
            Step::Key(_) => "value",
        };
        id.push_str(name);
        id.push('.');
    }
    id + word
}

/// Returns every rule for this kind that an invalid document can violate.
pub fn rows(kind: Kind, root: &Schema) -> Vec<Rule> {
    let mut rows = Vec::new();
    descend(kind, root, &mut Vec::new(), &mut rows);
    rows
}

fn descend<'s>(kind: Kind, schema: &'s Schema, steps: &mut Vec<Step<'s>>, rows: &mut Vec<Rule>) {
    let mut row = |steps: &[Step<'_>], word: &str, origin, what: String| {
        rows.push(Rule {
            id: rule_id(steps, word),
            kind,
            field: field_path(steps),
            origin,
            what,
        });
    };
    let origin = match steps.first() {
        Some(Step::Field("metadata")) => Origin::Object,
        _ => Origin::Schema,
    };
    // An object that is not a mapping is not a document of any kind.
    if let (Some(name), false) = (schema.shape.name(), steps.is_empty()) {
        row(steps, "type", origin, format!("must be {name}"));
    }
    for check in &schema.checks {
        row(steps, check.word, check.origin, check.test.says());
    }
    // For the status, only the names of fields are checked, by one check of the whole status.
    if matches!(steps[..], [Step::Field("status")]) {
        return;
    }
    if let Some(key) = &schema.key {
        row(
            steps,
            "unique",
            Origin::Schema,
            format!("no two items have the same `{key}`"),
        );
    }
    if schema.shape == Shape::Mapping && !schema.open && schema.each.is_none() {
        row(
            steps,
            "unknown",
            Origin::Strict,
            "has only known fields".into(),
        );
    }
    for field in &schema.fields {
        steps.push(Step::Field(&field.name));
        if field.required {
            rows.push(Rule {
                id: rule_id(steps, "required"),
                kind,
                field: field_path(steps),
                origin,
                what: "is required".into(),
            });
        }
        descend(kind, &field.schema, steps, rows);
        steps.pop();
    }
    if let Some(each) = &schema.each {
        steps.push(match schema.shape {
            Shape::List => Step::Index(0),
            _ => Step::Key("*"),
        });
        descend(kind, each, steps, rows);
        steps.pop();
    }
}

/// Formats the steps as the path in a rule: the items of a list as `[]`, the values of a mapping as `{}`.
fn field_path(steps: &[Step<'_>]) -> String {
    path(steps).replace("[0]", "[]").replace("[*]", "{}")
}

/// Formats the steps as a human-readable path.
pub fn path(steps: &[Step<'_>]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Field(name) | Step::Key(name) if path.is_empty() => {
                path.push_str(&excerpt(name));
            }
            Step::Field(name) => {
                path.push('.');
                path.push_str(&excerpt(name));
            }
            Step::Index(index) => path.push_str(&format!("[{index}]")),
            Step::Key(name) => path.push_str(&format!("[{}]", excerpt(name))),
        }
    }
    path
}

// === impl Schema ===

impl Schema {
    /// Adds a line from a list of constraints: path, keyword and value in JSON. Returns `None` if the constraint is not
    /// supported.
    pub fn add(&mut self, line: &str) -> Option<()> {
        let (path, line) = line.split_once(' ')?;
        let (keyword, value) = line.split_once(' ')?;
        let value: Value = serde_json::from_str(value).ok()?;
        let length = || usize::try_from(value.as_u64()?).ok();
        let node = self.make(path);
        let (word, test) = match keyword {
            "type" => {
                node.shape = match value.as_str()? {
                    "object" => Shape::Mapping,
                    "array" => Shape::List,
                    "string" => Shape::String,
                    "integer" => Shape::Integer,
                    _ => return None,
                };
                return Some(());
            }
            "required" => {
                for name in strings(&value)? {
                    node.field(&name).required = true;
                }
                return Some(());
            }
            "nullable" => {
                node.nullable = value.as_bool()?;
                return Some(());
            }
            "x-kubernetes-preserve-unknown-fields" => {
                node.open = value.as_bool()?;
                return Some(());
            }
            "x-kubernetes-list-map-keys" => {
                let [key] = <[String; 1]>::try_from(strings(&value)?).ok()?;
                node.key = Some(key);
                return Some(());
            }
            // The keys are a separate constraint.
            "x-kubernetes-list-type" if value == "map" => return Some(()),
            // Implemented by hand in `table.rs`.
            "x-kubernetes-validations" | "oneOf" => return Some(()),
            "enum" => ("enum", Test::OneOf(strings(&value)?)),
            "pattern" => ("pattern", Test::Pattern(Regex::new(value.as_str()?).ok()?)),
            "minLength" => ("minLength", Test::MinLength(length()?)),
            "maxLength" => ("maxLength", Test::MaxLength(length()?)),
            "minimum" => ("minimum", Test::Minimum(value.as_i64()?)),
            "maximum" => ("maximum", Test::Maximum(value.as_i64()?)),
            "maxItems" => ("maxItems", Test::MaxItems(length()?)),
            "maxProperties" => ("maxProperties", Test::MaxProperties(length()?)),
            "format" if value == "int32" => ("format", Test::Int32),
            _ => return None,
        };
        node.checks.push(Check::schema(word, test));
        Some(())
    }

    /// Returns the node at a path such as `.spec.match[].ports`, in which the values of a mapping are written as `{}`.
    pub fn find(&mut self, path: &str) -> Option<&mut Self> {
        parts(path).try_fold(self, |node, part| match part {
            "[]" | "{}" => node.each.as_deref_mut(),
            name => {
                let mut fields = node.fields.iter_mut();
                let field = fields.find(|field| field.name == name)?;
                Some(&mut field.schema)
            }
        })
    }

    /// Returns the node at a path, and creates it if it does not exist.
    pub fn make(&mut self, path: &str) -> &mut Self {
        parts(path).fold(self, |node, part| match part {
            "[]" | "{}" => node.each.get_or_insert_default(),
            name => &mut node.field(name).schema,
        })
    }

    fn field(&mut self, name: &str) -> &mut Field {
        let at = self.fields.iter().position(|field| field.name == name);
        let at = at.unwrap_or_else(|| {
            self.fields.push(Field {
                name: name.to_owned(),
                required: false,
                schema: Self::default(),
            });
            self.fields.len() - 1
        });
        &mut self.fields[at]
    }
}

/// Splits a path into its steps.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = path.trim_start_matches('.');
    std::iter::from_fn(move || {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let end = match rest {
            "" => return None,
            rest if rest.starts_with("[]") || rest.starts_with("{}") => 2,
            rest => rest.find(['.', '[', '{']).unwrap_or(rest.len()),
        };
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(part)
    })
}

fn strings(value: &Value) -> Option<Vec<String>> {
    let items = value.as_array()?.iter();
    items
        .map(|item| item.as_str().map(str::to_owned))
        .collect::<Option<_>>()
}

// === impl Shape ===

impl Shape {
    /// Returns the name of this type, or `None` if any type is permitted.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Mapping => "a mapping",
            Self::List => "a list",
            Self::String => "a string",
            Self::Integer => "an integer",
            Self::Any => return None,
        })
    }
}

// === impl Check ===

impl Check {
    fn of(origin: Origin, word: &'static str, test: Test) -> Self {
        Self {
            word,
            origin,
            test,
            fix: "",
        }
    }

    pub fn schema(word: &'static str, test: Test) -> Self {
        Self::of(Origin::Schema, word, test)
    }

    pub fn cel(word: &'static str, says: &'static str, test: fn(&Node) -> Option<Fault>) -> Self {
        Self::of(Origin::Cel, word, Test::Node(says, test))
    }

    pub fn webhook(word: &'static str, test: Test) -> Self {
        Self::of(Origin::Webhook, word, test)
    }

    pub fn object(
        word: &'static str,
        says: &'static str,
        test: fn(&Node) -> Option<Fault>,
    ) -> Self {
        Self::of(Origin::Object, word, Test::Node(says, test))
    }

    pub fn strict(word: &'static str, test: Test) -> Self {
        Self::of(Origin::Strict, word, test)
    }
}

// === impl Test ===

impl Test {
    /// Returns a short description of the rule.
    fn says(&self) -> String {
        match self {
            Self::MinLength(least) => format!("{least} characters or more"),
            Self::MaxLength(most) => format!("{most} characters or fewer"),
            Self::MaxBytes(most) => format!("{most} bytes or fewer"),
            Self::OneOf(values) => format!("one of {}", values.join(", ")),
            Self::Pattern(regex) => format!("matches {regex}"),
            Self::Minimum(least) => format!("{least} or more"),
            Self::Maximum(most) => format!("{most} or less"),
            Self::Int32 => "fits into 32 bits".into(),
            Self::MaxItems(most) => format!("{most} items or fewer"),
            Self::MaxProperties(most) => format!("{most} fields or fewer"),
            Self::KnownFields => "nested objects have only known fields".into(),
            Self::Node(says, _) => (*says).into(),
        }
    }
}

// === impl Fault ===

impl Fault {
    /// Returns the result of a check for an error in the node itself.
    pub fn here(message: impl Into<String>) -> Option<Self> {
        Some(Self {
            message: message.into(),
            at: None,
        })
    }

    /// Returns the result of a check for an error in a field of the node.
    pub fn at(field: &str, position: Position, message: impl Into<String>) -> Option<Self> {
        Some(Self {
            message: message.into(),
            at: Some((field.to_owned(), position)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_into_segments() {
        let parts = |path| parts(path).collect::<Vec<_>>();
        assert_eq!(parts("."), [""; 0]);
        assert_eq!(parts(".a"), ["a"]);
        assert_eq!(parts(".a.bc[].d{}"), ["a", "bc", "[]", "d", "{}"]);
    }

    #[test]
    fn unsupported_constraints_return_none() {
        for line in [
            ".a format \"date\"",
            ".a x-kubernetes-list-type \"set\"",
            ".a x-kubernetes-list-map-keys [\"a\",\"b\"]",
            ".a multipleOf 2",
            ".a type \"number\"",
            ".a",
        ] {
            assert_eq!(Schema::default().add(line), None, "{line}");
        }
    }
}
