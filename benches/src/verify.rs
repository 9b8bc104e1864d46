//! Checks that a candidate does the measured work: requests with a limit of two, of which the third is refused.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};

use crate::candidate::{Candidate, Environment, Family};
use crate::load::{Connection, Received};
use crate::messages::Messages;

/// Clients that connect from different addresses.
const CLIENTS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1)),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)),
];

/// Starts the candidate with a limit of two and sends three requests. A candidate that does nothing must respond with 200 to all of them.
pub fn verify(candidate: &Candidate, environment: &Environment) -> Result<()> {
    let server = candidate.start(environment, 2)?;
    let clients = match candidate.family {
        Family::Envoy | Family::Proxy => &CLIENTS[..1],
        // Each client has a limit of its own.
        Family::RateLimit => &CLIENTS[..],
    };
    for client in clients {
        let mut connection = Connection::open_from(*client, server.address)?;
        for number in 1..=3 {
            let refused = candidate.works && number == 3;
            connection.send(&Messages::Small.request())?;
            connection
                .receive()
                .and_then(|received| check(candidate, &received, refused))
                .with_context(|| format!("`{}`, request {number} of {client}", candidate.name))?;
        }
    }
    Ok(())
}

fn check(candidate: &Candidate, received: &Received<'_>, refused: bool) -> Result<()> {
    let (status, refusal) = match candidate.family {
        Family::Envoy | Family::Proxy => (403, "rate limited, wait and retry."),
        Family::RateLimit => (429, "rate limited\n"),
    };
    let expected = if refused { status } else { 200 };
    ensure!(
        received.status == expected,
        "it responded with {}, expected {expected}",
        received.status
    );
    let body = String::from_utf8_lossy(received.body);
    ensure!(!refused || body == refusal, "unexpected body: {body}");

    let head = String::from_utf8_lossy(received.head).to_ascii_lowercase();
    let tutorial = candidate.works && candidate.family != Family::RateLimit;
    for (field, is_expected) in [
        ("who-am-i: wasm-extension", tutorial),
        ("injected-by: istio-api!", tutorial),
        ("powered-by: proxy-wasm-go-sdk!!", tutorial && refused),
        ("retry-after: ", !tutorial && refused),
    ] {
        ensure!(
            head.contains(field) == is_expected,
            "`{field}` must {}be set:\n{head}",
            if is_expected { "" } else { "not " }
        );
    }
    Ok(())
}
