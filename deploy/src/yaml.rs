//! YAML as Kubernetes reads it, with the place of everything: a text becomes [`Document`]s of [`Node`]s.
//!
//! A manifest goes to the API server as JSON, and what `kubectl` makes of the text is YAML 1.1 as Go's library has it: a plain `y`
//! or `on` is a boolean in values *and* keys, `010` is eight, `1_000` a thousand, `1.0` arrives as `1`. Tools that read YAML 1.2
//! see another document, so this module keeps to Go's rules and remembers what was written, for messages that say so.
//!
//! This file is the tree. Text goes one way: `yaml/stream.rs` cuts it into documents, `yaml/composer.rs` makes a graph of the
//! parser's events, and `yaml/constructor.rs` the tree, with `yaml/scalar.rs` for what a scalar is. The parser is the one that reads
//! scenarios, and one of YAML 1.2: `docs/istio.md` lists where it and Go's library differ. Which fields a document must have is
//! [`crate::istio::validate`]'s matter.
//!
//! ```
//! use tidegate_deploy::yaml;
//!
//! let documents = yaml::parse("spec:\n  on: 0x10\n")?;
//! let spec = documents[0].root.get("spec").expect("a field");
//! assert_eq!(spec.to_json(), serde_json::json!({ "true": 16 }));
//! assert_eq!(spec.position.to_string(), "2:3");
//! # Ok::<(), yaml::YamlError>(())
//! ```

mod composer;
mod constructor;
mod graph;
mod scalar;
mod stream;
mod timestamp;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;

/// More than any cluster takes in one request, with room for many documents in one file.
pub const MOST_BYTES: usize = 8 << 20;

/// How deep collections may lie in one another, aliases included.
pub const MOST_DEPTH: usize = 200;

/// How many nodes one text may have, documents among them, and again how many aliases may stand for. In one document they stand for
/// fewer by Go's own rule.
pub const MOST_NODES: usize = 1_000_000;

/// How much text aliases may stand for in one text, in bytes: more than any cluster takes.
pub const MOST_TEXT: usize = 64 << 20;

/// How many characters of a text are shown.
const MOST_SHOWN: usize = 100;

/// A document of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it holds; null if it holds nothing.
    pub root: Node,
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What the API server gets.
    pub value: Value,
    /// Where it begins. What an alias stands for is where the value is that has the anchor.
    pub position: Position,
    /// What was written, if it is a plain scalar that became something else than a string.
    pub written: Option<Arc<str>>,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~`, or nothing.
    Null,
    /// A boolean, of which YAML 1.1 has many spellings.
    Bool(bool),
    /// A number that is an integer of 64 bits, however it was written.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// Fields.
    Mapping(Mapping),
}

/// Fields in the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mapping {
    /// The fields; no two have the same name.
    pub entries: Vec<Entry>,
    /// The keys of fields that do not count, because the same name comes again further down.
    pub overwritten: Vec<Key>,
}

/// A field.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name and the name's place.
    pub key: Key,
    /// What it holds.
    pub value: Node,
}

/// The name of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// As the API server gets it.
    pub name: String,
    /// Where it begins.
    pub position: Position,
    /// What was written, if that is something else.
    pub written: Option<Arc<str>>,
}

/// A place in a text. Both numbers count from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Why a text is not what Kubernetes can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {message}")]
pub struct YamlError {
    /// Where reading stopped.
    pub position: Position,
    /// What is wrong there.
    pub message: String,
}

/// The text of a file, as `kubectl` takes it: UTF-16 if a byte order mark says so, otherwise UTF-8, with U+FFFD for what is none.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    let utf16 = |unit: fn([u8; 2]) -> u16| -> Cow<'_, str> {
        let (units, rest) = bytes.as_chunks();
        let chars = char::decode_utf16(units.iter().copied().map(unit));
        let mut text: String = chars
            .map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        text.extend(rest.iter().map(|_| char::REPLACEMENT_CHARACTER));
        text.into()
    };
    match bytes {
        [0xff, 0xfe, ..] => utf16(u16::from_le_bytes),
        [0xfe, 0xff, ..] => utf16(u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes),
    }
}

/// Reads all documents of a text, which is YAML or JSON.
pub fn parse(text: &str) -> Result<Vec<Document>, YamlError> {
    if text.len() > MOST_BYTES {
        return Err(YamlError::new(
            Position { line: 1, column: 1 },
            format!(
                "the file has {} bytes, which exceeds the limit of {MOST_BYTES}: split it",
                text.len()
            ),
        ));
    }
    // A byte order mark is no part of the text.
    let stream::Cut {
        pieces,
        mut no_json,
        failure,
    } = stream::cut(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut budget = Budget::default();
    let mut documents = Vec::new();
    for piece in pieces {
        // Whoever came further knows better what the text was meant to be.
        let no_json = if piece.json { None } else { no_json.take() };
        let document = read(&piece, &mut budget).map_err(|error| match no_json {
            Some(no_json) if no_json.position > error.position => no_json,
            _ => error,
        })?;
        documents.push(document);
    }
    failure.map_or(Ok(documents), Err)
}

/// What all documents of a text have together.
#[derive(Default)]
struct Budget {
    /// Nodes that were written, and documents.
    nodes: usize,
    /// Nodes that aliases stand for.
    copied: usize,
    /// Text that aliases stand for, in bytes.
    text: usize,
}

/// Reads the first document of a piece. Nobody reads another.
fn read(piece: &stream::Piece<'_>, budget: &mut Budget) -> Result<Document, YamlError> {
    // A document without a node is one too.
    let most = MOST_NODES.saturating_sub(budget.nodes + 1);
    let graph = composer::compose(&piece.text, piece.begin, most, piece.json)?;
    budget.nodes += 1 + graph.len();
    if budget.nodes > MOST_NODES {
        return Err(graph::too_many(piece.begin));
    }
    let root = constructor::construct(&graph, budget)?;
    Ok(Document {
        root: root.unwrap_or(Node {
            value: Value::Null,
            position: piece.begin,
            written: None,
        }),
    })
}

/// A text as messages show it: somebody may have put a whole file there.
pub(crate) fn excerpt(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()).into(),
        None => text.into(),
    }
}

// === impl Node ===

impl Node {
    /// The field of this name, if this is a mapping that has it.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.mapping()?.get(name)
    }

    /// The fields, if this is a mapping.
    pub fn mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The items, if this is a list.
    pub fn items(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The text, if this is a string.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// What the API server gets.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::from(*value),
            Value::Integer(value) => Json::from(*value),
            Value::Float(value) => Json::from(*value),
            Value::String(value) => Json::from(value.as_str()),
            Value::Sequence(items) => items.iter().map(Node::to_json).collect(),
            Value::Mapping(mapping) => mapping
                .entries
                .iter()
                .map(|entry| (entry.key.name.clone(), entry.value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

// === impl Value ===

impl Value {
    /// What it is called in messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::String(_) => "a string",
            Self::Sequence(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }
}

// === impl Mapping ===

impl Mapping {
    /// The field of this name.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// The field of this name with its key.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.name == name)
    }
}

// === impl Position ===

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

// === impl YamlError ===

impl YamlError {
    fn new(position: Position, message: impl Into<String>) -> Self {
        Self {
            position,
            message: message.into(),
        }
    }
}
