//! What stands around scalars, by the rules of Kubernetes' library: blanks, comments, signs, tags, anchors, and all that is within
//! brackets. Where a parser of YAML 1.2 would read something else, the text is mended or refused. `gaps/tokens.rs` has what is more
//! than a sign.

mod tokens;

use granit_parser::ScalarStyle;

use super::dialect::{self, Refusal};
use super::mended::Mend;

/// Walks through a text, from one scalar outside of brackets to the next.
pub struct Gaps<'a> {
    text: &'a str,
    /// How far everything is known.
    at: usize,
    /// Where the line begins.
    line: usize,
    /// The brackets that are open, and of each where a key stands.
    open: Vec<Flow>,
    /// Whether a key may begin here, so that a tab may not stand here.
    key: bool,
    /// Behind a text without quotes, the columns of the block that it is in.
    plain: Option<usize>,
    /// Whether nothing is read yet but what may be all of the document.
    is_root: bool,
    /// Whether it is all of the document unless more follows that belongs to it.
    is_over: bool,
    /// Whether a value comes next in a block.
    awaits: bool,
    /// Where quotes or brackets ended: a `:` right behind them needs no space.
    closed: Option<usize>,
    mends: Vec<Mend>,
}

/// What stands before a `:` within brackets.
enum Flow {
    /// Nothing.
    Before,
    /// What may be a key, and where its line begins.
    Key(usize),
    /// What has a `?` before it, or cannot be a key.
    Else,
}

const TAB: &str = "a tab stands where only spaces may: replace it";
const KEY: &str = "a key and its `:` are on one line in YAML 1.1: write it so";

// === impl Gaps ===

impl<'a> Gaps<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            line: 0,
            open: Vec::new(),
            key: true,
            plain: None,
            is_root: true,
            is_over: false,
            awaits: false,
            closed: None,
            mends: Vec::new(),
        }
    }

    /// What is to be mended so far.
    pub fn mends(&mut self) -> Vec<Mend> {
        std::mem::take(&mut self.mends)
    }

    /// A scalar was read that ends here, unless it is one that the walk knows. Its block leaves this many columns to those around it.
    pub fn scalar(
        &mut self,
        end: usize,
        style: ScalarStyle,
        columns: usize,
    ) -> Result<(), Refusal> {
        let is_block = dialect::is_block(style);
        let end = if is_block {
            // A block with nothing in it has a head.
            let head = self.text.get(self.at..).unwrap_or_default();
            let head = head.find(['\n', '\r']).unwrap_or(head.len());
            end.max(self.at + head)
        } else {
            end
        };
        if end <= self.at {
            return Ok(());
        }
        let written = self.text.get(self.at..end).unwrap_or_default();
        let least = match style {
            ScalarStyle::Plain => columns,
            _ if is_block => indent(written, columns),
            _ => 0,
        };
        for (place, _) in written.match_indices(['\n', '\r']) {
            self.line = self.at + place + 1;
            let line = self.text.get(self.line..end).unwrap_or_default();
            let text = line.trim_start_matches(' ');
            let spaces = line.len() - text.len();
            if spaces < least && text.starts_with('\t') {
                self.at = self.line + spaces;
                return self.refuse(TAB);
            }
        }
        self.at = end;
        self.awaits = false;
        self.is_root = false;
        self.is_over = false;
        self.key = is_block;
        self.plain = (style == ScalarStyle::Plain).then_some(columns);
        Ok(())
    }

    /// Walks to the next scalar outside of brackets, or to the end. A text without quotes stands in a block of this many columns.
    pub fn walk(&mut self, columns: usize) -> Result<(), Refusal> {
        if let Some(columns) = self.plain.take() {
            self.behind_plain(columns)?;
        }
        while let Some(sign) = self.peek(0) {
            let is_apart = is_blank(self.peek(1));
            let is_block = self.open.is_empty();
            match sign {
                b'\t' if is_block && self.key => return self.refuse(TAB),
                b' ' | b'\t' => self.at += 1,
                b'\n' | b'\r' => {
                    self.at += 1;
                    self.line = self.at;
                    self.key |= is_block;
                }
                b'#' => self.comment(),
                // A mark of the text's encoding.
                0xef if self.at == self.line && self.is_marked() => self.at += 3,
                // A bracket that closes nothing ends the document, or a comma. What follows is nobody's.
                b']' | b'}' | b',' if self.is_over => {
                    self.mends.push(Mend::End(self.at));
                    self.at = self.text.len();
                }
                b'[' | b'{' => {
                    self.begin();
                    self.open.push(Flow::Before);
                    self.sign(true);
                }
                b']' | b'}' => {
                    self.open.pop();
                    self.sign(false);
                    self.closed = Some(self.at);
                    self.is_over = self.is_root && self.open.is_empty();
                    self.is_root &= !self.is_over;
                }
                b'!' => self.tag()?,
                b'&' | b'*' => self.anchor()?,
                b',' => {
                    self.now(Flow::Before);
                    self.sign(true);
                }
                b'-' | b'?' | b':' if is_block && is_apart => {
                    self.sign(self.key || sign != b':');
                    self.awaits = true;
                    self.is_root = false;
                }
                // A block may begin in the column of what it belongs to.
                b'|' | b'>' if is_block && self.at - self.line + 1 == columns => {
                    self.part(self.awaits && self.is_first());
                    return Ok(());
                }
                _ if is_block => return Ok(()),
                b'?' => {
                    self.now(Flow::Else);
                    self.sign(false);
                    self.part(!is_apart);
                }
                b':' => {
                    if matches!(self.open.last(), Some(Flow::Key(line)) if *line != self.line) {
                        return self.refuse(KEY);
                    }
                    self.now(Flow::Else);
                    let is_known = self.closed == Some(self.at)
                        || matches!(self.peek(1), Some(b',' | b']' | b'}'));
                    self.sign(false);
                    self.part(!is_apart && !is_known);
                }
                b'\'' | b'"' => {
                    self.quoted(sign);
                    self.closed = Some(self.at);
                }
                _ => self.plain(columns)?,
            }
        }
        Ok(())
    }

    /// The byte so far ahead.
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn is_marked(&self) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        rest.starts_with('\u{feff}')
    }

    fn refuse(&self, message: &'static str) -> Result<(), Refusal> {
        Err(Refusal {
            place: self.at,
            message,
        })
    }

    fn sign(&mut self, key: bool) {
        self.at += 1;
        self.key = key;
        self.is_over = false;
    }

    /// What may be a key begins here.
    fn begin(&mut self) {
        self.awaits &= matches!(self.peek(0), Some(b'!' | b'&'));
        if let Some(Flow::Before) = self.open.last() {
            self.now(Flow::Key(self.line));
        }
        self.key = false;
        self.is_over = self.is_root && self.open.is_empty();
    }

    fn now(&mut self, flow: Flow) {
        if let Some(last) = self.open.last_mut() {
            *last = flow;
        }
    }

    /// Whether nothing is before this on its line.
    fn is_first(&self) -> bool {
        let before = self.text.get(self.line..self.at).unwrap_or_default();
        before.trim_matches(' ').is_empty()
    }

    /// Puts a space here if one is missing.
    fn part(&mut self, is_missing: bool) {
        if is_missing {
            self.mends.push(Mend::Space(self.at));
        }
    }

    fn comment(&mut self) {
        while !matches!(self.peek(0), None | Some(b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Blanks behind a text without quotes. In the columns of the block around it, there is no tab among them.
    fn behind_plain(&mut self, columns: usize) -> Result<(), Refusal> {
        let mut is_first = true;
        while let Some(sign) = self.peek(0) {
            match sign {
                b'\n' | b'\r' => {
                    is_first = false;
                    self.line = self.at + 1;
                    self.key = true;
                }
                b'\t' if !is_first && self.at - self.line < columns => return self.refuse(TAB),
                b' ' | b'\t' => {}
                _ => break,
            }
            self.at += 1;
        }
        Ok(())
    }
}

/// The column in which the lines of a block begin that is written so, in a block that leaves this many columns to those around it.
fn indent(written: &str, columns: usize) -> usize {
    let mut lines = written.split(['\n', '\r']);
    let header = lines.next().unwrap_or_default();
    let header = header.split(['#', ' ', '\t']).next().unwrap_or_default();
    if let Some(digit) = header.chars().find_map(|char| char.to_digit(10)) {
        return columns.saturating_sub(1) + digit as usize;
    }
    let mut deepest = columns.max(1);
    for line in lines {
        let text = line.trim_start_matches(' ');
        let spaces = line.len() - text.len();
        deepest = deepest.max(spaces);
        if text.starts_with('\t') {
            // While nobody knows the column, no tab is part of the text.
            return usize::MAX;
        }
        if !text.is_empty() {
            break;
        }
    }
    deepest
}

/// Blanks, line breaks, and the end.
fn is_blank(byte: Option<u8>) -> bool {
    matches!(byte, None | Some(b' ' | b'\t' | b'\n' | b'\r'))
}
