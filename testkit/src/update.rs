//! Rewrites a scenario's text so that its expectations match a transcript.
//!
//! The functions are pure: they map text, scenario and transcript to a new text, and the caller writes it. Only failed
//! expectations are changed. An `expect` that is present but empty is filled in. A mismatch that no expectation can fix
//! is an error: a plugin that should have rejected its configuration, or a request that reached the upstream twice.

use std::mem::discriminant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::octets::Octets;
use crate::rewrite;
use crate::runner::ECHOED;
use crate::scenario::{self, AtUpstream, Expect, LinePattern, MetricValue, Scenario, Step};
use crate::source::Source;
use crate::transcript::{Line, Received, Seen, Transcript, values};
use crate::verdict::{self, Place};

/// A value in the scenario's file, or `None` to remove it.
type Change = (Place, Option<Value>);

/// The maximum length of bodies that are filled in. Longer ones do not help the reader.
const LONGEST_BODY: usize = 1024;

/// Returns the updated text and the scenario that it contains. The updated scenario has no mismatches with this
/// transcript.
pub fn update(
    text: &str,
    scenario: &Scenario,
    transcript: &Transcript,
) -> Result<(String, Scenario)> {
    let source = Source::parse(text).context("the file is no longer valid YAML")?;
    let mut updated = text.to_owned();
    for (place, value) in changes(scenario, transcript, &source) {
        updated = rewrite::set(&updated, &place, value.as_ref())
            .with_context(|| format!("cannot update `{place}`; edit it by hand"))?;
    }
    let read = scenario
        .reread(&updated)
        .context("the actual value cannot be written here; edit it by hand")?;
    let left: Vec<String> = verdict::mismatches(&read, transcript)
        .iter()
        .map(ToString::to_string)
        .collect();
    ensure!(
        left.is_empty(),
        "this cannot be fixed by updating the expectations:\n{}",
        left.join("\n")
    );
    Ok((updated, read))
}

/// Returns all necessary changes.
fn changes(scenario: &Scenario, transcript: &Transcript, source: &Source) -> Vec<Change> {
    let (mut stated, mut filled) = (Vec::new(), Vec::new());
    let start = lines(&[&scenario.start.logs], &transcript.start);
    stated.extend(
        start
            .into_iter()
            .map(|lines| (Place::default().key("start").key("logs"), Some(lines))),
    );
    let steps = expectations(scenario);
    let logs: Vec<&[LinePattern]> = steps.iter().map(|(_, expect)| &expect.logs[..]).collect();
    let logs = lines(&logs, &transcript.lines);
    let seen = transcript.exchanges.iter();
    for (((place, expect), logs), seen) in steps.iter().zip(logs).zip(seen) {
        let received: Vec<&Received> = transcript
            .received
            .iter()
            .filter(|received| received.of == Some(seen.step))
            .collect();
        if states_nothing(expect) && source.get(place).is_some() {
            fill(&mut filled, place, seen, &received);
        }
        of_response(&mut stated, place, expect, seen);
        of_upstream(&mut stated, place, expect, &received);
        stated.push((place.clone().key("logs"), Some(logs)));
    }
    of_calls(&mut stated, scenario, transcript);
    for (name, expected) in &scenario.metrics {
        let values = transcript.metrics.get(name).map(Vec::as_slice);
        let values = values.unwrap_or_default();
        // A histogram and a counter can have the same name.
        let has_form = |value: &&MetricValue| discriminant(*value) == discriminant(expected);
        let value = values.iter().find(has_form).or(values.first());
        stated.push((
            Place::default().key("metrics").key(name),
            value.map(|value| json!(value)),
        ));
    }
    let wrong = verdict::mismatches(scenario, transcript);
    stated.retain(|(place, _)| wrong.iter().any(|it| it.place.0.starts_with(&place.0)));
    stated.append(&mut filled);
    stated
}

/// Returns the `expect` of every step, with its place.
fn expectations(scenario: &Scenario) -> Vec<(Place, &Expect)> {
    let steps = scenario.steps.iter().enumerate();
    steps
        .filter_map(|(number, step)| {
            let step_at = Place::default().key("steps").item(number);
            match step {
                Step::Request(exchange) => {
                    Some((step_at.key("request").key("expect"), &exchange.expect))
                }
                Step::Finish(finish) => Some((step_at.key("finish").key("expect"), &finish.expect)),
                _ => None,
            }
        })
        .collect()
}

fn states_nothing(expect: &Expect) -> bool {
    expect.status.is_none()
        && expect.headers.is_empty()
        && expect.body.is_none()
        && expect.trailers.is_empty()
        && !expect.broken
        && expect.upstream.is_none()
        && expect.logs.is_empty()
}

/// Fills in the expectations that an author would typically write first.
fn fill(filled: &mut Vec<Change>, place: &Place, seen: &Seen, received: &[&Received]) {
    let mut state = |key: &str, value: Value| filled.push((place.clone().key(key), Some(value)));
    if let Some(status) = seen.status {
        state("status", json!(status));
    }
    if seen.broken {
        state("broken", json!(true));
    }
    let is_short = (1..=LONGEST_BODY).contains(&seen.body.0.len());
    if is_short && seen.body.0 != ECHOED.as_bytes() {
        state("body", text(&seen.body));
    }
    if received.is_empty() {
        state("upstream", json!("none"));
    }
}

fn of_response(stated: &mut Vec<Change>, place: &Place, expect: &Expect, seen: &Seen) {
    let status = seen.status.map(Value::from);
    stated.push((place.clone().key("status"), status));
    let broken = seen.broken.then_some(Value::Bool(true));
    stated.push((place.clone().key("broken"), broken));
    fields(
        stated,
        &place.clone().key("headers"),
        expect.headers.keys(),
        &seen.headers,
    );
    // An echo is not compared as a body, so it is not stated as one.
    let body = (seen.body.0 != ECHOED.as_bytes()).then(|| text(&seen.body));
    stated.push((place.clone().key("body"), body));
    fields(
        stated,
        &place.clone().key("trailers"),
        expect.trailers.keys(),
        &seen.trailers,
    );
}

fn of_upstream(stated: &mut Vec<Change>, place: &Place, expect: &Expect, received: &[&Received]) {
    let place = place.clone().key("upstream");
    match (&expect.upstream, received) {
        (Some(AtUpstream::Request(_)), []) => stated.push((place, Some(json!("none")))),
        (Some(AtUpstream::Nothing), [one]) => {
            stated.push((
                place,
                Some(json!({ "method": one.method, "path": one.path })),
            ));
        }
        (Some(AtUpstream::Request(expect)), [one]) => {
            stated.push((place.clone().key("method"), Some(json!(one.method))));
            stated.push((place.clone().key("path"), Some(json!(one.path))));
            fields(
                stated,
                &place.clone().key("headers"),
                expect.headers.keys(),
                &one.headers,
            );
            stated.push((place.clone().key("body"), Some(text(&one.body))));
            fields(
                stated,
                &place.key("trailers"),
                expect.trailers.keys(),
                &one.trailers,
            );
        }
        // Two requests of one step cannot be expressed, so the expectation is not changed.
        _ => {}
    }
}

/// Replaces each list of calls. A call keeps the keys that are stated for it; others are filled in with method and path.
fn of_calls(stated: &mut Vec<Change>, scenario: &Scenario, transcript: &Transcript) {
    for (cluster, expected) in &scenario.calls {
        let received = transcript.calls.get(cluster).into_iter().flatten();
        let mut expected = expected.iter();
        let calls = received.map(|call| match expected.next() {
            Some(expected) => restated(expected, call),
            None => json!({ "method": call.method, "path": call.path }),
        });
        let place = Place::default().key("calls").key(cluster);
        stated.push((place, Some(calls.collect())));
    }
}

/// Returns the actual values of the keys that are stated for a request.
fn restated(expect: &scenario::Received, received: &Received) -> Value {
    let mut restated = serde_json::Map::new();
    let mut state = |key: &str, value: Value| restated.insert(key.to_owned(), value);
    if expect.method.is_some() {
        state("method", json!(received.method));
    }
    if expect.path.is_some() {
        state("path", json!(received.path));
    }
    if expect.body.is_some() {
        state("body", text(&received.body));
    }
    for (key, expected, fields) in [
        ("headers", &expect.headers, &received.headers),
        ("trailers", &expect.trailers, &received.trailers),
    ] {
        if !expected.is_empty() {
            let named = expected.keys().map(|name| {
                let values = values(fields, name).into_iter().map(text).collect();
                (name.clone(), values)
            });
            state(key, Value::Object(named.collect()));
        }
    }
    Value::Object(restated)
}

fn fields<'a>(
    stated: &mut Vec<Change>,
    place: &Place,
    names: impl Iterator<Item = &'a String>,
    seen: &[(String, Octets)],
) {
    for name in names {
        let values = values(seen, name).into_iter().map(text).collect();
        stated.push((place.clone().key(name), Some(values)));
    }
}

/// Formats bytes as in scenarios: one character for each byte.
fn text(bytes: &Octets) -> Value {
    bytes
        .0
        .iter()
        .copied()
        .map(char::from)
        .collect::<String>()
        .into()
}

/// Returns the expected log lines for each step. Patterns that match are kept, including their `*`. A pattern that does
/// not match is replaced by the most similar line between its neighbors, or removed.
fn lines(stated: &[&[LinePattern]], seen: &[Line]) -> Vec<Value> {
    let all: Vec<&LinePattern> = stated.iter().copied().flatten().collect();
    let mut number = 0;
    let mut from = 0;
    let mut put_right = |pattern: &LinePattern| {
        number += 1;
        if let Some(found) = find(pattern, seen, from) {
            from = found + 1;
            return Some(pattern.to_string());
        }
        let later = all.iter().skip(number);
        let end = later
            .filter_map(|later| find(later, seen, from))
            .next()
            .unwrap_or(seen.len());
        let between = seen.iter().enumerate().take(end).skip(from);
        // Of those that are alike the first; `max_by_key` would take the last.
        let (best, line) = between
            .rev()
            .max_by_key(|(_, line)| likeness(pattern, line))?;
        from = best + 1;
        Some(line.to_string())
    };
    stated
        .iter()
        .map(|patterns| patterns.iter().filter_map(&mut put_right).collect())
        .collect()
}

/// Returns the number of the first line, from a given number on, that matches.
fn find(pattern: &LinePattern, seen: &[Line], from: usize) -> Option<usize> {
    let meant = |line: &Line| pattern.matches(&line.plugin, &line.level, &line.message);
    let found = seen.iter().skip(from).position(meant)?;
    Some(from + found)
}

fn likeness(pattern: &LinePattern, line: &Line) -> (bool, bool, usize) {
    let same = |(one, other): &(u8, u8)| one == other;
    let (one, other) = (pattern.message.bytes(), line.message.bytes());
    let head = one.clone().zip(other.clone()).take_while(same).count();
    let tail = one.rev().zip(other.rev()).take_while(same).count();
    (
        pattern.plugin == line.plugin,
        pattern.level == line.level,
        head + tail,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Histogram;

    fn line(plugin: &str, message: &str) -> Line {
        Line {
            plugin: plugin.into(),
            level: "info".into(),
            message: message.into(),
        }
    }

    fn seen(step: usize, status: u16, body: &[u8]) -> Seen {
        Seen {
            step,
            status: Some(status),
            body: Octets(body.to_vec()),
            ..Seen::default()
        }
    }

    fn updated(text: &str, transcript: &Transcript) -> Result<String> {
        let (updated, _) = update(text, &serde_saphyr::from_str(text)?, transcript)?;
        Ok(updated)
    }

    const TEXT: &str = r#"# What this file is for.
about: x
start: { logs: ["p info begun"] }   # at first
steps:
- request:
    path: /one    # the first
    expect:
      # It is refused.
      status: 200   # for now
      headers: { x-a: [b], x-b: ["c"] }
      body: |
        one
        two
      upstream: none
      logs:
      - "p info first *"   # stays
      # This is another now.
      - "p info second 1"
      - "p info third"
- request: { path: /two, expect: {} }
- request: { path: /three }
"#;

    #[test]
    fn wrong_expectations_are_corrected_and_the_rest_is_kept() {
        let transcript = Transcript {
            start: vec![line("p", "started")],
            lines: vec![
                line("p", "first of all"),
                line("p", "between"),
                line("p", "second 2: \"q\""),
                line("p", "after"),
            ],
            exchanges: vec![
                Seen {
                    headers: vec![("x-a".into(), Octets(b"\xff".to_vec()))],
                    ..seen(1, 403, b"one\nthree\n")
                },
                seen(2, 204, b""),
                seen(3, 200, b"x"),
            ],
            received: vec![Received {
                of: Some(1),
                method: "GET".into(),
                path: "/one".into(),
                complete: true,
                ..Received::default()
            }],
            ..Transcript::default()
        };
        let expected = TEXT
            .replace("begun", "started")
            .replace("status: 200 ", "status: 403 ")
            .replace("x-a: [b]", "x-a: [\"\\xff\"]")
            .replace("x-b: [\"c\"]", "x-b: []")
            .replace("        two", "        three")
            .replace("upstream: none", "upstream: { method: GET, path: /one }")
            .replace("\"p info second 1\"", "\"p info second 2: \\\"q\\\"\"")
            .replace("\"p info third\"", "\"p info after\"")
            .replace("expect: {}", "expect: { status: 204, upstream: none }");
        let once = updated(TEXT, &transcript).expect("an update");
        assert_eq!(once, expected);
        assert_eq!(updated(&once, &transcript).expect("another"), once);
    }

    #[test]
    fn calls_and_metrics_are_corrected() {
        let text = "\
about: x
calls:
  one: []   # none
  two:
  - { path: /a, headers: { x-a: [b] } }   # first
  - { method: GET }
metrics: { count: 1, gone: 2, sizes: { count: 3 } }
steps:
- request: { path: / }
";
        let call = |path: &str| Received {
            method: "GET".into(),
            path: path.into(),
            headers: vec![("x-a".into(), Octets(b"c".to_vec()))],
            complete: true,
            ..Received::default()
        };
        let histogram = MetricValue::Histogram(Histogram { count: 4 });
        let transcript = Transcript {
            exchanges: vec![seen(1, 200, b"")],
            calls: [
                ("one".to_owned(), vec![call("/one")]),
                ("two".to_owned(), vec![call("/a")]),
            ]
            .into(),
            metrics: [
                ("count".to_owned(), vec![MetricValue::Number(3)]),
                ("sizes".to_owned(), vec![MetricValue::Number(1), histogram]),
            ]
            .into(),
            ..Transcript::default()
        };
        let expected = text
            .replace("one: []", "one: [{ method: GET, path: /one }]")
            .replace("x-a: [b]", "x-a: [c]")
            .replace("  - { method: GET }\n", "")
            .replace("count: 1, gone: 2", "count: 3")
            .replace("sizes: { count: 3 }", "sizes: { count: 4 }");
        let once = updated(text, &transcript).expect("an update");
        assert_eq!(once, expected);
        assert_eq!(updated(&once, &transcript).expect("another"), once);
    }

    #[test]
    fn correct_expectations_are_left_unchanged() {
        let text =
            "about: x\nsteps:\n- request: {path: /, expect: {status: 0xC8, headers: {a: ['b']}}}\n";
        let transcript = Transcript {
            exchanges: vec![Seen {
                headers: vec![("a".into(), Octets(b"b".to_vec()))],
                ..seen(1, 200, b"")
            }],
            ..Transcript::default()
        };
        assert_eq!(updated(text, &transcript).expect("an update"), text);
    }

    #[test]
    fn inexpressible_outcome_is_an_error() {
        let text = "about: x\nsteps:\n- request: {path: /, expect: {upstream: none}}\n";
        let one = Received {
            of: Some(1),
            complete: true,
            ..Received::default()
        };
        let transcript = Transcript {
            exchanges: vec![seen(1, 200, b"")],
            received: vec![one.clone(), one],
            ..Transcript::default()
        };
        let error = updated(text, &transcript).expect_err("no update");
        assert!(format!("{error:#}").contains("no request at the upstream"));
        let text = "about: x\nstart: {refused: true, logs: [p info x]}\n";
        let error = updated(text, &Transcript::default()).expect_err("no update");
        assert!(
            format!("{error:#}").contains("rejected by a plugin"),
            "{error:#}"
        );
    }

    #[test]
    fn expected_log_line_is_replaced_by_the_most_similar() {
        let patterns: Vec<LinePattern> = serde_saphyr::from_str(
            "[p info same, p info count 1, q info mine, p info last, p info gone]",
        )
        .expect("lines");
        let log = [
            line("p", "same"),
            line("q", "yours"),
            line("p", "noise"),
            line("p", "count 2"),
            line("q", "yours"),
            line("p", "last"),
        ];
        assert_eq!(
            lines(&[&patterns[..2], &patterns[2..]], &log),
            [
                json!(["p info same", "p info count 2"]),
                json!(["q info yours", "p info last"])
            ]
        );
    }
}
