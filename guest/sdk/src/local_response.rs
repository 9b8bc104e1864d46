//! [`LocalResponse`]: an answer of the plugin's own, the contract's `local-responses`.

use crate::bindings::local_responses;

/// A response that a plugin makes, for [`HttpStream::send_response`](crate::HttpStream::send_response).
///
/// ```
/// use tidegate_guest::LocalResponse;
///
/// let response = LocalResponse::new(429).header("retry-after", "1").body("come back later").details("rate_limited");
/// ```
#[derive(Clone, Debug)]
pub struct LocalResponse(local_responses::LocalResponse);

impl LocalResponse {
    /// An empty response. The proxy takes statuses from 200 to 599.
    pub fn new(status: u16) -> Self {
        LocalResponse(local_responses::LocalResponse {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            grpc_status: None,
            details: String::new(),
        })
    }

    /// Adds a header beside those that the proxy sets.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.0.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = body.into();
        self
    }

    /// For gRPC requests, the status that goes into `grpc-status`: 0 to 16.
    pub fn grpc_status(mut self, status: u32) -> Self {
        self.0.grpc_status = Some(status);
        self
    }

    /// A word for access logs that says why. It is not sent.
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.0.details = details.into();
        self
    }

    pub(crate) fn into_inner(self) -> local_responses::LocalResponse {
        self.0
    }
}
