//! The tree out of a parser's events: nesting, anchors, merges, keys that come twice.
//!
//! What is bounded is bounded here: depth, so that nothing that walks the tree runs out of stack, and what aliases stand for, so
//! that a small text does not become a large tree. What a scalar means is `scalar.rs`'s matter, and what Kubernetes refuses of YAML
//! that is good otherwise is `dialect.rs`'s.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::dialect::{self, Dialect, Halt, Refusal};
use super::mended::{Mend, Mended};
use super::scalar::{self, Scalar};
use super::stream::{self, Piece};
use super::{
    Document, Entry, Key, MOST_COPIED, MOST_DEPTH, Mapping, Node, Position, Value, YamlError,
};

/// How much is read anew of a document because the parser stumbled over what Kubernetes' library takes: by so many bytes, but the
/// whole document at least so often.
const MOST_READ: usize = 4 << 20;
const MOST_MENDS: usize = 16;

/// Reads all documents of a text.
pub fn grow(text: &str) -> Result<Vec<Document>, YamlError> {
    let mut copied = 0;
    stream::cut(text)?
        .iter()
        .map(|piece| {
            let mut tree = Tree::new(piece, copied);
            tree.read()?;
            copied = tree.copied;
            Ok(tree.document())
        })
        .collect()
}

struct Tree<'a> {
    piece: &'a Piece<'a>,
    /// The piece's text, mended so far.
    text: Mended<'a>,
    /// The collections that are open, the innermost last.
    open: Vec<Open>,
    /// What anchors name, by the parser's numbers.
    anchors: HashMap<usize, Anchored>,
    /// How much was copied for anchors and aliases, in the documents before too.
    copied: usize,
    root: Option<Node>,
}

/// Why a document is not read to its end.
enum Trouble {
    Fault(YamlError),
    Parser(ScanError),
    Mends(Vec<Mend>),
}

/// An anchor's node. As a key it is read by other rules than as a value.
struct Anchored {
    node: Node,
    name: Option<Result<String, String>>,
}

struct Open {
    position: Position,
    anchor: usize,
    inside: Inside,
}

enum Inside {
    Sequence(Vec<Node>),
    Mapping {
        fields: Vec<Field>,
        /// The key whose value comes next.
        key: Option<Name>,
    },
}

enum Name {
    Key(Key),
    /// `<<`: the value's fields become this mapping's.
    Merge(Position),
}

struct Field {
    entry: Entry,
    /// Came with a merge, so that it is no mistake if it is written again.
    merged: bool,
}

// === impl Tree ===

impl<'a> Tree<'a> {
    fn new(piece: &'a Piece<'a>, copied: usize) -> Self {
        Self {
            piece,
            text: Mended::new(&piece.text),
            open: Vec::new(),
            anchors: HashMap::new(),
            copied,
            root: None,
        }
    }

    /// Reads the first document of the piece. Nobody reads another.
    fn read(&mut self) -> Result<(), YamlError> {
        let copied = self.copied;
        for _ in 0..MOST_MENDS.max(MOST_READ / (1 + self.text.shown().len())) {
            let mut text = std::mem::replace(&mut self.text, Mended::new(""));
            let attempted = self.attempt(&text);
            let mended = match attempted {
                Ok(()) => return Ok(()),
                Err(Trouble::Fault(error)) => return Err(error),
                Err(Trouble::Mends(mends)) => text.apply(&mends),
                Err(Trouble::Parser(error)) => {
                    let refused = YamlError::new(
                        self.position(&text, error.marker()),
                        error.kind().to_string(),
                    );
                    if self.piece.json {
                        return Err(refused);
                    }
                    Some(dialect::mend(&mut text, &error).ok_or(refused)?)
                }
            };
            if mended.is_none() {
                break;
            }
            *self = Tree::new(self.piece, copied);
            self.text = text;
        }
        Err(YamlError::new(
            self.piece.position(1, 1),
            "this is YAML in a way that most tools do not read: put a space behind every `?`, `:` and anchor, and before every `#`",
        ))
    }

    /// Reads a text that is the piece's but for what is no mistake to Kubernetes' library.
    fn attempt(&mut self, text: &Mended<'_>) -> Result<(), Trouble> {
        // Like the library that Kubernetes uses, where YAML's versions differ.
        let options = granit_parser::options! {
            bom_inside_document_as_content: true,
            block_scalar_eof_without_line_feed: true,
            emit_comments: false,
            flow_nesting_limit: MOST_DEPTH,
            block_nesting_limit: MOST_DEPTH,
        };
        // What JSON is, is known before.
        let mut dialect = (!self.piece.json).then(|| Dialect::new(text.shown()));
        let halt = |halt, piece: &Piece<'_>| match halt {
            Halt::Mends(mends) => Trouble::Mends(mends),
            Halt::Refused(Refusal { place, message }) => {
                let (line, column) = text.place(place);
                YamlError::new(piece.position(line, column), message).into()
            }
        };
        for event in Parser::new_from_str_with_options(text.read(), options) {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    // What the parser stumbles over may be behind what it has told.
                    let walked = dialect.as_mut().map_or(Ok(()), Dialect::walk);
                    walked.map_err(|why| halt(why, self.piece))?;
                    return Err(Trouble::Parser(error));
                }
            };
            if let Some(dialect) = &mut dialect {
                let seen = dialect.see(&event, &span);
                seen.map_err(|why| halt(why, self.piece))?;
            }
            if matches!(event, Event::DocumentEnd) {
                return Ok(());
            }
            let position = self.position(text, &span.start);
            if let Err(error) = self.take(event, text, position) {
                // It may be none once all before it is mended.
                let walked = dialect.as_mut().map_or(Ok(()), Dialect::walk);
                walked.map_err(|why| halt(why, self.piece))?;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// The place of an event in the whole text.
    fn position(&self, text: &Mended<'_>, marker: &Marker) -> Position {
        let line = marker.line().max(1);
        let place = marker.byte_offset().unwrap_or_default();
        self.piece
            .position(line, text.column(line, marker.col() + 1, place))
    }

    /// What was read.
    fn document(self) -> Document {
        let root = self.root.unwrap_or(Node {
            value: Value::Null,
            position: self.piece.position(1, 1),
            written: None,
        });
        Document { root }
    }

    fn take(
        &mut self,
        event: Event<'_>,
        written: &Mended<'_>,
        position: Position,
    ) -> Result<(), YamlError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                self.scalar(
                    &written.text(&text),
                    plain,
                    tag.as_deref(),
                    anchor,
                    position,
                )?;
            }
            Event::Alias(anchor) => self.alias(anchor, position)?,
            Event::SequenceStart(_, anchor, _) => {
                self.begin(Inside::Sequence(Vec::new()), anchor, position)?;
            }
            Event::MappingStart(_, anchor, _) => {
                let inside = Inside::Mapping {
                    fields: Vec::new(),
                    key: None,
                };
                self.begin(inside, anchor, position)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            _ => {}
        }
        Ok(())
    }

    /// Whether what comes next is a key.
    fn wants_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open {
                inside: Inside::Mapping { key: None, .. },
                ..
            })
        )
    }

    fn scalar(
        &mut self,
        text: &str,
        plain: bool,
        tag: Option<&Tag>,
        anchor: usize,
        position: Position,
    ) -> Result<(), YamlError> {
        let tag = tag.map(|tag| format!("{}{}", tag.handle(), tag.suffix()));
        let is_key = self.wants_key();
        // `!` alone says that it is a string, but for a key, which may be one and the other.
        let is_bare = tag.as_deref() == Some("!");
        let scalar = Scalar {
            text,
            plain: plain && !is_bare,
            tag: tag.filter(|_| !is_bare),
        };
        if is_key && (scalar::merges(&scalar) || (is_bare && text == "<<")) {
            self.name(Name::Merge(position));
            return Ok(());
        }
        let name = (is_key || anchor != 0).then(|| scalar::key(&scalar));
        let value = match scalar::value(&scalar) {
            Ok(value) => value,
            // Some keys are no values.
            Err(_) if is_key => Value::Null,
            Err(message) => return Err(YamlError::new(position, message)),
        };
        let written = (!matches!(value, Value::String(_))).then(|| text.to_owned());
        let node = Node {
            value,
            position,
            written,
        };
        if anchor != 0 {
            let anchored = Anchored {
                node: node.clone(),
                name: name.clone(),
            };
            self.anchors.insert(anchor, anchored);
        }
        match name {
            Some(name) if is_key => self.key(name, node.written, position),
            _ => self.put(node),
        }
    }

    fn alias(&mut self, anchor: usize, position: Position) -> Result<(), YamlError> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(YamlError::new(
                position,
                "the anchor's value contains itself",
            ));
        };
        let (size, depth) = anchored.node.extent();
        charge(&mut self.copied, size, position)?;
        if self.wants_key() {
            let Some(name) = anchored.name.clone() else {
                return Err(not_a_name(position));
            };
            let written = anchored.node.written.clone();
            return self.key(name, written, position);
        }
        if self.open.len() + depth > MOST_DEPTH {
            return Err(too_deep(position));
        }
        let node = anchored.node.clone();
        self.put(node)
    }

    fn begin(
        &mut self,
        inside: Inside,
        anchor: usize,
        position: Position,
    ) -> Result<(), YamlError> {
        if self.wants_key() {
            return Err(not_a_name(position));
        }
        if self.open.len() >= MOST_DEPTH {
            return Err(too_deep(position));
        }
        self.open.push(Open {
            position,
            anchor,
            inside,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), YamlError> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let value = match open.inside {
            Inside::Sequence(items) => Value::Sequence(items),
            Inside::Mapping { fields, .. } => Value::Mapping(mapping(fields)),
        };
        let node = Node {
            value,
            position: open.position,
            written: None,
        };
        if open.anchor != 0 {
            // Anchors may lie in one another, and each has a copy of all that is in it.
            charge(&mut self.copied, node.extent().0, open.position)?;
            let anchored = Anchored {
                node: node.clone(),
                name: None,
            };
            self.anchors.insert(open.anchor, anchored);
        }
        self.put(node)
    }

    fn key(
        &mut self,
        name: Result<String, String>,
        written: Option<String>,
        position: Position,
    ) -> Result<(), YamlError> {
        let name = name.map_err(|message| YamlError::new(position, message))?;
        let written = written.filter(|written| *written != name);
        self.name(Name::Key(Key {
            name,
            position,
            written,
        }));
        Ok(())
    }

    fn name(&mut self, name: Name) {
        if let Some(Open {
            inside: Inside::Mapping { key, .. },
            ..
        }) = self.open.last_mut()
        {
            *key = Some(name);
        }
    }

    /// Puts a finished value where it belongs.
    fn put(&mut self, node: Node) -> Result<(), YamlError> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.inside {
            Inside::Sequence(items) => items.push(node),
            Inside::Mapping { fields, key } => match key.take() {
                Some(Name::Key(key)) => fields.push(Field {
                    entry: Entry { key, value: node },
                    merged: false,
                }),
                Some(Name::Merge(position)) => merge(node, position, fields)?,
                None => {}
            },
        }
        Ok(())
    }
}

// === impl Trouble ===

impl From<YamlError> for Trouble {
    fn from(error: YamlError) -> Self {
        Self::Fault(error)
    }
}

/// Counts what is copied.
fn charge(copied: &mut usize, size: usize, position: Position) -> Result<(), YamlError> {
    *copied = copied.saturating_add(size);
    if *copied > MOST_COPIED {
        return Err(YamlError::new(
            position,
            "anchors and aliases stand for more than any document needs: write some of it out",
        ));
    }
    Ok(())
}

/// Takes the fields of one mapping or several. Of several the earlier ones win, so they come last.
fn merge(node: Node, position: Position, into: &mut Vec<Field>) -> Result<(), YamlError> {
    let mappings = match node.value {
        Value::Mapping(mapping) => vec![mapping],
        Value::Sequence(items) => items
            .into_iter()
            .rev()
            .map(|item| match item.value {
                Value::Mapping(mapping) => Ok(mapping),
                _ => Err(unmergeable(position)),
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(unmergeable(position)),
    };
    into.extend(
        mappings
            .into_iter()
            .flat_map(|mapping| mapping.entries)
            .map(|entry| Field {
                entry,
                merged: true,
            }),
    );
    Ok(())
}

/// The fields that count: of each name the last.
fn mapping(fields: Vec<Field>) -> Mapping {
    let mut names = HashSet::with_capacity(fields.len());
    // From the end, so that the last one is met first.
    let counts: Vec<bool> = fields
        .iter()
        .rev()
        .map(|field| names.insert(field.entry.key.name.as_str()))
        .collect();
    drop(names);
    let mut mapping = Mapping::default();
    for (field, counts) in fields.into_iter().zip(counts.into_iter().rev()) {
        if counts {
            mapping.entries.push(field.entry);
        } else if !field.merged {
            mapping.overwritten.push(field.entry.key);
        }
    }
    mapping
}

fn not_a_name(position: Position) -> YamlError {
    YamlError::new(
        position,
        "a list or a mapping is no name for a field; quote it if it is meant as text",
    )
}

fn too_deep(position: Position) -> YamlError {
    YamlError::new(
        position,
        format!("lists and mappings lie more than {MOST_DEPTH} deep in one another"),
    )
}

fn unmergeable(position: Position) -> YamlError {
    YamlError::new(
        position,
        "`<<` takes the fields of a mapping or of a list of mappings, and this is neither",
    )
}
