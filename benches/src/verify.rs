//! Checks that a candidate does the measured work: the tutorial's three requests with a limit of two.

use anyhow::{Context, Result, ensure};

use crate::candidate::{Candidate, Environment};
use crate::load::{self, Connection};

/// Starts the candidate with a limit of two and sends three requests. A candidate that does nothing must respond with 200 to all of them.
pub fn verify(candidate: &Candidate, environment: &Environment) -> Result<()> {
    let server = candidate.start(environment, 2)?;
    let mut connection = Connection::open(server.address)?;
    let expected = if candidate.works {
        [200, 200, 403]
    } else {
        [200; 3]
    };
    for (number, expected) in expected.into_iter().enumerate() {
        connection.send(&load::request("/get"))?;
        let answer = connection
            .receive()
            .with_context(|| format!("`{}`, request {}", candidate.name, number + 1))?;
        ensure!(
            answer.status == expected,
            "`{}` responded to request {} with {}, expected {expected}",
            candidate.name,
            number + 1,
            answer.status
        );
        let head = String::from_utf8_lossy(answer.head).to_ascii_lowercase();
        let adds =
            head.contains("who-am-i: wasm-extension") && head.contains("injected-by: istio-api!");
        ensure!(
            adds == candidate.works,
            "`{}`, request {}: unexpected headers:\n{head}",
            candidate.name,
            number + 1
        );
        ensure!(
            expected != 403 || answer.body == b"rate limited, wait and retry.",
            "`{}`, request {}: unexpected body: {}",
            candidate.name,
            number + 1,
            String::from_utf8_lossy(answer.body)
        );
        ensure!(
            head.contains("powered-by: proxy-wasm-go-sdk!!") == (expected == 403),
            "`{}`, request {}: `powered-by` must be set on 403 only:\n{head}",
            candidate.name,
            number + 1
        );
    }
    Ok(())
}
