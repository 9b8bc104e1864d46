//! A twin of the plugin `rate-limit` for one rule, written with the Proxy-Wasm Rust SDK: a token bucket for each client address.
//!
//! The benches compare the cost of a request with that in `guest/plugins/rate-limit`. For the configurations that the twin accepts, it
//! has the same responses and the same counters, except for `near_limit`. It is written as the SDK's examples are.

mod config;
mod limiter;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::SystemTime;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType, Status};

use config::Config;
use limiter::Limiter;

/// The SDK defines the entry point as a public function without a comment. In a private module, the lint accepts it.
mod start {
    use super::{LogLevel, Root, RootContext};

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Info);
        proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root::default()) });
    }}
}

#[derive(Default)]
struct Root {
    rule: Option<Rc<Rule>>,
}

/// The rule, which all streams of a worker share.
struct Rule {
    limiter: RefCell<Limiter>,
    counters: Counters,
    has_retry_after: bool,
}

/// The IDs of the counters.
struct Counters {
    enabled: u32,
    ok: u32,
    rate_limited: u32,
    enforced: u32,
}

struct Stream {
    rule: Rc<Rule>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        match Rule::new(&bytes) {
            Ok(rule) => {
                self.rule = Some(Rc::new(rule));
                true
            }
            Err(error) => {
                // An error of the log could not be logged either.
                let _ = hostcalls::log(LogLevel::Error, &format!("configuration: {error}"));
                false
            }
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        let rule = self.rule.clone()?;
        Some(Box::new(Stream { rule }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Rule {
    fn new(configuration: &[u8]) -> Result<Rule, String> {
        let config: Config =
            serde_json::from_slice(configuration).map_err(|error| error.to_string())?;
        let [rule] = config.rules;
        let counters = Counters::define(&rule.name)
            .map_err(|status| format!("failed to define a metric: {status:?}"))?;
        let limiter = Limiter::new(&rule.limit, rule.burst, rule.max_dynamic_descriptors);
        Ok(Rule {
            limiter: RefCell::new(limiter),
            counters,
            has_retry_after: config.response.enable_retry_after_header,
        })
    }
}

impl Counters {
    fn define(rule: &str) -> Result<Counters, Status> {
        let define = |name: &str| {
            let name = format!("rate_limit.http_local_rate_limit.{rule}.{name}");
            hostcalls::define_metric(MetricType::Counter, &name)
        };
        Ok(Counters {
            enabled: define("enabled")?,
            ok: define("ok")?,
            rate_limited: define("rate_limited")?,
            enforced: define("enforced")?,
        })
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let Rule {
            limiter,
            counters,
            has_retry_after,
        } = &*self.rule;
        count(counters.enabled);
        let now = nanoseconds(self.get_current_time());
        let source = self.get_property(vec!["source", "address"]);
        let client = source.as_deref().and_then(client);
        let Err(seconds) = limiter.borrow_mut().take(client, now) else {
            count(counters.ok);
            return Action::Continue;
        };
        count(counters.rate_limited);
        count(counters.enforced);
        let seconds = seconds.to_string();
        let headers = if *has_retry_after {
            vec![("retry-after", seconds.as_str())]
        } else {
            Vec::new()
        };
        self.send_http_response(429, headers, Some(b"rate limited\n"));
        Action::Pause
    }
}

/// Returns the address of a client, without the port. IPv6 clients are told apart by their /64.
fn client(source: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(source).ok()?;
    let address = match text.parse::<SocketAddr>() {
        Ok(address) => address.ip(),
        Err(_) => text.parse().ok()?,
    };
    Some(match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & (u128::MAX << 64)).into()),
        address => address,
    })
}

fn count(counter: u32) {
    // A counter that has been defined can be incremented.
    let _ = hostcalls::increment_metric(counter, 1);
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
