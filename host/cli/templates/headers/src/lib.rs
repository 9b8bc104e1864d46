//! Sets and removes response headers.
//!
//! [`edits`] defines and validates the configuration. It does not depend on a proxy.

mod edits;
#[cfg(test)]
mod tests;

use tidegate_guest::prelude::*;

use edits::Edits;

/// The plugin: one instance for each configuration and worker of the proxy.
struct ResponseHeaders {
    edits: Edits,
}

#[plugin]
impl Plugin for ResponseHeaders {
    type Config = Edits;
    /// The state of a stream; none here.
    type Stream = ();

    fn configure(edits: Edits) -> Result<Self, ConfigError> {
        edits.check()?;
        Ok(ResponseHeaders { edits })
    }

    fn on_response_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Action {
        let headers = http.response_headers();
        for name in &self.edits.remove {
            headers.remove(name).or_log("remove a header");
        }
        for header in &self.edits.set {
            headers
                .set(&header.name, &header.value)
                .or_log("set a header");
        }
        Action::Continue
    }
}
