//! The text of a scenario with the source location of every node.
//!
//! Error messages use it to report line and column, and [`rewrite`](crate::rewrite) uses it to change only the affected
//! text. [`scenario`](crate::scenario) interprets the contents; this module knows only keys, items and their locations.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};

pub use tidegate_deploy::yaml::{Location, Position};

use crate::verdict::{Part, Place};

/// The maximum nesting depth of collections.
const MOST_DEPTH: usize = 64;

/// The first document of a YAML text.
#[derive(Debug)]
pub struct Source {
    /// The root node.
    pub root: Node,
}

/// A YAML node.
#[derive(Debug)]
pub struct Node {
    /// The byte range in the text. It is empty if the value is omitted, as after `key:`.
    pub span: Range<usize>,
    /// The start position.
    pub position: Position,
    /// The kind of node.
    pub kind: Kind,
}

/// The kind of a node.
#[derive(Debug)]
pub enum Kind {
    /// A scalar, such as a string or a number: its content with escapes resolved, and its style.
    Scalar(String, ScalarStyle),
    /// An alias: `*name`.
    Alias,
    /// A list.
    Sequence {
        /// Whether it is written in flow style, `[…]`.
        flow: bool,
        /// The items.
        items: Vec<Node>,
    },
    /// A mapping of keys to values.
    Mapping {
        /// Whether it is written in flow style, `{…}`.
        flow: bool,
        /// The entries.
        entries: Vec<(Node, Node)>,
    },
}

/// A collection whose end has not been reached.
struct Open {
    start: Span,
    flow: bool,
    mapping: bool,
    children: Vec<Node>,
}

// === impl Source ===

impl Source {
    /// Parses a text. Returns `None` if it is not valid YAML; [`Scenario::read`](crate::Scenario::read) reports the
    /// reason.
    pub fn parse(text: &str) -> Option<Self> {
        let options = granit_parser::options! {
            emit_comments: false,
            flow_nesting_limit: MOST_DEPTH,
            block_nesting_limit: MOST_DEPTH,
        };
        let mut open: Vec<Open> = Vec::new();
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.ok()?;
            let node = match event {
                Event::Scalar(said, style, ..) => {
                    let mut node = node(span, Kind::Scalar(said.into_owned(), style))?;
                    if node.is_left_out() {
                        node.span = left_out(text, node.span.start);
                    } else if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
                        let from = match open.last() {
                            None => 0,
                            Some(parent) => match parent.children.last() {
                                Some(before) => before.span.end,
                                None => parent.start.byte_range()?.start,
                            },
                        };
                        node.span = block(text, from, node.span)?;
                    }
                    node
                }
                Event::Alias(_) => node(span, Kind::Alias)?,
                Event::SequenceStart(style, ..) | Event::MappingStart(style, ..) => {
                    open.push(Open {
                        start: span,
                        flow: style == StructureStyle::Flow,
                        mapping: matches!(event, Event::MappingStart(..)),
                        children: Vec::new(),
                    });
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => open.pop()?.close(text, &span)?,
                _ => continue,
            };
            match open.last_mut() {
                Some(parent) => parent.children.push(node),
                None => return Some(Self { root: node }),
            }
        }
        None
    }

    /// Returns the node at a place, if it exists in the text.
    pub fn get(&self, place: &Place) -> Option<&Node> {
        let (node, left) = self.nearest(place);
        left.is_empty().then_some(node)
    }

    /// Returns the position of the key or item at a place, or of its nearest existing ancestor.
    pub fn position(&self, place: &Place) -> Position {
        let mut node = &self.root;
        let mut position = node.position;
        for part in &place.0 {
            let Some((key, value)) = node.child(part) else {
                break;
            };
            position = key.unwrap_or(value).position;
            node = value;
        }
        position
    }

    /// Returns the key of the value that begins at a position. For an item of a list, it is the key of the list.
    pub fn key_at(&self, position: Position) -> Option<&str> {
        let mut open: Vec<(Option<&str>, &Node)> = vec![(None, &self.root)];
        while let Some((key, node)) = open.pop() {
            match &node.kind {
                // The value of a key comes before the values in it, which may begin at the same position.
                _ if node.position == position && key.is_some() => return key,
                Kind::Sequence { items, .. } => open.extend(items.iter().map(|item| (key, item))),
                Kind::Mapping { entries, .. } => {
                    open.extend(entries.iter().map(|(key, value)| (key.text(), value)));
                }
                Kind::Scalar(..) | Kind::Alias => {}
            }
        }
        None
    }

    /// Returns the deepest existing node on the path of a place, and the rest of the path.
    pub fn nearest<'a>(&self, place: &'a Place) -> (&Node, &'a [Part]) {
        let mut node = &self.root;
        let mut left = &place.0[..];
        while let [part, rest @ ..] = left {
            let Some((_, value)) = node.child(part) else {
                break;
            };
            (node, left) = (value, rest);
        }
        (node, left)
    }
}

// === impl Node ===

impl Node {
    /// Returns the value of a mapping entry with its key, or an item of a list.
    pub fn child(&self, part: &Part) -> Option<(Option<&Node>, &Node)> {
        match (&self.kind, part) {
            (Kind::Mapping { entries, .. }, Part::Key(name)) => entries
                .iter()
                .find(|(key, _)| key.is(name))
                .map(|(key, value)| (Some(key), value)),
            (Kind::Sequence { items, .. }, Part::Item(at)) => {
                items.get(*at).map(|item| (None, item))
            }
            _ => None,
        }
    }

    /// Returns whether the node is a scalar with this text.
    pub fn is(&self, text: &str) -> bool {
        self.text() == Some(text)
    }

    /// Returns the text, if the node is a scalar.
    fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(said, _) => Some(said),
            _ => None,
        }
    }

    /// Returns whether the value is omitted.
    pub fn is_left_out(&self) -> bool {
        self.span.is_empty()
    }
}

fn node(span: Span, kind: Kind) -> Option<Node> {
    Some(Node {
        span: span.byte_range()?,
        position: position(&span),
        kind,
    })
}

/// Returns the position at which an omitted value would be written: after the colon, not directly after the key.
fn left_out(text: &str, key: usize) -> Range<usize> {
    let rest = text.get(key..).unwrap_or_default();
    let behind = rest.trim_start_matches(' ').strip_prefix(':');
    let at = behind.map_or(key, |behind| text.len() - behind.len());
    at..at
}

/// Returns the range of a block scalar with its indicator and without trailing empty lines. The parser reports only its
/// lines.
fn block(text: &str, from: usize, lines: Range<usize>) -> Option<Range<usize>> {
    let start = from + text.get(from..lines.start)?.find(['|', '>'])?;
    let end = start + text.get(start..lines.end)?.trim_end().len();
    Some(start..end)
}

fn position(span: &Span) -> Position {
    Position {
        line: span.start.line().max(1),
        column: span.start.col() + 1,
    }
}

/// Returns the position of the dash before an item of a block-style list.
pub fn dash(text: &str, item: &Node) -> Option<usize> {
    let mut before = text.get(..item.span.start)?;
    loop {
        let line = before.rfind('\n').map_or(0, |end| end + 1);
        let written = before.get(line..)?;
        // Between the two there may be comments.
        let said = match written.find('#') {
            Some(comment) => written.get(..comment)?,
            None => written,
        };
        match said.trim_end() {
            "" => before = before.get(..line.checked_sub(1)?)?,
            said => return said.ends_with('-').then(|| line + said.len() - 1),
        }
    }
}

// === impl Open ===

impl Open {
    fn close(self, text: &str, end: &Span) -> Option<Node> {
        let mut start = self.start.byte_range()?.start;
        if let (false, false, Some(first)) = (self.flow, self.mapping, self.children.first()) {
            start = dash(text, first)?;
        }
        // A block ends where what follows it begins; its own end is that of the last thing in it.
        let end = match self.children.last() {
            Some(last) if !self.flow => last.span.end,
            _ => end.byte_range()?.end,
        };
        let flow = self.flow;
        let kind = if self.mapping {
            let mut entries = Vec::new();
            let mut children = self.children.into_iter();
            while let (Some(key), Some(value)) = (children.next(), children.next()) {
                entries.push((key, value));
            }
            Kind::Mapping { flow, entries }
        } else {
            let items = self.children;
            Kind::Sequence { flow, items }
        };
        Some(Node {
            span: start..end.max(start),
            position: position(&self.start),
            kind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::at;

    const TEXT: &str = "about: x\nsteps:\n- request: # here\n    path: /\n    expect: { status: 200, logs: [a, 'b c'] }\n\n- until: \"é\"   # there\n- chunk:\n    data: |\n      one\n      two\n\n    end:\n- hangup: x\n";

    #[test]
    fn nodes_have_source_text_and_position() {
        let source = Source::parse(TEXT).expect("YAML");
        let said = |parts: &[&str]| {
            let place = at(parts);
            let text = source.get(&place).map(|node| &TEXT[node.span.clone()]);
            (text, source.position(&place).to_string())
        };
        assert_eq!(
            said(&["steps", "0", "request", "expect", "status"]),
            (Some("200"), "5:15".to_owned())
        );
        assert_eq!(
            said(&["steps", "0", "request", "expect", "logs"]),
            (Some("[a, 'b c']"), "5:28".to_owned())
        );
        assert_eq!(
            said(&["steps", "0", "request", "expect", "logs", "1"]),
            (Some("'b c'"), "5:38".to_owned())
        );
        assert_eq!(
            said(&["steps", "1", "until"]),
            (Some("\"é\""), "7:3".to_owned())
        );
        assert_eq!(
            said(&["steps", "0", "request", "expect", "body"]),
            (None, "5:5".to_owned()),
            "the nearest place above"
        );
        let request = said(&["steps", "0", "request"]).0.expect("a mapping");
        assert!(request.starts_with("path: /") && request.ends_with(" }"));
        assert_eq!(said(&["steps", "2", "chunk", "end"]).0, Some(""));
        let data = said(&["steps", "2", "chunk", "data"]).0.expect("text");
        assert_eq!(data, "|\n      one\n      two");
    }

    #[test]
    fn key_is_found_by_the_position_of_its_value() {
        let source = Source::parse(TEXT).expect("YAML");
        let key = |line, column| source.key_at(Position { line, column });
        assert_eq!(key(1, 8), Some("about"));
        assert_eq!(key(4, 11), Some("path"));
        assert_eq!(key(5, 23), Some("status"));
        assert_eq!(key(5, 38), Some("logs"), "an item");
        assert_eq!(
            key(4, 5),
            Some("request"),
            "the mapping begins with its key"
        );
        assert_eq!(key(1, 1), None, "a key itself");
    }

    #[test]
    fn invalid_yaml_is_not_parsed() {
        assert!(Source::parse("a: [").is_none());
        assert!(Source::parse("").is_none());
        assert!(Source::parse(&"[".repeat(10_000)).is_none());
    }
}
