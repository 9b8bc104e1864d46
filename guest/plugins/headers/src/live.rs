//! The messages of a stream in a proxy. If an edit fails there, the error is logged, and the remaining edits are applied.

use plugin_matching::Request;
use tidegate_guest::prelude::*;

use crate::edit::Target;
use crate::source::{Message, Saved, SavedValues, Source};

/// A message of a stream: the one whose callback is running.
#[derive(Clone, Copy)]
pub struct Live<'a> {
    http: &'a HttpStream,
    fields: Fields<'a>,
    /// Names and values that were saved, unless this is the request.
    saved: Option<(&'a Saved<String>, &'a SavedValues)>,
}

impl<'a> Live<'a> {
    /// The headers of a request.
    pub fn request(http: &'a HttpStream) -> Self {
        Live {
            http,
            fields: http.request_headers(),
            saved: None,
        }
    }

    /// Other fields, and what was saved of the messages before.
    pub fn later(
        http: &'a HttpStream,
        fields: Fields<'a>,
        names: &'a Saved<String>,
        values: &'a SavedValues,
    ) -> Self {
        Live {
            http,
            fields,
            saved: Some((names, values)),
        }
    }

    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.http.property(path).ok().flatten()
    }
}

impl Target for Live<'_> {
    fn values(&self, name: &str) -> Vec<Vec<u8>> {
        self.fields
            .values(name)
            .or_log("read a field")
            .unwrap_or_default()
    }

    fn names(&self) -> Vec<String> {
        let entries = self
            .fields
            .entries()
            .or_log("read fields")
            .unwrap_or_default();
        entries.into_iter().map(|(name, _)| name).collect()
    }

    fn set(&self, name: &str, value: &[u8]) {
        self.fields.set(name, value).or_log("set a field");
    }

    fn append(&self, name: &str, value: &[u8]) {
        self.fields.append(name, value).or_log("append a field");
    }

    fn remove(&self, name: &str) {
        self.fields.remove(name).or_log("remove a field");
    }
}

impl Source for Live<'_> {
    fn field(&self, message: Message, name: &str) -> Option<Vec<u8>> {
        // An error says that the proxy does not have the message in this callback.
        match (message, self.saved) {
            (Message::Request, Some((names, values))) => {
                find(&names.request, &values.request, name)
            }
            (Message::Request, None) => self.fields.get(name).ok().flatten(),
            (Message::Response, saved) => {
                self.http.response_headers().get(name).unwrap_or_else(|_| {
                    let (names, values) = saved?;
                    find(&names.response, &values.response, name)
                })
            }
            (Message::ResponseTrailers, _) => {
                self.http.response_trailers().get(name).ok().flatten()
            }
        }
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.attribute(path)
    }
}

impl Request for Live<'_> {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.http.header(name)
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.attribute(path)
    }
}

/// Returns a value that was saved.
fn find(names: &[String], values: &[Option<Vec<u8>>], name: &str) -> Option<Vec<u8>> {
    let index = names.iter().position(|saved| saved == name)?;
    values.get(index)?.clone()
}
