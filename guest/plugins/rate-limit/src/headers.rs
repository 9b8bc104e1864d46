//! Headers that tell clients what is left: `X-RateLimit-*` of the third draft, and `RateLimit` and `RateLimit-Policy` of the current one
//! (draft-ietf-httpapi-ratelimit-headers-10).

use crate::engine::State;
use crate::limit::{Algorithm, Limit};
use crate::rule::Rule;
use crate::text::push_number;

const SECOND: u64 = 1_000_000_000;

/// Returns a time in seconds, rounded up.
pub fn seconds(nanoseconds: u64) -> u32 {
    u32::try_from(nanoseconds.div_ceil(SECOND)).unwrap_or(u32::MAX)
}

/// Appends the `RateLimit-Policy` of a rule to a list: its name, quota and window, or that it counts requests in progress.
pub fn push_policy(list: &mut String, rule: &Rule, limit: &Limit) {
    push_name(list, rule);
    list.push_str(";q=");
    match limit.algorithm() {
        Algorithm::Concurrency => {
            push_number(list, limit.count());
            list.push_str(";qu=\"concurrent-requests\"");
        }
        _ => {
            push_number(list, limit.count());
            // A window is a whole number of seconds.
            if limit.interval().is_multiple_of(SECOND) {
                list.push_str(";w=");
                push_number(list, seconds(limit.interval()));
            }
        }
    }
}

/// Appends the `RateLimit` of a rule to a list: its name, what is left, and the seconds until all of it is.
pub fn push_state(list: &mut String, rule: &Rule, limit: &Limit, state: &State) {
    push_name(list, rule);
    list.push_str(";r=");
    push_number(list, state.quota.remaining);
    if limit.algorithm() != Algorithm::Concurrency {
        list.push_str(";t=");
        push_number(list, seconds(state.quota.reset));
    }
}

/// Names have no characters that a string of a structured field would have to escape.
fn push_name(list: &mut String, rule: &Rule) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.push('"');
    list.push_str(&rule.name);
    list.push('"');
}
