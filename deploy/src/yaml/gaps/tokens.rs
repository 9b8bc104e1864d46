//! Anchors, aliases, tags, and scalars within brackets.

use super::{Gaps, Refusal, is_blank};
use crate::yaml::mended::Mend;

const ANCHOR: &str = "the name of an anchor or alias has letters of ASCII, digits, `_` and `-`, and a space behind it: write it so";
const TAG: &str = "no tag of YAML 1.1: it has letters of ASCII, digits and few other signs, no handle but `!` and `!!`, and a space behind it";
const QUESTION: &str = "within brackets a `?` begins a key in YAML 1.1: quote the text";

impl Gaps<'_> {
    pub(super) fn anchor(&mut self) -> Result<(), Refusal> {
        self.begin();
        let begin = self.at;
        self.at += 1;
        self.word();
        match self.peek(0) {
            _ if self.at == begin + 1 => {}
            Some(b':' | b'?') => {
                self.part(true);
                return Ok(());
            }
            Some(b',' | b']' | b'}') => return Ok(()),
            next if is_blank(next) => return Ok(()),
            _ => {}
        }
        self.at = begin;
        self.refuse(ANCHOR)
    }

    fn word(&mut self) {
        while self.peek(0).is_some_and(is_word) {
            self.at += 1;
        }
    }

    pub(super) fn tag(&mut self) -> Result<(), Refusal> {
        self.begin();
        let begin = self.at;
        self.at += 1;
        let is_whole = self.peek(0) == Some(b'<');
        if is_whole {
            self.at += 1;
        } else {
            self.word();
        }
        let is_handle = !is_whole && self.peek(0) == Some(b'!');
        let is_known = !is_handle || self.at == begin + 1;
        self.at += usize::from(is_handle);
        let rest = self.at;
        while let Some(sign) = self.peek(0) {
            if !(is_word(sign) || b";/?:@&=+$,.!~*'()[]%".contains(&sign)) {
                break;
            }
            self.at += 1;
        }
        let written = self.text.get(rest..self.at).unwrap_or_default();
        let is_empty = written.is_empty() && (is_handle || is_whole);
        let is_closed = !is_whole || self.peek(0) == Some(b'>');
        self.at += usize::from(is_whole && is_closed);
        if !is_known || is_empty || !is_closed || !is_escaped(written) || !is_blank(self.peek(0)) {
            self.at = begin;
            return self.refuse(TAG);
        }
        if !is_whole && written.contains([',', '[', ']', '!']) {
            self.mends.push(Mend::Tag(begin..self.at));
        }
        Ok(())
    }

    pub(super) fn quoted(&mut self, quote: u8) {
        self.begin();
        self.at += 1;
        while let Some(sign) = self.peek(0) {
            self.at += 1;
            match sign {
                // What is escaped ends nothing, and a line may be.
                b'\\' if quote == b'"' && !matches!(self.peek(0), Some(b'\n' | b'\r')) => {
                    self.at += 1;
                }
                // A `'` that comes twice is text.
                _ if sign == quote && quote == b'\'' && self.peek(0) == Some(quote) => self.at += 1,
                _ if sign == quote => return,
                b'\n' | b'\r' => self.line = self.at,
                _ => {}
            }
        }
    }

    /// A text without quotes within brackets.
    pub(super) fn plain(&mut self, columns: usize) -> Result<(), Refusal> {
        let begin = self.at;
        self.begin();
        loop {
            while let Some(sign) = self.peek(0).filter(|sign| !is_blank(Some(*sign))) {
                let next = self.peek(1);
                let ends_text = matches!(next, Some(b',' | b'[' | b']' | b'{' | b'}'));
                match sign {
                    b',' | b'[' | b']' | b'{' | b'}' => break,
                    b'?' => return self.refuse(QUESTION),
                    b':' if is_blank(next) => break,
                    b':' if ends_text => self.mends.push(Mend::Text(self.at)),
                    b'-' if ends_text && self.at == begin => self.mends.push(Mend::Text(self.at)),
                    _ => {}
                }
                self.at += 1;
            }
            if !is_blank(self.peek(0)) || self.peek(0).is_none() {
                return Ok(());
            }
            let end = self.at;
            self.behind_plain(columns)?;
            // What ends the text may be a sign, and then it is not read here again.
            let goes_on = !matches!(self.peek(0), None | Some(b'#'));
            if !goes_on || self.at == end {
                return Ok(());
            }
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-".contains(&byte)
}

/// Whether every `%` begins the number of a byte.
fn is_escaped(text: &str) -> bool {
    let mut parts = text.split('%').skip(1);
    parts.all(|part| {
        let number = part.as_bytes().get(..2);
        number.is_some_and(|number| number.iter().all(u8::is_ascii_hexdigit))
    })
}
