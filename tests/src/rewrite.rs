//! Changes values in a YAML text, and leaves everything else of it as it is: comments, order, spacing, quotes.
//!
//! One difference at a time is taken out of the text, which is then read again, until it says what is wanted. So each step is
//! small, and no place has to be moved when another grows. [`bless`](crate::bless) says what is wanted.

use std::ops::Range;

use granit_parser::ScalarStyle;
use serde_json::Value;

use crate::source::{Kind, Node, Source};
use crate::verdict::{Part, Place};

/// More differences than any scenario has.
const MOST_EDITS: usize = 10_000;

/// A piece of the text and what takes its place.
struct Edit {
    span: Range<usize>,
    text: String,
}

/// Where a node stands, as far as its lines matter.
#[derive(Clone, Copy)]
struct Around {
    /// Inside `[…]` or `{…}`.
    flow: bool,
    /// The column of the key or the dash that it belongs to, from zero.
    column: usize,
}

/// The text where the value at a place is another, or is gone. Keys that lead there are added. None if the text cannot be
/// changed so: it is no YAML, or the place leads through something that is no mapping and no list.
pub fn set(text: &str, place: &Place, wanted: Option<&Value>) -> Option<String> {
    let mut text = text.to_owned();
    for _ in 0..MOST_EDITS {
        let source = Source::parse(&text)?;
        let edit = match wanted {
            Some(wanted) => {
                let (node, left) = source.nearest(place);
                match left {
                    [] => differing(&text, node, around(&text, &source, place), wanted),
                    [first, rest @ ..] => {
                        let value = rest.iter().rev().try_fold(wanted.clone(), nested)?;
                        let depth = place.0.len().checked_sub(left.len())?;
                        let above = Place(place.0.get(..depth)?.to_vec());
                        let around = around(&text, &source, &above);
                        Some(add(&text, node, around, first, &value)?)
                    }
                }
            }
            None => match (source.get(place), place.0.split_last()) {
                (Some(_), Some((last, above))) => {
                    let above = Place(above.to_vec());
                    Some(remove(&text, source.get(&above)?, last)?)
                }
                _ => None,
            },
        };
        let Some(edit) = edit else {
            return Some(text);
        };
        text.get(edit.span.clone())?;
        text.replace_range(edit.span, &edit.text);
    }
    None
}

/// The value in a mapping of its own.
fn nested(value: Value, part: &Part) -> Option<Value> {
    match part {
        Part::Key(name) => Some(Value::Object([(name.clone(), value)].into_iter().collect())),
        Part::Item(_) => None,
    }
}

fn around(text: &str, source: &Source, place: &Place) -> Around {
    let mut around = Around {
        flow: false,
        column: 0,
    };
    let mut node = &source.root;
    for part in &place.0 {
        around.flow |= is_flow(node);
        let Some((key, value)) = node.child(part) else {
            break;
        };
        around.column = match key {
            Some(key) => column(text, key.span.start),
            None => dash(text, value).map_or(0, |dash| column(text, dash)),
        };
        node = value;
    }
    around
}

fn is_flow(node: &Node) -> bool {
    matches!(
        node.kind,
        Kind::Mapping { flow: true, .. } | Kind::Sequence { flow: true, .. }
    )
}

/// The first edit on the way from what is written to what is wanted, none if they are the same.
fn differing(text: &str, node: &Node, around: Around, wanted: &Value) -> Option<Edit> {
    match (&node.kind, wanted) {
        (Kind::Scalar(said, style), Value::String(wanted)) => {
            (said != wanted || node.is_left_out()).then(|| replace(text, node, around, *style, wanted))
        }
        (Kind::Scalar(said, ScalarStyle::Plain), Value::Null) if node.is_left_out() || said == "null" => None,
        (Kind::Scalar(said, ScalarStyle::Plain), Value::Bool(_) | Value::Number(_))
            if *said == wanted.to_string() =>
        {
            None
        }
        (Kind::Mapping { entries, flow }, Value::Object(wanted)) if !wanted.is_empty() => {
            for (key, value) in entries {
                let Kind::Scalar(name, _) = &key.kind else {
                    continue;
                };
                let inside = Around {
                    flow: around.flow || *flow,
                    column: column(text, key.span.start),
                };
                let edit = match wanted.get(name) {
                    Some(wanted) => differing(text, value, inside, wanted),
                    None => remove(text, node, &Part::Key(name.clone())),
                };
                if edit.is_some() {
                    return edit;
                }
            }
            let (name, value) = wanted
                .iter()
                .find(|(name, _)| !entries.iter().any(|(key, _)| key.is(name)))?;
            add(text, node, around, &Part::Key(name.clone()), value)
        }
        (Kind::Sequence { items, flow }, Value::Array(wanted)) if !wanted.is_empty() => {
            let same = |(item, wanted): &(&Node, &Value)| reads(item, wanted);
            let head = items.iter().zip(wanted).take_while(same).count();
            let most = items.len().min(wanted.len()) - head;
            let ends = items.iter().rev().zip(wanted.iter().rev());
            let tail = ends.take(most).take_while(same).count();
            let (old, new) = (items.len() - tail, wanted.len() - tail);
            match (items.get(head), wanted.get(head)) {
                (Some(item), Some(wanted)) if head < old && head < new => {
                    let inside = Around {
                        flow: around.flow || *flow,
                        column: dash(text, item).map_or(0, |dash| column(text, dash)),
                    };
                    differing(text, item, inside, wanted)
                }
                (Some(_), _) if head < old => remove(text, node, &Part::Item(head)),
                (_, Some(wanted)) if head < new => {
                    add(text, node, around, &Part::Item(head), wanted)
                }
                _ => None,
            }
        }
        (Kind::Mapping { entries, .. }, Value::Object(_)) if entries.is_empty() => None,
        (Kind::Sequence { items, .. }, Value::Array(_)) if items.is_empty() => None,
        _ => Some(put(text, node, inline(wanted))),
    }
}

/// Whether a node says this already.
fn reads(node: &Node, wanted: &Value) -> bool {
    // Where lines begin does not matter to the question.
    let around = Around {
        flow: true,
        column: 0,
    };
    differing("", node, around, wanted).is_none()
}

/// Adds a key, or an item before the one that has its number now.
fn add(text: &str, node: &Node, around: Around, part: &Part, value: &Value) -> Option<Edit> {
    match (&node.kind, part) {
        (Kind::Mapping { entries, flow }, Part::Key(name)) => {
            let entry = format!("{}: {}", quoted(name), inline(value));
            let Some((first, last)) = entries.first().zip(entries.last()) else {
                return Some(put(text, node, format!("{{ {entry} }}")));
            };
            if *flow || around.flow {
                let end = last.1.span.end.max(last.0.span.end);
                return Some(at(end, format!(", {entry}")));
            }
            let end = line_end(text, last.1.span.end.max(last.0.span.end));
            let indent = " ".repeat(column(text, first.0.span.start));
            Some(at(end, format!("\n{indent}{entry}")))
        }
        (Kind::Sequence { items, flow }, Part::Item(number)) => {
            let value = inline(value);
            if items.is_empty() {
                return Some(put(text, node, format!("[{value}]")));
            }
            match (items.get(*number), number.checked_sub(1).and_then(|it| items.get(it))) {
                (Some(next), _) if *flow => Some(at(next.span.start, format!("{value}, "))),
                (None, Some(last)) if *flow => Some(at(last.span.end, format!(", {value}"))),
                (_, Some(last)) => {
                    let indent = " ".repeat(column(text, dash(text, last)?));
                    let end = line_end(text, last.span.end);
                    Some(at(end, format!("\n{indent}- {value}")))
                }
                (Some(next), None) => {
                    let dash = dash(text, next)?;
                    let indent = " ".repeat(column(text, dash));
                    Some(at(dash, format!("- {value}\n{indent}")))
                }
                (None, None) => None,
            }
        }
        // What says nothing yet may become anything.
        (Kind::Scalar(said, ScalarStyle::Plain), Part::Key(_)) if said.is_empty() || said == "~" || said == "null" => {
            Some(put(text, node, inline(&nested(value.clone(), part)?)))
        }
        _ => None,
    }
}

/// Takes a key or an item away, with its line where it has lines of its own. Of a collection that has nothing else, brackets stay.
fn remove(text: &str, node: &Node, part: &Part) -> Option<Edit> {
    let (parts, number, flow, empty): (Vec<Range<usize>>, _, _, _) = match (&node.kind, part) {
        (Kind::Mapping { entries, flow }, Part::Key(name)) => (
            entries
                .iter()
                .map(|(key, value)| key.span.start..value.span.end.max(key.span.end))
                .collect(),
            entries.iter().position(|(key, _)| key.is(name))?,
            *flow,
            "{}",
        ),
        (Kind::Sequence { items, flow }, Part::Item(number)) => (
            items
                .iter()
                .map(|item| match dash(text, item) {
                    Some(dash) if !flow => dash..item.span.end,
                    _ => item.span.clone(),
                })
                .collect(),
            *number,
            *flow,
            "[]",
        ),
        _ => return None,
    };
    let own = parts.get(number)?;
    let (before, after) = (
        number.checked_sub(1).and_then(|it| parts.get(it)),
        parts.get(number + 1),
    );
    let span = match (before, after) {
        (None, None) => return Some(put(text, node, empty.to_owned())),
        (Some(before), _) if flow => before.end..own.end,
        (None, Some(after)) if flow => own.start..after.start,
        // The line that it begins on is its own: from the end of the one above to its own end.
        (Some(_), _) => {
            let line = text.get(..own.start)?.rfind('\n')?;
            line..line_end(text, own.end)
        }
        // What is first may share its line with a dash, which stays for the next.
        (None, Some(after)) => own.start..after.start,
    };
    Some(Edit {
        span,
        text: String::new(),
    })
}

/// Writes other text where a scalar stands, in the way it is written there if that can say it.
fn replace(text: &str, node: &Node, around: Around, style: ScalarStyle, wanted: &str) -> Edit {
    let lines = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded)
        || (wanted.trim_end_matches('\n').contains('\n') && !around.flow);
    let written = match style {
        _ if lines && !around.flow => literal(wanted, around.column + 2),
        ScalarStyle::DoubleQuoted => Some(double(wanted)),
        ScalarStyle::SingleQuoted if can_print(wanted) => Some(single(wanted)),
        _ => None,
    };
    put(text, node, written.unwrap_or_else(|| quoted(wanted)))
}

/// Puts a value where another stands, or where one is left out behind its key.
fn put(text: &str, node: &Node, written: String) -> Edit {
    if !node.is_left_out() {
        return Edit {
            span: node.span.clone(),
            text: written,
        };
    }
    // Nothing is written there, and the place that the parser gives may be a line further down, behind comments.
    let before = text.get(..node.span.start).unwrap_or_default();
    let end = before
        .lines()
        .rev()
        .find_map(|line| {
            let bare = line.trim_start();
            (!bare.is_empty() && !bare.starts_with('#')).then_some(line)
        })
        .and_then(|line| {
            let start = before.rfind(line)?;
            let sign = line.find(": ").or_else(|| line.strip_suffix(':').map(str::len));
            Some(start + sign.map_or(line.trim_end().len(), |sign| sign + 1))
        });
    at(end.unwrap_or(node.span.start), format!(" {written}"))
}

fn at(at: usize, text: String) -> Edit {
    Edit { span: at..at, text }
}

/// The column of a byte, from zero, in characters.
fn column(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    let line = before.rfind('\n').map_or(before, |end| before.get(end + 1..).unwrap_or_default());
    line.chars().count()
}

/// Where the line of a byte ends, before its line break.
fn line_end(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let line = rest.split('\n').next().unwrap_or_default();
    from + line.strip_suffix('\r').unwrap_or(line).len()
}

/// The dash before an item of a list in lines.
fn dash(text: &str, item: &Node) -> Option<usize> {
    let before = text.get(..item.span.start)?.trim_end();
    before.ends_with('-').then(|| before.len() - 1)
}

// === Values in one line ===

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}: {}", quoted(name), inline(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// Text with as few quotes as do in any version of YAML, inside brackets as well.
fn quoted(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else if can_print(text) && text.contains(['"', '\\']) {
        single(text)
    } else {
        double(text)
    }
}

fn is_plain(text: &str) -> bool {
    let words = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./ =;()".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && !text.ends_with(' ')
        && text.bytes().all(plain)
        && !words.contains(&text.to_ascii_lowercase().as_str())
}

fn can_print(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn double(text: &str) -> String {
    let mut written = String::from('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => written.extend(['\\', char]),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            ' '..='~' => written.push(char),
            '\0'..='\u{ff}' => written.push_str(&format!("\\x{:02x}", u32::from(char))),
            '\u{100}'..='\u{ffff}' => written.push_str(&format!("\\u{:04x}", u32::from(char))),
            _ => written.push_str(&format!("\\U{:08x}", u32::from(char))),
        }
    }
    written.push('"');
    written
}

/// Text in lines of its own, if it can be written so.
fn literal(text: &str, indent: usize) -> Option<String> {
    let (lines, sign) = match text.strip_suffix('\n') {
        Some(lines) => (lines, "|"),
        None => (text, "|-"),
    };
    let fits = |line: &str| can_print(line) && !line.ends_with(' ');
    if lines.is_empty() || lines.starts_with([' ', '\n']) || lines.ends_with('\n') || !lines.split('\n').all(fits) {
        return None;
    }
    let indent = " ".repeat(indent);
    let lines: Vec<String> = lines
        .split('\n')
        .map(|line| match line {
            "" => String::new(),
            line => format!("{indent}{line}"),
        })
        .collect();
    Some(format!("{sign}\n{}", lines.join("\n")))
}
