//! Changes values in a YAML text and preserves everything else: comments, order, spacing and quotes.
//!
//! Differences are removed one at a time, and the text is parsed again after each edit, until it has the requested
//! contents. Each step is small, and no locations have to be adjusted after an edit. [`update`](crate::update)
//! determines the requested contents.

use std::ops::Range;

use granit_parser::ScalarStyle;
use serde_json::Value;

use crate::source::{Kind, Node, Source, dash};
use crate::verdict::{Part, Place};

/// The maximum number of edits, more than any scenario needs.
const MOST_EDITS: usize = 2_000;

/// A range of the text and its replacement.
struct Edit {
    span: Range<usize>,
    text: String,
}

/// The context of a node that determines its line layout.
#[derive(Clone, Copy)]
struct Around {
    /// Whether the node is inside `[…]` or `{…}`.
    flow: bool,
    /// The zero-based column of the key or dash that the node belongs to. `None` for the root.
    column: Option<usize>,
}

/// Returns the text with the value at a place replaced or removed. Missing keys on the path are added. Returns `None`
/// if the text cannot be changed in this way: it is not valid YAML, or the path leads through a node that is neither a
/// mapping nor a list.
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
                    let around = around(&text, &source, &above);
                    Some(remove(&text, source.get(&above)?, around, last)?)
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

/// Wraps the value in a new mapping.
fn nested(value: Value, part: &Part) -> Option<Value> {
    match part {
        Part::Key(name) => Some(Value::Object([(name.clone(), value)].into_iter().collect())),
        Part::Item(_) => None,
    }
}

fn around(text: &str, source: &Source, place: &Place) -> Around {
    let mut around = Around {
        flow: false,
        column: None,
    };
    let mut node = &source.root;
    for part in &place.0 {
        around.flow |= is_flow(node);
        let Some((key, value)) = node.child(part) else {
            break;
        };
        around.column = match key {
            Some(key) => Some(column(text, key.span.start)),
            None => dash(text, value).map(|dash| column(text, dash)),
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

/// Returns the first edit that leads from the current to the requested contents, or `None` if they are equal.
fn differing(text: &str, node: &Node, around: Around, wanted: &Value) -> Option<Edit> {
    if reads(node, wanted) {
        return None;
    }
    match (&node.kind, wanted) {
        (Kind::Scalar(_, style), Value::String(wanted)) => {
            Some(replace(text, node, around, *style, wanted))
        }
        (Kind::Mapping { entries, flow }, Value::Object(wanted)) if !wanted.is_empty() => {
            for (key, value) in entries {
                let Kind::Scalar(name, _) = &key.kind else {
                    continue;
                };
                let inside = Around {
                    flow: around.flow || *flow,
                    column: Some(column(text, key.span.start)),
                };
                let edit = match wanted.get(name) {
                    Some(wanted) => differing(text, value, inside, wanted),
                    None => remove(text, node, around, &Part::Key(name.clone())),
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
                        column: dash(text, item).map(|dash| column(text, dash)),
                    };
                    differing(text, item, inside, wanted)
                }
                (Some(_), _) if head < old => remove(text, node, around, &Part::Item(head)),
                (_, Some(wanted)) if head < new => {
                    add(text, node, around, &Part::Item(head), wanted)
                }
                _ => None,
            }
        }
        _ => Some(put(text, node, around, inline(wanted))),
    }
}

/// Returns whether a node already has this value.
fn reads(node: &Node, wanted: &Value) -> bool {
    match (&node.kind, wanted) {
        (Kind::Scalar(said, _), Value::String(wanted)) => said == wanted && !node.is_left_out(),
        (Kind::Scalar(said, ScalarStyle::Plain), Value::Null) => {
            node.is_left_out() || said == "null"
        }
        (Kind::Scalar(said, ScalarStyle::Plain), Value::Bool(wanted)) => {
            said == if *wanted { "true" } else { "false" }
        }
        (Kind::Scalar(said, ScalarStyle::Plain), Value::Number(wanted)) => said
            .parse()
            .is_ok_and(|said: serde_json::Number| said == *wanted),
        (Kind::Mapping { entries, .. }, Value::Object(wanted)) => {
            let known = |(key, value): &(Node, Node)| match &key.kind {
                Kind::Scalar(name, _) => wanted.get(name).is_some_and(|it| reads(value, it)),
                _ => false,
            };
            entries.len() == wanted.len() && entries.iter().all(known)
        }
        (Kind::Sequence { items, .. }, Value::Array(wanted)) => {
            let both = items.iter().zip(wanted);
            items.len() == wanted.len() && both.into_iter().all(|(item, it)| reads(item, it))
        }
        _ => false,
    }
}

/// Adds a key, or an item before the one that currently has its index.
fn add(text: &str, node: &Node, around: Around, part: &Part, value: &Value) -> Option<Edit> {
    match (&node.kind, part) {
        (Kind::Mapping { entries, flow }, Part::Key(name)) => {
            let entry = format!("{}: {}", quoted(name), inline(value));
            let Some((first, last)) = entries.first().zip(entries.last()) else {
                return Some(put(text, node, around, format!("{{ {entry} }}")));
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
                return Some(put(text, node, around, format!("[{value}]")));
            }
            match (
                items.get(*number),
                number.checked_sub(1).and_then(|it| items.get(it)),
            ) {
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
        // An empty expectation can be replaced by any value.
        (Kind::Scalar(said, ScalarStyle::Plain), Part::Key(_))
            if said.is_empty() || said == "~" || said == "null" =>
        {
            Some(put(
                text,
                node,
                around,
                inline(&nested(value.clone(), part)?),
            ))
        }
        _ => None,
    }
}

/// Removes a key or an item, including its lines in block style. A collection that becomes empty keeps its brackets.
fn remove(text: &str, node: &Node, around: Around, part: &Part) -> Option<Edit> {
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
        (None, None) => return Some(put(text, node, around, empty.to_owned())),
        (Some(before), _) if flow => before.end..own.end,
        (None, Some(after)) if flow => own.start..after.start,
        // The whole line belongs to it, from the end of the previous line to its own end.
        (Some(_), _) => {
            let line = text.get(..own.start)?.rfind('\n')?;
            line..line_end(text, own.end)
        }
        (None, Some(after)) => {
            let line = own.start - column_bytes(text, own.start);
            match text.get(line..own.start)?.trim().is_empty() {
                true => line..(line_end(text, own.end) + 1).min(after.start),
                // What shares its line with a dash leaves the dash to the next.
                false => own.start..after.start,
            }
        }
    };
    Some(Edit {
        span,
        text: String::new(),
    })
}

/// Replaces the text of a scalar, in the same style if that style can represent the new text.
fn replace(text: &str, node: &Node, around: Around, style: ScalarStyle, wanted: &str) -> Edit {
    let lines = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded)
        || (wanted.trim_end_matches('\n').contains('\n') && !around.flow);
    let written = match style {
        _ if lines && !around.flow => literal(wanted, around.column.map_or(0, |column| column + 2)),
        ScalarStyle::DoubleQuoted => Some(double(wanted)),
        ScalarStyle::SingleQuoted if can_print(wanted) => Some(single(wanted)),
        _ => None,
    };
    put(
        text,
        node,
        around,
        written.unwrap_or_else(|| quoted(wanted)),
    )
}

/// Replaces a value, or writes one that is omitted after its key.
fn put(text: &str, node: &Node, around: Around, written: String) -> Edit {
    if node.is_left_out() {
        return at(node.span.start, format!(" {written}"));
    }
    let line = node.span.start - column_bytes(text, node.span.start);
    let before = text.get(line..node.span.start).unwrap_or_default();
    // A list in lines may stand as far left as its key; other values may not.
    let least = match around.column {
        Some(column) if before.trim().is_empty() && !around.flow => column + 2,
        _ => 0,
    };
    let missing = least.saturating_sub(before.chars().count());
    Edit {
        span: node.span.clone(),
        text: format!("{}{written}", " ".repeat(missing)),
    }
}

fn at(at: usize, text: String) -> Edit {
    Edit { span: at..at, text }
}

/// Returns the zero-based column of a byte, in characters.
fn column(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    let line = before
        .rfind('\n')
        .map_or(before, |end| before.get(end + 1..).unwrap_or_default());
    line.chars().count()
}

/// Returns the offset of a byte from the start of its line.
fn column_bytes(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before.len() - before.rfind('\n').map_or(0, |end| end + 1)
}

/// Returns the end of the line that contains a byte, before the line break.
fn line_end(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let line = rest.split('\n').next().unwrap_or_default();
    from + line.strip_suffix('\r').unwrap_or(line).len()
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

/// Quotes text only where necessary in any version of YAML, also inside brackets.
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

/// Formats text as a literal block scalar, if possible.
fn literal(text: &str, indent: usize) -> Option<String> {
    let (lines, sign) = match text.strip_suffix('\n') {
        Some(lines) => (lines, "|"),
        None => (text, "|-"),
    };
    let fits = |line: &str| can_print(line) && !line.ends_with(' ');
    if lines.is_empty()
        || lines.starts_with([' ', '\n'])
        || lines.ends_with('\n')
        || !lines.split('\n').all(fits)
    {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::verdict::at;

    #[track_caller]
    fn becomes(before: &str, place: &[&str], wanted: Value, after: &str) {
        assert_eq!(
            set(before, &at(place), Some(&wanted)).as_deref(),
            Some(after)
        );
    }

    #[test]
    fn scalar_style_and_comments_are_preserved() {
        becomes("a: 1 # one\nb: 2\n", &["a"], json!(3), "a: 3 # one\nb: 2\n");
        becomes(
            "a: {b: 'x', c: 1}\n",
            &["a", "b"],
            json!("it's"),
            "a: {b: 'it''s', c: 1}\n",
        );
        becomes("a: \"x\"\n", &["a"], json!("y\u{ff}"), "a: \"y\\xff\"\n");
        becomes("a: x\n", &["a"], json!("true"), "a: \"true\"\n");
        becomes("a: x\n", &["a"], json!("say \"so\""), "a: 'say \"so\"'\n");
        becomes(
            "a:  # left out\nb: 2\n",
            &["a"],
            json!(1),
            "a: 1  # left out\nb: 2\n",
        );
        becomes("a: x", &["a"], json!("z"), "a: z");
    }

    #[test]
    fn multiline_string_is_written_as_block_scalar() {
        becomes(
            "a:\n  b: |   # why\n    one\n    two\n\n  c: 1\n",
            &["a", "b"],
            json!("one\n\nthree\n"),
            "a:\n  b: |\n    one\n\n    three\n\n  c: 1\n",
        );
        becomes(
            "a: x\nb: 1\n",
            &["a"],
            json!("x\ny"),
            "a: |-\n  x\n  y\nb: 1\n",
        );
        becomes(
            "- a: x\n",
            &["0", "a"],
            json!("x\ny\n"),
            "- a: |\n    x\n    y\n",
        );
        becomes(
            "a: {b: x}\n",
            &["a", "b"],
            json!("x\ny"),
            "a: {b: \"x\\ny\"}\n",
        );
        becomes("a: |\n  x\n", &["a"], json!("\u{0}"), "a: \"\\x00\"\n");
    }

    #[test]
    fn items_and_keys_are_inserted_and_removed() {
        let list = "l:\n# first\n- a # A\n# second\n- b # B\n- c # C\nm: 1\n";
        becomes(
            list,
            &["l"],
            json!(["a", "x", "c"]),
            &list.replace("- b", "- x"),
        );
        becomes(
            list,
            &["l"],
            json!(["a", "b", "x", "c"]),
            &list.replace("# B\n", "# B\n- x\n"),
        );
        becomes(
            list,
            &["l"],
            json!(["a", "b", "c", "x"]),
            &list.replace("# C\n", "# C\n- x\n"),
        );
        becomes(
            list,
            &["l"],
            json!(["x", "a", "b", "c"]),
            &list.replace("- a", "- x\n- a"),
        );
        becomes(
            list,
            &["l"],
            json!(["a", "c"]),
            &list.replace("- b # B\n", ""),
        );
        becomes(
            list,
            &["l"],
            json!(["b", "c"]),
            &list.replace("- a # A\n", ""),
        );
        becomes(list, &["l"], json!([]), "l:\n# first\n  [] # C\nm: 1\n");
        becomes(
            "l: [a, 'b', c]\n",
            &["l"],
            json!(["a", "c", "d"]),
            "l: [a, 'c', d]\n",
        );
        becomes("l: []\n", &["l"], json!(["a"]), "l: [a]\n");
        becomes("l: [a, b]\n", &["l"], json!(["b"]), "l: [b]\n");
        becomes(
            "m: { a: 1, b: 2 }\n",
            &["m"],
            json!({"b": 2, "c": [1]}),
            "m: { b: 2, c: [1] }\n",
        );
        becomes(
            "m:\n  a: 1 # one\nn: 1\n",
            &["m", "b"],
            json!(2),
            "m:\n  a: 1 # one\n  b: 2\nn: 1\n",
        );
        becomes(
            "m:\n  a: 1\n",
            &["m", "b", "c"],
            json!(2),
            "m:\n  a: 1\n  b: { c: 2 }\n",
        );
        becomes(
            "- path: /\n- x\n",
            &["0", "expect", "status"],
            json!(2),
            "- path: /\n  expect: { status: 2 }\n- x\n",
        );
        becomes("m:\n", &["m", "a"], json!(1), "m: { a: 1 }\n");
        assert_eq!(
            set("m:\n  a: 1\n  b: 2 # two\n  c: 3\n", &at(&["m", "b"]), None).as_deref(),
            Some("m:\n  a: 1\n  c: 3\n")
        );
        assert_eq!(
            set("- a: 1\n  b: 2\n", &at(&["0", "a"]), None).as_deref(),
            Some("- b: 2\n")
        );
    }

    #[test]
    fn uneditable_path_returns_none() {
        assert_eq!(set("a: [", &at(&["a"]), Some(&json!(1))), None);
        assert_eq!(set("a: x\n", &at(&["a", "b"]), Some(&json!(1))), None);
        assert_eq!(
            set("a: [1]\n", &at(&["a", "5", "b"]), Some(&json!(1))),
            None
        );
        assert_eq!(
            set("a: 1\n", &at(&["b"]), None).as_deref(),
            Some("a: 1\n"),
            "it is gone already"
        );
    }

    /// Values with texts that are difficult to write.
    fn values() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            Just("a".to_owned()),
            Just("200".to_owned()),
            Just("- a: b # c".to_owned()),
            Just("it's \"so\"".to_owned()),
            Just("one\ntwo\n".to_owned()),
            "[ a\n:#\\\\'\"\u{0}\u{ff}\u{85}-]{0,6}",
        ];
        let leaf = prop_oneof![
            text.prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            (0..300).prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-d]|200|x-y", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Writes a value in block style wherever possible, each with a comment above it.
    fn block(value: &Value, indent: usize) -> String {
        let above = format!("\n{0}# note\n{0}", " ".repeat(indent));
        match value {
            Value::Object(map) if !map.is_empty() => map
                .iter()
                .map(|(name, value)| {
                    format!("{above}{}: {}", quoted(name), block(value, indent + 2))
                })
                .collect(),
            Value::Array(items) if !items.is_empty() => items
                .iter()
                .map(|item| format!("{above}- {}", block(item, indent + 2)))
                .collect(),
            Value::String(text) => literal(text, indent).unwrap_or_else(|| quoted(text)),
            value => inline(value),
        }
    }

    fn said(value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(said).collect(),
            Value::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, value)| (name.clone(), said(value)));
                Value::Object(fields.collect())
            }
            Value::String(_) => value.clone(),
            value => Value::String(value.to_string()),
        }
    }

    proptest! {
        #[test]
        fn rewritten_text_parses_to_the_new_value(before in values(), after in values(), flow: bool) {
            let written = if flow { inline(&before) } else { block(&before, 2) };
            let text = format!("x: 1 # one\nv: {written}\n# end\ny: [2]\n");
            let read = |text: &str| serde_saphyr::from_str::<Value>(text).map_err(|error| {
                TestCaseError::fail(format!("{error}\n{text}"))
            });
            prop_assert_eq!(&read(&text)?["v"], &before);
            let changed = set(&text, &at(&["v"]), Some(&after));
            let changed = changed.ok_or_else(|| TestCaseError::fail("it cannot be changed"))?;
            // A plain `200` is accepted where a string is expected, so it is kept.
            prop_assert_eq!(said(&read(&changed)?["v"]), said(&after), "{}", changed);
            prop_assert_eq!(said(&read(&changed)?["y"]), json!(["2"]), "{}", changed);
            prop_assert!(changed.starts_with("x: 1 # one\n") && changed.ends_with("\n# end\ny: [2]\n"));
        }
    }
}
