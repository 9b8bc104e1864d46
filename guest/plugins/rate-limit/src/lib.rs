//! A plugin that limits how many requests pass in an interval, or are in progress at the same time.
//!
//! [`config`] defines the configuration, and `docs/rate-limit.md` documents it. This file contains the callbacks. The following modules
//! decide whether a request passes, and do not depend on a proxy. Each uses the ones after it:
//!
//! * [`engine`] checks a request against all rules, and [`rule`] is one of them.
//! * [`table`] has the buckets of a worker, and [`shared`] those that all workers share. Both consist of sets ([`set`]).
//! * [`limit`] decides about one bucket.

pub mod config;
pub mod engine;
pub mod headers;
mod jwt;
pub mod key;
mod key_part;
pub mod limit;
pub mod rule;
pub mod set;
pub mod shared;
pub mod table;
pub mod text;

use std::hash::{BuildHasher, RandomState};

use tidegate_guest::metrics::Counter;
use tidegate_guest::prelude::*;

use config::{Config, HeaderConfig, ResponseConfig, XRateLimitHeaders};
use engine::{Engine, Event, Outcome, Taken};
use rule::Rule;
use shared::{Store, Stored};
use text::push_number;

/// The plugin.
pub struct RateLimit {
    engine: Engine<ProxyData>,
    counters: Vec<Counters>,
    response: ResponseConfig,
    rejection: LocalResponse,
    not_enforced: Vec<HeaderConfig>,
}

/// What is left to do for a stream.
#[derive(Default)]
pub struct Stream {
    held: Vec<Taken>,
    response_bytes: u64,
    is_near: bool,
    headers: Vec<(&'static str, String)>,
}

/// The metrics of a rule.
struct Counters {
    enabled: Counter,
    ok: Counter,
    rate_limited: Counter,
    enforced: Counter,
    near_limit: Counter,
}

/// The shared data of the proxy that the plugin runs in.
#[derive(Debug)]
pub struct ProxyData;

#[plugin(schema = "config.schema.json", on_error = "continue")]
impl Plugin for RateLimit {
    type Config = Config;
    type Stream = Stream;

    fn configure(config: Config) -> Result<Self, ConfigError> {
        let rejection = rejection(&config.response)?;
        let rules = rules(config.rules)?;
        let mut counters = Vec::with_capacity(rules.len());
        for rule in &rules {
            let defined = Counters::define(&config.stat_prefix, &rule.name);
            counters.push(defined.map_err(|error| failed("define a metric", error))?);
        }
        // Without WASI, all instances of a module have the same `RandomState`.
        let seed = RandomState::new().hash_one(clock::now());
        let engine = Engine::new(rules, seed, |rule| {
            (ProxyData, shared_prefix(&config.stat_prefix, &rule.name))
        });
        Ok(RateLimit {
            engine: engine.map_err(|error| failed("use shared data", error))?,
            counters,
            response: config.response,
            rejection,
            not_enforced: config.request_headers_to_add_when_not_enforced,
        })
    }

    fn on_request_headers(
        &self,
        stream: &mut Stream,
        http: &mut HttpStream,
        _: EndOfStream,
    ) -> Result<Action, Error> {
        let states = self.response.enable_ratelimit_headers
            || self.response.enable_x_ratelimit_headers != XRateLimitHeaders::Off;
        let outcome = self
            .engine
            .check(&*http, clock::now(), states, |rule, event| {
                if let Some(counters) = self.counters.get(rule) {
                    counters.count(event);
                }
            });
        if self.engine.has_failed() {
            log::error!(
                "failed to use shared data: a request was not limited by a rule with the scope `proxy`"
            );
        }
        if states || outcome.rejected.is_some() {
            stream.headers = headers_of(&self.engine, &self.response, &outcome);
        }
        stream.is_near = outcome.is_near && outcome.rejected.is_none();
        stream.held = outcome.held;
        if outcome.is_not_enforced {
            add(http.request_headers(), &self.not_enforced);
        }
        match outcome.rejected {
            Some(_) => http.respond(self.rejection.clone()),
            None => Ok(Action::Continue),
        }
    }

    fn on_response_headers(
        &self,
        stream: &mut Stream,
        http: &mut HttpStream,
        _: EndOfStream,
    ) -> Action {
        for (name, value) in std::mem::take(&mut stream.headers) {
            http.response_headers()
                .set(name, value)
                .or_log("set a header");
        }
        if stream.is_near {
            let headers = &self.response.response_headers_to_add_when_near_limit;
            add(http.response_headers(), headers);
        }
        Action::Continue
    }

    fn on_response_body(
        &self,
        stream: &mut Stream,
        _: &mut HttpStream,
        size: u32,
        _: EndOfStream,
    ) -> Action {
        stream.response_bytes += u64::from(size);
        Action::Continue
    }

    fn on_log(&self, stream: &mut Stream, _: &mut HttpStream) {
        if !stream.held.is_empty() {
            let held = std::mem::take(&mut stream.held);
            self.engine.end(&held, clock::now(), stream.response_bytes);
        }
    }
}

/// Checks the rules of a configuration.
fn rules(configs: Vec<config::RuleConfig>) -> Result<Vec<Rule>, ConfigError> {
    if configs.is_empty() {
        return Err(ConfigError::at("rules", "expected at least one rule"));
    }
    let mut rules: Vec<Rule> = Vec::with_capacity(configs.len());
    for (index, config) in configs.into_iter().enumerate() {
        let rule = Rule::new(config, index)?;
        if rules.iter().any(|other| other.name == rule.name) {
            let mut path = String::from("rules[");
            push_number(&mut path, index as u32);
            path.push_str("].name");
            return Err(ConfigError::at(
                path,
                "expected a name that no other rule has",
            ));
        }
        rules.push(rule);
    }
    Ok(rules)
}

/// Returns the response to a rejected request.
fn rejection(config: &ResponseConfig) -> Result<LocalResponse, ConfigError> {
    let status = u16::try_from(config.status).unwrap_or(0);
    if !(200..=599).contains(&status) {
        return Err(ConfigError::at("response.status", "expected 200 to 599"));
    }
    let mut response = LocalResponse::new(status)
        .body(config.body.as_bytes())
        .details("local_rate_limited");
    if config.rate_limited_as_resource_exhausted {
        response = response.grpc_status(8);
    }
    for (index, HeaderConfig { name, value }) in config.response_headers_to_add.iter().enumerate() {
        if name.is_pseudo() {
            let mut path = String::from("response.response_headers_to_add[");
            push_number(&mut path, index as u32);
            path.push_str("].name");
            let reason = "expected a header name: the status has a field of its own";
            return Err(ConfigError::at(path, reason));
        }
        response = response.header(&**name, value.as_bytes());
    }
    Ok(response)
}

/// Returns the headers that tell a client what is left.
fn headers_of<S: Store>(
    engine: &Engine<S>,
    config: &ResponseConfig,
    outcome: &Outcome,
) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    if let Some((_, retry)) = outcome.rejected
        && config.enable_retry_after_header
    {
        headers.push(("retry-after", decimal(headers::seconds(retry).max(1))));
    }
    let states = outcome.states.iter().filter_map(|state| {
        let rule = engine.rule(state.rule)?;
        Some((state, rule, rule.limits.get(state.limit)?))
    });
    if config.enable_x_ratelimit_headers != XRateLimitHeaders::Off {
        // That which rejects the request, or which has the least left.
        let rejected = outcome.rejected.map(|(rule, _)| rule);
        let least = states
            .clone()
            .min_by_key(|(state, ..)| (Some(state.rule) != rejected, state.quota.remaining));
        if let Some((state, _, limit)) = least {
            let reset = headers::seconds(state.quota.reset);
            headers.push(("x-ratelimit-limit", decimal(limit.most())));
            headers.push(("x-ratelimit-remaining", decimal(state.quota.remaining)));
            headers.push(("x-ratelimit-reset", decimal(reset)));
        }
    }
    if config.enable_ratelimit_headers {
        let (mut policies, mut limits) = (String::new(), String::new());
        for (state, rule, limit) in states {
            headers::push_policy(&mut policies, rule, limit);
            headers::push_state(&mut limits, rule, limit, state);
        }
        if !policies.is_empty() {
            headers.push(("ratelimit-policy", policies));
            headers.push(("ratelimit", limits));
        }
    }
    headers
}

fn decimal(number: u32) -> String {
    let mut text = String::new();
    push_number(&mut text, number);
    text
}

fn add(fields: Fields<'_>, headers: &[HeaderConfig]) {
    for header in headers {
        fields
            .append(&header.name, header.value.as_bytes())
            .or_log("add a header");
    }
}

fn failed(what: &str, error: Error) -> ConfigError {
    let mut reason = String::from("cannot ");
    reason.push_str(what);
    reason.push_str(": ");
    reason.push_str(error.name());
    ConfigError::new(reason)
}

/// Returns the first part of the keys that a rule has in shared data.
fn shared_prefix(stat_prefix: &str, rule: &str) -> String {
    let mut prefix = String::from(stat_prefix);
    prefix.push_str(".http_local_rate_limit.");
    prefix.push_str(rule);
    prefix.push('.');
    prefix
}

// === impl Counters ===

impl Counters {
    fn define(stat_prefix: &str, rule: &str) -> Result<Self, Error> {
        let define = |name: &str| {
            let mut full = shared_prefix(stat_prefix, rule);
            full.push_str(name);
            Counter::define(&full)
        };
        Ok(Counters {
            enabled: define("enabled")?,
            ok: define("ok")?,
            rate_limited: define("rate_limited")?,
            enforced: define("enforced")?,
            near_limit: define("near_limit")?,
        })
    }

    fn count(&self, event: Event) {
        let counter = match event {
            Event::Enabled => &self.enabled,
            Event::Ok => &self.ok,
            Event::NearLimit => &self.near_limit,
            Event::RateLimited => &self.rate_limited,
            Event::Enforced => &self.enforced,
        };
        counter.increment();
    }
}

// === impl ProxyData ===

impl Store for ProxyData {
    type Error = Error;

    fn get(&self, key: &str) -> Result<Option<Stored>, Error> {
        Ok(shared_data::get(key)?.map(|stored| (stored.value, stored.version)))
    }

    fn set(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<bool, Error> {
        let condition = version.map_or(shared_data::Condition::Absent, |version| {
            shared_data::Condition::Version(version)
        });
        match shared_data::set(key, value, condition) {
            Ok(()) => Ok(true),
            Err(Error::CasMismatch) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
