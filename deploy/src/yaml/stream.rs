//! How `kubectl` cuts a text into documents, which it does before it reads any YAML.
//!
//! A text that begins with `{` is a stream of JSON values as long as it can be read as one. Everything else is cut at lines that
//! begin with `---`, wherever they stand, and of each piece the first document is read: what follows `...` is nobody's. For the
//! same reason no directive (`%YAML`) ever has the `---` below it that it needs.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::{Position, YamlError};

/// What is read as one document.
pub struct Piece<'a> {
    /// The text, with `\n` for line breaks that YAML 1.2 does not know.
    pub text: Cow<'a, str>,
    /// Whether it is read by the rules of JSON.
    pub json: bool,
    /// Where it begins.
    begin: Position,
    /// The lines that begin behind a break that is none to an editor, and how many columns are before them.
    broken: Vec<(usize, usize)>,
}

/// The places of bytes that are asked for in their order.
struct Places<'a> {
    text: &'a str,
    at: usize,
    position: Position,
}

/// Cuts a text.
pub fn cut(text: &str) -> Result<Vec<Piece<'_>>, YamlError> {
    let mut pieces = Vec::new();
    let mut places = Places {
        text,
        at: 0,
        position: Position { line: 1, column: 1 },
    };
    let mut piece = |begin, end, json, pieces: &mut Vec<_>| -> Result<(), YamlError> {
        let text = text.get(begin..end).unwrap_or_default();
        let piece = Piece::new(text, places.of(begin), json)?;
        pieces.push(piece);
        Ok(())
    };
    let mut rest = text;
    if text.trim_start().starts_with('{') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
        let mut end = 0;
        let failure = loop {
            match values.next() {
                None => return Ok(pieces),
                Some(Err(error)) => break error,
                Some(Ok(IgnoredAny)) => {}
            }
            let begin = end;
            end = values.byte_offset();
            piece(begin, end, true, &mut pieces)?;
        };
        // After two values it is decided what the stream is.
        if pieces.len() > 1 {
            return Err(YamlError::new(
                places.of(end),
                format!("behind JSON there is nothing but JSON, and this is none: {failure}"),
            ));
        }
        rest = text.get(end..).unwrap_or_default();
        let blank = rest.len() - rest.trim_start().len();
        let line = rest.find('\n').map_or(blank, |at| at + 1);
        rest = rest.get(blank.min(line)..).unwrap_or_default();
    }
    let mut at = text.len() - rest.len();
    let mut begin = at;
    for line in rest.split_inclusive('\n') {
        let next = at + line.len();
        if let Some(behind) = line.strip_prefix("---") {
            let behind = behind.trim();
            if !behind.is_empty() && !behind.starts_with('#') {
                return Err(YamlError::new(
                    places.of(at + 3),
                    "kubectl takes nothing but a comment behind `---`: put the document on the lines below",
                ));
            }
            // A separator that nothing is before belongs to what follows it.
            if begin < at {
                piece(begin, at, false, &mut pieces)?;
                begin = next;
            }
        }
        at = next;
    }
    if begin < at {
        piece(begin, at, false, &mut pieces)?;
    }
    Ok(pieces)
}

// === impl Places ===

impl Places<'_> {
    fn of(&mut self, at: usize) -> Position {
        let passed = self.text.get(self.at..at).unwrap_or_default();
        let breaks = passed.matches(['\n', '\r']).count() - passed.matches("\r\n").count();
        let last = passed.rsplit(['\n', '\r']).next().unwrap_or_default();
        if breaks > 0 {
            self.position.line += breaks;
            self.position.column = 1;
        }
        self.position.column += last.chars().count();
        self.at = at;
        self.position
    }
}

// === impl Piece ===

impl<'a> Piece<'a> {
    fn new(text: &'a str, begin: Position, json: bool) -> Result<Self, YamlError> {
        let mut piece = Self {
            text: text.into(),
            json,
            begin,
            broken: Vec::new(),
        };
        if json {
            return Ok(piece);
        }
        if piece.text.contains(is_old_break) {
            piece.mend_breaks();
        }
        if let Some(end) = end_of_document(&piece.text) {
            let before = piece.text.get(..end).unwrap_or_default();
            let is_empty = |line: &str| line.trim().is_empty() || line.trim().starts_with('#');
            if before.split(['\n', '\r']).all(is_empty) {
                let line = 1 + before.lines().count();
                return Err(YamlError::new(
                    piece.position(line, 1),
                    "`...` ends a document, and none has begun: take it away",
                ));
            }
            piece.text = match piece.text {
                Cow::Borrowed(text) => text.get(..end).unwrap_or_default().into(),
                Cow::Owned(mut text) => {
                    text.truncate(end);
                    text.into()
                }
            };
        }
        Ok(piece)
    }

    /// YAML 1.1 has more line breaks. In a quoted text, two of them stay what they are, and here they become spaces.
    fn mend_breaks(&mut self) {
        let (mut line, mut column) = (1, 0);
        let mut chars = self.text.chars().peekable();
        while let Some(char) = chars.next() {
            column += 1;
            if is_old_break(char) {
                line += 1;
                self.broken.push((line, column));
            } else if char == '\n' || (char == '\r' && chars.peek() != Some(&'\n')) {
                line += 1;
                column = 0;
            }
        }
        self.text = self.text.replace(is_old_break, "\n").into();
    }

    /// Where in the whole text something is that is here in this line and column, which count from 1.
    pub fn position(&self, line: usize, column: usize) -> Position {
        let broken = self.broken.partition_point(|(first, _)| *first <= line);
        let last = broken.checked_sub(1).and_then(|last| self.broken.get(last));
        let before = match last {
            Some((first, before)) if *first == line => *before,
            _ => 0,
        };
        let line = line.saturating_sub(broken);
        let before = match line {
            0 | 1 => before + self.begin.column - 1,
            _ => before,
        };
        Position {
            line: self.begin.line + line.saturating_sub(1),
            column: column + before,
        }
    }
}

/// Where `...` stands alone at a line's start, whatever it is in: nothing may go on below it.
fn end_of_document(text: &str) -> Option<usize> {
    let mut found = text.match_indices("...");
    let (end, _) = found.find(|(at, _)| {
        let before = text.get(..*at).unwrap_or_default();
        let behind = text.get(at + 3..).unwrap_or_default();
        (before.is_empty() || before.ends_with(['\n', '\r']))
            && (behind.is_empty() || behind.starts_with([' ', '\t', '\n', '\r']))
    })?;
    Some(end)
}

/// NEL, LS and PS.
fn is_old_break(char: char) -> bool {
    matches!(char, '\u{85}' | '\u{2028}' | '\u{2029}')
}
