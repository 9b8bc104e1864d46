//! `http-call-types`: requests to other services, and their outcomes.

use tidegate_semantics::{fields::Fields, port::CallOutcome};

pub use super::generated::http_call_types::*;

impl From<CallOutcome> for Outcome {
    fn from(outcome: CallOutcome) -> Self {
        match outcome {
            CallOutcome::Response(response) => Outcome::Response(Response {
                headers: entries(&response.headers),
                body: response.body.into(),
                trailers: entries(&response.trailers),
            }),
            CallOutcome::Reset => Outcome::Reset,
        }
    }
}

/// Returns fields as the contract represents them.
pub(crate) fn entries(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    let entries = fields.iter();
    entries
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}
