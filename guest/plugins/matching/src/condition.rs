//! [`Condition`]: a condition on requests.

use crate::{
    Cidr, HeaderName, PathMatcher, Request, StringMatcher, client_address, path_of, query_parameter,
};

crate::readable! {
/// A condition on requests. It matches a request if all given fields match. An empty condition matches every request.
#[derive(Debug, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(default, deny_unknown_fields))]
pub struct Condition {
    /// The host of the request, in lowercase and without its port.
    pub host: Option<StringMatcher>,
    /// The path, without the query.
    pub path: Option<PathMatcher>,
    /// One of these methods, in uppercase. Any method if empty.
    pub methods: Vec<String>,
    /// All of these headers match.
    pub headers: Vec<HeaderMatcher>,
    /// All of these query parameters match.
    pub query_parameters: Vec<QueryParameterMatcher>,
    /// The client's address is in one of these ranges. Any address if empty.
    pub source_cidr: Vec<Cidr>,
    /// For `source_cidr`: the number of trusted proxies in front of this one that append to `x-forwarded-for`. With 0, the
    /// client's address is the attribute `source.address`.
    pub trusted_hops: u32 = 0,
    /// All of these properties match.
    pub properties: Vec<PropertyMatcher>,
}
}

crate::readable! {
/// Matches a header. Without `string_match` and `present_match`, the header must be present.
#[derive(Debug)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct HeaderMatcher {
    /// The name of the header.
    pub name: HeaderName,
    /// The matcher for its value. Several values are joined with `,`. An absent header does not match, even if inverted.
    pub string_match: Option<StringMatcher>,
    /// Whether the header is present.
    pub present_match: Option<bool>,
    /// Whether the result is inverted.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub invert_match: bool = false,
}
}

crate::readable! {
/// Matches a query parameter by its first value, which is percent-decoded. Without `string_match` and `present_match`, the parameter
/// must be present.
#[derive(Debug)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct QueryParameterMatcher {
    /// The name of the parameter.
    pub name: String,
    /// The matcher for its value.
    pub string_match: Option<StringMatcher>,
    /// Whether the parameter is present.
    pub present_match: Option<bool>,
}
}

crate::readable! {
/// Matches a property of the stream. Without `string_match`, the property must be present.
#[derive(Debug)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct PropertyMatcher {
    /// The path of the property, such as `["xds", "route_name"]`.
    pub path: Vec<String>,
    /// The matcher for its value, which is compared as bytes.
    pub string_match: Option<StringMatcher>,
    /// Whether the result is inverted.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub invert_match: bool = false,
}
}

impl Condition {
    /// Returns whether a request matches.
    pub fn matches(&self, request: &impl Request) -> bool {
        if let Some(host) = &self.host {
            let authority = request.header(":authority").unwrap_or_default();
            if !host.matches(&host_of(authority)) {
                return false;
            }
        }
        if self.path.is_some() || !self.query_parameters.is_empty() {
            let path = request.header(":path").unwrap_or_default();
            // A path that is not UTF-8 is as an empty one.
            let path = std::str::from_utf8(&path).unwrap_or_default();
            if let Some(matcher) = &self.path
                && !matcher.matches(path_of(path))
            {
                return false;
            }
            if !self
                .query_parameters
                .iter()
                .all(|parameter| parameter.matches(path))
            {
                return false;
            }
        }
        if !self.methods.is_empty() {
            let method = request.header(":method").unwrap_or_default();
            if !self.methods.iter().any(|it| it.as_bytes() == method) {
                return false;
            }
        }
        if !self.headers.iter().all(|header| header.matches(request)) {
            return false;
        }
        if !self.source_cidr.is_empty() {
            let Some(client) = client_address(request, self.trusted_hops) else {
                return false;
            };
            if !self.source_cidr.iter().any(|cidr| cidr.contains(client)) {
                return false;
            }
        }
        self.properties
            .iter()
            .all(|property| property.matches(request))
    }
}

impl HeaderMatcher {
    /// Returns whether the header of a request matches.
    pub fn matches(&self, request: &impl Request) -> bool {
        let value = request.header(&self.name);
        matches_value(
            &self.string_match,
            self.present_match,
            value,
            self.invert_match,
        )
    }
}

impl QueryParameterMatcher {
    /// Returns whether the parameter of a path matches.
    pub fn matches(&self, path: &str) -> bool {
        let value = query_parameter(path, &self.name);
        matches_value(&self.string_match, self.present_match, value, false)
    }
}

impl PropertyMatcher {
    /// Returns whether the property of a request matches.
    pub fn matches(&self, request: &impl Request) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let value = request.property(&path);
        matches_value(&self.string_match, None, value, self.invert_match)
    }
}

/// Envoy's rules: an absent value never matches a string, even if the match is inverted, and `present_match: false` is absence.
fn matches_value(
    string_match: &Option<StringMatcher>,
    present_match: Option<bool>,
    value: Option<Vec<u8>>,
    invert: bool,
) -> bool {
    let present = value.is_some() == present_match.unwrap_or(true);
    match (string_match, value) {
        (Some(matcher), Some(value)) => present && matcher.matches(&value) != invert,
        (Some(_), None) => false,
        (None, _) => present != invert,
    }
}

/// Returns the host of an authority: without its port, in lowercase.
fn host_of(mut authority: Vec<u8>) -> Vec<u8> {
    let end = authority
        .iter()
        .rposition(|byte| *byte == b':')
        .filter(|colon| !authority.iter().skip(*colon).any(|byte| *byte == b']'));
    if let Some(end) = end {
        authority.truncate(end);
    }
    authority.make_ascii_lowercase();
    authority
}

crate::deserialize_by_shape!(
    Condition,
    HeaderMatcher,
    PropertyMatcher,
    QueryParameterMatcher,
    Cidr,
    PathMatcher,
    crate::Regex,
    StringMatcher
);
