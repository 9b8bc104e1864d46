//! Compares the transcripts of two runtimes.
//!
//! The comparison covers: whether the proxy served; for every exchange, the status, every header and trailer (in order
//! for each name), the body, and whether the response was complete; the same for every complete request at the
//! upstream, and for every complete call at each cluster; and every plugin's log lines with their levels, in order. The
//! exceptions are listed in `testkit/proxy-owned-fields.txt`, and there are two more. Clock readings in log lines
//! (nanoseconds between 2020 and 2100) are ignored, because they differ between runs. Whether an aborted request reached
//! the upstream or a cluster, and how much of it, is ignored, because this depends on timing.
//! Metrics are not compared: plugins that Envoy runs on its main thread change them, too.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::octets::Octets;
use crate::scenario::{Profile, Scenario};
use crate::transcript::{Line, Received, Seen, Transcript};

/// The fields that belong to the proxy.
#[derive(Debug, Clone, Default)]
pub struct Owned {
    request: Vec<String>,
    response: Vec<String>,
    /// Those of `request`, and more.
    call: Vec<String>,
    /// Those that are added to `request` for a profile other than `envoy`.
    profile: Vec<String>,
}

/// Returns the differences, one entry each. The list is empty if the runtimes agree.
pub fn differences(owned: &Owned, left: &Transcript, right: &Transcript) -> Vec<String> {
    let mut found = Vec::new();
    pair(&mut found, "failed to start", &left.refused, &right.refused);
    lines(&mut found, "while starting", &left.start, &right.start);
    count(
        &mut found,
        "exchanges",
        left.exchanges.len(),
        right.exchanges.len(),
    );
    for (number, (left, right)) in left.exchanges.iter().zip(&right.exchanges).enumerate() {
        exchange(
            &mut found,
            owned,
            &format!("response {} ({})", number + 1, left.request),
            left,
            right,
        );
    }
    requests(
        &mut found,
        &owned.request,
        ["requests that reached upstream", "request", "at upstream"],
        &left.received,
        &right.received,
    );
    for (cluster, calls) in &left.calls {
        let others = right.calls.get(cluster).map(Vec::as_slice);
        requests(
            &mut found,
            &owned.call,
            [
                &format!("calls that reached cluster {cluster}"),
                "call",
                &format!("at cluster {cluster}"),
            ],
            calls,
            others.unwrap_or_default(),
        );
    }
    lines(&mut found, "", &left.lines, &right.lines);
    found
}

// === impl Owned ===

impl Owned {
    /// Returns the fields owned by Tidegate's host and by Envoy, from `testkit/proxy-owned-fields.txt`.
    pub fn known() -> Result<Self> {
        Self::parse(include_str!("../proxy-owned-fields.txt"))
            .context("proxy-owned-fields.txt cannot be read")
    }

    /// Returns the fields for a scenario.
    pub fn of(&self, scenario: &Scenario) -> Cow<'_, Self> {
        if matches!(scenario.profile, None | Some(Profile::Envoy)) {
            return Cow::Borrowed(self);
        }
        let mut owned = self.clone();
        owned.request.extend_from_slice(&self.profile);
        Cow::Owned(owned)
    }

    /// Parses a list with `request NAME`, `response NAME`, `call NAME` or `profile NAME` on each line. A name that ends in `*` stands for
    /// all names that begin like it. `#` starts a comment.
    fn parse(text: &str) -> Result<Self> {
        let mut owned = Self::default();
        for (number, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default();
            match entry.split_whitespace().collect::<Vec<_>>()[..] {
                [] => {}
                ["request", name] => {
                    owned.request.push(name.to_owned());
                    owned.call.push(name.to_owned());
                }
                ["response", name] => owned.response.push(name.to_owned()),
                ["call", name] => owned.call.push(name.to_owned()),
                ["profile", name] => owned.profile.push(name.to_owned()),
                _ => bail!(
                    "line {}: `{line}` is not `request NAME`, `response NAME`, `call NAME` or `profile NAME`",
                    number + 1
                ),
            }
        }
        Ok(owned)
    }
}

// === Parts ===

fn exchange(found: &mut Vec<String>, owned: &Owned, of: &str, left: &Seen, right: &Seen) {
    let (status, other) = (Number(left.status), Number(right.status));
    pair(found, &format!("{of}: status"), &status, &other);
    pair(found, &format!("{of}: broken"), &left.broken, &right.broken);
    fields(found, of, &owned.response, &left.headers, &right.headers);
    pair(found, &format!("{of}: body"), &left.body, &right.body);
    let of = format!("{of}: trailers");
    fields(found, &of, &[], &left.trailers, &right.trailers);
}

/// `names` contains what is counted, what one of them is, and where they are.
fn requests(
    found: &mut Vec<String>,
    owned: &[String],
    names: [&str; 3],
    left: &[Received],
    right: &[Received],
) {
    let (left, right) = (whole(left), whole(right));
    let [what, one, place] = names;
    count(found, what, left.len(), right.len());
    for (number, (left, right)) in left.into_iter().zip(right).enumerate() {
        let of = format!("{one} {} {place}", number + 1);
        received(found, owned, &of, left, right);
    }
}

fn whole(received: &[Received]) -> Vec<&Received> {
    received
        .iter()
        .filter(|received| received.complete)
        .collect()
}

fn received(
    found: &mut Vec<String>,
    owned: &[String],
    of: &str,
    left: &Received,
    right: &Received,
) {
    pair(found, &format!("{of}: method"), &left.method, &right.method);
    pair(found, &format!("{of}: path"), &left.path, &right.path);
    let (step, other) = (Number(left.of), Number(right.of));
    pair(found, &format!("{of}: of step"), &step, &other);
    fields(found, of, owned, &left.headers, &right.headers);
    pair(found, &format!("{of}: body"), &left.body, &right.body);
    let of = format!("{of}: trailers");
    fields(found, &of, &[], &left.trailers, &right.trailers);
}

/// The order is compared only among values of the same name: HTTP defines no order between names, and proxies do not
/// preserve one.
fn fields(
    found: &mut Vec<String>,
    of: &str,
    owned: &[String],
    left: &[(String, Octets)],
    right: &[(String, Octets)],
) {
    let (left, right) = (by_name(owned, left), by_name(owned, right));
    let names: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let none = Vec::new();
    for name in names {
        let (left, right) = (
            left.get(name).unwrap_or(&none),
            right.get(name).unwrap_or(&none),
        );
        pair(found, &format!("{of}: {name}"), left, right);
    }
}

fn by_name<'a>(
    owned: &[String],
    fields: &'a [(String, Octets)],
) -> BTreeMap<&'a str, Vec<&'a Octets>> {
    let mut grouped: BTreeMap<&str, Vec<&Octets>> = BTreeMap::new();
    let is_owned = |name: &str| {
        owned.iter().any(|it| match it.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => it == name,
        })
    };
    for (name, value) in fields.iter().filter(|(name, _)| !is_owned(name)) {
        grouped.entry(name).or_default().push(value);
    }
    grouped
}

fn lines(found: &mut Vec<String>, when: &str, left: &[Line], right: &[Line]) {
    let shown = |lines: &[Line]| {
        lines
            .iter()
            .map(|line| without_clock(&line.to_string()))
            .collect::<Vec<_>>()
    };
    let (left, right) = (shown(left), shown(right));
    if left == right {
        return;
    }
    let same = left
        .iter()
        .zip(&right)
        .take_while(|(left, right)| left == right)
        .count();
    let at = |lines: &[String]| {
        lines
            .get(same)
            .map_or("nothing".to_owned(), |line| format!("`{line}`"))
    };
    let when = if when.is_empty() {
        String::new()
    } else {
        format!(" {when}")
    };
    found.push(format!(
        "log{when}, line {}: {} versus {} (of {} and {} lines)",
        same + 1,
        at(&left),
        at(&right),
        left.len(),
        right.len()
    ));
}

/// From 2020 to 2100, in nanoseconds since the epoch.
const CLOCK: std::ops::Range<u64> = 1_577_836_800_000_000_000..4_102_444_800_000_000_000;

/// Replaces clock readings in nanoseconds with a placeholder. Other numbers are kept, regardless of their length.
fn without_clock(line: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for character in line.chars().chain(['\n']) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        let reading = digits.parse().is_ok_and(|number| CLOCK.contains(&number));
        out.push_str(if reading { "<nanoseconds>" } else { &digits });
        digits.clear();
        out.push(character);
    }
    out.pop();
    out
}

fn count(found: &mut Vec<String>, what: &str, left: usize, right: usize) {
    pair(found, &format!("number of {what}"), &left, &right);
}

/// A number that may be absent, formatted without `Some`.
#[derive(PartialEq)]
struct Number<T>(Option<T>);

impl<T: std::fmt::Debug> std::fmt::Debug for Number<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(number) => write!(f, "{number:?}"),
            None => f.write_str("none"),
        }
    }
}

fn pair<T: PartialEq + std::fmt::Debug>(found: &mut Vec<String>, what: &str, left: &T, right: &T) {
    if left != right {
        found.push(format!("{what}: {left:?} versus {right:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(headers: &[(&str, &str)], message: &str) -> Transcript {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Octets(value.as_bytes().to_vec())));
        Transcript {
            lines: vec![Line {
                plugin: "p".into(),
                level: "info".into(),
                message: message.into(),
            }],
            exchanges: vec![Seen {
                request: "GET /".into(),
                status: Some(200),
                headers: headers.collect(),
                ..Seen::default()
            }],
            ..Transcript::default()
        }
    }

    #[test]
    fn header_order_matters_only_within_a_name() {
        let owned = Owned {
            response: vec!["date".into()],
            ..Owned::default()
        };
        let left = transcript(&[("a", "1"), ("b", "2"), ("a", "3"), ("date", "now")], "");
        let same = transcript(&[("date", "then"), ("b", "2"), ("a", "1"), ("a", "3")], "");
        assert_eq!(differences(&owned, &left, &same), Vec::<String>::new());
        let swapped = transcript(&[("a", "3"), ("b", "2"), ("a", "1")], "");
        assert_eq!(
            differences(&owned, &left, &swapped),
            ["response 1 (GET /): a: [\"1\", \"3\"] versus [\"3\", \"1\"]"]
        );
    }

    #[test]
    fn log_lines_are_compared_ignoring_clock_readings() {
        let owned = Owned::default();
        let at = |now: &str| transcript(&[], &format!("now {now}, token 2"));
        assert_eq!(
            differences(
                &owned,
                &at("1700000000000000001"),
                &at("1800000000000000000")
            ),
            Vec::<String>::new()
        );
        let found = differences(&owned, &at("1700000000000000001"), &at("17"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("token 2") && found[0].contains("now 17"),
            "{found:?}"
        );
        let other = |number: &str| differences(&owned, &at(number), &at("1700000000000000001"));
        assert_eq!(
            other("17000000000000000").len(),
            1,
            "too long ago for a clock"
        );
        assert_eq!(other("17000000000000000000").len(), 1, "too far ahead");
    }

    #[test]
    fn trailers_are_compared_but_incomplete_requests_are_ignored() {
        let owned = Owned::default();
        let (mut left, right) = (transcript(&[], ""), transcript(&[], ""));
        left.received.push(Received::default());
        assert_eq!(differences(&owned, &left, &right), Vec::<String>::new());
        left.received[0].complete = true;
        left.exchanges[0].trailers = vec![("x-sum".into(), Octets(b"1".to_vec()))];
        assert_eq!(
            differences(&owned, &left, &right),
            [
                "response 1 (GET /): trailers: x-sum: [\"1\"] versus []",
                "number of requests that reached upstream: 1 versus 0"
            ]
        );
    }

    #[test]
    fn calls_are_compared_except_for_fields_of_the_proxy() {
        let owned = Owned::parse("request x-b # Of calls, too.\ncall x-envoy-*").expect("a list");
        let at = |headers: &[&str]| {
            let call = Received {
                path: "/".into(),
                headers: headers
                    .iter()
                    .map(|name| ((*name).to_owned(), Octets::default()))
                    .collect(),
                complete: true,
                ..Received::default()
            };
            Transcript {
                calls: [("auth".to_owned(), vec![call])].into(),
                ..transcript(&[], "")
            }
        };
        let left = at(&["x-a"]);
        let same = at(&["x-a", "x-b", "x-envoy-internal"]);
        assert_eq!(differences(&owned, &left, &same), Vec::<String>::new());
        assert_eq!(
            differences(&owned, &left, &at(&[])),
            ["call 1 at cluster auth: x-a: [\"\"] versus []"]
        );
        assert_eq!(
            differences(&owned, &left, &transcript(&[], "")),
            ["number of calls that reached cluster auth: 1 versus 0"]
        );
    }

    #[test]
    fn different_status_is_a_difference() {
        let owned = Owned::default();
        let with = |status| {
            let mut transcript = transcript(&[], "");
            transcript.exchanges[0].status = status;
            transcript
        };
        assert_eq!(
            differences(&owned, &with(Some(200)), &with(Some(403))),
            ["response 1 (GET /): status: 200 versus 403"]
        );
        assert_eq!(
            differences(&owned, &with(Some(200)), &with(None)),
            ["response 1 (GET /): status: 200 versus none"]
        );
    }

    #[test]
    fn missing_exchange_or_log_line_is_a_difference() {
        let owned = Owned::default();
        let found = differences(
            &owned,
            &transcript(&[("a", "1")], "x"),
            &Transcript::default(),
        );
        assert!(
            found
                .iter()
                .any(|line| line.contains("number of exchanges")),
            "{found:?}"
        );
        assert!(
            found.iter().any(|line| line.contains("versus nothing")),
            "{found:?}"
        );
    }
}
