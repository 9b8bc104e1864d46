//! What an operator may configure. Fields that Envoy's `local_ratelimit` also has have the same names; `docs/rate-limit.md` lists the
//! differences.

use plugin_matching::{Condition, HeaderName, HeaderValue, choice, deserialize_by_shape, readable};

use crate::text::{Nanoseconds, Rate};

readable! {
/// Rules that requests have to pass, and the response to requests that do not.
#[derive(Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub struct Config {
    /// A request has to pass all rules that apply to it. The rules are checked in this order, until one rejects the request. A rejected
    /// request does not use up the limit of any rule.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub rules: Vec<RuleConfig>,
    /// The response to a rejected request, and headers of other responses.
    #[cfg_attr(test, schemars(default))]
    pub response: ResponseConfig = ResponseConfig::default(),
    /// The first part of the names of metrics and shared data. Metrics have the names
    /// `STAT_PREFIX.http_local_rate_limit.RULE.NAME`, with the names `enabled`, `ok`, `rate_limited`, `enforced` and `near_limit`.
    #[cfg_attr(test, schemars(default = "default_stat_prefix"))]
    pub stat_prefix: String = default_stat_prefix(),
    /// Headers of requests that a rule limits but does not reject, because of `shadow_mode` or `filter_enforced`.
    #[cfg_attr(test, schemars(default))]
    pub request_headers_to_add_when_not_enforced: Vec<HeaderConfig>,
}
replaced {
    "rate" => "replaced by `limit` of a rule, as in {\"rules\":[{\"name\":\"all\",\"limit\":\"10/s\"}]}",
    "per" => "replaced by `limit` of a rule, as in {\"rules\":[{\"name\":\"all\",\"limit\":\"10/m\"}]}",
    "burst" => "replaced by `rules[].burst`",
    "algorithm" => "replaced by `rules[].algorithm`",
    "status" => "replaced by `response.status`",
    "body" => "replaced by `response.body`",
    "headers" => "replaced by `response.response_headers_to_add`",
}
}

readable! {
/// A rule: which requests it applies to, which of them are counted together, and how many pass.
#[derive(Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub struct RuleConfig {
    /// The name, in metrics and in `RateLimit` headers: letters, digits, `_`, `-` and `.`.
    #[cfg_attr(test, schemars(regex(pattern = "^[A-Za-z0-9_.-]+$")))]
    pub name: String,
    /// How many requests pass in an interval, such as `10/s`, `1000/1h` or `5/100ms`, with the units `ms`, `s`, `m`, `h` and `d`. For
    /// `concurrency`, how many are in progress at the same time, such as `100`.
    #[cfg_attr(
        test,
        schemars(with = "String", regex(pattern = "^[0-9]+(/[0-9]*(ms|s|m|h|d))?$"))
    )]
    pub limit: Rate,
    /// The maximum number of requests that pass at once. The default is the number in `limit`. For `token_bucket` only.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub burst: Option<u32>,
    /// How requests are counted; `token_bucket` if absent.
    #[cfg_attr(test, schemars(default))]
    pub algorithm: AlgorithmConfig = AlgorithmConfig::TokenBucket,
    /// For `concurrency` only. If the plugin is terminated while a request is in progress, the end of the request is not reported. The
    /// request is then counted for at least this time, and for at most twice this time. The default is `1h`.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub lease: Option<Nanoseconds>,
    /// The parts of the key. Requests with the same key are counted together. Without a key, all requests are.
    #[cfg_attr(test, schemars(default))]
    pub key: Vec<KeyPart>,
    /// Which requests the rule applies to. All if absent.
    #[cfg_attr(test, schemars(default, rename = "match"))]
    pub condition ["match"]: Condition = Condition::default(),
    /// The rule does not apply to requests that match one of these conditions.
    #[cfg_attr(test, schemars(default))]
    pub exempt: Vec<Condition>,
    /// Different limits for some requests. The first one that matches is used.
    #[cfg_attr(test, schemars(default))]
    pub overrides: Vec<OverrideConfig>,
    /// What a request costs; 1 if absent.
    pub cost: Option<Cost>,
    /// Where requests are counted; `worker` if absent.
    #[cfg_attr(test, schemars(default))]
    pub scope: Scope = Scope::Worker,
    /// How many keys have a bucket of their own. The table takes about 38 bytes for each of them, in each worker. If more keys are in use,
    /// the others share buckets.
    #[cfg_attr(test, schemars(default = "default_max_dynamic_descriptors"))]
    #[cfg_attr(test, schemars(range(min = 1, max = 10_000_000)))]
    pub max_dynamic_descriptors: u32 = default_max_dynamic_descriptors(),
    /// The share of requests that the rule is checked for; all if absent.
    pub filter_enabled: Option<FractionalPercent>,
    /// The share of limited requests that are rejected; all if absent.
    pub filter_enforced: Option<FractionalPercent>,
    /// Whether the rule only counts requests, and never rejects them.
    #[cfg_attr(test, schemars(default))]
    pub shadow_mode: bool = false,
}
}

choice! {
/// A way to count requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename_all = "snake_case"))]
pub enum AlgorithmConfig {
    /// Tokens are added at a constant rate, and each request takes one. Up to `burst` tokens are kept for later requests.
    #[default]
    TokenBucket = "token_bucket",
    /// Counts the requests of the current window, plus those of the previous window, weighted by how much of it overlaps the last interval.
    SlidingWindow = "sliding_window",
    /// Counts the requests of a window. A window begins with its first request.
    FixedWindow = "fixed_window",
    /// Counts the requests that are in progress.
    Concurrency = "concurrency",
}
}

choice! {
/// A part of a key. Requests that do not have it are counted together.
#[derive(Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename_all = "snake_case"))]
pub enum KeyPart {
    /// The address of the client.
    ClientAddress(ClientAddress) = "client_address",
    /// The value of a header. Several values are joined with `,`.
    Header(HeaderName) = "header",
    /// The value of a cookie.
    Cookie(String) = "cookie",
    /// The first value of a query parameter, percent-decoded.
    QueryParameter(String) = "query_parameter",
    /// The path, without the query.
    Path = "path",
    /// The method.
    Method = "method",
    /// The host, as the client sent it.
    Host = "host",
    /// A claim of a token that Envoy has verified.
    JwtClaim(JwtClaim) = "jwt_claim",
    /// A claim of a token whose signature is not verified. Clients can forge it.
    UnverifiedJwtClaim(UnverifiedJwtClaim) = "unverified_jwt_claim",
    /// A property of the stream, such as `["xds", "route_name"]`.
    Property(Vec<String>) = "property",
    /// A text that is the same for all requests.
    Constant(String) = "constant",
}
}

readable! {
/// The address of the client.
#[derive(Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(default, deny_unknown_fields))]
pub struct ClientAddress {
    /// The number of trusted proxies in front of this one that append to `x-forwarded-for`. With 0, the address is the attribute
    /// `source.address`. If `xff_num_trusted_hops` is set in Envoy, that attribute is already the client's address.
    pub trusted_hops: u32 = 0,
    /// How many leading bits of an IPv4 address are used.
    #[cfg_attr(test, schemars(range(max = 32)))]
    pub ipv4_prefix: u32 = 32,
    /// How many leading bits of an IPv6 address are used. A client usually has a whole /64.
    #[cfg_attr(test, schemars(range(max = 128)))]
    pub ipv6_prefix: u32 = 64,
}
}

readable! {
/// A claim in the dynamic metadata of Envoy's filter `envoy.filters.http.jwt_authn`.
#[derive(Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub struct JwtClaim {
    /// The key of the payload in the metadata, as in the configuration of that filter. In Istio, it is `payload`.
    #[cfg_attr(test, schemars(default = "default_payload"))]
    pub payload_in_metadata: String = default_payload(),
    /// The claim, such as `sub`.
    pub claim: String,
}
}

readable! {
/// A claim in the payload of a token that a header carries.
#[derive(Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub struct UnverifiedJwtClaim {
    /// The header; `authorization` if absent. A scheme such as `Bearer` is skipped.
    pub header: Option<HeaderName>,
    /// The claim, such as `sub`. Its value must be a string, a number or a boolean.
    pub claim: String,
}
}

readable! {
/// A different limit for some requests. They are counted in buckets of their own.
#[derive(Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub struct OverrideConfig {
    /// Which requests the override applies to.
    #[cfg_attr(test, schemars(rename = "match"))]
    pub condition ["match"]: Condition,
    /// The limit for these requests.
    #[cfg_attr(
        test,
        schemars(with = "String", regex(pattern = "^[0-9]+(/[0-9]*(ms|s|m|h|d))?$"))
    )]
    pub limit: Rate,
    /// The burst for these requests. For `token_bucket` only.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub burst: Option<u32>,
}
}

choice! {
/// What a request costs. A request passes if at least its cost is left. If the cost is 0, at least 1 has to be left.
#[derive(Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename_all = "snake_case"))]
pub enum Cost {
    /// The same cost for each request.
    Number(u32) = "number",
    /// The number in a request header; 1 if the header is absent or not a number. Clients must not be able to set this header.
    RequestHeader(HeaderName) = "request_header",
    /// The size of the response body, in units of this many bytes, rounded up. It is charged when the stream ends, even if less is left.
    /// In that case, requests are rejected until the limit has recovered.
    ResponseBytes(#[cfg_attr(test, schemars(range(min = 1)))] u32) = "response_bytes",
}
}

choice! {
/// Where requests are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename_all = "snake_case"))]
pub enum Scope {
    /// In each worker: the limit of the whole proxy is the limit times the number of its workers.
    #[default]
    Worker = "worker",
    /// For all workers of the proxy together, in its shared data. A decision takes longer.
    Proxy = "proxy",
}
}

readable! {
/// A share of requests. The chosen requests are spread evenly over all requests.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub struct FractionalPercent {
    /// The numerator.
    pub numerator: u32,
    /// The denominator; `HUNDRED` if absent.
    #[cfg_attr(test, schemars(default))]
    pub denominator: Denominator = Denominator::Hundred,
}
}

choice! {
/// A denominator.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename_all = "SCREAMING_SNAKE_CASE"))]
pub enum Denominator {
    /// 100
    #[default]
    Hundred = "HUNDRED",
    /// 10000
    TenThousand = "TEN_THOUSAND",
    /// 1000000
    Million = "MILLION",
}
}

readable! {
/// The response to a rejected request, and headers of other responses.
#[derive(Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(default, deny_unknown_fields))]
pub struct ResponseConfig {
    /// The status of the response to a rejected request.
    #[cfg_attr(test, schemars(range(min = 200, max = 599)))]
    pub status: u32 = 429,
    /// The body of the response to a rejected request.
    pub body: String = default_body(),
    /// Headers of the response to a rejected request.
    pub response_headers_to_add: Vec<HeaderConfig>,
    /// Headers of responses to requests that pass when at least 80 % of a limit are used.
    pub response_headers_to_add_when_near_limit: Vec<HeaderConfig>,
    /// Whether a rejected gRPC request gets the status `RESOURCE_EXHAUSTED` instead of `UNAVAILABLE`.
    pub rate_limited_as_resource_exhausted: bool = false,
    /// Whether responses have the headers `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`. They are about the rule that
    /// rejects the request or, if none does, about the rule that has the least left.
    pub enable_x_ratelimit_headers: XRateLimitHeaders = XRateLimitHeaders::Off,
    /// Whether responses have the headers `RateLimit` and `RateLimit-Policy`. They list all rules that were checked for the request.
    pub enable_ratelimit_headers: bool = false,
    /// Whether the response to a rejected request has the header `Retry-After`, in seconds.
    pub enable_retry_after_header: bool = false,
}
}

choice! {
/// Headers that tell clients how much of a limit is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename_all = "SCREAMING_SNAKE_CASE"))]
pub enum XRateLimitHeaders {
    /// None.
    #[default]
    Off = "OFF",
    /// Those of the third draft of `RateLimit Header Fields for HTTP`.
    #[cfg_attr(test, schemars(rename = "DRAFT_VERSION_03"))]
    DraftVersion03 = "DRAFT_VERSION_03",
}
}

readable! {
/// A header to add. Existing headers with the same name are kept.
#[derive(Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub struct HeaderConfig {
    /// Its name.
    pub name: HeaderName,
    /// Its value.
    pub value: HeaderValue,
}
}

fn default_stat_prefix() -> String {
    "rate_limit".to_owned()
}

fn default_body() -> String {
    "rate limited\n".to_owned()
}

fn default_payload() -> String {
    "payload".to_owned()
}

fn default_max_dynamic_descriptors() -> u32 {
    8192
}

impl Default for ClientAddress {
    fn default() -> Self {
        ClientAddress {
            trusted_hops: 0,
            ipv4_prefix: 32,
            ipv6_prefix: 64,
        }
    }
}

impl Default for ResponseConfig {
    fn default() -> Self {
        ResponseConfig {
            status: 429,
            body: default_body(),
            response_headers_to_add: Vec::new(),
            response_headers_to_add_when_near_limit: Vec::new(),
            rate_limited_as_resource_exhausted: false,
            enable_x_ratelimit_headers: XRateLimitHeaders::Off,
            enable_ratelimit_headers: false,
            enable_retry_after_header: false,
        }
    }
}

impl FractionalPercent {
    /// Returns the share in millionths.
    pub fn millionths(self) -> u32 {
        let factor = match self.denominator {
            Denominator::Hundred => 10_000,
            Denominator::TenThousand => 100,
            Denominator::Million => 1,
        };
        self.numerator.saturating_mul(factor).min(1_000_000)
    }
}

deserialize_by_shape!(Config);
