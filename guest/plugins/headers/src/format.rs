//! Values with Envoy's `%…%` operators: parsed when the plugin is configured, evaluated for each message.
//!
//! Which operators there are is in [`operators`](crate::operators). As in Envoy's header mutations, an operator without a
//! value yields nothing; in access logs, it yields `-`.

use plugin_matching::read::{Read, Reason, Shape, Value};

use crate::operators::{Operator, parse_operator};
use crate::source::{Message, Source};

/// A parsed value.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Format(Vec<Segment>);

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// An operator, and the number of bytes after which its value is cut off.
    Operator(Operator, usize),
}

impl Read for Format {
    const SHAPE: &'static Shape =
        &Shape::Checked(&Shape::Text, |value| Format::parse(value.text()).map(drop));

    fn read(value: &Value) -> Self {
        Format::parse(value.text()).unwrap_or_default()
    }
}

impl Format {
    /// Parses a value. `%%` stands for `%`. An error says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Format, Reason> {
        if text.bytes().any(is_control) {
            return Err("expected a header value without control characters".into());
        }
        let mut segments = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                literal.push('%');
                rest = after;
                continue;
            }
            if !literal.is_empty() {
                segments.push(Segment::Literal(std::mem::take(&mut literal)));
            }
            let (operator, limit, after) = command(after)?;
            segments.push(Segment::Operator(operator, limit));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            segments.push(Segment::Literal(literal));
        }
        Ok(Format(segments))
    }

    /// Adds the names of the fields of a message that operators read.
    pub fn fields(&self, of: Message, names: &mut Vec<String>) {
        for segment in &self.0 {
            if let Segment::Operator(operator, _) = segment {
                operator.fields(of, names);
            }
        }
    }

    /// Whether the value is always empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value for a stream. Control characters that an operator yields become spaces, so that no value can end a field.
    pub fn render(&self, source: &impl Source) -> Vec<u8> {
        let mut value = Vec::new();
        for segment in &self.0 {
            match segment {
                Segment::Literal(text) => value.extend_from_slice(text.as_bytes()),
                Segment::Operator(operator, limit) => {
                    if let Some(mut bytes) = operator.evaluate(source) {
                        bytes.truncate(*limit);
                        for byte in &mut bytes {
                            if is_control(*byte) {
                                *byte = b' ';
                            }
                        }
                        value.append(&mut bytes);
                    }
                }
            }
        }
        value
    }
}

/// Whether a byte must not be in a field value.
fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

/// Parses what follows a `%`, such as `REQ(x-a?x-b):12%`. Returns the operator, its limit and what follows.
fn command(text: &str) -> Result<(Operator, usize, &str), Reason> {
    const UNENDED: &str =
        "expected an operator such as `%REQ(x-name)%` after `%`; a percent sign is written `%%`";
    let end = text
        .bytes()
        .position(|byte| !(byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'));
    let (name, mut rest) = match end.and_then(|end| text.split_at_checked(end)) {
        Some((name, rest)) if !name.is_empty() => (name, rest),
        _ => return Err(UNENDED.into()),
    };
    let mut arguments = None;
    if let Some(inside) = rest.strip_prefix('(') {
        let Some((inside, after)) = inside.split_once(')') else {
            return Err(UNENDED.into());
        };
        arguments = Some(inside);
        rest = after;
    }
    let mut limit = None;
    if let Some(after) = rest.strip_prefix(':') {
        let end = after.bytes().position(|byte| !byte.is_ascii_digit());
        let Some((digits, after)) = end.and_then(|end| after.split_at_checked(end)) else {
            return Err(UNENDED.into());
        };
        let Ok(number) = digits.parse::<u32>() else {
            return Err("expected a length after `:`".into());
        };
        limit = usize::try_from(number).ok();
        rest = after;
    }
    let Some(rest) = rest.strip_prefix('%') else {
        return Err(UNENDED.into());
    };
    let operator = parse_operator(name, arguments, limit.is_some())?;
    Ok((operator, limit.unwrap_or(usize::MAX), rest))
}
