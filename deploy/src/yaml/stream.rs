//! How `kubectl` cuts a text into documents, which it does before it reads any YAML.
//!
//! A text that begins with `{` is a stream of JSON values as long as it can be read as one. Everything else is cut at lines that
//! begin with `---`, wherever they stand, and of each piece the first document is read. For the
//! same reason hardly a directive (`%YAML`) has the `---` below it that it needs. The rules are those of `YAMLOrJSONDecoder` in
//! `k8s.io/apimachinery`.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Position, YamlError};

/// How far `kubectl` looks for a `{`, in bytes.
const MOST_BLANK: usize = 4096;

/// How many bytes `kubectl` wants to see behind JSON, to look for YAML in them.
const LEAST_YAML: usize = 4;

/// What stands around values in JSON.
const JSON_BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// What is read as one document.
pub struct Piece<'a> {
    /// The text. What is YAML has `\n` for `\r\n` and `\r`, and one at its end.
    pub text: Cow<'a, str>,
    /// Whether it is read by the rules of JSON.
    pub json: bool,
    /// Where it begins.
    pub begin: Position,
}

/// A text in pieces.
pub struct Cut<'a> {
    pub pieces: Vec<Piece<'a>>,
    /// Why what begins as JSON is none, unless it is not meant to be.
    pub no_json: Option<YamlError>,
    /// Why there are no more pieces.
    pub failure: Option<YamlError>,
}

/// Cuts a text.
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

/// The pieces so far, and the place of a byte that comes no earlier than the last one that was asked for.
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

    /// Takes as many JSON values as there are, and says where YAML begins, if it does.
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
        // After two values it is decided what the stream is.
        let yaml = match self.pieces.len() {
            0 | 1 => self.behind_blanks(end),
            _ => None,
        };
        if yaml.is_none() {
            return Err(error);
        }
        // Whoever quotes the first key means JSON.
        let first = self.rest(end).trim_start().strip_prefix('{');
        if first.is_some_and(|first| first.trim_start().starts_with('"')) {
            *failure = Some(error);
        }
        Ok(yaml)
    }

    /// What is wrong with JSON that begins there.
    fn no_json(&mut self, begin: usize, error: &serde_json::Error) -> YamlError {
        // It counts bytes.
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
            format!("kubectl takes this for JSON, and it is none: {reason}"),
        )
    }

    /// Where something begins behind blanks, or a line.
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

    /// Cuts YAML that begins there.
    fn yaml(&mut self, mut begin: usize) -> Result<(), YamlError> {
        let mut at = begin;
        for line in self.rest(begin).split_inclusive('\n') {
            let next = at + line.len();
            if let Some(behind) = line.strip_prefix("---") {
                let behind = behind.trim();
                if !behind.is_empty() && !behind.starts_with('#') {
                    return Err(YamlError::new(
                        self.place(at + 3),
                        "kubectl takes nothing but a comment behind `---`: put the document on the lines below",
                    ));
                }
                // A separator that nothing is before belongs to what follows it.
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

/// How many bytes the JSON value has with which a text begins.
fn json_value(text: &str) -> serde_json::Result<usize> {
    // To Go two numbers need nothing between them, and `01` is two.
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
