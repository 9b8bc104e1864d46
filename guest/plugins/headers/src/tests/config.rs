//! Configurations that are refused, with the path of what is wrong.

use serde_json::json;

use super::message::{good, plan};

#[test]
fn invalid_configurations_are_refused_with_their_path() {
    let request = |edit| json!({ "rules": [{}, { "request": [{ "remove": "a" }, edit] }] });
    let response = |edit| json!({ "rules": [{ "response": [edit] }] });
    for (config, reason) in [
        (
            json!({ "rule": [] }),
            "rule: unknown field, expected `rules`, `mode`, `protected`, `cors` or `security_headers`",
        ),
        (
            json!({ "request": { "set": [] } }),
            "request: moved to `rules[].request`, a list of edits in the order in which they are done",
        ),
        (
            json!({ "response": {} }),
            "response: moved to `rules[].response`, a list of edits",
        ),
        (
            request(json!({ "add": { "name": "a", "value": "b" } })),
            "rules[1].request[1].add: renamed to `add_if_absent`",
        ),
        (
            request(json!({})),
            "rules[1].request[1]: expected exactly one of the fields `set`, `append`",
        ),
        (
            request(json!({ "remove": "a", "set": {} })),
            "rules[1].request[1]",
        ),
        (
            request(json!({ "set": { "name": "a b", "value": "c" } })),
            "rules[1].request[1].set.name: expected a header name",
        ),
        (
            request(json!({ "set": { "name": "a" } })),
            "rules[1].request[1].set.value: missing",
        ),
        (
            request(json!({ "set": { "name": "a", "value": 1 } })),
            "rules[1].request[1].set.value: expected a string, got 1",
        ),
        (
            request(json!({ "set": { "name": "a", "value": "" } })),
            "rules[1].request[1].set.value: an edit with an empty value",
        ),
        (
            request(json!({ "set": { "name": ":path", "value": "a", "keep_empty_value": true } })),
            "rules[1].request[1].set.keep_empty_value: ",
        ),
        (
            request(json!({ "append": { "name": "a", "value": "%NOPE%" } })),
            "rules[1].request[1].append.value: the operator `NOPE` is not supported",
        ),
        (
            request(json!({ "set": { "name": ":status", "value": "2" } })),
            "rules[1].request[1].set.name: the message has no such pseudo-header",
        ),
        (
            request(json!({ "remove": "Host" })),
            "rules[1].request[1].remove: this header can only be set",
        ),
        (
            request(json!({ "append": { "name": ":path", "value": "b" } })),
            "rules[1].request[1].append.name: this header can only be set",
        ),
        (
            request(json!({ "set": { "name": "Content-Length", "value": "1" } })),
            "rules[1].request[1].set.name: the header is protected",
        ),
        (
            request(json!({ "rename": { "from": "te", "to": "a" } })),
            "rules[1].request[1].rename.from: the header is protected",
        ),
        (
            request(json!({ "copy": { "from": ":path", "to": "upgrade" } })),
            "rules[1].request[1].copy.to: the header is protected",
        ),
        (
            request(json!({ "set_cookie": {} })),
            "rules[1].request[1].set_cookie: unknown field",
        ),
        (
            request(json!({ "remove_on_match": {} })),
            "rules[1].request[1].remove_on_match.key_matcher: missing",
        ),
        (
            request(json!({ "remove_on_match": { "key_matcher": {} } })),
            "rules[1].request[1].remove_on_match.key_matcher: expected exactly one of",
        ),
        (
            request(json!({ "regex_rewrite": { "name": "a", "pattern": {}, "substitution": "" } })),
            "rules[1].request[1].regex_rewrite.pattern.regex: missing",
        ),
        (
            response(json!({ "set_cookie": { "name": "a b", "value": "" } })),
            "rules[0].response[0].set_cookie.name: expected the name of a cookie",
        ),
        (
            response(json!({ "cookie_attributes": { "name": "a" } })),
            "rules[0].response[0].cookie_attributes: expected an attribute",
        ),
        (
            response(json!({ "cookie_attributes": { "path": "/;" } })),
            "rules[0].response[0].cookie_attributes.path: ",
        ),
        (
            response(json!({ "cookie_attributes": { "same_site": "lax" } })),
            "rules[0].response[0].cookie_attributes.same_site: expected `Strict`, `Lax` or `None`",
        ),
        (
            json!({ "rules": [{ "match_response": {}, "host": "a" }] }),
            "rules[0].host: a rule with `match_response` cannot change requests",
        ),
        (
            json!({ "rules": [{ "match_response": { "status_codes": [600] } }] }),
            "rules[0].match_response.status_codes[0]: expected a status",
        ),
        (
            json!({ "rules": [{ "match": { "hosts": "a" } }] }),
            "rules[0].match.hosts: unknown field",
        ),
        (
            json!({ "rules": [{ "host": "a%b" }] }),
            "rules[0].host: expected an operator",
        ),
        (
            json!({ "rules": [{ "path": { "prefix_rewrite": { "prefix": "/" } } }] }),
            "rules[0].path.prefix_rewrite.substitution: missing",
        ),
        (
            json!({ "rules": [{ "query_parameters": [{ "set": { "name": "a" } }] }] }),
            "rules[0].query_parameters[0].set.value: missing",
        ),
        (
            json!({ "mode": "any" }),
            "mode: expected `all` or `first_match`",
        ),
        (
            json!({ "protected": ["a", "b c"] }),
            "protected[1]: expected a header name",
        ),
        (
            json!({ "cors": {} }),
            "cors.allow_origin_string_match: missing",
        ),
        (
            json!({ "cors": { "allow_origin_string_match": [], "max_age": "1h" } }),
            "cors.max_age: expected a number of seconds",
        ),
        (
            json!({ "security_headers": { "referrer_policy": "a\nb" } }),
            "security_headers.referrer_policy: expected a header value without control",
        ),
        (
            json!({ "security_headers": { "strict_transport_security": { "max_age": 1, "preload": true } } }),
            "security_headers.strict_transport_security.preload: needs",
        ),
        (
            json!({ "security_headers": { "strict_transport_security": {} } }),
            "security_headers.strict_transport_security.max_age: missing",
        ),
    ] {
        let error = plan(config.clone()).expect_err(reason).to_string();
        assert!(
            error.starts_with(reason),
            "expected `{reason}`, got `{error}`"
        );
    }
}

#[test]
fn pseudo_headers_can_be_set_on_their_own_side() {
    for name in [":method", ":path", ":authority", ":scheme", "host"] {
        good(json!({ "rules": [{ "request": [{ "set": { "name": name, "value": "a" } }] }] }));
    }
    good(json!({ "rules": [{ "response": [{ "set": { "name": ":status", "value": "204" } }] }] }));
    // To a response it is a header like any other.
    good(json!({ "rules": [{ "response": [{ "remove": "host" }] }] }));
}

#[test]
fn protected_headers_are_configurable() {
    let remove = |name| json!({ "protected": ["X-Keep-*"], "rules": [{ "response": [{ "remove": name }] }] });
    good(remove("content-length"));
    let error = plan(remove("x-keep-a")).expect_err("protected").to_string();
    assert_eq!(
        error,
        "rules[0].response[0].remove: the header is protected: see `protected`"
    );
}

#[cfg(not(feature = "regex"))]
#[test]
fn regular_expressions_need_the_feature() {
    let rewrite = json!({ "regex_rewrite": { "name": "a", "pattern": { "regex": "a" }, "substitution": "" } });
    let error = plan(json!({ "rules": [{ "request": [rewrite] }] }))
        .expect_err("no regex")
        .to_string();
    assert!(error.contains("without regular expressions"), "{error}");
}
