//! [`Request`]: what is matched.

use tidegate_guest::HttpStream;

/// A request that can be matched.
pub trait Request {
    /// Returns the value of a header, or of a pseudo-header such as `:path`. Several values are joined with `,`, as Envoy's header
    /// matchers do, and those of `cookie` with `; `.
    fn header(&self, name: &str) -> Option<Vec<u8>>;

    /// Returns the property at a path such as `["source", "address"]`.
    fn property(&self, path: &[&str]) -> Option<Vec<u8>>;
}

impl Request for HttpStream {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        let mut values = self.request_headers().values(name).ok()?.into_iter();
        let mut joined = values.next()?;
        let separator: &[u8] = if name == "cookie" { b"; " } else { b"," };
        for value in values {
            joined.extend_from_slice(separator);
            joined.extend_from_slice(&value);
        }
        Some(joined)
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        HttpStream::property(self, path).ok().flatten()
    }
}
