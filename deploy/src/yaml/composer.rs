//! The graph of a document out of its tokens.

use std::collections::HashMap;

use super::graph::{Content, Graph, Id, too_deep};
use super::scalar::Scalar;
use super::scanner::{Kind, Scanner, Token};
use super::{MOST_DEPTH, Position, YamlError, excerpt};

type Result<T> = std::result::Result<T, YamlError>;

/// Reads the first document of a text that begins there, if it has no more than so many nodes.
pub fn compose(text: &str, begin: Position, most: usize) -> Result<Graph> {
    let mut composer = Composer {
        scanner: Scanner::new(text, begin),
        graph: Graph::new(most),
        anchors: HashMap::new(),
        handles: HashMap::new(),
        depth: 0,
    };
    composer.document()?;
    Ok(composer.graph)
}

struct Composer<'a> {
    scanner: Scanner<'a>,
    graph: Graph,
    anchors: HashMap<String, Id>,
    /// What stands for the prefixes of tags.
    handles: HashMap<String, String>,
    /// How many collections are open.
    depth: usize,
}

/// What stands before a node.
#[derive(Default)]
struct Properties {
    anchor: Option<String>,
    tag: Option<String>,
}

/// Which blocks may be a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blocks {
    None,
    All,
    /// And lists that are indented no further than their key.
    Indentless,
}

// === impl Composer ===

impl Composer<'_> {
    fn document(&mut self) -> Result<()> {
        let mut is_explicit = false;
        let mut has_version = false;
        loop {
            let Token { kind, position } = self.scanner.peek()?;
            match kind {
                Kind::Version { is_1_1 } => {
                    if !is_1_1 || has_version {
                        return Err(YamlError::new(
                            *position,
                            "kubectl reads YAML 1.1, as one line before a document may say: take this one away",
                        ));
                    }
                    has_version = true;
                }
                Kind::Handle { handle, prefix } => {
                    let was = self.handles.insert(handle.clone(), prefix.clone());
                    if was.is_some() {
                        return Err(YamlError::new(
                            *position,
                            "a line above says already what this handle stands for: take one away",
                        ));
                    }
                }
                Kind::DocumentStart => {
                    let begin = *position;
                    self.scanner.take();
                    self.default_handles();
                    let root = self.node_unless(is_document_end, Blocks::All, begin)?;
                    self.graph.root = Some(root);
                    break;
                }
                _ if is_explicit => {
                    return Err(YamlError::new(
                        *position,
                        "behind a line with `%` a document begins with `---`, and kubectl cuts the text there: take that line away",
                    ));
                }
                Kind::StreamEnd => return Ok(()),
                Kind::DocumentEnd => {
                    return Err(YamlError::new(
                        *position,
                        "`...` ends a document, and none has begun: take it away",
                    ));
                }
                _ => {
                    self.default_handles();
                    self.graph.root = Some(self.node(Blocks::All)?);
                    break;
                }
            }
            is_explicit = true;
            self.scanner.take();
        }
        // What comes next is not read, but it is looked at.
        self.scanner.peek()?;
        Ok(())
    }

    fn default_handles(&mut self) {
        for (handle, prefix) in [("!", "!"), ("!!", super::scalar::TAGS)] {
            let handle = self.handles.entry(handle.into());
            handle.or_insert_with(|| prefix.into());
        }
    }

    /// Whether the next token is of this kind.
    fn is_next(&mut self, is_kind: fn(&Kind) -> bool) -> Result<bool> {
        Ok(is_kind(&self.scanner.peek()?.kind))
    }

    /// Takes the next token if it is of this kind, and says where it is.
    fn take(&mut self, is_kind: fn(&Kind) -> bool) -> Result<Option<Position>> {
        let token = self.scanner.peek()?;
        let position = token.position;
        Ok(is_kind(&token.kind).then(|| {
            self.scanner.take();
            position
        }))
    }

    fn properties(&mut self) -> Result<Properties> {
        let mut properties = Properties::default();
        loop {
            let position = self.scanner.peek()?.position;
            match &self.scanner.peek()?.kind {
                Kind::Anchor(name) if properties.anchor.is_none() => {
                    properties.anchor = Some(name.clone());
                }
                Kind::Tag { handle, suffix } if properties.tag.is_none() => {
                    let prefix = if handle.is_empty() {
                        Some("")
                    } else {
                        self.handles.get(handle).map(String::as_str)
                    };
                    let Some(prefix) = prefix else {
                        return Err(YamlError::new(
                            position,
                            format!(
                                "nobody knows what `{}` stands for in a tag: take the tag away",
                                excerpt(handle)
                            ),
                        ));
                    };
                    properties.tag = Some(format!("{prefix}{suffix}"));
                }
                _ => return Ok(properties),
            }
            self.scanner.take();
        }
    }

    /// Reads a node, of which at least a token is there.
    fn node(&mut self, blocks: Blocks) -> Result<Id> {
        let begin = self.scanner.peek()?.position;
        if let Kind::Alias(name) = &self.scanner.peek()?.kind {
            let Some(target) = self.anchors.get(name) else {
                return Err(YamlError::new(
                    begin,
                    format!(
                        "no anchor `&{}` stands above: name one that does",
                        excerpt(name)
                    ),
                ));
            };
            let content = Content::Alias(*target);
            self.scanner.take();
            return self.graph.add(content, begin);
        }
        let Properties { anchor, tag } = self.properties()?;
        let token = self.scanner.peek()?;
        let position = token.position;
        let in_blocks = blocks != Blocks::None;
        let read: fn(&mut Self) -> Result<Content> = match &token.kind {
            Kind::BlockEntry if blocks == Blocks::Indentless => Self::indentless_sequence,
            Kind::Scalar { .. } => {
                let token = self.scanner.take();
                let Some(Kind::Scalar { text, is_plain }) = token.map(|token| token.kind) else {
                    return Err(unexpected(position));
                };
                // `!` alone says that a text is one, and that it may be what it would be without quotes.
                let is_implicit = match &tag {
                    None => is_plain,
                    Some(tag) => tag == "!",
                };
                let scalar = Scalar {
                    text: text.into(),
                    is_implicit,
                    tag,
                };
                let id = self.graph.add(Content::Scalar(scalar), position)?;
                self.name(anchor, id);
                return Ok(id);
            }
            Kind::FlowSequenceStart => Self::flow_sequence,
            Kind::FlowMappingStart => Self::flow_mapping,
            Kind::BlockSequenceStart if in_blocks => Self::block_sequence,
            Kind::BlockMappingStart if in_blocks => Self::block_mapping,
            _ if anchor.is_some() || tag.is_some() => {
                let scalar = Scalar {
                    text: "".into(),
                    is_implicit: tag.is_none(),
                    tag,
                };
                let id = self.graph.add(Content::Scalar(scalar), begin)?;
                self.name(anchor, id);
                return Ok(id);
            }
            _ => return Err(unexpected(position)),
        };
        if self.depth >= MOST_DEPTH {
            return Err(too_deep(position));
        }
        // An anchor is known within its own node.
        let id = self.graph.add(Content::Sequence(Vec::new()), position)?;
        self.name(anchor, id);
        self.depth += 1;
        let content = read(self)?;
        self.depth -= 1;
        self.graph.fill(id, content);
        Ok(id)
    }

    fn name(&mut self, anchor: Option<String>, id: Id) {
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, id);
        }
    }

    /// Nothing, which is null.
    fn empty(&mut self, position: Position) -> Result<Id> {
        let scalar = Scalar {
            text: "".into(),
            is_implicit: true,
            tag: None,
        };
        self.graph.add(Content::Scalar(scalar), position)
    }

    /// A node, or, if one of these tokens comes, nothing in this place.
    fn node_unless(
        &mut self,
        ends: fn(&Kind) -> bool,
        blocks: Blocks,
        place: Position,
    ) -> Result<Id> {
        if self.is_next(ends)? {
            return self.empty(place);
        }
        self.node(blocks)
    }

    /// What stands behind a key's `:`, or nothing in the place of the `:` or of the key.
    fn value(&mut self, ends: fn(&Kind) -> bool, blocks: Blocks, key: Position) -> Result<Id> {
        match self.take(is_value)? {
            Some(place) => self.node_unless(ends, blocks, place),
            None => self.empty(key),
        }
    }

    fn block_sequence(&mut self) -> Result<Content> {
        self.scanner.take();
        let items = self.entries(|kind| matches!(kind, Kind::BlockEntry | Kind::BlockEnd))?;
        self.block_end("a list goes on here without a `-`: write it, or indent this otherwise")?;
        Ok(Content::Sequence(items))
    }

    fn indentless_sequence(&mut self) -> Result<Content> {
        let items = self.entries(|kind| {
            matches!(
                kind,
                Kind::BlockEntry | Kind::Key | Kind::Value | Kind::BlockEnd
            )
        })?;
        Ok(Content::Sequence(items))
    }

    /// The items of a list, each behind a `-`. One of these tokens says that there is nothing behind it.
    fn entries(&mut self, ends: fn(&Kind) -> bool) -> Result<Vec<Id>> {
        let mut items = Vec::new();
        while let Some(place) = self.take(is_block_entry)? {
            items.push(self.node_unless(ends, Blocks::All, place)?);
        }
        Ok(items)
    }

    fn block_mapping(&mut self) -> Result<Content> {
        let ends = |kind: &Kind| matches!(kind, Kind::Key | Kind::Value | Kind::BlockEnd);
        self.scanner.take();
        let mut fields = Vec::new();
        while let Some(place) = self.take(is_key)? {
            let key = self.node_unless(ends, Blocks::Indentless, place)?;
            fields.push((key, self.value(ends, Blocks::Indentless, place)?));
        }
        self.block_end("a mapping goes on here without a key: write it, or indent this otherwise")?;
        Ok(Content::Mapping(fields))
    }

    fn flow_sequence(&mut self) -> Result<Content> {
        let begin = self.scanner.peek()?.position;
        self.scanner.take();
        let mut items = Vec::new();
        while self.goes_on(is_sequence_end, items.is_empty(), ["[", "]"], begin)? {
            let item = match self.take(is_key)? {
                Some(place) => self.pair(place)?,
                None => self.node(Blocks::None)?,
            };
            items.push(item);
        }
        Ok(Content::Sequence(items))
    }

    /// A mapping of one field within `[]`.
    fn pair(&mut self, place: Position) -> Result<Id> {
        let ends = |kind: &Kind| matches!(kind, Kind::FlowEntry | Kind::FlowSequenceEnd);
        let key = if self.is_next(is_value)? || self.is_next(ends)? {
            // The library passes the sign that comes instead of a key.
            self.scanner.take();
            self.empty(place)?
        } else {
            self.node(Blocks::None)?
        };
        let value = self.value(ends, Blocks::None, place)?;
        self.graph.add(Content::Mapping(vec![(key, value)]), place)
    }

    fn flow_mapping(&mut self) -> Result<Content> {
        let ends = |kind: &Kind| matches!(kind, Kind::FlowEntry | Kind::FlowMappingEnd);
        let begin = self.scanner.peek()?.position;
        self.scanner.take();
        let mut fields = Vec::new();
        while self.goes_on(is_mapping_end, fields.is_empty(), ["{", "}"], begin)? {
            let place = self.scanner.peek()?.position;
            let field = if self.take(is_key)?.is_none() {
                (self.node(Blocks::None)?, self.empty(place)?)
            } else if self.is_next(is_value)? {
                (self.empty(place)?, self.value(ends, Blocks::None, place)?)
            } else {
                let key = self.node_unless(ends, Blocks::None, place)?;
                (key, self.value(ends, Blocks::None, place)?)
            };
            fields.push(field);
        }
        Ok(Content::Mapping(fields))
    }

    /// Whether another item comes within brackets that begin there. If not, they are closed.
    fn goes_on(
        &mut self,
        ends: fn(&Kind) -> bool,
        is_first: bool,
        [open, close]: [&str; 2],
        begin: Position,
    ) -> Result<bool> {
        let is_entry = |kind: &Kind| matches!(kind, Kind::FlowEntry);
        if self.is_next(|kind| matches!(kind, Kind::StreamEnd))? {
            return Err(YamlError::new(
                begin,
                format!("nothing closes this `{open}`: write a `{close}`"),
            ));
        }
        if !is_first && !self.is_next(ends)? && self.take(is_entry)?.is_none() {
            return Err(YamlError::new(
                self.scanner.peek()?.position,
                format!(
                    "`,` or `{close}` is missing before this, since `{open}` stands at {begin}: write it"
                ),
            ));
        }
        Ok(self.take(ends)?.is_none())
    }

    /// The end of a block, or what is wrong with what comes instead.
    fn block_end(&mut self, otherwise: &str) -> Result<()> {
        let Token { kind, position } = self.scanner.peek()?;
        let message = match kind {
            Kind::BlockEnd => {
                self.scanner.take();
                return Ok(());
            }
            Kind::Scalar { .. } => {
                "text stands here behind a value that has ended: escape the quote that ended it (`''` or `\\\"`), or look above for one that nothing closes"
            }
            Kind::BlockMappingStart | Kind::BlockSequenceStart => {
                "this is indented like nothing above it: write it in the column of what it belongs to"
            }
            _ => otherwise,
        };
        Err(YamlError::new(*position, message))
    }
}

fn is_document_end(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Version { .. }
            | Kind::Handle { .. }
            | Kind::DocumentStart
            | Kind::DocumentEnd
            | Kind::StreamEnd
    )
}

fn is_block_entry(kind: &Kind) -> bool {
    matches!(kind, Kind::BlockEntry)
}

fn is_key(kind: &Kind) -> bool {
    matches!(kind, Kind::Key)
}

fn is_value(kind: &Kind) -> bool {
    matches!(kind, Kind::Value)
}

fn is_sequence_end(kind: &Kind) -> bool {
    matches!(kind, Kind::FlowSequenceEnd)
}

fn is_mapping_end(kind: &Kind) -> bool {
    matches!(kind, Kind::FlowMappingEnd)
}

fn unexpected(position: Position) -> YamlError {
    YamlError::new(
        position,
        "a value belongs here, and this is none: write it, or quote the text",
    )
}
