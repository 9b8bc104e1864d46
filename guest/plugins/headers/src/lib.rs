//! A plugin that changes headers, trailers, cookies, paths and query parameters, and answers CORS preflights. `docs/headers.md`
//! describes its configuration.
//!
//! A configuration is read by the tables in `fields`, from which `config` and `builder` make a plan. `stream` applies
//! the plan to messages, which it knows as traits: `edit::Target` is edited, and `source::Source` has the values of operators. In
//! a proxy, `live` implements both.

mod builder;
mod checks;
mod config;
mod cookie;
mod cors;
mod decimal;
mod edit;
mod fields;
mod format;
mod guard;
mod live;
mod operators;
mod place;
mod query;
#[cfg(test)]
mod schema;
mod security;
mod source;
mod stream;
mod time;

use tidegate_guest::metrics::Counter;
use tidegate_guest::prelude::*;

use config::{Config, Plan};
use cors::Decision;
use live::Live;
use stream::{State, Trailers};

/// The plugin.
pub struct Headers {
    plan: Plan,
    /// The metrics `cors.origin_valid` and `cors.origin_invalid`, if CORS is configured.
    origins: Option<(Counter, Counter)>,
}

#[plugin(schema = "config.schema.json")]
impl Plugin for Headers {
    type Config = Config;
    type Stream = State;

    fn configure(config: Config) -> Result<Self, ConfigError> {
        let plan = config.build()?;
        let mut origins = None;
        if plan.cors.is_some() {
            let define =
                |name| Counter::define(name).map_err(|error| ConfigError::at("cors", error.name()));
            origins = Some((define("cors.origin_valid")?, define("cors.origin_invalid")?));
        }
        Ok(Headers { plan, origins })
    }

    fn on_request_headers(
        &self,
        state: &mut State,
        http: &mut HttpStream,
        _: EndOfStream,
    ) -> Action {
        let decision = self.plan.cors(state, &Live::request(http));
        if let (Some((valid, invalid)), Decision::Pass(origin) | Decision::Answer(_, origin)) =
            (&self.origins, &decision)
        {
            if origin.is_some() {
                valid.increment()
            } else {
                invalid.increment()
            }
        }
        if let Decision::Answer(headers, _) = decision {
            self.plan.answered(state, &Live::request(http));
            let mut response = LocalResponse::new(200).details("cors_response");
            for (name, value) in headers {
                response = response.header(name, value);
            }
            http.send_response(response).or_log("answer a preflight");
            return Action::Pause;
        }
        if self.plan.request(state, &Live::request(http)) {
            foreign_functions::clear_route_cache().or_log("clear the route cache");
        }
        Action::Continue
    }

    fn on_request_trailers(&self, state: &mut State, http: &mut HttpStream) -> Action {
        let message = Live::later(
            http,
            http.request_trailers(),
            &self.plan.saved,
            &state.saved,
        );
        self.plan.trailers(state, Trailers::Request, &message);
        Action::Continue
    }

    fn on_response_headers(
        &self,
        state: &mut State,
        http: &mut HttpStream,
        _: EndOfStream,
    ) -> Action {
        let saved = std::mem::take(&mut state.saved);
        self.plan.response(
            state,
            &Live::later(http, http.response_headers(), &self.plan.saved, &saved),
        );
        state.saved.request = saved.request;
        Action::Continue
    }

    fn on_response_trailers(&self, state: &mut State, http: &mut HttpStream) -> Action {
        let message = Live::later(
            http,
            http.response_trailers(),
            &self.plan.saved,
            &state.saved,
        );
        self.plan.trailers(state, Trailers::Response, &message);
        Action::Continue
    }
}

#[cfg(test)]
mod tests;
