//! Adds a greeting to every response.

#[cfg(test)]
mod tests;

use serde::Deserialize;
use tidegate_guest::prelude::*;

/// What an operator may configure. Unknown fields are rejected with an error that names them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The value of `x-greeting`.
    greeting: Option<FieldValue>,
}

/// The plugin: one instance for each configuration and worker of the proxy.
struct Greeter {
    greeting: String,
}

#[plugin]
impl Plugin for Greeter {
    type Config = Config;
    /// The state of a stream; none here.
    type Stream = ();

    fn configure(config: Config) -> Result<Self, ConfigError> {
        let greeting = config.greeting.as_deref().unwrap_or("hello");
        Ok(Greeter {
            greeting: greeting.to_owned(),
        })
    }

    // The proxy calls only the callbacks that are implemented here. There are also callbacks for requests, bodies and logging.
    fn on_response_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Action {
        http.response_headers()
            .set("x-greeting", &self.greeting)
            .or_log("greet");
        Action::Continue
    }
}
