//! What is asked of any object's metadata, by Kubernetes and, of annotations, by istiod.
//!
//! Each says what is wrong with a node, or nothing. Which node it is asked of is in `table/metadata.rs`.

use super::super::schema::Fault;
use crate::resource::names;
use crate::yaml::{Node, Value, excerpt};

/// How many bytes all annotations of an object may have together.
const MOST_ANNOTATIONS: usize = 256 << 10;

/// Annotations that istiod keeps to itself.
const ISTIODS: [&str; 4] = [
    "istio.io/dry-run",
    "internal.istio.io/webhook-always-reject",
    "internal.istio.io/parent-namespace",
    "internal.istio.io/parents",
];

const NOT_QUALIFIED: &str = "is no qualified name: use at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at \
     both ends, and before it, if wanted, a DNS name and a `/`";

/// Some annotations are refused.
pub fn not_istiods(node: &Node) -> Option<Fault> {
    let entries = &node.mapping()?.entries;
    let entry = entries
        .iter()
        .find(|entry| ISTIODS.contains(&entry.key.name.as_str()))?;
    Fault::at(
        &entry.key.name,
        entry.key.position,
        "istiod refuses this annotation on plugins: take it away",
    )
}

/// An object has a name, or what one is made from.
pub fn named(node: &Node) -> Option<Fault> {
    let has = |name: &str| {
        node.get(name)
            .is_some_and(|node| node.text().is_some_and(|text| !text.is_empty()))
    };
    if has("name") || has("generateName") {
        return None;
    }
    Fault::here("has no name: add `name`, or `generateName` for `kubectl create`")
}

/// A DNS subdomain.
pub fn object_name(node: &Node) -> Option<Fault> {
    let text = node.text()?;
    // That there is one is another rule.
    if text.is_empty() || names::is_dns_subdomain(text) {
        return None;
    }
    Fault::here(format!(
        "`{}` is no name of an object: use at most 253 lower case letters, digits, `-` and `.`, with a letter or digit at both \
         ends and around each `.`",
        excerpt(text)
    ))
}

/// A DNS subdomain once something is behind it.
pub fn name_prefix(node: &Node) -> Option<Fault> {
    let text = node.text()?;
    // The last but one goes with the hyphen, so that no second one can stand before it: that is Kubernetes' own arithmetic.
    let masked = match text.strip_suffix('-') {
        Some(before) if !before.is_empty() => {
            let mut chars = before.chars();
            chars.next_back();
            format!("{}a", chars.as_str())
        }
        _ => text.to_owned(),
    };
    if text.is_empty() || names::is_dns_subdomain(&masked) {
        return None;
    }
    Fault::here(format!(
        "`{}` begins no name of an object: use lower case letters, digits, `-` and `.`, with a letter or digit first",
        excerpt(text)
    ))
}

/// A DNS label.
pub fn namespace(node: &Node) -> Option<Fault> {
    let text = node.text()?;
    if text.is_empty() || names::is_dns_label(text) {
        return None;
    }
    Fault::here(format!(
        "`{}` is no name of a namespace: use at most 63 lower case letters, digits and `-`, with a letter or digit at both ends",
        excerpt(text)
    ))
}

/// Labels' keys.
pub fn label_keys(node: &Node) -> Option<Fault> {
    let entries = &node.mapping()?.entries;
    let entry = entries
        .iter()
        .find(|entry| !names::is_qualified_name(&entry.key.name))?;
    Fault::at(&entry.key.name, entry.key.position, NOT_QUALIFIED)
}

/// Labels' values.
pub fn label_value(node: &Node) -> Option<Fault> {
    let text = node.text()?;
    if names::is_label_value(text) {
        return None;
    }
    Fault::here(format!(
        "`{}` is no value of a label: use at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
        excerpt(text)
    ))
}

/// Annotations' keys, in which case does not matter.
pub fn annotation_keys(node: &Node) -> Option<Fault> {
    let entries = &node.mapping()?.entries;
    let entry = entries
        .iter()
        .find(|entry| !names::is_qualified_name(&entry.key.name.to_lowercase()))?;
    Fault::at(&entry.key.name, entry.key.position, NOT_QUALIFIED)
}

/// All annotations together.
pub fn annotations_size(node: &Node) -> Option<Fault> {
    let bytes: usize = node
        .mapping()?
        .entries
        .iter()
        .map(|entry| entry.key.name.len() + entry.value.text().map_or(0, str::len))
        .sum();
    if bytes <= MOST_ANNOTATIONS {
        return None;
    }
    Fault::here(format!(
        "annotations have {bytes} bytes together, and {MOST_ANNOTATIONS} are the most: move data elsewhere"
    ))
}

/// A finalizer's name.
pub fn finalizer(node: &Node) -> Option<Fault> {
    if names::is_qualified_name(node.text()?) {
        return None;
    }
    Fault::here(NOT_QUALIFIED)
}

/// What becomes of an object's dependents is said once.
pub fn one_deletion(node: &Node) -> Option<Fault> {
    let items = node.items()?;
    let at = |name| items.iter().position(|item| item.text() == Some(name));
    let second = at("orphan")?.max(at("foregroundDeletion")?);
    Fault::item(
        second,
        items.get(second)?.position,
        "`orphan` and `foregroundDeletion` exclude each other: keep one of them",
    )
}

/// The version of an API, with its group or without.
pub fn api_version(node: &Node) -> Option<Fault> {
    let text = node.text()?;
    let version = match text.split_once('/') {
        Some((_, version)) => version,
        None => text,
    };
    if !version.is_empty() && !version.contains('/') {
        return None;
    }
    Fault::here(format!(
        "`{}` names no version of an API: write it as in `v1` or `apps/v1`",
        excerpt(text)
    ))
}

/// Events are nobody's owners.
pub fn no_event(node: &Node) -> Option<Fault> {
    let text = |name| node.get(name).and_then(Node::text);
    let is_event =
        text("kind") == Some("Event") && matches!(text("apiVersion"), Some("v1" | "/v1"));
    is_event.then(|| Fault::here("an Event owns nothing: take this reference away"))?
}

/// Of all owners one may be the controller. Of a reference that is there twice, one is taken away before.
pub fn one_controller(node: &Node) -> Option<Fault> {
    let mut controllers = node.items()?.iter().enumerate().filter(|(_, item)| {
        let controller = item.get("controller");
        controller.is_some_and(|controller| controller.value == Value::Bool(true))
    });
    let (_, first) = controllers.next()?;
    let names = ["apiVersion", "kind", "name", "uid", "blockOwnerDeletion"];
    let (index, second) = controllers.find(|(_, item)| {
        let value = |item: &Node, name| item.get(name).map(Node::to_json).unwrap_or_default();
        names
            .iter()
            .any(|name| value(item, name) != value(first, name))
    })?;
    Fault::item(
        index,
        second.position,
        "is the second owner that is to be the controller: leave `controller: true` to one of them",
    )
}

/// A time as Go reads one of RFC 3339, which is a little more than the RFC has: an hour may have one digit, and seconds a comma.
pub fn time(node: &Node) -> Option<Fault> {
    let text = node.text()?;
    if is_time(text).is_some() {
        return None;
    }
    Fault::here(format!(
        "`{}` is no time as in `2026-01-02T03:04:05Z`; the API server writes this field itself: take it away",
        excerpt(text)
    ))
}

fn is_time(text: &str) -> Option<()> {
    let (date, time) = text.split_once('T')?;
    let (year, date) = (date.get(..4)?, date.get(4..)?);
    let (month, day) = date.strip_prefix('-')?.split_once('-')?;
    let (year, month) = (number(year, 4, 9999)?, number(month, 2, 12)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if number(day, 2, days)? == 0 {
        return None;
    }
    let (hour, time) = time.split_once(':')?;
    number(hour, hour.len().clamp(1, 2), 23)?;
    let (minute, time) = time.split_once(':')?;
    number(minute, 2, 59)?;
    let (second, mut zone) = (time.get(..2)?, time.get(2..)?);
    number(second, 2, 59)?;
    if let Some(fraction) = zone.strip_prefix(['.', ',']) {
        let after = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
        if after.len() == fraction.len() {
            return None;
        }
        zone = after;
    }
    if zone == "Z" {
        return Some(());
    }
    let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
    number(hours, 2, 24)?;
    number(minutes, 2, 60)?;
    Some(())
}

/// So many digits, and a number up to a bound.
fn number(text: &str, digits: usize, most: u32) -> Option<u32> {
    let fits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| fits && *number <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_go() {
        for time in [
            "2026-01-02T03:04:05Z",
            "2024-02-29T23:59:59.123456789+24:60",
            "2000-02-29T3:04:05,5-07:00",
            "0000-01-01T00:00:00Z",
        ] {
            assert!(is_time(time).is_some(), "{time}");
        }
        for time in [
            "",
            "2026-01-02",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05z",
            "2026-02-29T03:04:05Z",
            "1900-02-29T03:04:05Z",
            "2026-13-01T03:04:05Z",
            "2026-00-01T03:04:05Z",
            "2026-01-00T03:04:05Z",
            "2026-1-02T03:04:05Z",
            "2026-01-02T24:04:05Z",
            "2026-01-02T003:04:05Z",
            "2026-01-02T03:60:05Z",
            "2026-01-02T03:04:60Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05+0700",
            "2026-01-02T03:04:05+25:00",
            "ä026-01-02T03:04:05Z",
        ] {
            assert!(is_time(time).is_none(), "{time}");
        }
    }
}
