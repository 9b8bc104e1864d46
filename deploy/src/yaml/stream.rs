//! Splits a text into documents in the same way as `kubectl`, before any YAML is parsed.
//!
//! A text that begins with `{` is a stream of JSON values as long as it can be parsed as one. Any other text is split at
//! all lines that begin with `---`, regardless of context, and the first document of each piece is read. As a consequence,
//! a directive (`%YAML`) is usually separated from the `---` that must follow it. The rules are those of
//! `YAMLOrJSONDecoder` in `k8s.io/apimachinery`.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Position, YamlError};

/// The number of bytes in which `kubectl` searches for a `{`.
const MOST_BLANK: usize = 4096;

/// The number of bytes that must follow JSON for `kubectl` to look for YAML in them.
const LEAST_YAML: usize = 4;

/// JSON whitespace.
const JSON_BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// A piece of text that is parsed as one document.
pub struct Piece<'a> {
    /// The text. In YAML, `\r\n` and `\r` are normalized to `\n`, and the text ends with `\n`.
    pub text: Cow<'a, str>,
    /// Whether the text is parsed as JSON.
    pub json: bool,
    /// The position at which the text begins.
    pub begin: Position,
}

/// A text split into pieces.
pub struct Cut<'a> {
    pub pieces: Vec<Piece<'a>>,
    /// Why a text that begins like JSON is not JSON, unless it is not intended to be JSON.
    pub no_json: Option<YamlError>,
    /// The error after which there are no more pieces.
    pub failure: Option<YamlError>,
}

/// Splits a text into pieces.
pub fn cut(text: &str) -> Cut<'_> {
    let mut cutter = Cutter {
        text,
        pieces: Vec::new(),
        at: 0,
        position: Position { line: 1, column: 1 },
    };
    let mut no_json = None;
    let begin = cutter.json(&mut no_json);
    let cut = begin.and_then(|begin| begin.map_or(Ok(()), |begin| cutter.yaml(begin)));
    Cut {
        pieces: cutter.pieces,
        no_json,
        failure: cut.err(),
    }
}

/// The pieces so far, and the position of a byte offset that is not less than the previous one.
struct Cutter<'a> {
    text: &'a str,
    pieces: Vec<Piece<'a>>,
    at: usize,
    position: Position,
}

// === impl Cutter ===

impl<'a> Cutter<'a> {
    fn rest(&self, begin: usize) -> &'a str {
        self.text.get(begin..).unwrap_or_default()
    }

    /// Reads as many JSON values as there are, and returns the offset at which YAML begins, if any.
    fn json(&mut self, failure: &mut Option<YamlError>) -> Result<Option<usize>, YamlError> {
        let ahead = self.text.get(..self.text.floor_char_boundary(MOST_BLANK));
        if !ahead.is_some_and(|ahead| ahead.trim_start().starts_with('{')) {
            return Ok(Some(0));
        }
        let mut end = 0;
        let error = loop {
            let rest = self.rest(end);
            if rest.trim_start_matches(JSON_BLANKS).is_empty() {
                return Ok(None);
            }
            let length = match json_value(rest) {
                Ok(length) => length,
                Err(error) => break error,
            };
            self.piece(end, end + length, true);
            end += length;
        };
        let error = self.no_json(end, &error);
        // After two values, the type of the stream is determined.
        let yaml = match self.pieces.len() {
            0 | 1 => self.behind_blanks(end),
            _ => None,
        };
        if yaml.is_none() {
            return Err(error);
        }
        // A text whose first key is quoted is intended to be JSON.
        let first = self.rest(end).trim_start().strip_prefix('{');
        if first.is_some_and(|first| first.trim_start().starts_with('"')) {
            *failure = Some(error);
        }
        Ok(yaml)
    }

    /// Returns the error for invalid JSON that begins at the given offset.
    fn no_json(&mut self, begin: usize, error: &serde_json::Error) -> YamlError {
        // The column is counted in bytes.
        let line = self
            .rest(begin)
            .split('\n')
            .nth(error.line().saturating_sub(1));
        let before = line.and_then(|line| line.get(..error.column().saturating_sub(1)));
        let before = before.unwrap_or_default().chars().count();
        let begin = self.place(begin);
        let position = if error.line() <= 1 {
            Position {
                column: begin.column + before,
                ..begin
            }
        } else {
            Position {
                line: begin.line + error.line() - 1,
                column: 1 + before,
            }
        };
        let said = error.to_string();
        let reason = said.split(" at line ").next().unwrap_or_default();
        YamlError::new(
            position,
            format!("kubectl parses this as JSON, but it is not valid: {reason}"),
        )
    }

    /// Returns the offset of the first non-blank character, or of a line.
    fn behind_blanks(&self, mut at: usize) -> Option<usize> {
        loop {
            let rest = self.rest(at);
            let next = rest.chars().next().filter(|_| rest.len() >= LEAST_YAML)?;
            match next {
                char::REPLACEMENT_CHARACTER => return None,
                '\n' => return Some(at + 1),
                next if !next.is_whitespace() => return Some(at),
                next => at += next.len_utf8(),
            }
        }
    }

    /// Splits YAML that begins at the given offset.
    fn yaml(&mut self, mut begin: usize) -> Result<(), YamlError> {
        let mut at = begin;
        for line in self.rest(begin).split_inclusive('\n') {
            let next = at + line.len();
            if let Some(behind) = line.strip_prefix("---") {
                let behind = behind.trim();
                if !behind.is_empty() && !behind.starts_with('#') {
                    return Err(YamlError::new(
                        self.place(at + 3),
                        "kubectl allows only a comment after `---`: start the document on the next line",
                    ));
                }
                // A separator with nothing before it belongs to the text that follows.
                if begin < at {
                    self.piece(begin, at, false);
                    begin = next;
                }
            }
            at = next;
        }
        if begin < at {
            self.piece(begin, at, false);
        }
        Ok(())
    }

    fn piece(&mut self, begin: usize, end: usize, json: bool) {
        let text = self.text.get(begin..end).unwrap_or_default();
        let mut text = Cow::Borrowed(text);
        if !json && text.contains('\r') {
            text = text.replace("\r\n", "\n").replace('\r', "\n").into();
        }
        if !json && !text.ends_with('\n') {
            text.to_mut().push('\n');
        }
        let begin = self.place(begin);
        self.pieces.push(Piece { text, json, begin });
    }

    fn place(&mut self, at: usize) -> Position {
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

/// Returns the length in bytes of the JSON value at the start of a text.
fn json_value(text: &str) -> serde_json::Result<usize> {
    // Go does not require a separator between two numbers, and reads `01` as two numbers.
    let number = text.trim_start_matches(JSON_BLANKS);
    let number = number.strip_prefix('-').unwrap_or(number);
    if let Some(behind) = number.strip_prefix('0')
        && behind.starts_with(|char: char| char.is_ascii_digit())
    {
        return Ok(text.len() - behind.len());
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    IgnoredAny::deserialize(&mut reader)?;
    Ok(reader.into_iter::<IgnoredAny>().byte_offset())
}
