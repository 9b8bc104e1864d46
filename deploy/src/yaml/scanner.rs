//! Tokens out of a text, by the rules of Go's library, which are those of libyaml with exceptions.
//!
//! That a text is a key is known when its `:` comes, so tokens wait in a queue as long as its first one may be a key. This file has
//! the queue, the keys and the columns of blocks; `scanner/scalars.rs` has what a scalar is made of, `scanner/names.rs` anchors, tags
//! and directives. What the library does to texts that nobody means to write is done here too, since a verdict is about any text.

mod names;
mod scalars;

use std::collections::{HashMap, VecDeque};

use super::cursor::{Cursor, Mark, is_blank, is_blank_or_end, is_break, is_break_or_end};
use super::{Position, YamlError};

type Result<T> = std::result::Result<T, YamlError>;

/// A piece of a text, and where it begins.
#[derive(Debug)]
pub struct Token {
    pub kind: Kind,
    pub position: Position,
}

/// What a piece of a text is.
#[derive(Debug)]
pub enum Kind {
    StreamEnd,
    /// `%YAML`.
    Version {
        is_1_1: bool,
    },
    /// `%TAG`.
    Handle {
        handle: String,
        prefix: String,
    },
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(String),
    Anchor(String),
    Tag {
        handle: String,
        suffix: String,
    },
    Scalar {
        text: String,
        is_plain: bool,
    },
}

/// Reads tokens when they are asked for. What is behind the last one that was asked for is not looked at.
pub struct Scanner<'a> {
    text: Cursor<'a>,
    tokens: VecDeque<Token>,
    /// How many tokens are taken out of the queue.
    taken: usize,
    /// Whether the first token of the queue is surely no key, or its `KEY` is before it.
    is_ready: bool,
    /// The column behind that of the innermost block, 0 outside of blocks.
    margin: usize,
    /// The margins around it.
    margins: Vec<usize>,
    /// What may be a key: outside of brackets, and in each that are open.
    keys: Vec<MaybeKey>,
    /// In which brackets the token of this number may be a key.
    by_token: HashMap<usize, usize>,
    /// Whether a key may begin here.
    key_allowed: bool,
}

struct MaybeKey {
    is_possible: bool,
    /// Whether nothing else may be here.
    is_required: bool,
    /// The number of its first token.
    token: usize,
    mark: Mark,
}

/// How many characters a key may have.
const MOST_KEY: usize = 1024;

const NO_COLON: &str = "a key stands here, and its `:` with a space behind it is missing, on another line or more than 1024 characters away: write it, or indent a text that goes on";
const NO_VALUE: &str = "a `:` with a space behind it stands in a text here: quote the text, or, if this is a key, begin it on a line of its own and look above for a quote that nothing closes";
const NO_ENTRY: &str = "a list may not begin here: begin it on a line of its own, or quote a text that begins with `-`";
const NO_KEY: &str =
    "a key may not begin here: begin it on a line of its own, or quote a text that begins with `?`";
const TAB: &str = "a tab stands where only spaces may: replace it";

// === impl Scanner ===

impl<'a> Scanner<'a> {
    /// Reads a text that begins there.
    pub fn new(text: &'a str, begin: Position) -> Self {
        let text = Cursor::new(text, begin);
        let mut scanner = Self {
            keys: Vec::new(),
            text,
            tokens: VecDeque::new(),
            taken: 0,
            is_ready: false,
            margin: 0,
            margins: Vec::new(),
            by_token: HashMap::new(),
            key_allowed: true,
        };
        scanner.open();
        scanner
    }

    /// The next token, which stays where it is.
    pub fn peek(&mut self) -> Result<&Token> {
        if !self.is_ready {
            self.fetch_enough()?;
            self.is_ready = true;
        }
        self.tokens.front().ok_or_else(|| {
            YamlError::new(
                self.text.mark().position,
                "nothing is behind the end of a text",
            )
        })
    }

    /// Takes the token that was looked at.
    pub fn take(&mut self) -> Option<Token> {
        self.is_ready = false;
        self.taken += 1;
        self.tokens.pop_front()
    }

    fn fetch_enough(&mut self) -> Result<()> {
        while self.tokens.is_empty() || self.waits()? {
            let fetched = self.fetch();
            // What stands nowhere is wrong before anything is that ends with it.
            if let Some(fault) = self.text.fault() {
                return Err(fault.clone());
            }
            fetched?;
        }
        Ok(())
    }

    /// Whether the first token of the queue may still turn out to be a key.
    fn waits(&mut self) -> Result<bool> {
        match self.by_token.get(&self.taken) {
            Some(level) => self.is_valid(*level),
            None => Ok(false),
        }
    }

    fn fetch(&mut self) -> Result<()> {
        self.skip_to_token();
        let column = self.text.mark().column;
        self.unroll(column + 1);
        self.text.need(4);
        let [first, second] = [0, 1].map(|ahead| self.text.peek(ahead));
        let is_apart = is_blank_or_end(second);
        let in_block = self.keys.len() == 1;
        if column == 0 && first == '%' {
            return self.directive();
        }
        if let Some(kind) = self.document_sign() {
            return self.document(kind);
        }
        match first {
            '\0' => self.stream_end(),
            '[' => self.flow_start(Kind::FlowSequenceStart),
            '{' => self.flow_start(Kind::FlowMappingStart),
            ']' => self.flow_end(Kind::FlowSequenceEnd),
            '}' => self.flow_end(Kind::FlowMappingEnd),
            ',' => self.sign(Kind::FlowEntry, true),
            '-' if is_apart => self.entry(Kind::BlockEntry),
            '?' if !in_block || is_apart => self.entry(Kind::Key),
            ':' if !in_block || is_apart => self.value(),
            '*' => self.anchor(Kind::Alias),
            '&' => self.anchor(Kind::Anchor),
            '!' => self.tag(),
            '|' | '>' if in_block => self.block_scalar(first),
            '\'' | '"' => self.quoted_scalar(first),
            '\t' => Err(self.error(TAB)),
            '@' | '`' | '%' => {
                Err(self.error(format!("`{first}` begins no text without quotes: quote it")))
            }
            '|' | '>' => {
                Err(self.error("a block of text stands nowhere within brackets: quote the text"))
            }
            _ => self.plain_scalar(),
        }
    }

    /// `---` or `...` alone at the begin of a line. Four characters have to be in the buffer.
    fn document_sign(&self) -> Option<Kind> {
        let [first, second, third, fourth] = [0, 1, 2, 3].map(|ahead| self.text.peek(ahead));
        if self.text.mark().column > 0 || !is_blank_or_end(fourth) {
            return None;
        }
        match [first, second, third] {
            ['-', '-', '-'] => Some(Kind::DocumentStart),
            ['.', '.', '.'] => Some(Kind::DocumentEnd),
            _ => None,
        }
    }

    /// Passes blanks and comments.
    fn skip_to_token(&mut self) {
        loop {
            self.text.need(1);
            if self.text.is_marked() {
                self.text.skip();
            }
            self.text.need(1);
            let tabs = self.keys.len() > 1 || !self.key_allowed;
            while self.text.peek(0) == ' ' || (tabs && self.text.peek(0) == '\t') {
                self.text.skip();
                self.text.need(1);
            }
            self.comment();
            if !is_break(self.text.peek(0)) {
                return;
            }
            self.text.need(2);
            self.text.skip_line();
            // Outside of brackets a line may begin with a key.
            self.key_allowed |= self.keys.len() == 1;
        }
    }

    /// Passes a comment, if there is one.
    fn comment(&mut self) {
        if self.text.peek(0) == '#' {
            while !is_break_or_end(self.text.peek(0)) {
                self.text.skip();
                self.text.need(1);
            }
        }
    }

    fn blanks(&mut self) {
        self.text.need(1);
        while is_blank(self.text.peek(0)) {
            self.text.skip();
            self.text.need(1);
        }
    }

    /// Passes what may stand behind the last word of a line, and the line's end.
    fn line_end(&mut self, message: &'static str) -> Result<()> {
        self.blanks();
        self.comment();
        if !is_break_or_end(self.text.peek(0)) {
            return Err(self.error(message));
        }
        self.text.need(2);
        self.text.skip_line();
        Ok(())
    }

    // --- Keys. ---

    /// Whether this may still be a key: it ends on its line and is not too long.
    fn is_valid(&mut self, level: usize) -> Result<bool> {
        let here = self.text.mark();
        let Some(key) = self.keys.get_mut(level).filter(|key| key.is_possible) else {
            return Ok(false);
        };
        if key.mark.line == here.line && here.index <= key.mark.index + MOST_KEY {
            return Ok(true);
        }
        if key.is_required {
            return Err(YamlError::new(key.mark.position, NO_COLON));
        }
        // The library leaves it in `by_token`, where it makes no difference: it is not possible.
        key.is_possible = false;
        Ok(false)
    }

    /// What comes next may be a key, if one may be here.
    fn save_key(&mut self) -> Result<()> {
        if !self.key_allowed {
            return Ok(());
        }
        self.remove_key()?;
        let mark = self.text.mark();
        let key = MaybeKey {
            is_possible: true,
            is_required: self.keys.len() == 1 && self.margin == mark.column + 1,
            token: self.next(),
            mark,
        };
        self.by_token.insert(key.token, self.keys.len() - 1);
        if let Some(last) = self.keys.last_mut() {
            *last = key;
        }
        Ok(())
    }

    /// What may have been a key is none.
    fn remove_key(&mut self) -> Result<()> {
        if let Some(key) = self.keys.last_mut().filter(|key| key.is_possible) {
            if key.is_required {
                return Err(YamlError::new(key.mark.position, NO_COLON));
            }
            key.is_possible = false;
            self.by_token.remove(&key.token);
        }
        Ok(())
    }

    /// Here keys are others than around.
    fn open(&mut self) {
        self.keys.push(MaybeKey {
            is_possible: false,
            is_required: false,
            token: self.next(),
            mark: self.text.mark(),
        });
    }

    // --- Columns. ---

    /// A block begins in this column if it is further right than that around it. Its token becomes that of this number.
    fn roll(&mut self, mark: Mark, number: Option<usize>, kind: Kind) {
        if self.keys.len() > 1 || self.margin > mark.column {
            return;
        }
        self.margins.push(self.margin);
        self.margin = mark.column + 1;
        self.insert(number, kind, mark.position);
    }

    /// Ends the blocks whose margin is further right than this.
    fn unroll(&mut self, margin: usize) {
        while self.keys.len() == 1 && self.margin > margin {
            self.push(Kind::BlockEnd, self.text.mark().position);
            self.margin = self.margins.pop().unwrap_or_default();
        }
    }

    // --- The queue. ---

    /// The number of the next token.
    fn next(&self) -> usize {
        self.taken + self.tokens.len()
    }

    fn push(&mut self, kind: Kind, position: Position) {
        self.tokens.push_back(Token { kind, position });
    }

    /// Puts a token where the one of this number is. If that is taken already, it comes last.
    fn insert(&mut self, number: Option<usize>, kind: Kind, position: Position) {
        let place = number.and_then(|number| number.checked_sub(self.taken));
        match place.filter(|place| *place <= self.tokens.len()) {
            Some(place) => self.tokens.insert(place, Token { kind, position }),
            None => self.push(kind, position),
        }
    }

    fn error(&self, message: impl Into<String>) -> YamlError {
        YamlError::new(self.text.mark().position, message)
    }

    // --- Tokens that are signs. ---

    fn sign(&mut self, kind: Kind, key_allowed: bool) -> Result<()> {
        self.remove_key()?;
        self.key_allowed = key_allowed;
        self.pass(kind);
        Ok(())
    }

    /// Passes a sign that is a token.
    fn pass(&mut self, kind: Kind) {
        let position = self.text.mark().position;
        self.text.skip();
        self.push(kind, position);
    }

    fn stream_end(&mut self) -> Result<()> {
        let position = self.text.mark().position;
        self.text.end_line();
        self.unroll(0);
        self.remove_key()?;
        self.key_allowed = false;
        self.push(Kind::StreamEnd, position);
        Ok(())
    }

    fn document(&mut self, kind: Kind) -> Result<()> {
        self.unroll(0);
        self.sign(kind, false)?;
        self.text.skip();
        self.text.skip();
        Ok(())
    }

    fn flow_start(&mut self, kind: Kind) -> Result<()> {
        self.save_key()?;
        self.open();
        self.key_allowed = true;
        self.pass(kind);
        Ok(())
    }

    fn flow_end(&mut self, kind: Kind) -> Result<()> {
        self.remove_key()?;
        // A bracket may close nothing.
        if self.keys.len() > 1
            && let Some(key) = self.keys.pop()
        {
            // Unless something else came first in these brackets, this is the number of the bracket that opened them, which then is
            // no key to the queue.
            self.by_token.remove(&key.token);
        }
        self.key_allowed = false;
        self.pass(kind);
        Ok(())
    }

    /// `-` or `?`.
    fn entry(&mut self, kind: Kind) -> Result<()> {
        let in_block = self.keys.len() == 1;
        let is_key = matches!(kind, Kind::Key);
        if in_block {
            if !self.key_allowed {
                return Err(self.error(if is_key { NO_KEY } else { NO_ENTRY }));
            }
            let block = if is_key {
                Kind::BlockMappingStart
            } else {
                Kind::BlockSequenceStart
            };
            self.roll(self.text.mark(), None, block);
        }
        self.sign(kind, in_block || !is_key)
    }

    /// `:`.
    fn value(&mut self) -> Result<()> {
        let level = self.keys.len() - 1;
        let in_block = level == 0;
        if self.is_valid(level)?
            && let Some(key) = self.keys.get_mut(level)
        {
            key.is_possible = false;
            let (token, mark) = (key.token, key.mark);
            self.insert(Some(token), Kind::Key, mark.position);
            self.roll(mark, Some(token), Kind::BlockMappingStart);
            self.by_token.remove(&token);
            self.key_allowed = false;
            self.pass(Kind::Value);
            return Ok(());
        }
        if in_block {
            if !self.key_allowed {
                return Err(self.error(NO_VALUE));
            }
            self.roll(self.text.mark(), None, Kind::BlockMappingStart);
        }
        self.pass(Kind::Value);
        // Behind the `:` of a `?` there may be a key.
        self.key_allowed = in_block;
        Ok(())
    }
}
