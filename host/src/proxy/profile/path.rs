//! Normalizes paths as Envoy's connection manager does.
//!
//! The steps, in Envoy's order: the fragment, escaped slashes, parameters of dot segments, the canonical form, and adjacent slashes. The
//! query is never changed.
//!
//! The canonical form is that of the URL library which Envoy uses. It differs from RFC 3986 in a few points: backslashes are slashes, some
//! characters are escaped, `%00` is an error, and hexadecimal digits keep their case. The tests in `tests/tests/profiles` compare it with
//! Envoy.

use super::{EdgeSettings, EscapedSlashes, Fragment};

/// What happens to the request after its path has been normalized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It continues with the path.
    Continue,
    /// The response is a redirect to the path.
    Redirect,
    /// The response is 400.
    Reject,
}

/// Normalizes a path with its query. Returns the new path if it differs.
pub(super) fn normalize(settings: &EdgeSettings, target: &[u8]) -> (Action, Option<Vec<u8>>) {
    if is_normal(target) {
        return (Action::Continue, None);
    }
    let mut changed = target.to_vec();
    let action = apply(settings, &mut changed);
    (action, (changed != target).then_some(changed))
}

/// Returns whether no step changes or rejects a path. This is the case for most paths.
fn is_normal(target: &[u8]) -> bool {
    // A fragment may follow the query.
    if target.contains(&b'#') {
        return false;
    }
    let path = target.get(..query_start(target)).unwrap_or_default();
    let is_plain = |byte: &u8| *byte != b'%' && *byte != b'\\' && !is_escaped(*byte);
    path.iter().all(is_plain) && !path.windows(2).any(|pair| pair == b"//" || pair == b"/.")
}

fn apply(settings: &EdgeSettings, target: &mut Vec<u8>) -> Action {
    if let Some(start) = target.iter().position(|byte| *byte == b'#') {
        match settings.fragment {
            Fragment::Reject => return Action::Reject,
            Fragment::Strip => target.truncate(start),
        }
    }
    let query = target.split_off(query_start(target));
    let action = apply_to_path(settings, target);
    target.extend(query);
    action
}

fn apply_to_path(settings: &EdgeSettings, path: &mut Vec<u8>) -> Action {
    let mut action = Action::Continue;
    if settings.path_with_escaped_slashes_action != EscapedSlashes::KeepUnchanged
        && let Some(unescaped) = unescape_slashes(path)
    {
        *path = unescaped;
        match settings.path_with_escaped_slashes_action {
            EscapedSlashes::RejectRequest => return Action::Reject,
            EscapedSlashes::UnescapeAndRedirect => action = Action::Redirect,
            EscapedSlashes::KeepUnchanged | EscapedSlashes::UnescapeAndForward => {}
        }
    }
    if settings.normalize_path {
        remove_parameters(path);
        match canonical(path) {
            Some(canonical) => *path = canonical,
            None => return Action::Reject,
        }
    }
    if settings.merge_slashes {
        merge_slashes(path);
    }
    action
}

/// Returns where the query starts, including its `?`, or the length if there is none.
fn query_start(target: &[u8]) -> usize {
    let start = target.iter().position(|byte| *byte == b'?');
    start.unwrap_or(target.len())
}

/// Replaces escaped slashes and backslashes. Returns `None` if there are none.
fn unescape_slashes(path: &[u8]) -> Option<Vec<u8>> {
    let mut unescaped = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, after @ ..] = rest {
        match rest {
            [b'%', b'2', b'F' | b'f', after @ ..] => {
                unescaped.push(b'/');
                rest = after;
            }
            [b'%', b'5', b'C' | b'c', after @ ..] => {
                unescaped.push(b'\\');
                rest = after;
            }
            _ => {
                unescaped.push(*first);
                rest = after;
            }
        }
    }
    (unescaped.len() < path.len()).then_some(unescaped)
}

/// Removes the parameters of dot segments: `/a/..;b/c` becomes `/a/../c`. Releases of Envoy before 1.40 do not do this.
fn remove_parameters(path: &mut Vec<u8>) {
    if !path.windows(2).any(|pair| pair == b".;") {
        return;
    }
    let segments = path.split(|byte| *byte == b'/').map(|segment| {
        if segment.starts_with(b"..;") {
            b".."
        } else if segment.starts_with(b".;") {
            b"."
        } else {
            segment
        }
    });
    *path = segments.collect::<Vec<_>>().join(&b'/');
}

/// Merges adjacent slashes. As in Envoy, a path that consists of several slashes becomes two slashes.
fn merge_slashes(path: &mut Vec<u8>) {
    let has_name = path.iter().any(|byte| *byte != b'/');
    match has_name {
        true => path.dedup_by(|next, last| *next == b'/' && *last == b'/'),
        false => path.truncate(2),
    }
}

/// Returns the canonical form of a path that starts with a slash. Returns `None` if it contains a null byte.
fn canonical(path: &[u8]) -> Option<Vec<u8>> {
    let mut out = Canonical {
        path,
        out: vec![b'/'],
        invalid_percent: None,
    };
    let is_slash = |byte: &u8| matches!(byte, b'/' | b'\\');
    let mut start = 1;
    while start <= path.len() {
        let rest = path.get(start..).unwrap_or_default();
        let length = rest.iter().position(is_slash);
        let end = length.map_or(path.len(), |length| start + length);
        match Segment::of(path.get(start..end).unwrap_or_default()) {
            Segment::Current => {}
            Segment::Parent => out.back_up(),
            Segment::Name => {
                out.push_name(start, end)?;
                if length.is_some() {
                    out.out.push(b'/');
                }
            }
        }
        start = end + 1;
    }
    Some(out.out)
}

/// The meaning of a segment of a path.
enum Segment {
    /// One dot.
    Current,
    /// Two dots.
    Parent,
    /// Anything else.
    Name,
}

/// A canonical path in the making.
struct Canonical<'a> {
    /// The path as received.
    path: &'a [u8],
    /// The canonical form so far. It starts with a slash.
    out: Vec<u8>,
    /// Where the last `%` was written that did not begin an escape, unless its segment has been removed.
    invalid_percent: Option<usize>,
}

// === impl Segment ===

impl Segment {
    fn of(segment: &[u8]) -> Self {
        let Some(rest) = without_dot(segment) else {
            return Self::Name;
        };
        match (rest.is_empty(), without_dot(rest)) {
            (true, _) => Self::Current,
            (false, Some([])) => Self::Parent,
            (false, _) => Self::Name,
        }
    }
}

/// Returns what follows a dot, which may be escaped.
fn without_dot(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b'.', rest @ ..] | [b'%', b'2', b'E' | b'e', rest @ ..] => Some(rest),
        _ => None,
    }
}

// === impl Canonical ===

impl Canonical<'_> {
    /// Removes the last segment. The result ends with a slash.
    fn back_up(&mut self) {
        let last = self.out.len().saturating_sub(1);
        let before = self.out.get(..last).unwrap_or_default();
        let slash = before.iter().rposition(|byte| *byte == b'/');
        self.out.truncate(slash.unwrap_or(0) + 1);
        self.invalid_percent = None;
    }

    /// Writes a segment of the received path.
    fn push_name(&mut self, start: usize, end: usize) -> Option<()> {
        let mut at = start;
        while at < end {
            let Some(&byte) = self.path.get(at) else {
                break;
            };
            let rest = self.path.get(at..end).unwrap_or_default();
            match (byte, escape(rest)) {
                (0, _) | (b'%', Some(0)) => return None,
                (b'%', Some(value)) if is_unreserved(value) => {
                    self.out.push(value);
                    self.protect_percent(at + 3);
                    at += 3;
                }
                (b'%', Some(_)) => {
                    self.out.extend(rest.iter().take(3));
                    at += 3;
                }
                (b'%', None) => {
                    self.invalid_percent = Some(self.out.len());
                    self.out.push(byte);
                    at += 1;
                }
                _ => {
                    self.push_escaped(byte);
                    at += 1;
                }
            }
        }
        Some(())
    }

    fn push_escaped(&mut self, byte: u8) {
        if !is_escaped(byte) {
            return self.out.push(byte);
        }
        let digit = |nibble: u8| char::from_digit(nibble.into(), 16).map_or(b'0', |it| it as u8);
        let digits = [digit(byte >> 4), digit(byte & 15)].map(|it| it.to_ascii_uppercase());
        self.out.push(b'%');
        self.out.extend(digits);
    }

    /// Escapes a `%` that would begin an escape with the character that was just unescaped: `%%30%30` does not become `%00`. `next` is
    /// where the received path continues.
    fn protect_percent(&mut self, next: usize) {
        let Some(percent) = self.invalid_percent else {
            return;
        };
        let [first, second] = match *self.out.get(percent + 1..).unwrap_or_default() {
            // The next character may complete the escape.
            [first] => match self.path.get(next) {
                Some(second) => [first, *second],
                None => return,
            },
            [first, second] => [first, second],
            _ => return,
        };
        if first.is_ascii_hexdigit() && second.is_ascii_hexdigit() {
            self.out.splice(percent + 1..percent + 1, *b"25");
        }
    }
}

/// Returns the value of an escape at the start of a text.
fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = *text else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Returns whether a character is unescaped: those that RFC 3986 calls unreserved.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Returns whether a character is escaped.
fn is_escaped(byte: u8) -> bool {
    !byte.is_ascii_graphic() || b"\"#<>?^`{|}".contains(&byte)
}

#[cfg(test)]
mod tests;
