//! Texts: without quotes, in quotes, and as blocks.

use std::mem;

use super::{Kind, Result, Scanner, TAB};
use crate::yaml::YamlError;
use crate::yaml::cursor::{is_blank, is_blank_or_end, is_break, is_break_or_end};

const INDENT: &str =
    "the number behind `|` or `>` says how far the block is indented, which is not 0";

/// The blanks within a text: spaces, or the breaks between two of its lines.
#[derive(Default)]
struct Gap {
    spaces: String,
    /// The first line break.
    first: Option<char>,
    others: String,
    /// Whether a line began, be it behind a break that is escaped.
    is_line: bool,
}

// === impl Gap ===

impl Gap {
    /// Passes blanks and line breaks.
    fn pass(
        &mut self,
        scanner: &mut Scanner<'_>,
        mut tab: impl FnMut(&Scanner<'_>) -> Result<()>,
    ) -> Result<()> {
        let text = &mut scanner.text;
        text.need(1);
        loop {
            let char = scanner.text.peek(0);
            if is_blank(char) {
                if self.is_line {
                    if char == '\t' {
                        tab(scanner)?;
                    }
                    scanner.text.skip();
                } else {
                    scanner.text.read(&mut self.spaces);
                }
            } else if is_break(char) {
                scanner.text.need(2);
                let broken = scanner.text.skip_line();
                if self.is_line {
                    self.others.extend(broken);
                } else {
                    self.spaces.clear();
                    self.first = broken;
                    self.is_line = true;
                }
            } else {
                return Ok(());
            }
            scanner.text.need(1);
        }
    }

    /// What is between two words: of two lines a space, of lines apart what is between them.
    fn join(&mut self, text: &mut String) {
        if !mem::take(&mut self.is_line) {
            text.push_str(&self.spaces);
            self.spaces.clear();
            return;
        }
        match self.first.take() {
            Some('\n') if self.others.is_empty() => text.push(' '),
            Some('\n') => {}
            // Separators of lines and paragraphs stay what they are.
            first => text.extend(first),
        }
        text.push_str(&self.others);
        self.others.clear();
    }
}

impl Scanner<'_> {
    pub(super) fn plain_scalar(&mut self) -> Result<()> {
        self.save_key()?;
        self.key_allowed = false;
        let position = self.text.mark().position;
        let in_block = self.keys.len() == 1;
        let margin = self.margin;
        let mut text = String::new();
        let mut gap = Gap::default();
        loop {
            self.text.need(4);
            if self.document_sign().is_some() || self.text.peek(0) == '#' {
                break;
            }
            loop {
                let char = self.text.peek(0);
                let ends = match char {
                    ':' => is_blank_or_end(self.text.peek(1)),
                    ',' | '?' | '[' | ']' | '{' | '}' => !in_block,
                    _ => is_blank_or_end(char),
                };
                if ends {
                    break;
                }
                gap.join(&mut text);
                self.text.read(&mut text);
                self.text.need(2);
            }
            if !is_blank(self.text.peek(0)) && !is_break(self.text.peek(0)) {
                break;
            }
            gap.pass(self, |scanner| {
                if scanner.text.mark().column < margin {
                    return Err(scanner.error(TAB));
                }
                Ok(())
            })?;
            if in_block && self.text.mark().column < margin {
                break;
            }
        }
        // Behind a line of text a key may come.
        self.key_allowed |= gap.is_line;
        let is_plain = true;
        self.push(Kind::Scalar { text, is_plain }, position);
        Ok(())
    }

    pub(super) fn quoted_scalar(&mut self, quote: char) -> Result<()> {
        self.save_key()?;
        self.key_allowed = false;
        let position = self.text.mark().position;
        self.text.skip();
        let mut text = String::new();
        let mut gap = Gap::default();
        loop {
            self.text.need(4);
            if self.document_sign().is_some() || self.text.peek(0) == '\0' {
                return Err(YamlError::new(
                    position,
                    "the document ends before the text in quotes that begins here",
                ));
            }
            loop {
                let char = self.text.peek(0);
                if is_blank_or_end(char) {
                    break;
                }
                let next = self.text.peek(1);
                match char {
                    '\'' if quote == char && next == quote => {
                        self.text.read(&mut text);
                        self.text.skip();
                    }
                    _ if quote == char => break,
                    '\\' if quote == '"' && is_break(next) => {
                        self.text.need(3);
                        self.text.skip();
                        self.text.skip_line();
                        gap.is_line = true;
                        break;
                    }
                    '\\' if quote == '"' => self.escape(next, &mut text)?,
                    _ => self.text.read(&mut text),
                }
                self.text.need(2);
            }
            self.text.need(1);
            if self.text.peek(0) == quote {
                break;
            }
            gap.pass(self, |_| Ok(()))?;
            gap.join(&mut text);
        }
        self.text.skip();
        let is_plain = false;
        self.push(Kind::Scalar { text, is_plain }, position);
        Ok(())
    }

    /// A backslash and what it makes of the sign behind it.
    fn escape(&mut self, sign: char, text: &mut String) -> Result<()> {
        let position = self.text.mark().position;
        let refuse = |message: String| Err(YamlError::new(position, message));
        let char = match sign {
            '0' => '\0',
            'a' => '\x07',
            'b' => '\x08',
            't' | '\t' => '\t',
            'n' => '\n',
            'v' => '\x0b',
            'f' => '\x0c',
            'r' => '\r',
            'e' => '\x1b',
            ' ' | '"' | '\'' | '\\' => sign,
            'N' => '\u{85}',
            '_' => '\u{a0}',
            'L' => '\u{2028}',
            'P' => '\u{2029}',
            'x' | 'u' | 'U' => {
                let length = match sign {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                self.text.skip();
                self.text.skip();
                self.text.need(length);
                let mut number: u32 = 0;
                for _ in 0..length {
                    let Some(digit) = self.text.peek(0).to_digit(16) else {
                        return refuse(format!(
                            "behind `\\{sign}` there are {length} hexadecimal digits: write them"
                        ));
                    };
                    number = (number << 4) | digit;
                    self.text.skip();
                }
                let Some(char) = char::from_u32(number) else {
                    return refuse(format!(
                        "no character has the number that `\\{sign}` gives here: write another"
                    ));
                };
                text.push(char);
                return Ok(());
            }
            '/' => return refuse("the escape `\\/` is not known in YAML 1.1: write `/`".into()),
            _ => {
                return refuse(format!(
                    "the escape `\\{sign}` is not known in YAML 1.1: write `\\\\` for a backslash"
                ));
            }
        };
        self.text.skip();
        self.text.skip();
        text.push(char);
        Ok(())
    }

    /// `|` or `>`, and the lines below.
    pub(super) fn block_scalar(&mut self, style: char) -> Result<()> {
        self.remove_key()?;
        self.key_allowed = true;
        let position = self.text.mark().position;
        self.text.skip();
        let (mut chomping, mut increment) = (None, None);
        // Each at most once, in any order.
        loop {
            self.text.need(1);
            match self.text.peek(0) {
                sign @ ('+' | '-') if chomping.is_none() => chomping = Some(sign),
                '0' if increment.is_none() => return Err(YamlError::new(position, INDENT)),
                digit @ '1'..='9' if increment.is_none() => increment = digit.to_digit(10),
                _ => break,
            }
            self.text.skip();
        }
        self.line_end("behind `|` or `>`, its sign and its number, the line ends: begin the text on the next one")?;
        let mut indent = increment.map(|increment| self.margin.max(1) - 1 + increment as usize);
        let (mut text, mut breaks) = (String::new(), String::new());
        let mut first = None;
        let mut was_blank = false;
        let mut column = self.block_breaks(&mut indent, &mut breaks)?;
        self.text.need(1);
        while self.text.mark().column == column && self.text.peek(0) != '\0' {
            let is_blank = is_blank(self.text.peek(0));
            // Two lines of a folded block that are not indented further are one.
            if style == '>' && first == Some('\n') && !was_blank && !is_blank {
                if breaks.is_empty() {
                    text.push(' ');
                }
            } else {
                text.extend(first);
            }
            text.push_str(&mem::take(&mut breaks));
            was_blank = is_blank;
            while !is_break_or_end(self.text.peek(0)) {
                self.text.read(&mut text);
                self.text.need(1);
            }
            self.text.need(2);
            first = self.text.skip_line();
            column = self.block_breaks(&mut indent, &mut breaks)?;
        }
        if chomping != Some('-') {
            text.extend(first);
        }
        if chomping == Some('+') {
            text.push_str(&breaks);
        }
        let is_plain = false;
        self.push(Kind::Scalar { text, is_plain }, position);
        Ok(())
    }

    /// Passes empty lines and the indentation of one that is not, and says the column of the block, which the first such line sets.
    fn block_breaks(&mut self, indent: &mut Option<usize>, breaks: &mut String) -> Result<usize> {
        let mut deepest = 0;
        loop {
            self.text.need(1);
            let is_before = |column: usize| indent.is_none_or(|indent| column < indent);
            while is_before(self.text.mark().column) && self.text.peek(0) == ' ' {
                self.text.skip();
                self.text.need(1);
            }
            let column = self.text.mark().column;
            deepest = deepest.max(column);
            if is_before(column) && self.text.peek(0) == '\t' {
                return Err(self.error(TAB));
            }
            if !is_break(self.text.peek(0)) {
                break;
            }
            self.text.need(2);
            breaks.extend(self.text.skip_line());
        }
        Ok(*indent.get_or_insert(deepest.max(self.margin).max(1)))
    }
}
