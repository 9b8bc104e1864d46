//! `local-responses`: local responses, which a plugin sends instead of the upstream.

use tidegate_semantics::hostcalls;

use super::{current::with_stream, http_streams::HttpStream, types::Error};

pub use super::generated::local_responses::LocalResponse;

#[track_caller]
pub fn send(to: &HttpStream, response: &LocalResponse) -> Result<(), Error> {
    with_stream(to.handle(), |current, stream| {
        let headers = response.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_bytes(), &value[..]));
        hostcalls::local_responses::send(
            current.services.in_event.get(),
            stream,
            response.status,
            headers,
            response.body.clone().into(),
            response.grpc_status,
        )
    })
}
