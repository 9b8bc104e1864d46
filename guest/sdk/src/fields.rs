//! [`Fields`]: headers and trailers. Wraps the contract's `http-fields` interface.

use crate::{
    Error, HttpStream,
    bindings::http_fields::{self, FieldMap},
};

/// The headers or trailers of one half of a stream.
///
/// Nothing is copied in advance: each method makes one hostcall. Names are lowercase. The values of a field keep their
/// order. Before the fields arrive, and after the proxy has forwarded them, every method returns [`Error::NotAvailable`]. In
/// [`on_log`](crate::Plugin::on_log) they can be read again, except request trailers, which are empty there.
///
/// Trailers can be [added](crate#trailers) at the end of a body.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    http: &'a HttpStream,
    map: FieldMap,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(http: &'a HttpStream, map: FieldMap) -> Self {
        Fields { http, map }
    }

    /// Returns the first value of a field.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        http_fields::get(self.http.handle(), self.map, name)
    }

    /// Returns the first value of a field as a string. Returns [`Error::Malformed`] if it is not valid UTF-8.
    pub fn get_str(&self, name: &str) -> Result<Option<String>, Error> {
        match self.get(name)? {
            Some(value) => String::from_utf8(value)
                .map(Some)
                .map_err(|_| Error::Malformed),
            None => Ok(None),
        }
    }

    /// Returns all values of a field, in order.
    pub fn values(&self, name: &str) -> Result<Vec<Vec<u8>>, Error> {
        http_fields::values(self.http.handle(), self.map, name)
    }

    /// Returns all fields, in order.
    pub fn entries(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        http_fields::entries(self.http.handle(), self.map)
    }

    /// Replaces all values of a field with one value, or adds the field.
    pub fn set(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        http_fields::set(self.http.handle(), self.map, name, value.as_ref())
    }

    /// Adds a value to a field and keeps its existing values.
    pub fn append(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        http_fields::append(self.http.handle(), self.map, name, value.as_ref())
    }

    /// Removes a field with all its values. Does nothing if the field is absent.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        http_fields::remove(self.http.handle(), self.map, name)
    }

    /// Replaces all fields, including pseudo-headers such as `:path`.
    pub fn replace_all(&self, entries: &[(String, Vec<u8>)]) -> Result<(), Error> {
        http_fields::replace_all(self.http.handle(), self.map, entries)
    }
}
