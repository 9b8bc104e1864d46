//! A YAML parser with the semantics of Kubernetes that records the position of every node. A text is parsed into
//! [`Document`]s of [`Node`]s.
//!
//! Manifests are sent to the API server as JSON, and `kubectl` converts them from YAML 1.1 as implemented by its Go
//! library: a plain `y` or `on` is a boolean in values *and* keys, `010` is eight, `1_000` is a thousand, and `1.0` becomes
//! `1`. Tools that implement YAML 1.2 read the same text differently. This module follows the rules of the Go library, and
//! keeps the original text of scalars so that messages can mention it.
//!
//! This file defines the tree. `yaml/stream.rs` splits the text into documents, `yaml/composer.rs` builds a graph from the
//! parser's events, and `yaml/constructor.rs` builds the tree from the graph, with the help of `yaml/scalar.rs`, which
//! resolves scalars. The parser is the YAML 1.2 parser that is also used for scenarios; `docs/istio.md` lists the
//! differences between it and the Go library. [`crate::istio::validate`] checks which fields a document must have.
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

/// The maximum size of a text in bytes. It exceeds what any cluster accepts in one request, so that a file can contain many
/// documents.
pub const MOST_BYTES: usize = 8 << 20;

/// The maximum nesting depth of collections, including those that aliases refer to.
pub const MOST_DEPTH: usize = 200;

/// The maximum number of nodes in a text, including documents. The same limit applies separately to the nodes that aliases
/// expand to. Within a single document, Go's own rule for aliases is stricter.
pub const MOST_NODES: usize = 1_000_000;

/// The maximum size of the text that aliases in one text expand to, in bytes. It exceeds what any cluster accepts.
pub const MOST_TEXT: usize = 64 << 20;

/// The maximum number of characters of a text that are displayed.
const MOST_SHOWN: usize = 100;

/// A document in a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The root node. Null if the document is empty.
    pub root: Node,
}

/// A value and its position.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value that the API server receives.
    pub value: Value,
    /// The position at which the value begins. For an alias, it is the position of the value with the anchor.
    pub position: Position,
    /// The original text, if this is a plain scalar that was resolved to a type other than string.
    pub written: Option<Arc<str>>,
}

/// The value of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Null, written as `null`, `~` or nothing.
    Null,
    /// A boolean, for which YAML 1.1 has many spellings.
    Bool(bool),
    /// A number that is a 64-bit integer, regardless of how it was written.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping.
    Mapping(Mapping),
}

/// The fields of a mapping, in the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mapping {
    /// The fields. Names are unique.
    pub entries: Vec<Entry>,
    /// The keys of fields that are ignored because a later field has the same name.
    pub overwritten: Vec<Key>,
}

/// A field of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The name of the field and its position.
    pub key: Key,
    /// The value of the field.
    pub value: Node,
}

/// The name of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The name that the API server receives.
    pub name: String,
    /// The position at which the name begins.
    pub position: Position,
    /// The original text, if it differs from the name.
    pub written: Option<Arc<str>>,
}

/// A position in a text. Lines and columns are numbered from 1. Columns are counted in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line number.
    pub line: usize,
    /// The column number.
    pub column: usize,
}

/// A file, and a position in it if one is known: the beginning of a message about its text, formatted as `FILE:LINE:COLUMN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file's name.
    pub file: String,
    /// The position in the file.
    pub position: Option<Position>,
}

/// An error returned when Kubernetes cannot read a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {message}")]
pub struct YamlError {
    /// The position at which parsing stopped.
    pub position: Position,
    /// A description of the problem.
    pub message: String,
}

/// Decodes a file like `kubectl`: as UTF-16 if it starts with the corresponding byte order mark, otherwise as UTF-8.
/// Invalid sequences are replaced with U+FFFD.
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

/// Parses all documents in a text, which is YAML or JSON.
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
    // A byte order mark is not part of the text.
    let stream::Cut {
        pieces,
        mut no_json,
        failure,
    } = stream::cut(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut budget = Budget::default();
    let mut documents = Vec::new();
    for piece in pieces {
        // The error of the parser that got further is the more useful one.
        let no_json = if piece.json { None } else { no_json.take() };
        let document = read(&piece, &mut budget).map_err(|error| match no_json {
            Some(no_json) if no_json.position > error.position => no_json,
            _ => error,
        })?;
        documents.push(document);
    }
    failure.map_or(Ok(documents), Err)
}

/// The limits that the documents of a text share.
#[derive(Default)]
struct Budget {
    /// The number of nodes in the text, including documents.
    nodes: usize,
    /// The number of nodes that aliases expand to.
    copied: usize,
    /// The size of the text that aliases expand to, in bytes.
    text: usize,
}

/// Parses the first document of a piece. Further documents in the piece are ignored.
fn read(piece: &stream::Piece<'_>, budget: &mut Budget) -> Result<Document, YamlError> {
    // A document without nodes counts as well.
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

/// Shortens a text for display in messages, because it may be as long as a file.
pub(crate) fn excerpt(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()).into(),
        None => text.into(),
    }
}

// === impl Node ===

impl Node {
    /// Returns the value of the field `name`, if this is a mapping that has the field.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.mapping()?.get(name)
    }

    /// Returns the fields, if this is a mapping.
    pub fn mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// Returns the items, if this is a list.
    pub fn items(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the text, if this is a string.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns whether this is null.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// Returns the JSON value that the API server receives.
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
    /// Returns the name of the value's type for use in messages.
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
    /// Returns the value of the field `name`.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// Returns the field `name` with its key.
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

// === impl Location ===

impl Location {
    /// Creates a location.
    pub fn new(file: impl Into<String>, position: Option<Position>) -> Self {
        Self {
            file: file.into(),
            position,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "{}:{position}", self.file),
            None => f.write_str(&self.file),
        }
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
