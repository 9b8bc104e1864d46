//! Envoy's inline headers: fields that have a slot for a single value. A second value is joined to the first with a
//! comma.
//!
//! The lists were observed in Envoy 1.36 and 1.40, and agree with `envoy/http/header_map.h`. The scenario
//! `http-fields/inline` covers the common fields. All other fields keep separate values, among them `cookie` over
//! HTTP/1.1.

use crate::fields::Name;
use crate::vocabulary::FieldMap;

/// Inline request headers. All of these lists are sorted, for binary search.
const REQUEST: [&str; 62] = [
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "access-control-request-private-network",
    "authorization",
    "cache-control",
    "cdn-loop",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "grpc-accept-encoding",
    "grpc-timeout",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "origin",
    "pragma",
    "proxy-connection",
    "proxy-status",
    "referer",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-client-trace-id",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
    "x-envoy-force-trace",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-internal",
    "x-envoy-ip-tags",
    "x-envoy-is-timeout-retry",
    "x-envoy-max-retries",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-envoy-original-url",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-stream-duration-ms",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

/// Inline response headers.
const RESPONSE: [&str; 37] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-allow-private-network",
    "access-control-expose-headers",
    "access-control-max-age",
    "age",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "etag",
    "expires",
    "grpc-message",
    "grpc-status",
    "keep-alive",
    "last-modified",
    "location",
    "proxy-connection",
    "proxy-status",
    "server",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-degraded",
    "x-envoy-immediate-health-check-fail",
    "x-envoy-ratelimited",
    "x-envoy-upstream-canary",
    "x-envoy-upstream-healthchecked-cluster",
    "x-envoy-upstream-service-time",
    "x-request-id",
];

/// Inline response trailers. There are no inline request trailers.
const RESPONSE_TRAILERS: [&str; 2] = ["grpc-message", "grpc-status"];

/// Returns the maps in which a second value of this name is joined to the first, as [`FieldMap::bit`]s.
pub(super) fn maps(name: &Name) -> u8 {
    let name = match name {
        // A pseudo-header is inline in every map that contains it.
        Name::Pseudo(_) => return u8::MAX,
        Name::Header(name) => name.as_str(),
    };
    let bit = |list: &[&str], map: FieldMap| match list.binary_search(&name) {
        Ok(_) => map.bit(),
        Err(_) => 0,
    };
    bit(&REQUEST, FieldMap::RequestHeaders)
        | bit(&RESPONSE, FieldMap::ResponseHeaders)
        | bit(&RESPONSE_TRAILERS, FieldMap::ResponseTrailers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_contain_valid_names() {
        for list in [&REQUEST[..], &RESPONSE, &RESPONSE_TRAILERS] {
            assert!(list.is_sorted());
            assert!(list.iter().all(|name| Name::is_valid(name.as_bytes())));
        }
    }

    #[test]
    fn inline_names_are_specific_to_their_maps() {
        let maps = |name: &str| maps(&Name::parse(name.as_bytes()).unwrap());
        assert_eq!(
            maps("via"),
            FieldMap::RequestHeaders.bit() | FieldMap::ResponseHeaders.bit()
        );
        assert_eq!(maps("user-agent"), FieldMap::RequestHeaders.bit());
        assert_eq!(
            maps("grpc-status"),
            FieldMap::ResponseHeaders.bit() | FieldMap::ResponseTrailers.bit()
        );
        assert_eq!(maps("cookie") | maps("set-cookie") | maps("x-any"), 0);
    }
}
