//! Anchors, aliases, tags and directives.

use super::{Kind, Result, Scanner};
use crate::yaml::YamlError;
use crate::yaml::cursor::{is_blank, is_blank_or_end};

const ANCHOR: &str = "`&` and `*` begin the name of an anchor or alias, which has letters of ASCII, digits, `_` and `-`, and a space behind it: quote a text that begins so";
const TAG: &str = "`!` begins a tag, and this is none of YAML 1.1, which has letters of ASCII, digits and few other signs, and a space behind it: quote a text that begins so";
const DIRECTIVE: &str = "only `%YAML 1.1` and `%TAG !handle! prefix` begin with a `%`: quote the text if it is meant as one";

impl Scanner<'_> {
    /// `*` or `&` and a name.
    pub(super) fn anchor(&mut self, kind: fn(String) -> Kind) -> Result<()> {
        self.save_key()?;
        self.key_allowed = false;
        let position = self.text.mark().position;
        self.text.skip();
        let name = self.word();
        let next = self.text.peek(0);
        if name.is_empty() || !(is_blank_or_end(next) || "?:,]}%@`".contains(next)) {
            return Err(YamlError::new(position, ANCHOR));
        }
        self.push(kind(name), position);
        Ok(())
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        self.text.need(1);
        while is_word(self.text.peek(0)) {
            self.text.read(&mut word);
            self.text.need(1);
        }
        word
    }

    pub(super) fn tag(&mut self) -> Result<()> {
        self.save_key()?;
        self.key_allowed = false;
        let position = self.text.mark().position;
        let refuse = || YamlError::new(position, TAG);
        self.text.need(2);
        let (mut handle, mut suffix) = (String::new(), String::new());
        if self.text.peek(1) == '<' {
            self.text.skip();
            self.text.skip();
            if self.uri(&mut suffix).ok_or_else(refuse)? == 0 || self.text.peek(0) != '>' {
                return Err(refuse());
            }
            self.text.skip();
        } else {
            let written = self.handle().ok_or_else(refuse)?;
            if written.len() > 1 && written.ends_with('!') {
                handle = written;
                if self.uri(&mut suffix).ok_or_else(refuse)? == 0 {
                    return Err(refuse());
                }
            } else {
                suffix.push_str(written.get(1..).unwrap_or_default());
                self.uri(&mut suffix).ok_or_else(refuse)?;
                let mark = "!".to_owned();
                // A `!` alone is all of a tag.
                if suffix.is_empty() {
                    suffix = mark;
                } else {
                    handle = mark;
                }
            }
        }
        self.text.need(1);
        if !is_blank_or_end(self.text.peek(0)) {
            return Err(refuse());
        }
        self.push(Kind::Tag { handle, suffix }, position);
        Ok(())
    }

    /// `!`, `!!`, `!word!`, or what is none, but begins like it.
    fn handle(&mut self) -> Option<String> {
        self.text.need(1);
        if self.text.peek(0) != '!' {
            return None;
        }
        self.text.skip();
        let mut handle = format!("!{}", self.word());
        if self.text.peek(0) == '!' {
            self.text.read(&mut handle);
        }
        Some(handle)
    }

    /// Reads the rest of a tag and says how many characters that were, unless an escaped one is none.
    fn uri(&mut self, text: &mut String) -> Option<usize> {
        let mut count = 0;
        self.text.need(1);
        loop {
            match self.text.peek(0) {
                '%' => text.push(self.escaped()?),
                char if is_word(char) || ";/?:@&=+$,.!~*'()[]".contains(char) => {
                    self.text.read(text);
                }
                _ => return Some(count),
            }
            count += 1;
            self.text.need(1);
        }
    }

    /// A character by its bytes, each with a `%`.
    fn escaped(&mut self) -> Option<char> {
        let mut bytes = Vec::new();
        let mut width = 1;
        while bytes.len() < width {
            self.text.need(3);
            let [sign, high, low] = [0, 1, 2].map(|ahead| self.text.peek(ahead));
            let byte = high.to_digit(16)? * 16 + low.to_digit(16)?;
            if sign != '%' {
                return None;
            }
            bytes.push(u8::try_from(byte).ok()?);
            width = match bytes.first()? {
                0..0x80 => 1,
                0xc0..0xe0 => 2,
                0xe0..0xf0 => 3,
                0xf0..0xf8 => 4,
                _ => return None,
            };
            if bytes.len() > 1 && byte & 0xc0 != 0x80 {
                return None;
            }
            (0..3).for_each(|_| self.text.skip());
        }
        // What these bytes are is the matter of nobody: no such tag means anything.
        String::from_utf8_lossy(&bytes).chars().next()
    }

    /// `%` and a word, to the end of the line.
    pub(super) fn directive(&mut self) -> Result<()> {
        self.unroll(0);
        self.remove_key()?;
        self.key_allowed = false;
        let position = self.text.mark().position;
        let refuse = || YamlError::new(position, DIRECTIVE);
        self.text.skip();
        let name = self.word();
        if !is_blank_or_end(self.text.peek(0)) {
            return Err(refuse());
        }
        self.blanks();
        let kind = match &*name {
            "YAML" => {
                let major = self.number().ok_or_else(refuse)?;
                if self.text.peek(0) != '.' {
                    return Err(refuse());
                }
                self.text.skip();
                let minor = self.number().ok_or_else(refuse)?;
                let is_1_1 = (major, minor) == (1, 1);
                Kind::Version { is_1_1 }
            }
            "TAG" => {
                let handle = self.handle().ok_or_else(refuse)?;
                if handle.len() > 1 && !handle.ends_with('!') {
                    return Err(refuse());
                }
                self.text.need(1);
                if !is_blank(self.text.peek(0)) {
                    return Err(refuse());
                }
                self.blanks();
                let mut prefix = String::new();
                if self.uri(&mut prefix).ok_or_else(refuse)? == 0 {
                    return Err(refuse());
                }
                self.text.need(1);
                if !is_blank_or_end(self.text.peek(0)) {
                    return Err(refuse());
                }
                Kind::Handle { handle, prefix }
            }
            _ => return Err(refuse()),
        };
        self.line_end(DIRECTIVE)?;
        self.push(kind, position);
        Ok(())
    }

    /// One digit or two.
    fn number(&mut self) -> Option<u32> {
        let mut number = None;
        for _ in 0..2 {
            self.text.need(1);
            let Some(digit) = self.text.peek(0).to_digit(10) else {
                break;
            };
            number = Some(number.unwrap_or_default() * 10 + digit);
            self.text.skip();
        }
        self.text.need(1);
        number.filter(|_| !self.text.peek(0).is_ascii_digit())
    }
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || "_-".contains(char)
}
