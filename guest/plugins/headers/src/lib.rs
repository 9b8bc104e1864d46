//! A plugin that adds, sets, appends and removes headers, of requests and of responses.
//!
//! Which operations there are, and in which order they are done, is in [`edits`], which knows no proxy: it is handed
//! something that has fields. Here it is handed a stream's.

pub mod edits;

use serde::Deserialize;
use tidegate_guest::prelude::*;

use edits::{Edits, Half, Target};

/// What is done to the headers of both halves of a stream.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is done to requests, before upstream sees them.
    pub request: Edits,
    /// What is done to responses, those that a plugin made among them, before downstream sees them.
    pub response: Edits,
}

/// The plugin.
pub struct Headers {
    config: Config,
}

#[plugin(schema = "config.schema.json")]
impl Plugin for Headers {
    type Config = Config;
    type Stream = ();

    fn configure(config: Config) -> Result<Self, ConfigError> {
        config.request.check(Half::Request)?;
        config.response.check(Half::Response)?;
        Ok(Headers { config })
    }

    fn on_request_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Action {
        self.config.request.apply(&Live(http.request_headers()));
        Action::Continue
    }

    fn on_response_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Action {
        self.config.response.apply(&Live(http.response_headers()));
        Action::Continue
    }
}

/// The headers of a stream in a proxy. What cannot be done there is logged, and the rest is done all the same.
struct Live<'a>(Fields<'a>);

impl Target for Live<'_> {
    fn has(&self, name: &FieldName) -> bool {
        matches!(self.0.get(name).or_log("read a header"), Some(Some(_)))
    }

    fn set(&self, name: &FieldName, value: &FieldValue) {
        self.0.set(name, value).or_log("set a header");
    }

    fn append(&self, name: &FieldName, value: &FieldValue) {
        self.0.append(name, value).or_log("append a header");
    }

    fn remove(&self, name: &FieldName) {
        self.0.remove(name).or_log("remove a header");
    }
}

#[cfg(test)]
mod tests;
