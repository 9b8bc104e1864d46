//! What a rule table is made of: a tree of fields with checks, from which the list of rules follows.
//!
//! `table.rs` fills it in for both kinds, `walk.rs` holds documents against it. Every row has an identifier that does not
//! change: the field below `spec` (or below `wasm`, so that both kinds have one name for what they share), then the rule's
//! word. `ports.item.type` is about the items of a list, `matchLabels.value.type` about the values of a mapping.

use super::{Kind, Origin, Rule};
use crate::yaml::{Node, Position, excerpt};

/// What is asked of a node.
pub struct Schema {
    pub shape: Shape,
    /// Null is a value here. Elsewhere the API server takes a null field away before it looks at anything.
    pub nullable: bool,
    /// Asked in this order, if the shape is right; the first that fails is told.
    pub checks: &'static [Check],
}

/// The type of a node, with what is inside it.
pub enum Shape {
    /// These fields. Groups, because kinds share some.
    Object(&'static [&'static [Field]]),
    /// Any fields, of which nothing is asked.
    Open,
    /// Fields of any name.
    Map(&'static Schema),
    List {
        items: &'static Schema,
        /// The field that no two items may have the same value in.
        key: Option<&'static str>,
    },
    String,
    Integer,
    Boolean,
    /// Of whatever type.
    Any,
}

/// A field of an object.
pub struct Field {
    pub name: &'static str,
    pub required: bool,
    pub schema: &'static Schema,
}

/// A row of the table.
pub struct Check {
    /// The CRD's word for it, or ours where it has none.
    pub word: &'static str,
    pub origin: Origin,
    pub test: Test,
    /// What to do, where the failure does not say it.
    pub mend: &'static str,
}

/// How a check looks at a node.
pub enum Test {
    /// Characters in a string.
    MinLength(usize),
    MaxLength(usize),
    /// Bytes in a string: the webhook counts these where the schema counts characters.
    MaxBytes(usize),
    OneOf(&'static [&'static str]),
    /// A regular expression as the CRD has it, and what it says in Rust.
    Pattern {
        regex: &'static str,
        fits: fn(&str) -> bool,
    },
    Minimum(i64),
    Maximum(i64),
    Int32,
    MaxItems(usize),
    MaxProperties(usize),
    /// Anything else: the rule in a few words, and what is wrong with a node.
    Node(&'static str, fn(&Node) -> Option<Fault>),
}

/// What is wrong with a node.
#[derive(Debug, PartialEq)]
pub struct Fault {
    pub message: String,
    /// Where, if it is something in the node.
    pub at: Option<(Place, Position)>,
}

/// What of a node is meant.
#[derive(Debug, PartialEq)]
pub enum Place {
    Field(String),
    Item(usize),
}

/// A step down a document.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

/// The row's name for what these steps lead to, with the rule's word behind it.
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

/// Every row about documents of this kind that an invalid one can break.
pub fn rows(kind: Kind, root: &'static Schema) -> Vec<Rule> {
    let mut rows = Vec::new();
    let mut steps = Vec::new();
    descend(kind, root, &mut steps, &mut rows);
    rows
}

fn descend(
    kind: Kind,
    schema: &'static Schema,
    steps: &mut Vec<Step<'static>>,
    rows: &mut Vec<Rule>,
) {
    let mut row = |steps: &[Step<'static>], word: &str, origin, what: String| {
        rows.push(Rule {
            id: rule_id(steps, word),
            kind,
            field: field_path(steps),
            origin,
            what,
        });
    };
    let metadata = matches!(steps.first(), Some(Step::Field("metadata")));
    let origin = if metadata {
        Origin::Object
    } else {
        Origin::Schema
    };
    // What is no mapping at all is no document of any kind.
    if let (Some(name), false) = (schema.shape.name(), steps.is_empty()) {
        row(steps, "type", origin, format!("must be {name}"));
    }
    for check in schema.checks {
        row(steps, check.word, check.origin, check.test.says());
    }
    match schema.shape {
        Shape::Object(groups) => {
            row(
                steps,
                "unknown",
                Origin::Strict,
                "has no fields but these".into(),
            );
            for field in groups.iter().copied().flatten() {
                steps.push(Step::Field(field.name));
                if field.required {
                    rows.push(Rule {
                        id: rule_id(steps, "required"),
                        kind,
                        field: field_path(steps),
                        origin,
                        what: "must be there".into(),
                    });
                }
                descend(kind, field.schema, steps, rows);
                steps.pop();
            }
        }
        Shape::Map(values) => {
            steps.push(Step::Key("*"));
            descend(kind, values, steps, rows);
            steps.pop();
        }
        Shape::List { items, key } => {
            if let Some(key) = key {
                row(
                    steps,
                    "unique",
                    Origin::Schema,
                    format!("no two items have the same `{key}`"),
                );
            }
            steps.push(Step::Index(0));
            descend(kind, items, steps, rows);
            steps.pop();
        }
        Shape::Open | Shape::String | Shape::Integer | Shape::Boolean | Shape::Any => {}
    }
}

/// The steps as a row has them: a list's items are `[]`, a mapping's values `{}`.
fn field_path(steps: &[Step<'_>]) -> String {
    path(steps).replace("[0]", "[]").replace("[*]", "{}")
}

/// The steps as people write them.
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
    /// A schema without checks.
    pub const fn of(shape: Shape) -> Self {
        Self {
            shape,
            nullable: false,
            checks: &[],
        }
    }

    /// A string with these checks.
    pub const fn string(checks: &'static [Check]) -> Self {
        Self {
            shape: Shape::String,
            nullable: false,
            checks,
        }
    }
}

// === impl Shape ===

impl Shape {
    /// What a node of this shape is called; nothing if it may be anything.
    pub fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Object(_) | Self::Open | Self::Map(_) => "a mapping",
            Self::List { .. } => "a list",
            Self::String => "a string",
            Self::Integer => "an integer",
            Self::Boolean => "a boolean",
            Self::Any => return None,
        })
    }
}

// === impl Field ===

impl Field {
    pub const fn optional(name: &'static str, schema: &'static Schema) -> Self {
        Self {
            name,
            required: false,
            schema,
        }
    }

    pub const fn required(name: &'static str, schema: &'static Schema) -> Self {
        Self {
            name,
            required: true,
            schema,
        }
    }
}

// === impl Check ===

impl Check {
    const fn of(origin: Origin, word: &'static str, test: Test) -> Self {
        Self {
            word,
            origin,
            test,
            mend: "",
        }
    }

    pub const fn schema(word: &'static str, test: Test) -> Self {
        Self::of(Origin::Schema, word, test)
    }

    pub const fn cel(
        word: &'static str,
        says: &'static str,
        test: fn(&Node) -> Option<Fault>,
    ) -> Self {
        Self::of(Origin::Cel, word, Test::Node(says, test))
    }

    pub const fn webhook(word: &'static str, test: Test) -> Self {
        Self::of(Origin::Webhook, word, test)
    }

    pub const fn object(
        word: &'static str,
        says: &'static str,
        test: fn(&Node) -> Option<Fault>,
    ) -> Self {
        Self::of_object(word, Test::Node(says, test))
    }

    /// A bound that Kubernetes sets, of any object.
    pub const fn of_object(word: &'static str, test: Test) -> Self {
        Self::of(Origin::Object, word, test)
    }

    pub const fn strict(
        word: &'static str,
        says: &'static str,
        test: fn(&Node) -> Option<Fault>,
    ) -> Self {
        Self::of(Origin::Strict, word, Test::Node(says, test))
    }

    pub const fn mend(mut self, mend: &'static str) -> Self {
        self.mend = mend;
        self
    }
}

// === impl Test ===

impl Test {
    /// The rule in a few words.
    fn says(&self) -> String {
        match self {
            Self::MinLength(least) => format!("{least} characters or more"),
            Self::MaxLength(most) => format!("{most} characters or fewer"),
            Self::MaxBytes(most) => format!("{most} bytes or fewer"),
            Self::OneOf(values) => format!("one of {}", values.join(", ")),
            Self::Pattern { regex, .. } => format!("matches {regex}"),
            Self::Minimum(least) => format!("{least} or more"),
            Self::Maximum(most) => format!("{most} or less"),
            Self::Int32 => "has room in 32 bits".into(),
            Self::MaxItems(most) => format!("{most} items or fewer"),
            Self::MaxProperties(most) => format!("{most} fields or fewer"),
            Self::Node(says, _) => (*says).into(),
        }
    }
}

// === impl Fault ===

impl Fault {
    /// The node itself is wrong; as a check answers.
    pub fn here(message: impl Into<String>) -> Option<Self> {
        Some(Self {
            message: message.into(),
            at: None,
        })
    }

    /// A field of the node is wrong; as a check answers.
    pub fn at(field: &str, position: Position, message: impl Into<String>) -> Option<Self> {
        Some(Self {
            message: message.into(),
            at: Some((Place::Field(field.to_owned()), position)),
        })
    }

    /// An item of the node is wrong; as a check answers.
    pub fn item(index: usize, position: Position, message: impl Into<String>) -> Option<Self> {
        Some(Self {
            message: message.into(),
            at: Some((Place::Item(index), position)),
        })
    }
}
