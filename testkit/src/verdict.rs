//! Checks a transcript against the expectations of a scenario.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, bail};

use crate::octets::Octets;
use crate::scenario::{self, AtUpstream, Expect, LinePattern, MetricValue, Scenario, Step};
use crate::transcript::{Line, Received, Seen, Transcript, values};

/// A single mismatch between an expectation and the transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The location of the expectation in the scenario, or of its nearest existing ancestor.
    pub place: Place,
    /// The step or message that the mismatch belongs to: `step 2 (GET /)`, `step 2 (GET /), at upstream`.
    pub of: String,
    /// The part that differs: `status`, `header x-name`, `body`.
    pub what: String,
    /// The expected value. Bytes are shown as text. Non-printable bytes are escaped, line breaks are kept.
    pub expected: String,
    /// The actual value.
    pub seen: String,
}

/// A node of the scenario file, as the path of keys and indices from the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place(pub Vec<Part>);

/// A segment of a [`Place`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A mapping key.
    Key(String),
    /// A zero-based list index.
    Item(usize),
}

/// Returns an error that lists all mismatches and the whole transcript, if there are any mismatches.
pub fn check(scenario: &Scenario, transcript: &Transcript) -> Result<()> {
    let wrong = mismatches(scenario, transcript);
    if wrong.is_empty() {
        return Ok(());
    }
    let wrong: Vec<String> = wrong.iter().map(Mismatch::to_string).collect();
    bail!("{}\nactual:\n{transcript}", wrong.join("\n"))
}

/// Returns all mismatches between the scenario and the transcript.
pub fn mismatches(scenario: &Scenario, transcript: &Transcript) -> Vec<Mismatch> {
    let mut wrong = Vec::new();
    let start = Place::default().key("start");
    if scenario.start.refused && !transcript.refused {
        wrong.push(Mismatch {
            place: start.clone().key("refused"),
            of: "start".to_owned(),
            what: "configuration".to_owned(),
            expected: "rejected by a plugin".to_owned(),
            seen: "accepted".to_owned(),
        });
    }
    logs(
        &mut wrong,
        &start,
        "start",
        &scenario.start.logs,
        &transcript.start,
        &mut 0,
    );
    let mut seen = transcript.exchanges.iter();
    let mut from = 0;
    for (number, step) in scenario.steps.iter().enumerate() {
        let (kind, expect) = match step {
            Step::Request(exchange) => ("request", &exchange.expect),
            Step::Finish(finish) => ("finish", &finish.expect),
            _ => continue,
        };
        let place = Place::default()
            .key("steps")
            .item(number)
            .key(kind)
            .key("expect");
        let of = format!("step {}", number + 1);
        match seen.next() {
            Some(seen) => {
                exchange(&mut wrong, &place, &of, expect, seen);
                if let Some(stated) = &expect.upstream {
                    let place = place.clone().key("upstream");
                    at_upstream(
                        &mut wrong,
                        &place,
                        &of,
                        stated,
                        seen.step,
                        &transcript.received,
                    );
                }
            }
            None => wrong.push(Mismatch {
                place: place.clone(),
                of: of.clone(),
                what: "exchange".to_owned(),
                expected: "a response".to_owned(),
                seen: "none, because the proxy did not start".to_owned(),
            }),
        }
        logs(
            &mut wrong,
            &place,
            &of,
            &expect.logs,
            &transcript.lines,
            &mut from,
        );
    }
    for stray in transcript
        .received
        .iter()
        .filter(|received| received.of.is_none())
    {
        wrong.push(Mismatch {
            place: Place::default().key("steps"),
            of: format!("{} {}, at upstream", stray.method, stray.path),
            what: "step".to_owned(),
            expected: "the step that sent it".to_owned(),
            seen: "it cannot be determined which step sent it".to_owned(),
        });
    }
    for (cluster, stated) in &scenario.calls {
        let received = transcript.calls.get(cluster).map(Vec::as_slice);
        calls(&mut wrong, cluster, stated, received.unwrap_or_default());
    }
    metrics(&mut wrong, &scenario.metrics, &transcript.metrics);
    wrong
}

fn exchange(wrong: &mut Vec<Mismatch>, place: &Place, of: &str, stated: &Expect, seen: &Seen) {
    let of = format!("{of} ({})", seen.request);
    if let Some(status) = stated.status
        && seen.status != Some(status)
    {
        wrong.push(Mismatch {
            place: place.clone().key("status"),
            of: of.clone(),
            what: "status".to_owned(),
            expected: status.to_string(),
            seen: seen
                .status
                .map_or_else(|| "none".to_owned(), |status| status.to_string()),
        });
    }
    if stated.broken != seen.broken {
        let state = |broken| if broken { "incomplete" } else { "complete" }.to_owned();
        wrong.push(Mismatch {
            place: place.clone().key("broken"),
            of: of.clone(),
            what: "response".to_owned(),
            expected: state(stated.broken),
            seen: state(seen.broken),
        });
    }
    fields(
        wrong,
        place,
        &of,
        ["headers", "header"],
        &stated.headers,
        &seen.headers,
    );
    body(wrong, place, &of, stated.body.as_ref(), &seen.body);
    fields(
        wrong,
        place,
        &of,
        ["trailers", "trailer"],
        &stated.trailers,
        &seen.trailers,
    );
}

/// Checks what the upstream received of the request that this step sent.
fn at_upstream(
    wrong: &mut Vec<Mismatch>,
    place: &Place,
    of: &str,
    stated: &AtUpstream,
    step: usize,
    received: &[Received],
) {
    let of = format!("{of}, at upstream");
    let mut say = |expected: &str, seen: String| {
        wrong.push(Mismatch {
            place: place.clone(),
            of: of.clone(),
            what: "request".to_owned(),
            expected: expected.to_owned(),
            seen,
        });
    };
    let own: Vec<_> = received
        .iter()
        .filter(|received| received.of == Some(step))
        .collect();
    match (stated, &own[..]) {
        (AtUpstream::Nothing, []) => {}
        (AtUpstream::Nothing, [some, ..]) => {
            say(
                "no request at the upstream",
                format!("{} {}", some.method, some.path),
            );
        }
        (AtUpstream::Request(stated), [received]) => {
            if !received.complete {
                say("a complete request", "an incomplete request".to_owned());
            }
            request(wrong, place, &of, stated, received);
        }
        (AtUpstream::Request(_), []) => {
            say("a request", "no request reached the upstream".to_owned())
        }
        (AtUpstream::Request(_), several) => {
            say(
                "one request",
                format!("it reached the upstream {} times", several.len()),
            );
        }
    }
}

/// Checks which calls a cluster received.
fn calls(
    wrong: &mut Vec<Mismatch>,
    cluster: &str,
    stated: &[scenario::Received],
    received: &[Received],
) {
    let place = Place::default().key("calls").key(cluster);
    let of = format!("calls, at cluster {cluster}");
    if stated.len() != received.len() {
        wrong.push(Mismatch {
            place: place.clone(),
            of,
            what: "number".to_owned(),
            expected: stated.len().to_string(),
            seen: match received {
                [] => "0".to_owned(),
                some => {
                    let calls = some.iter();
                    let calls: Vec<String> = calls
                        .map(|call| format!("{} {}", call.method, call.path))
                        .collect();
                    format!("{}: {}", some.len(), calls.join(", "))
                }
            },
        });
        return;
    }
    for (number, (stated, received)) in stated.iter().zip(received).enumerate() {
        let place = place.clone().item(number);
        let of = format!("call {}, at cluster {cluster}", number + 1);
        if !received.complete {
            wrong.push(Mismatch {
                place: place.clone(),
                of: of.clone(),
                what: "request".to_owned(),
                expected: "a complete request".to_owned(),
                seen: "an incomplete request".to_owned(),
            });
        }
        request(wrong, &place, &of, stated, received);
    }
}

fn metrics(
    wrong: &mut Vec<Mismatch>,
    stated: &BTreeMap<String, MetricValue>,
    seen: &BTreeMap<String, Vec<MetricValue>>,
) {
    for (name, value) in stated {
        let values = seen.get(name).map(Vec::as_slice).unwrap_or_default();
        if !values.contains(value) {
            wrong.push(Mismatch {
                place: Place::default().key("metrics").key(name),
                of: "metrics".to_owned(),
                what: name.escape_debug().to_string(),
                expected: value.to_string(),
                seen: match values {
                    [] => "absent".to_owned(),
                    values => {
                        let values = values.iter().map(MetricValue::to_string);
                        values.collect::<Vec<_>>().join(", ")
                    }
                },
            });
        }
    }
}

fn request(
    wrong: &mut Vec<Mismatch>,
    place: &Place,
    of: &str,
    stated: &scenario::Received,
    received: &Received,
) {
    for (what, stated, seen) in [
        ("method", &stated.method, &received.method),
        ("path", &stated.path, &received.path),
    ] {
        if let Some(stated) = stated
            && stated != seen
        {
            wrong.push(Mismatch {
                place: place.clone().key(what),
                of: of.to_owned(),
                what: what.to_owned(),
                expected: stated.escape_debug().to_string(),
                seen: seen.escape_debug().to_string(),
            });
        }
    }
    fields(
        wrong,
        place,
        of,
        ["headers", "header"],
        &stated.headers,
        &received.headers,
    );
    body(wrong, place, of, stated.body.as_ref(), &received.body);
    fields(
        wrong,
        place,
        of,
        ["trailers", "trailer"],
        &stated.trailers,
        &received.trailers,
    );
}

/// `names` contains the plural and the singular of the field kind as used in the scenario.
fn fields(
    wrong: &mut Vec<Mismatch>,
    place: &Place,
    of: &str,
    names: [&str; 2],
    stated: &BTreeMap<String, Vec<Octets>>,
    seen: &[(String, Octets)],
) {
    for (name, stated) in stated {
        let seen = values(seen, name);
        if !seen.iter().copied().eq(stated) {
            wrong.push(Mismatch {
                place: place.clone().key(names[0]).key(name),
                of: of.to_owned(),
                what: format!("{} {}", names[1], name.escape_debug()),
                expected: listed(stated.iter()),
                seen: listed(seen.into_iter()),
            });
        }
    }
}

fn listed<'a>(values: impl ExactSizeIterator<Item = &'a Octets>) -> String {
    match values.len() {
        0 => "absent".to_owned(),
        _ => values
            .map(|value| format!("{value:?}"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

fn body(
    wrong: &mut Vec<Mismatch>,
    place: &Place,
    of: &str,
    stated: Option<&Octets>,
    seen: &Octets,
) {
    if let Some(stated) = stated
        && stated != seen
    {
        wrong.push(Mismatch {
            place: place.clone().key("body"),
            of: of.to_owned(),
            what: "body".to_owned(),
            expected: lines(stated),
            seen: lines(seen),
        });
    }
}

/// Formats bytes as text and keeps line breaks.
fn lines(bytes: &Octets) -> String {
    match bytes.0.is_empty() {
        true => "empty".to_owned(),
        false => {
            let lines = bytes.0.split_inclusive(|byte| *byte == b'\n');
            lines
                .map(|line| match line.strip_suffix(b"\n") {
                    // The end of the line is shown, so that a missing line break is visible.
                    Some(line) => format!("{}\\n\n", line.escape_ascii()),
                    None => line.escape_ascii().to_string(),
                })
                .collect()
        }
    }
}

/// Searches for each line after the lines that were found before.
fn logs(
    wrong: &mut Vec<Mismatch>,
    place: &Place,
    of: &str,
    patterns: &[LinePattern],
    lines: &[Line],
    from: &mut usize,
) {
    for (number, pattern) in patterns.iter().enumerate() {
        let meant = |line: &Line| pattern.matches(&line.plugin, &line.level, &line.message);
        match lines.iter().skip(*from).position(meant) {
            Some(found) => *from += found + 1,
            None => {
                let rest: Vec<String> = lines.iter().skip(*from).map(Line::to_string).collect();
                wrong.push(Mismatch {
                    place: place.clone().key("logs").item(number),
                    of: of.to_owned(),
                    what: "log".to_owned(),
                    expected: pattern.to_string(),
                    seen: match &rest[..] {
                        [] => "no more lines".to_owned(),
                        // Each line separately, whatever it contains.
                        rest => rest
                            .iter()
                            .map(|line| line.escape_debug().to_string())
                            .collect::<Vec<_>>()
                            .join("\n"),
                    },
                });
            }
        }
    }
}

// === impl Place ===

impl Place {
    /// Appends a mapping key.
    pub fn key(mut self, name: &str) -> Self {
        self.0.push(Part::Key(name.to_owned()));
        self
    }

    /// Appends a list index.
    pub fn item(mut self, at: usize) -> Self {
        self.0.push(Part::Item(at));
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, part) in self.0.iter().enumerate() {
            match part {
                Part::Key(name) if number == 0 => f.write_str(name)?,
                Part::Key(name) => write!(f, ".{name}")?,
                Part::Item(at) => write!(f, "[{at}]")?,
            }
        }
        Ok(())
    }
}

// === impl Mismatch ===

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            of,
            what,
            expected,
            seen,
            ..
        } = self;
        write!(f, "{of}: {what}: expected {expected}, got {seen}")
    }
}

/// Parses a place as written in tests: numbers are list indices, everything else is a key.
#[cfg(test)]
pub(crate) fn at(parts: &[&str]) -> Place {
    let part = |part: &&str| match part.parse() {
        Ok(item) => Part::Item(item),
        Err(_) => Part::Key((*part).to_owned()),
    };
    Place(parts.iter().map(part).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Histogram;

    fn scenario(step: &str) -> Scenario {
        serde_saphyr::from_str(&format!(
            "about: x\nplugins: [{{guest: probe}}]\nsteps:\n- request: {{path: /, expect: {step}}}\n"
        ))
        .expect("a scenario")
    }

    /// Returns the mismatches for a scenario with the given `upstream` expectation in its only step and the given
    /// upstream requests.
    fn wrong(upstream: &str, received: &[(Option<usize>, bool)]) -> String {
        let received = received.iter().map(|(of, complete)| Received {
            of: *of,
            path: "/".into(),
            complete: *complete,
            ..Received::default()
        });
        let transcript = Transcript {
            exchanges: vec![Seen {
                step: 1,
                ..Seen::default()
            }],
            received: received.collect(),
            ..Transcript::default()
        };
        match check(&scenario(&format!("{{upstream: {upstream}}}")), &transcript) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn upstream_none_rejects_even_an_incomplete_request() {
        assert_eq!(wrong("none", &[]), "");
        assert_eq!(wrong("none", &[(Some(2), true)]), "", "another step's");
        let head = wrong("none", &[(Some(1), false)]);
        assert!(head.contains("no request at the upstream"), "{head}");
    }

    #[test]
    fn upstream_request_must_arrive_once_and_complete() {
        assert_eq!(wrong("{path: /}", &[(Some(1), true)]), "");
        let lacks = |received: &[_], what: &str| {
            let wrong = wrong("{path: /}", received);
            assert!(wrong.contains(what), "{wrong}");
        };
        lacks(&[(Some(2), true)], "no request reached the upstream");
        lacks(&[(Some(1), false)], "an incomplete request");
        lacks(&[(Some(1), true), (Some(1), true)], "2 times");
        lacks(&[(Some(1), true), (None, true)], "which step sent it");
    }

    #[test]
    fn calls_and_metrics_are_checked_at_the_end() {
        let call = |path: &str| Received {
            method: "GET".into(),
            path: path.into(),
            complete: true,
            ..Received::default()
        };
        let histogram = MetricValue::Histogram(Histogram { count: 2 });
        let transcript = Transcript {
            calls: [("auth".to_owned(), vec![call("/a"), call("/b")])].into(),
            metrics: [
                (
                    "count".to_owned(),
                    vec![MetricValue::Number(3), MetricValue::Number(0)],
                ),
                ("sizes".to_owned(), vec![MetricValue::Number(1), histogram]),
            ]
            .into(),
            ..Transcript::default()
        };
        let wrong = |stated: &str| -> Vec<String> {
            let text = format!("about: x\nclusters: {{auth: echo, other: echo}}\n{stated}");
            let scenario = serde_saphyr::from_str(&text).expect("a scenario");
            let wrong = mismatches(&scenario, &transcript);
            let shown = |it: &Mismatch| format!("{}: {it}", it.place);
            wrong.iter().map(shown).collect()
        };
        let right =
            "calls: {auth: [{path: /a}, {}], other: []}\nmetrics: {count: 3, sizes: {count: 2}}";
        assert_eq!(wrong(right), Vec::<String>::new());
        assert_eq!(wrong("metrics: {count: 0}"), Vec::<String>::new());
        assert_eq!(
            wrong(
                "calls: {auth: [{method: POST}, {path: /a}], other: [{}]}\nmetrics: {count: 4, more: 1, sizes: {count: 1}}"
            ),
            [
                "calls.auth[0].method: call 1, at cluster auth: method: expected POST, got GET",
                "calls.auth[1].path: call 2, at cluster auth: path: expected /a, got /b",
                "calls.other: calls, at cluster other: number: expected 1, got 0",
                "metrics.count: metrics: count: expected 4, got 3, 0",
                "metrics.more: metrics: more: expected 1, got absent",
                "metrics.sizes: metrics: sizes: expected count 1, got 1, count 2",
            ]
        );
        assert_eq!(
            wrong("calls: {auth: []}"),
            ["calls.auth: calls, at cluster auth: number: expected 0, got 2: GET /a, GET /b"]
        );
    }

    #[test]
    fn mismatch_contains_path_expected_and_actual_value() {
        let seen = Seen {
            step: 1,
            request: "GET /".into(),
            status: Some(403),
            headers: vec![("x-a".into(), Octets(b"\xff".to_vec()))],
            body: Octets(b"one\ntwo".to_vec()),
            ..Seen::default()
        };
        let transcript = Transcript {
            exchanges: vec![seen],
            ..Transcript::default()
        };
        let stated =
            "{status: 200, headers: {x-a: [b], x-b: [c]}, body: \"one\\n\", logs: [\"p info x\"]}";
        let found: Vec<(String, String, String)> = mismatches(&scenario(stated), &transcript)
            .into_iter()
            .map(|it| (it.place.to_string(), it.expected, it.seen))
            .collect();
        let expect = |place: &str| format!("steps[0].request.expect.{place}");
        let all = [
            (expect("status"), "200", "403"),
            (expect("headers.x-a"), "\"b\"", "\"\\xff\""),
            (expect("headers.x-b"), "\"c\"", "absent"),
            (expect("body"), "one\\n\n", "one\\n\ntwo"),
            (expect("logs[0]"), "p info x", "no more lines"),
        ];
        assert_eq!(
            found,
            all.map(|(place, expected, seen)| (place, expected.to_owned(), seen.to_owned()))
        );
    }
}
