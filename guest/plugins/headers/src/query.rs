//! Parameters in the query of a path. What is not edited keeps its place and its encoding.

use plugin_matching::percent_decode;

/// The first value of a parameter, decoded.
pub fn first_value(path: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let (_, query) = split(path);
    parameters(query?)
        .find(|parameter| decoded(parameter).0 == name)
        .map(|parameter| decoded(parameter).1)
}

/// What is done to a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Replaces all values with one, or adds the parameter.
    Set,
    /// Adds a value.
    Append,
    /// Adds the parameter if it is absent.
    AddIfAbsent,
    /// Replaces all values with one if the parameter exists.
    OverwriteIfExists,
    /// Removes the parameter.
    Remove,
}

/// Returns the path with a parameter changed.
pub fn change(path: &[u8], change: Change, name: &[u8], value: &[u8]) -> Vec<u8> {
    let (start, query) = split(path);
    let query = query.unwrap_or_default();
    let is_it = |parameter: &&[u8]| decoded(parameter).0 == name;
    let exists = parameters(query).any(|parameter| is_it(&parameter));
    let (keeps, adds) = match change {
        Change::Set => (false, true),
        Change::Append => (true, true),
        Change::AddIfAbsent => (true, !exists),
        Change::OverwriteIfExists => (!exists, exists),
        Change::Remove => (false, false),
    };
    let mut changed = start.to_vec();
    let mut separator = b'?';
    let mut adds = adds;
    for parameter in parameters(query) {
        if keeps || !is_it(&parameter) {
            changed.push(separator);
            changed.extend_from_slice(parameter);
        } else if adds {
            // A new value stands where the first of the former ones stood.
            changed.push(separator);
            push_parameter(&mut changed, name, value);
            adds = false;
        } else {
            continue;
        }
        separator = b'&';
    }
    if adds {
        changed.push(separator);
        push_parameter(&mut changed, name, value);
    }
    changed
}

/// Splits a path before its query, which begins after a question mark. A request has no fragment.
pub fn split(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path
        .iter()
        .position(|byte| *byte == b'?')
        .and_then(|at| path.split_at_checked(at))
    {
        Some((start, query)) => (start, query.get(1..)),
        None => (path, None),
    }
}

fn parameters(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query
        .split(|byte| *byte == b'&')
        .filter(|parameter| !parameter.is_empty())
}

/// Name and value of a parameter, decoded.
fn decoded(parameter: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let end = parameter
        .iter()
        .position(|byte| *byte == b'=')
        .unwrap_or(parameter.len());
    let (name, value) = parameter.split_at_checked(end).unwrap_or((parameter, b""));
    (decode(name), decode(value.get(1..).unwrap_or_default()))
}

fn decode(text: &[u8]) -> Vec<u8> {
    std::str::from_utf8(text).map_or_else(|_| text.to_vec(), percent_decode)
}

fn push_parameter(path: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    push_encoded(path, name);
    path.push(b'=');
    push_encoded(path, value);
}

fn push_encoded(path: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            path.push(*byte);
        } else {
            path.push(b'%');
            for digit in [byte >> 4, byte & 15] {
                path.push(if digit < 10 {
                    b'0' + digit
                } else {
                    b'A' - 10 + digit
                });
            }
        }
    }
}
