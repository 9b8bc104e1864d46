//! How the plugins `rate-limit` and `headers` match requests: matchers of strings, paths and addresses, and [`Condition`], which
//! combines them.
//!
//! The types are parts of a plugin's configuration. They are checked and compiled when they are deserialized, so that an error
//! has the path of the invalid value, and matching cannot fail. Names and semantics are those of Envoy if Envoy has the same matcher.
//!
//! Matching reads a request through the trait [`Request`], so it can be tested without a proxy.

mod cidr;
mod client_address;
mod condition;
mod cookie;
mod field;
mod path;
mod path_matcher;
pub mod read;
mod regex;
mod request;
mod rewrite;
mod string_matcher;

pub use cidr::{Cidr, masked};
pub use client_address::{address_of, client_address};
pub use condition::{Condition, HeaderMatcher, PropertyMatcher, QueryParameterMatcher};
pub use cookie::cookie;
pub use field::{HeaderName, HeaderValue};
pub use path::{path_of, percent_decode, query_parameter};
pub use path_matcher::PathMatcher;
pub use regex::Regex;
pub use request::Request;
pub use rewrite::Rewrite;
pub use string_matcher::StringMatcher;

#[cfg(test)]
mod tests;
