//! Builds the graph of a document from the parser's events.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, StructureStyle, Tag};

use super::graph::{Content, Graph, Id, too_deep};
use super::scalar::Scalar;
use super::{MOST_BYTES, MOST_DEPTH, Position, YamlError};

type Result<T> = std::result::Result<T, YamlError>;

/// The maximum number of characters of a key before its `:` in YAML. In JSON the only limit is that of the text.
const YAML_KEY: usize = 1024;
const JSON_KEY: usize = MOST_BYTES;

/// Composes the first document of a text that begins at `begin` and has at most `most` nodes.
pub fn compose(text: &str, begin: Position, most: usize, is_json: bool) -> Result<Graph> {
    let options = granit_parser::options! {
        emit_comments: false,
        simple_key_max_lookahead: if is_json { JSON_KEY } else { YAML_KEY },
        // Like libyaml, from which Go's library is derived.
        bom_inside_document_as_content: true,
        block_scalar_eof_without_line_feed: true,
        // Collections of both styles are counted together below. The parser reads ahead of its events, up to this limit.
        flow_nesting_limit: YAML_KEY + MOST_DEPTH,
        block_nesting_limit: MOST_DEPTH + 1,
    };
    let mut composer = Composer {
        text,
        begin,
        parser: Parser::new_from_str_with_options(text, options),
        graph: Graph::new(most),
        anchors: HashMap::new(),
        open: Vec::new(),
    };
    composer.document()?;
    Ok(composer.graph)
}

struct Composer<'a> {
    text: &'a str,
    begin: Position,
    parser: Parser<'a, StrInput<'a>>,
    graph: Graph,
    /// The nodes with an anchor, by the parser's anchor number.
    anchors: HashMap<usize, Id>,
    /// The collections whose end has not been read.
    open: Vec<Open>,
}

/// A collection whose end has not been read.
struct Open {
    id: Id,
    is_mapping: bool,
    /// The items, or alternating keys and values.
    children: Vec<Id>,
    /// The position of the last child.
    last: Option<Span>,
}

// === impl Composer ===

impl<'a> Composer<'a> {
    fn document(&mut self) -> Result<()> {
        while let Some((event, span)) = self.next()? {
            match event {
                Event::DocumentStart(_, Some(version))
                    if (version.major, version.minor) != (1, 1) =>
                {
                    return Err(YamlError::new(
                        self.position(span.start),
                        "found incompatible YAML document: kubectl reads YAML 1.1, remove the `%YAML` line",
                    ));
                }
                Event::DocumentEnd => {
                    // kubectl ignores the remainder. Rejecting it if it is not YAML reveals that it is lost.
                    self.next()?;
                    return Ok(());
                }
                Event::Scalar(text, style, anchor, tag) => {
                    // The parser reports a `~` for an omitted value.
                    let is_omitted = style == ScalarStyle::Plain && span.is_empty();
                    let text = if is_omitted { "".into() } else { text };
                    let position = match style {
                        _ if is_omitted && anchor == 0 && tag.is_none() => self.omitted(span.start),
                        ScalarStyle::Literal | ScalarStyle::Folded => self.block(span.start),
                        _ => self.position(span.start),
                    };
                    let scalar = scalar(text.into(), style, tag.as_deref());
                    let id = self.graph.add(Content::Scalar(scalar), position)?;
                    self.anchor(anchor, id);
                    self.child(id, span);
                }
                Event::Alias(anchor) => {
                    let position = self.position(span.start);
                    let Some(target) = self.anchors.get(&anchor) else {
                        return Err(YamlError::new(position, "found unknown anchor"));
                    };
                    let id = self.graph.add(Content::Alias(*target), position)?;
                    self.child(id, span);
                }
                Event::SequenceStart(style, anchor, _) => self.open(false, style, anchor, &span)?,
                Event::MappingStart(style, anchor, _) => self.open(true, style, anchor, &span)?,
                Event::SequenceEnd | Event::MappingEnd => self.close(&span)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>> {
        let next = self.parser.next().transpose();
        next.map_err(|error| {
            YamlError::new(place(self.begin, *error.marker()), advised(&error.info()))
        })
    }

    fn open(
        &mut self,
        is_mapping: bool,
        style: StructureStyle,
        anchor: usize,
        span: &Span,
    ) -> Result<()> {
        let position = match (is_mapping, style) {
            // For a list that is not indented, the parser reports the position of the first item.
            (false, StructureStyle::Block) if !self.is_dash(span.start) => {
                self.before(span.start, "-")
            }
            _ => None,
        };
        let position = position.unwrap_or_else(|| self.position(span.start));
        if self.open.len() >= MOST_DEPTH {
            return Err(too_deep(position));
        }
        // An anchor can be referenced within its own node.
        let id = self.graph.add(Content::Sequence(Vec::new()), position)?;
        self.anchor(anchor, id);
        self.open.push(Open {
            id,
            is_mapping,
            children: Vec::new(),
            last: None,
        });
        Ok(())
    }

    fn close(&mut self, span: &Span) -> Result<()> {
        let Some(open) = self.open.pop() else {
            return Err(YamlError::new(
                self.position(span.start),
                "a collection ends that has not begun",
            ));
        };
        let content = match open.is_mapping {
            true => {
                let (pairs, _) = open.children.as_chunks();
                Content::Mapping(pairs.iter().map(|[key, value]| (*key, *value)).collect())
            }
            false => Content::Sequence(open.children),
        };
        self.graph.fill(open.id, content);
        self.child(open.id, *span);
        Ok(())
    }

    /// Adds a node to its parent.
    fn child(&mut self, id: Id, span: Span) {
        match self.open.last_mut() {
            Some(parent) => {
                parent.children.push(id);
                parent.last = Some(span);
            }
            None => self.graph.root = Some(id),
        }
    }

    fn anchor(&mut self, anchor: usize, id: Id) {
        // 0 means that the node has no anchor.
        if anchor > 0 {
            self.anchors.insert(anchor, id);
        }
    }

    fn position(&self, marker: Marker) -> Position {
        place(self.begin, marker)
    }

    /// Returns the position of an omitted value: that of its `-` or `:`, or of its key if there is no `:`.
    fn omitted(&self, marker: Marker) -> Position {
        let position = match self.open.last() {
            Some(Open {
                is_mapping: true,
                children,
                last: Some(key),
                ..
            }) if children.len() % 2 == 1 => {
                let colon = self.after(key.end, ":");
                let mark = || self.before(key.start, "?");
                colon
                    .or_else(mark)
                    .or_else(|| Some(self.position(key.start)))
            }
            Some(Open {
                is_mapping: false, ..
            }) => self.before(marker, "-"),
            _ => None,
        };
        position.unwrap_or_else(|| self.position(marker))
    }

    /// Returns whether the `-` of an item is at the given position.
    fn is_dash(&self, marker: Marker) -> bool {
        let text = marker.byte_offset().and_then(|at| self.text.get(at..));
        let after = text.and_then(|text| text.strip_prefix('-'));
        after.is_some_and(|after| after.starts_with([' ', '\t', '\n']))
    }

    /// Returns the position of the `|` or `>` of a block scalar whose first line begins at `marker`.
    fn block(&self, marker: Marker) -> Position {
        let first = self.position(marker);
        let header = || {
            let before = self.text.get(..marker.byte_offset()?)?;
            let above = before.trim_end_matches([' ', '\n']);
            let header = above.rsplit('\n').next()?;
            let column = indicator(header)?.chars().count();
            let lines = before.get(above.len()..)?.matches('\n').count();
            let line = first.line.checked_sub(lines)?;
            let column = match line == self.begin.line {
                true => self.begin.column + column,
                false => 1 + column,
            };
            Some(Position { line, column })
        };
        header().unwrap_or(first)
    }

    /// Returns the position of an indicator, if only blanks separate it from `marker` on the same line.
    fn before(&self, marker: Marker, indicator: &str) -> Option<Position> {
        let before = self.text.get(..marker.byte_offset()?)?;
        let blank = before.trim_end_matches(' ');
        let column = (before.len() - blank.len()) + indicator.len();
        blank.ends_with(indicator).then_some(())?;
        let position = self.position(marker);
        let column = position.column.checked_sub(column)?;
        Some(Position { column, ..position })
    }

    /// Returns the position of an indicator, if only blanks separate `marker` from it.
    fn after(&self, marker: Marker, indicator: &str) -> Option<Position> {
        let after = self.text.get(marker.byte_offset()?..)?;
        let found = after.trim_start_matches([' ', '\n']);
        found.starts_with(indicator).then_some(())?;
        let blank = after.get(..after.len() - found.len())?;
        let mut position = self.position(marker);
        for char in blank.chars() {
            match char {
                '\n' => {
                    position.line += 1;
                    position.column = 1;
                }
                _ => position.column += 1,
            }
        }
        Some(position)
    }
}

/// Returns the part of a block scalar's header before the `|` or `>`. A comment may follow.
fn indicator(header: &str) -> Option<&str> {
    let comments = header.match_indices('#').map(|(at, _)| at);
    let ends = comments.chain([header.len()]);
    let heads = ends.filter_map(|end| header.get(..end));
    let mut heads = heads.map(|head| {
        head.trim_end()
            .trim_end_matches(|char: char| "+-0123456789".contains(char))
    });
    heads.find_map(|head| head.strip_suffix(['|', '>']))
}

/// Returns the parser's message with what to do about it, if that is known.
fn advised(message: &str) -> String {
    let advice = match message {
        it if it.contains("mapping values are not allowed") => {
            ": quote a value that contains `: `, or start a new line"
        }
        it if it.contains("tabs disallowed") => ": indent with spaces",
        it if it.contains("unknown anchor") => {
            ": define the anchor first, or quote a value that starts with `*`"
        }
        _ => "",
    };
    format!("{message}{advice}")
}

fn place(begin: Position, marker: Marker) -> Position {
    match marker.line() {
        0 | 1 => Position {
            line: begin.line,
            column: begin.column + marker.col(),
        },
        line => Position {
            line: begin.line + line - 1,
            column: 1 + marker.col(),
        },
    }
}

fn scalar(text: std::sync::Arc<str>, style: ScalarStyle, tag: Option<&Tag>) -> Scalar {
    let tag = tag.map(|tag| format!("{}{}", tag.handle(), tag.suffix()));
    // A plain `!` tag makes the text a string, and allows it to be what it would be without quotes.
    let is_implicit = match &tag {
        None => style == ScalarStyle::Plain,
        Some(tag) => tag == "!",
    };
    Scalar {
        text,
        is_implicit,
        tag,
    }
}
