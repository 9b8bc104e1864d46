//! [`Rule`]: a rule, made from its configuration.

use std::cell::Cell;

use plugin_matching::{Condition, Request};
use tidegate_guest::ConfigError;

use crate::config::{AlgorithmConfig, Cost, FractionalPercent, KeyPart, RuleConfig, Scope};
use crate::key::KeyHasher;
use crate::limit::{Algorithm, Limit};
use crate::set::Key;
use crate::table::Size;
use crate::text::{Nanoseconds, Rate};

/// The default of `lease`: an hour.
const LEASE: Nanoseconds = Nanoseconds(3_600_000_000_000);

/// The largest number of overrides, since a [`Key`] has 8 bits for the limit.
const MOST_OVERRIDES: usize = 255;

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Its limit, followed by those of its overrides.
    pub limits: Vec<Limit>,
    /// The size of its table of keys.
    pub size: Size,
    /// Where it counts.
    pub scope: Scope,
    /// The share of requests that it is checked for.
    pub enabled: Sampler,
    /// The share of limited requests that are rejected.
    pub enforced: Sampler,
    /// What a request costs.
    pub cost: Option<Cost>,
    condition: Condition,
    exempt: Vec<Condition>,
    overrides: Vec<Condition>,
    key: Vec<KeyPart>,
}

/// Chooses a share of all requests, evenly: of any number in a row, the share with an error of less than one.
#[derive(Debug)]
pub struct Sampler {
    millionths: u32,
    sum: Cell<u32>,
}

impl Rule {
    /// Checks the configuration of the rule with an index.
    #[inline(never)]
    pub fn new(config: RuleConfig, index: usize) -> Result<Self, ConfigError> {
        let at = |field: &str, reason: &str| {
            let mut path = String::from("rules[");
            crate::text::push_number(&mut path, index as u32);
            path.push(']');
            if !field.starts_with('[') {
                path.push('.');
            }
            path.push_str(field);
            ConfigError::at(path, reason)
        };
        if config.name.is_empty() || !config.name.bytes().all(is_of_name) {
            return Err(at("name", "expected letters, digits, `_`, `-` and `.`"));
        }
        if config.lease.is_some() && config.algorithm != AlgorithmConfig::Concurrency {
            return Err(at("lease", "is only for the algorithm `concurrency`"));
        }
        if config.cost.is_some() && config.algorithm == AlgorithmConfig::Concurrency {
            return Err(at("cost", "is not for the algorithm `concurrency`"));
        }
        if let Some(Cost::ResponseBytes(0)) = config.cost {
            return Err(at("cost.response_bytes", "expected at least 1"));
        }
        if !(1..=10_000_000).contains(&config.max_dynamic_descriptors) {
            return Err(at("max_dynamic_descriptors", "expected 1 to 10000000"));
        }
        if config.overrides.len() > MOST_OVERRIDES {
            return Err(at("overrides", "expected at most 255"));
        }
        let lease = config.lease.unwrap_or(LEASE);
        let limit = |rate: Rate, burst: Option<u32>, prefix: &str| {
            limit_of(config.algorithm, rate, burst, lease).map_err(|(field, reason)| {
                let mut path = prefix.to_owned();
                path.push_str(field);
                at(&path, reason)
            })
        };
        let mut limits = vec![limit(config.limit, config.burst, "")?];
        let mut overrides = Vec::new();
        for (number, it) in config.overrides.into_iter().enumerate() {
            let mut prefix = String::from("overrides[");
            crate::text::push_number(&mut prefix, number as u32);
            prefix.push_str("].");
            limits.push(limit(it.limit, it.burst, &prefix)?);
            overrides.push(it.condition);
        }
        // Without a key, there is one bucket for each limit.
        let keys = if config.key.is_empty() {
            limits.len() as u32
        } else {
            config.max_dynamic_descriptors
        };
        for (number, part) in config.key.iter().enumerate() {
            if let KeyPart::ClientAddress(address) = part
                && (address.ipv4_prefix > 32 || address.ipv6_prefix > 128)
            {
                let mut path = String::from("key[");
                crate::text::push_number(&mut path, number as u32);
                path.push_str("].client_address");
                return Err(at(
                    &path,
                    "expected an `ipv4_prefix` of at most 32 and an `ipv6_prefix` of at most 128",
                ));
            }
        }
        let enforced = if config.shadow_mode {
            Sampler::of_millionths(0)
        } else {
            Sampler::new(config.filter_enforced)
        };
        Ok(Rule {
            name: config.name,
            limits,
            size: Size::for_keys(keys),
            scope: config.scope,
            enabled: Sampler::new(config.filter_enabled),
            enforced,
            cost: config.cost,
            condition: config.condition,
            exempt: config.exempt,
            overrides,
            key: config.key,
        })
    }

    /// Returns whether the rule applies to a request.
    pub fn applies(&self, request: &impl Request) -> bool {
        self.condition.matches(request) && !self.exempt.iter().any(|exempt| exempt.matches(request))
    }

    /// Returns the key of a request, with the limit that is for it. `hasher` has just begun a key.
    pub fn key(&self, request: &impl Request, mut hasher: KeyHasher) -> Key {
        let limit = self
            .overrides
            .iter()
            .position(|it| it.matches(request))
            .map_or(0, |index| index + 1) as u8;
        for part in &self.key {
            part.hash(request, &mut hasher);
        }
        hasher.word(limit.into());
        Key::new(hasher.finish(), limit)
    }

    /// Returns what a request costs when it comes.
    pub fn cost(&self, request: &impl Request) -> u32 {
        match &self.cost {
            None => 1,
            Some(Cost::Number(number)) => *number,
            Some(Cost::RequestHeader(name)) => request
                .header(name)
                .and_then(|value| std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok())
                .unwrap_or(1),
            Some(Cost::ResponseBytes(_)) => 0,
        }
    }

    /// Returns whether something is left to do when the stream ends.
    pub fn ends_with_stream(&self) -> bool {
        matches!(self.cost, Some(Cost::ResponseBytes(_)))
            || self
                .limits
                .first()
                .is_some_and(|limit| limit.algorithm() == Algorithm::Concurrency)
    }
}

/// Returns a limit, or the field that is wrong and the reason.
fn limit_of(
    algorithm: AlgorithmConfig,
    rate: Rate,
    burst: Option<u32>,
    lease: Nanoseconds,
) -> Result<Limit, (&'static str, &'static str)> {
    let algorithm = match algorithm {
        AlgorithmConfig::TokenBucket => Algorithm::TokenBucket,
        AlgorithmConfig::SlidingWindow => Algorithm::SlidingWindow,
        AlgorithmConfig::FixedWindow => Algorithm::FixedWindow,
        AlgorithmConfig::Concurrency => Algorithm::Concurrency,
    };
    if burst.is_some() && algorithm != Algorithm::TokenBucket {
        return Err(("burst", "is only for the algorithm `token_bucket`"));
    }
    if burst == Some(0) {
        return Err(("burst", "expected at least 1"));
    }
    let interval = match (algorithm, rate.interval) {
        (Algorithm::Concurrency, None) => lease.0,
        (Algorithm::Concurrency, Some(_)) => {
            return Err((
                "limit",
                "expected a number such as 100 for the algorithm `concurrency`",
            ));
        }
        (_, Some(interval)) => interval,
        (_, None) => return Err(("limit", "expected an interval, as in 10/s")),
    };
    // The burst has no meaning for the others, and would only make numbers larger.
    let burst = match algorithm {
        Algorithm::TokenBucket => burst.unwrap_or(rate.count),
        _ => 1,
    };
    Limit::new(algorithm, rate.count, interval, burst).ok_or((
        "limit",
        "too large to be counted in nanoseconds: use a shorter interval or a smaller burst",
    ))
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

impl Sampler {
    fn new(share: Option<FractionalPercent>) -> Self {
        Sampler::of_millionths(share.map_or(1_000_000, FractionalPercent::millionths))
    }

    fn of_millionths(millionths: u32) -> Self {
        Sampler {
            millionths,
            sum: Cell::new(0),
        }
    }

    /// Returns whether the next request is chosen.
    #[inline]
    pub fn chooses(&self) -> bool {
        let sum = self.sum.get() + self.millionths;
        let chosen = sum >= 1_000_000;
        self.sum.set(if chosen { sum - 1_000_000 } else { sum });
        chosen
    }
}
