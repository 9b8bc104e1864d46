//! The fields of the configuration: their names, types and descriptions. The descriptions are written to the JSON Schema
//! and in `docs/headers.md`, not in the plugin.

use plugin_matching::read::{Field, Object, Read, Shape};
use plugin_matching::{Condition, HeaderName, HeaderValue, StringMatcher, about};

use crate::checks;
use crate::format::Format;

/// Makes the fields of an object. `(required)` after the name marks a field that must be given.
macro_rules! fields {
    ($title:literal, replaced $replaced:expr, $($(#[doc = $about:literal])+ $name:literal $(($required:ident))? => $shape:expr),+ $(,)?) => {
        Object {
            title: about!($title),
            fields: &[$(Field {
                name: $name,
                shape: &$shape,
                is_required: { let marks: &[&str] = &[$(stringify!($required))?]; !marks.is_empty() },
                about: about!($($about),+),
            }),+],
            replaced: $replaced,
        }
    };
    ($title:literal, $($rest:tt)+) => { fields!($title, replaced &[], $($rest)+) };
}

const NAME: Shape = *HeaderName::SHAPE;
const NAMES: Shape = Shape::List(&Shape::Checked(&Shape::Text, checks::name_or_start));
const PLAIN: Shape = *HeaderValue::SHAPE;
const VALUE: Shape = *Format::SHAPE;
const MATCHER: Shape = *StringMatcher::SHAPE;
const COOKIE_NAME: Shape = Shape::Checked(&Shape::Text, checks::cookie_name);
const ATTRIBUTE: Shape = Shape::Checked(&Shape::Text, checks::attribute);
const SECONDS: Shape = Shape::Checked(&Shape::Text, checks::seconds);
const STATUS: Shape = Shape::Checked(&Shape::Number, checks::status);

/// The whole configuration.
pub static CONFIG: Shape = Shape::Object(&fields!("Config",
    replaced &[
        ("request", "moved to `rules[].request`, a list of edits in the order in which they are done, as in {\"rules\": [{\"request\": [{\"set\": {\"name\": \"x-a\", \"value\": \"b\"}}]}]}"),
        ("response", "moved to `rules[].response`, a list of edits in the order in which they are done, as in {\"rules\": [{\"response\": [{\"set\": {\"name\": \"x-a\", \"value\": \"b\"}}]}]}"),
    ],
    /// The rules, in the order in which they are applied.
    "rules" => Shape::List(&RULE),
    /// `all` (the default) applies all rules that match, and `first_match` only the first one. With `first_match`, a request is
    /// changed by the first rule without `match_response` that matches it, and a response by the first rule whose `match` and
    /// `match_response` both match.
    "mode" => Shape::Word(&["all", "first_match"]),
    /// Names of headers and trailers that no rule can change. A name can end with `*`, as in `x-envoy-*`. The default is `connection`,
    /// `content-length`, `keep-alive`, `proxy-connection`, `te`, `transfer-encoding` and `upgrade`. A list replaces the default.
    "protected" => NAMES,
    /// Answers CORS preflights, and adds CORS headers to responses. The fields are those of Envoy's `CorsPolicy`.
    "cors" => CORS,
    /// Sets security headers for browsers. Rules are applied later, so they can change these headers.
    "security_headers" => SECURITY_HEADERS,
));

static RULE: Shape = Shape::Object(&fields!("Rule",
    /// The requests to which the rule applies, together with their responses. The condition is evaluated on the request as it
    /// arrived, before any rule changes it. Without a condition, the rule applies to all requests.
    "match" => *Condition::SHAPE,
    /// The responses to which the rule applies. A rule with this field can only change responses and their trailers.
    "match_response" => MATCH_RESPONSE,
    /// Edits of the headers of the request, in this order. They come before `path`, `query_parameters` and `host`.
    "request" => Shape::List(&EDIT),
    /// Edits of the headers of the response, in this order.
    "response" => Shape::List(&RESPONSE_EDIT),
    /// Edits of the trailers of the request, if it has trailers.
    "request_trailers" => Shape::List(&EDIT),
    /// Edits of the trailers of the response, if it has trailers.
    "response_trailers" => Shape::List(&EDIT),
    /// Rewrites the path. The query stays as it is.
    "path" => PATH,
    /// Edits of the query, in this order. Parameters that are not edited keep their place and their encoding.
    "query_parameters" => Shape::List(&PARAMETER_EDIT),
    /// Rewrites the host: `:authority`, or `host` in HTTP/1.1. The value can contain operators; if it is empty, nothing changes.
    "host" => VALUE,
));

/// Of `match_response`.
pub static MATCH_RESPONSE: Shape = Shape::Object(&fields!("MatchResponse",
    /// The status is one of these, or in one of `status_classes`. Any status if both are empty.
    "status_codes" => Shape::List(&STATUS),
    /// The status is in one of these classes.
    "status_classes" => Shape::List(&Shape::Word(&["1xx", "2xx", "3xx", "4xx", "5xx"])),
    /// The media type in `content-type`, in lowercase and without parameters, matches one of these.
    "content_type" => Shape::List(&MATCHER),
    /// All of these headers of the response match.
    "headers" => Shape::List(&RESPONSE_HEADER),
));

/// Of one of its `headers`.
pub static RESPONSE_HEADER: Shape = Shape::Object(&fields!("ResponseHeaderMatcher",
    /// The name of the header.
    "name" (required) => NAME,
    /// The matcher for its first value. Without a matcher, the header must be present.
    "string_match" => MATCHER,
    /// Whether the result is inverted. An absent header does not match a string, even if inverted.
    "invert_match" => Shape::Bool,
));

/// Makes the fields of edits, with more of them at the end.
macro_rules! edits {
    ($title:literal, $($more:tt)*) => { Shape::OneOf(&fields!($title,
        replaced &[
            ("add", "renamed to `add_if_absent`, because in Envoy and Istio, `add` means to append"),
        ],
        /// Replaces all values with one, or adds the header. Envoy: `OVERWRITE_IF_EXISTS_OR_ADD`.
        "set" => HEADER_VALUE,
        /// Adds a value, and keeps the existing ones. Envoy: `APPEND_IF_EXISTS_OR_ADD`.
        "append" => HEADER_VALUE,
        /// Adds the header if it is absent. Envoy: `ADD_IF_ABSENT`.
        "add_if_absent" => HEADER_VALUE,
        /// Replaces all values with one if the header exists. Envoy: `OVERWRITE_IF_EXISTS`.
        "overwrite_if_exists" => HEADER_VALUE,
        /// Removes the header of this name, with all its values.
        "remove" => NAME,
        /// Removes all headers whose names match, except protected ones and pseudo-headers.
        "remove_on_match" => REMOVE_ON_MATCH,
        /// Renames a header. A header that has the new name is replaced. Does nothing if the header to rename is absent.
        "rename" => FROM_TO,
        /// Copies the values of a header to another header, and replaces its values. Does nothing if the header to copy is absent.
        "copy" => FROM_TO,
        /// Replaces every match of a regular expression in each value of a header.
        "regex_rewrite" => HEADER_REWRITE,
        $($more)*
    )) };
}

static EDIT: Shape = edits!("Edit",);

static RESPONSE_EDIT: Shape = edits!("ResponseEdit",
    /// Sets a cookie: replaces the `set-cookie` headers of this cookie, or adds one.
    "set_cookie" => SET_COOKIE,
    /// Removes the `set-cookie` headers for the cookie of this name.
    "remove_cookie" => COOKIE_NAME,
    /// Changes attributes of cookies that the response sets.
    "cookie_attributes" => COOKIE_ATTRIBUTES,
);

static HEADER_VALUE: Shape = Shape::Object(&fields!("HeaderValue",
    /// The name of the header. Pseudo-headers and `host` of a request can only be set.
    "name" (required) => NAME,
    /// Its value. It can contain operators such as `%REQ(x-name)%`; `%%` stands for a percent sign.
    "value" (required) => VALUE,
    /// Whether the edit is applied even if the value is empty, for example because an operator has no value. The default is `false`.
    "keep_empty_value" => Shape::Bool,
));

static REMOVE_ON_MATCH: Shape = Shape::Object(&fields!("RemoveOnMatch",
    /// Matches the name of the header, in lowercase.
    "key_matcher" (required) => MATCHER,
));

static FROM_TO: Shape = Shape::Object(&fields!("FromTo",
    /// The name of the header whose values are used.
    "from" (required) => NAME,
    /// The new name, or the name of the header to copy to.
    "to" (required) => NAME,
));

static PATTERN: Shape = Shape::Object(&fields!("Pattern",
    /// A regular expression, which need not match the whole text.
    "regex" (required) => Shape::Text,
));

static HEADER_REWRITE: Shape = Shape::Object(&fields!("HeaderRewrite",
    /// The name of the header.
    "name" (required) => NAME,
    /// The text to replace.
    "pattern" (required) => PATTERN,
    /// The replacement. `\1` stands for the first group, `\0` for the whole match, and `\\` for a backslash.
    "substitution" (required) => Shape::Text,
));

const SAME_SITE: Shape = Shape::Word(&["Strict", "Lax", "None"]);

static SET_COOKIE: Shape = Shape::Object(&fields!("SetCookie",
    /// The name of the cookie.
    "name" (required) => COOKIE_NAME,
    /// Its value. It can contain operators.
    "value" (required) => VALUE,
    /// The attribute `Path`.
    "path" => ATTRIBUTE,
    /// The attribute `Domain`.
    "domain" => ATTRIBUTE,
    /// The attribute `Max-Age`, in seconds.
    "max_age" => Shape::Number,
    /// The attribute `Secure`.
    "secure" => Shape::Bool,
    /// The attribute `HttpOnly`.
    "http_only" => Shape::Bool,
    /// The attribute `SameSite`.
    "same_site" => SAME_SITE,
    /// The attribute `Partitioned`.
    "partitioned" => Shape::Bool,
));

static COOKIE_ATTRIBUTES: Shape = Shape::Object(&fields!("CookieAttributes",
    /// The name of the cookie. Without it, all cookies that the response sets are changed.
    "name" => COOKIE_NAME,
    /// The attribute `Path`.
    "path" => ATTRIBUTE,
    /// The attribute `Domain`.
    "domain" => ATTRIBUTE,
    /// The attribute `Max-Age`, in seconds.
    "max_age" => Shape::Number,
    /// The attribute `Secure`: `true` adds it, `false` removes it.
    "secure" => Shape::Bool,
    /// The attribute `HttpOnly`: `true` adds it, `false` removes it.
    "http_only" => Shape::Bool,
    /// The attribute `SameSite`.
    "same_site" => SAME_SITE,
    /// The attribute `Partitioned`: `true` adds it, `false` removes it.
    "partitioned" => Shape::Bool,
));

static PATH: Shape = Shape::OneOf(&fields!("Path",
    /// The new path. It can contain operators; if it is empty, nothing changes.
    "set" => VALUE,
    /// Replaces the beginning of the path.
    "prefix_rewrite" => Shape::Object(&fields!("PrefixRewrite",
        /// The prefix to replace. Paths without this prefix are not changed.
        "prefix" (required) => Shape::Text,
        /// The replacement, which can be empty. If the new path does not begin with `/`, a `/` is added.
        "substitution" (required) => Shape::Text,
    )),
    /// Replaces every match of a regular expression.
    "regex_rewrite" => Shape::Object(&fields!("PathRegexRewrite",
        /// The text to replace.
        "pattern" (required) => PATTERN,
        /// The replacement. `\1` stands for the first group, `\0` for the whole match, and `\\` for a backslash.
        "substitution" (required) => Shape::Text,
    )),
));

/// Of one of `query_parameters`.
pub static PARAMETER_EDIT: Shape = Shape::OneOf(&fields!("ParameterEdit",
    /// Replaces all values with one, or adds the parameter. Envoy: `OVERWRITE_IF_EXISTS_OR_ADD`.
    "set" => PARAMETER,
    /// Adds a value, and keeps the existing ones. Envoy: `APPEND_IF_EXISTS_OR_ADD`.
    "append" => PARAMETER,
    /// Adds the parameter if it is absent. Envoy: `ADD_IF_ABSENT`.
    "add_if_absent" => PARAMETER,
    /// Replaces all values with one if the parameter exists. Envoy: `OVERWRITE_IF_EXISTS`.
    "overwrite_if_exists" => PARAMETER,
    /// Removes the parameter of this name, with all its values.
    "remove" => Shape::Text,
));

static PARAMETER: Shape = Shape::Object(&fields!("Parameter",
    /// The name of the parameter, decoded.
    "name" (required) => Shape::Text,
    /// Its value, which the plugin encodes. It can contain operators, and it can be empty.
    "value" (required) => VALUE,
));

/// Of `cors`.
pub static CORS: Shape = Shape::Object(&fields!("Cors",
    /// Matches origins that are allowed, such as `https://example.com`. A matcher that matches `*` allows every origin.
    "allow_origin_string_match" (required) => Shape::List(&MATCHER),
    /// The header `access-control-allow-methods` of a preflight's response. `*` stands for the requested method.
    "allow_methods" => PLAIN,
    /// The header `access-control-allow-headers` of a preflight's response. `*` stands for the requested headers.
    "allow_headers" => PLAIN,
    /// The header `access-control-expose-headers` of responses.
    "expose_headers" => PLAIN,
    /// The header `access-control-max-age` of a preflight's response, in seconds.
    "max_age" => SECONDS,
    /// Whether `access-control-allow-credentials: true` is set.
    "allow_credentials" => Shape::Bool,
    /// Whether `access-control-allow-private-network: true` is set, if a preflight asks for it.
    "allow_private_network_access" => Shape::Bool,
    /// Whether preflights from other origins are passed on. Otherwise they are answered with 200 and without
    /// `access-control-allow-origin`. The default is `true`.
    "forward_not_matching_preflights" => Shape::Bool,
    /// Whether origins are only counted, in the metrics `cors.origin_valid` and `cors.origin_invalid`. In Envoy, this field has an
    /// effect only if `filter_enabled` is 0%.
    "shadow_enabled" => Shape::Bool,
));

static SECURITY_HEADERS: Shape = Shape::Object(&fields!("SecurityHeaders",
    /// `recommended` sets `strict-transport-security: max-age=31536000; includeSubDomains`, `x-content-type-options: nosniff`,
    /// `x-frame-options: SAMEORIGIN` and `referrer-policy: strict-origin-when-cross-origin`, unless other fields set them.
    "preset" => Shape::Word(&["recommended"]),
    /// Whether headers that the upstream has set are replaced. The default is `true`.
    "overwrite" => Shape::Bool,
    /// The header `strict-transport-security`. It is sent only in responses to `https` requests.
    "strict_transport_security" => Shape::Object(&fields!("StrictTransportSecurity",
        /// For how many seconds browsers use only TLS for this host.
        "max_age" (required) => Shape::Number,
        /// Whether this also applies to subdomains.
        "include_subdomains" => Shape::Bool,
        /// Whether browsers may add the host to their preload lists. Needs `include_subdomains` and a `max_age` of at least a year.
        "preload" => Shape::Bool,
        /// Whether the header is sent in all responses, for example because a load balancer terminates TLS.
        "force" => Shape::Bool,
    )),
    /// The header `content-security-policy`.
    "content_security_policy" => PLAIN,
    /// The header `content-security-policy-report-only`.
    "content_security_policy_report_only" => PLAIN,
    /// The header `x-frame-options`.
    "x_frame_options" => Shape::Word(&["DENY", "SAMEORIGIN"]),
    /// The header `x-content-type-options`: `true` sets `nosniff`.
    "x_content_type_options" => Shape::Bool,
    /// The header `referrer-policy`.
    "referrer_policy" => PLAIN,
    /// The header `permissions-policy`.
    "permissions_policy" => PLAIN,
));
