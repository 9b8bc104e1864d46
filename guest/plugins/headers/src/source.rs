//! [`Source`]: what the operators in values read.

/// What operators read.
pub trait Source {
    /// The first value of a field of the request, the response, or the response's trailers. Pseudo-headers are fields.
    fn field(&self, message: Message, name: &str) -> Option<Vec<u8>>;
    /// An attribute of the proxy. Numbers are eight bytes in little-endian order, booleans one byte.
    fn property(&self, path: &[&str]) -> Option<Vec<u8>>;
}

/// Where an operator looks for a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// In the headers of the request.
    Request,
    /// In the headers of the response.
    Response,
    /// In the trailers of the response.
    ResponseTrailers,
}

/// What is saved of the headers of a request and a response, because proxies do not have them any more when they are read: names or
/// values.
#[derive(Debug, Default)]
pub struct Saved<T> {
    /// Of the request.
    pub request: Vec<T>,
    /// Of the response.
    pub response: Vec<T>,
}

/// The values of what is saved. A message may lack a header.
pub type SavedValues = Saved<Option<Vec<u8>>>;

/// Adds a name, unless it is there.
pub fn add_name(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|other| other == name) {
        names.push(name.to_owned());
    }
}
