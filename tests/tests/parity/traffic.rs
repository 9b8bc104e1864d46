//! Sends the requests of a case to one of its listeners, and compares what happened at two of them.

use anyhow::{Context, Result};
use tidegate_testkit::client::{self, Outgoing, OutgoingBody};
use tidegate_testkit::octets::Octets;
use tidegate_testkit::{Owned, Transcript, compare};

use crate::case::Case;
use crate::proxy::{Proxy, Side};

/// Sends the requests one after the other. Returns a transcript for each, so that a request that only one side lets through does not
/// shift those after it.
pub fn send(case: &Case, proxy: &Proxy, side: Side) -> Result<Vec<Transcript>> {
    let (address, upstream) = (proxy.address(case, side)?, proxy.upstream(case)?);
    let ledger = upstream.ledger();
    let requests = case
        .requests
        .iter()
        .flat_map(|request| std::iter::repeat_n(request, request.times));
    let mut transcripts = Vec::new();
    for (number, request) in requests.enumerate() {
        // All sides have the same upstream, so their steps have different numbers.
        let step = Side::ALL.len() * number + side as usize;
        ledger.begin(step, &request.method, &request.path);
        let outgoing = Outgoing {
            method: &request.method,
            path: &request.path,
            headers: &request.headers,
            body: match &request.body {
                Some(body) => OutgoingBody::Whole(body.0.clone()),
                None => OutgoingBody::None,
            },
            trailers: &request.trailers,
        };
        let mut seen = client::ask(address, outgoing)
            .with_context(|| format!("request {} to the {side:?} failed", number + 1))?;
        ledger.end(step);
        rounded(&mut seen.headers);
        let mut received = ledger.received();
        received.retain(|received| received.of == Some(step));
        for received in &mut received {
            received.of = None;
        }
        transcripts.push(Transcript {
            exchanges: vec![seen],
            received,
            ..Transcript::default()
        });
    }
    Ok(transcripts)
}

/// Headers that contain seconds until something happens.
const SECONDS: [&str; 2] = ["x-ratelimit-reset", "retry-after"];

/// Rounds seconds to tens. The clock may advance between the requests to both sides, and one of them rounds up and the other one down.
fn rounded(headers: &mut [(String, Octets)]) {
    for (name, value) in headers {
        let seconds = std::str::from_utf8(&value.0).ok();
        let seconds = seconds.and_then(|seconds| seconds.parse::<u32>().ok());
        if let (true, Some(seconds)) = (SECONDS.contains(&name.as_str()), seconds) {
            let tens = seconds.saturating_add(5) / 10 * 10;
            *value = Octets(tens.to_string().into_bytes());
        }
    }
}

/// Returns the differences between the filter and the plugin.
///
/// If only one of them has passed a request to the upstream, the responses come from different servers, and only their statuses are
/// compared.
pub fn differences(owned: &Owned, filter: &[Transcript], plugin: &[Transcript]) -> Vec<String> {
    let mut all = Vec::new();
    for (number, (filter, plugin)) in filter.iter().zip(plugin).enumerate() {
        let mut found = compare::differences(owned, filter, plugin);
        if filter.received.len() != plugin.received.len() {
            found.retain(|it| it.contains("): status: ") || it.starts_with("number of requests"));
        }
        let asked = filter.exchanges.first().map(|seen| &seen.request);
        let response = format!("response 1 ({})", asked.map_or("", |asked| asked));
        all.extend(found.into_iter().map(|it| {
            // A transcript has one request, whose number is that within the case.
            let it = it.replacen(&response, "response", 1);
            let it = it.replacen("request 1 at upstream", "at upstream", 1);
            format!("request {}: {it}", number + 1)
        }));
    }
    all
}
