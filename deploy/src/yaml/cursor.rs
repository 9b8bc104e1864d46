//! A document's text, character by character, as Go's library reads it: its line breaks, and what its buffer does to byte order marks
//! and to characters that stand nowhere.

use super::{Position, YamlError};

/// How many bytes that library reads at once.
const CHUNK: usize = 512;

const BOM: char = '\u{feff}';

/// A place by the rules of YAML 1.1, and by those of editors.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// In characters.
    pub index: usize,
    /// Counted by the line breaks of YAML 1.1.
    pub line: usize,
    /// In characters from such a break.
    pub column: usize,
    /// What an editor shows.
    pub position: Position,
}

/// A text that is read from its begin to its end.
pub struct Cursor<'a> {
    text: &'a str,
    /// How many bytes are read.
    at: usize,
    mark: Mark,
    /// The bytes that are in the library's buffer.
    buffer: std::ops::Range<usize>,
    /// How often the library saw that nothing follows: it counts that as characters.
    ends: usize,
    /// A character that stands nowhere. For the scanner the text ends here.
    fault: Option<YamlError>,
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    /// A text that begins there.
    pub fn new(text: &'a str, begin: Position) -> Self {
        // A mark of the encoding is no part of the text.
        let at = if text.starts_with(BOM) {
            BOM.len_utf8()
        } else {
            0
        };
        let mark = Mark {
            index: 0,
            line: 0,
            column: 0,
            position: begin,
        };
        let mut cursor = Self {
            text,
            at,
            mark,
            buffer: at..at,
            ends: 0,
            fault: None,
        };
        cursor.fill(CHUNK);
        cursor
    }

    /// A text whose characters may stand where they are.
    pub fn of_json(text: &'a str, begin: Position) -> Self {
        Self {
            text,
            ..Self::new("", begin)
        }
    }

    /// Whether all of the text is read.
    pub fn is_over(&self) -> bool {
        self.at >= self.text.len()
    }

    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// A character that is read already and stands nowhere.
    pub fn fault(&self) -> Option<&YamlError> {
        self.fault.as_ref()
    }

    /// The character so far ahead, NUL behind the end.
    pub fn peek(&self, ahead: usize) -> char {
        let rest = self.text.get(self.at..).unwrap_or_default();
        rest.chars().nth(ahead).unwrap_or_default()
    }

    /// Has so many characters in the buffer.
    pub fn need(&mut self, count: usize) {
        let ready = self.buffer.end.saturating_sub(self.at);
        // A character has no more than four bytes.
        if ready >= 4 * count {
            return;
        }
        let unread = self.text.get(self.at..self.buffer.end);
        let mut unread = unread.map_or(0, |unread| unread.chars().count()) + self.ends;
        if unread >= count {
            return;
        }
        self.buffer.start = self.at;
        while unread < count {
            if self.buffer.end >= self.text.len() {
                self.ends += 1;
                return;
            }
            unread += self.fill(self.buffer.end + CHUNK);
        }
    }

    /// Reads up to this byte, or to the last character that is whole before it.
    fn fill(&mut self, end: usize) -> usize {
        let begin = self.buffer.end;
        let end = self.text.floor_char_boundary(end);
        let chunk = self.text.get(begin..end).unwrap_or_default();
        self.buffer.end = end.max(begin);
        if let Some(place) = chunk.find(stands_nowhere) {
            let end = begin + place;
            let mut ahead = Self {
                text: self.text.get(..end).unwrap_or_default(),
                buffer: self.buffer.clone(),
                fault: None,
                ..*self
            };
            while ahead.at < end {
                ahead.skip();
            }
            self.fault = Some(YamlError::new(
                ahead.mark.position,
                "a control character stands here, which YAML takes nowhere: escape it within double quotes, or take it away",
            ));
            self.text = ahead.text;
            self.buffer.end = end;
        }
        chunk.chars().count()
    }

    /// Whether the library takes what is next for a mark of the encoding. It looks at the begin of its buffer instead.
    pub fn is_marked(&self) -> bool {
        self.mark.column == 0
            && self
                .text
                .get(self.buffer.start..)
                .is_some_and(|it| it.starts_with(BOM))
    }

    /// Passes a character.
    pub fn skip(&mut self) {
        let char = self.peek(0);
        self.mark.index += 1;
        self.mark.column += 1;
        if self.is_over() {
            self.ends = self.ends.saturating_sub(1);
            return;
        }
        self.at += char.len_utf8();
        self.place(char);
    }

    /// Passes a character that is text.
    pub fn read(&mut self, text: &mut String) {
        text.push(self.peek(0));
        self.skip();
    }

    /// Passes a line break, if there is one, and says what it is in a text.
    pub fn skip_line(&mut self) -> Option<char> {
        let char = self.peek(0);
        if !is_break(char) {
            return None;
        }
        if char == '\r' && self.peek(1) == '\n' {
            self.mark.index += 1;
            self.at += 1;
        }
        self.mark.index += 1;
        self.mark.line += 1;
        self.mark.column = 0;
        self.at += char.len_utf8();
        // Both bytes of `\r\n` break one line.
        self.place(if char == '\r' { '\n' } else { char });
        Some(match char {
            '\u{2028}' | '\u{2029}' => char,
            _ => '\n',
        })
    }

    /// What begins in this line is at an end with the text.
    pub fn end_line(&mut self) {
        if self.mark.column > 0 {
            self.mark.line += 1;
            self.mark.column = 0;
        }
    }

    /// Keeps count of what an editor shows.
    fn place(&mut self, char: char) {
        let position = &mut self.mark.position;
        match char {
            '\r' if self
                .text
                .get(self.at..)
                .is_some_and(|it| it.starts_with('\n')) => {}
            '\n' | '\r' => {
                position.line += 1;
                position.column = 1;
            }
            _ => position.column += 1,
        }
    }
}

/// What the library's reader refuses wherever it is.
fn stands_nowhere(char: char) -> bool {
    match char {
        '\t' | '\n' | '\r' | '\u{85}' => false,
        '\u{fffe}' | '\u{ffff}' => true,
        _ => char.is_control(),
    }
}

/// A space or a tab.
pub fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t')
}

/// A line break of YAML 1.1.
pub fn is_break(char: char) -> bool {
    matches!(char, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// A line break, or the end of the text.
pub fn is_break_or_end(char: char) -> bool {
    is_break(char) || char == '\0'
}

/// A blank, a line break, or the end of the text.
pub fn is_blank_or_end(char: char) -> bool {
    is_blank(char) || is_break_or_end(char)
}
