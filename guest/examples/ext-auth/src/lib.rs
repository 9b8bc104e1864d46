//! Lets an authorization service decide about each request: HTTP calls, a timer and metrics.
//!
//! The service is asked once for each `authorization` header, method and path. Requests to it carry a key, which a timer refreshes. If
//! it does not answer, requests are rejected.

mod decisions;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::time::Duration;

use decisions::Decisions;
use serde::Deserialize;
use tidegate_guest::http_calls::{self, Request};
use tidegate_guest::prelude::*;
use tidegate_guest::{metrics::Counter, timers};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Config {
    cluster: String,
    timeout_ms: u64,
    remember_ms: u64,
    refresh_ms: u64,
}

struct ExtAuth {
    config: Config,
    key: RefCell<Vec<u8>>,
    decisions: RefCell<Decisions>,
    allowed: Counter,
    denied: Counter,
    failed: Counter,
}

/// What is asked: the `authorization` header, the method and the path.
type Question = [Vec<u8>; 3];

#[plugin]
impl Plugin for ExtAuth {
    type Config = Config;
    type Stream = Option<Question>;

    fn configure(config: Config) -> Result<Self, ConfigError> {
        let counter = |name: &str| {
            Counter::define(name).map_err(|error| ConfigError::at(name, error.to_string()))
        };
        // The service cannot be called yet: the first tick fetches the key.
        timers::every(Duration::from_millis(1)).or_log("start the timer");
        Ok(ExtAuth {
            key: RefCell::default(),
            decisions: RefCell::new(Decisions::new(Duration::from_millis(config.remember_ms))),
            allowed: counter("ext_auth.allowed")?,
            denied: counter("ext_auth.denied")?,
            failed: counter("ext_auth.failed")?,
            config,
        })
    }

    fn on_tick(&self) {
        timers::every(Duration::from_millis(self.config.refresh_ms)).or_log("refresh the key");
        let cluster = &self.config.cluster;
        let request = Request::get(cluster, "/key");
        http_calls::send(cluster, request, self.timeout()).or_log("ask for the key");
    }

    fn on_plugin_http_call_response(&self, _: CallId, outcome: Outcome) {
        match outcome {
            Outcome::Response(response) if response.status() == Some(200) => {
                self.key.replace(response.body().trim_ascii().to_vec());
                log::info!("the key was refreshed");
            }
            _ => log::warn!("the key was not refreshed"),
        }
    }

    fn on_request_headers(
        &self,
        asked: &mut Option<Question>,
        http: &mut HttpStream,
        _: EndOfStream,
    ) -> Result<Action, Error> {
        let header = |name| http.request_headers().get(name);
        let names = ["authorization", ":method", ":path"];
        let [credentials, method, path] = names.map(header);
        let question = [credentials?, method?, path?].map(Option::unwrap_or_default);
        match self.decisions.borrow().find(&question, clock::now()) {
            Some(true) => {
                self.allowed.increment();
                return Ok(Action::Continue);
            }
            Some(false) => self.deny(http, 403)?,
            None => {
                let call = self.ask(http, &question);
                call.inspect_err(|_| self.failed.increment())?;
                *asked = Some(question);
            }
        }
        Ok(Action::Pause)
    }

    fn on_http_call_response(
        &self,
        asked: &mut Option<Question>,
        http: &mut HttpStream,
        _: CallId,
        outcome: Outcome,
    ) -> Result<(), Error> {
        let Some(is_allowed) = decisions::read(&outcome) else {
            return self.deny(http, 503);
        };
        if let Some(question) = asked.take() {
            let mut decisions = self.decisions.borrow_mut();
            decisions.remember(question, is_allowed, clock::now());
        }
        if is_allowed {
            self.allowed.increment();
            http.resume(Direction::Request)
        } else {
            self.deny(http, 403)
        }
    }
}

impl ExtAuth {
    fn ask(
        &self,
        http: &HttpStream,
        [credentials, method, path]: &Question,
    ) -> Result<CallId, Error> {
        let [method, path] = [method, path].map(|it| String::from_utf8_lossy(it));
        let request = Request::new(&method, &self.config.cluster, &path)
            .header("x-key", self.key.borrow().clone())
            .header("authorization", credentials.clone());
        http.call(&self.config.cluster, request, self.timeout())
    }

    fn deny(&self, http: &HttpStream, status: u16) -> Result<(), Error> {
        match status {
            403 => self.denied.increment(),
            _ => self.failed.increment(),
        }
        let response = LocalResponse::new(status).details("ext_auth");
        http.send_response(response)
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.config.timeout_ms)
    }
}
