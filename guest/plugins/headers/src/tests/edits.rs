//! Edits, their order, cookies, and which rules apply.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::message::{good, request, response};
use crate::cookie::{name_of, with_attributes};
use crate::stream::{State, Trailers};

#[track_caller]
fn edited(edits: Value, fields: &[(&str, &str)]) -> Vec<String> {
    let message = response(&[(":path", "/")], fields);
    good(json!({ "rules": [{ "response": edits }] })).response(&mut State::default(), &message);
    message.lines()
}

#[test]
fn actions_are_those_of_envoy() {
    let header = |name: &str| json!({ "name": name, "value": "new" });
    for (edit, there, absent) in [
        (
            json!({ "set": header("x-a") }),
            vec!["x-a: new"],
            vec!["x-a: new"],
        ),
        (
            json!({ "append": header("x-a") }),
            vec!["x-a: 1", "x-a: 2", "x-a: new"],
            vec!["x-a: new"],
        ),
        (
            json!({ "add_if_absent": header("x-a") }),
            vec!["x-a: 1", "x-a: 2"],
            vec!["x-a: new"],
        ),
        (
            json!({ "overwrite_if_exists": header("x-a") }),
            vec!["x-a: new"],
            vec![],
        ),
        (json!({ "remove": "X-A" }), vec![], vec![]),
        (
            json!({ "remove_on_match": { "key_matcher": { "prefix": "x-" } } }),
            vec![],
            vec![],
        ),
        (
            json!({ "rename": { "from": "x-a", "to": "y" } }),
            vec!["y: 1", "y: 2"],
            vec![],
        ),
        (
            json!({ "copy": { "from": "x-a", "to": "y" } }),
            vec!["x-a: 1", "x-a: 2", "y: 1", "y: 2"],
            vec![],
        ),
    ] {
        assert_eq!(
            edited(json!([edit]), &[("x-a", "1"), ("x-a", "2")]),
            there,
            "{edit}"
        );
        assert_eq!(edited(json!([edit]), &[]), absent, "{edit}");
    }
}

#[test]
fn edits_are_done_in_order() {
    let edits = json!([
        { "append": { "name": "x-a", "value": "2" } },
        { "copy": { "from": "x-a", "to": "x-b" } },
        { "remove": "x-a" },
        { "add_if_absent": { "name": "x-a", "value": "3" } },
        { "rename": { "from": "x-b", "to": "x-c" } },
        { "set": { "name": "x-d", "value": "%RESP(x-a)%%RESP(x-c)%" } },
    ]);
    assert_eq!(
        edited(edits, &[("x-a", "1")]),
        ["x-a: 3", "x-c: 1", "x-c: 2", "x-d: 31"]
    );
}

#[cfg(feature = "regex")]
#[test]
fn values_are_rewritten() {
    let edits = json!([
        { "regex_rewrite": { "name": "location", "pattern": { "regex": "^http://([^/]+)" }, "substitution": "https://\\1" } },
        { "remove_on_match": { "key_matcher": { "safe_regex": { "regex": "x-[0-9]+" } } } },
    ]);
    let fields = [
        ("location", "http://a/b"),
        ("location", "/c"),
        ("x-12", ""),
        ("x-1a", ""),
    ];
    assert_eq!(
        edited(edits, &fields),
        ["location: https://a/b", "x-1a: ", "location: /c"]
    );
}

#[test]
fn patterns_remove_no_protected_headers() {
    let edits = json!([{ "remove_on_match": { "key_matcher": { "prefix": "" } } }]);
    let fields = [
        (":status", "200"),
        ("content-length", "1"),
        ("x-a", "1"),
        ("host", "a"),
        ("x-a", "2"),
    ];
    assert_eq!(
        edited(edits, &fields),
        [":status: 200", "content-length: 1", "host: a"]
    );
}

#[test]
fn cookies_are_edited_by_name() {
    let cookies = [
        ("set-cookie", "a=1; Path=/"),
        ("set-cookie", "b=2; secure; Domain=x"),
        ("set-cookie", "a=3"),
    ];
    let set = json!([{ "set_cookie": { "name": "a", "value": "%RESP(:status)%;x", "path": "/", "max_age": 60, "secure": true } }]);
    let mut fields = vec![(":status", "200")];
    fields.extend(cookies);
    assert_eq!(
        edited(set, &fields)[1..],
        [
            "set-cookie: b=2; secure; Domain=x",
            "set-cookie: a=200x; Path=/; Max-Age=60; Secure"
        ]
    );
    let remove = json!([{ "remove_cookie": "a" }]);
    assert_eq!(
        edited(remove, &cookies),
        ["set-cookie: b=2; secure; Domain=x"]
    );
    assert_eq!(
        edited(json!([{ "remove_cookie": "b" }]), &cookies[1..2]),
        [""; 0]
    );
    let all =
        json!([{ "cookie_attributes": { "secure": true, "http_only": true, "same_site": "Lax" } }]);
    assert_eq!(
        edited(all, &cookies[..2]),
        [
            "set-cookie: a=1; Path=/; Secure; HttpOnly; SameSite=Lax",
            "set-cookie: b=2; Domain=x; Secure; HttpOnly; SameSite=Lax"
        ]
    );
    let one = json!([{ "cookie_attributes": { "name": "b", "secure": false, "domain": "y" } }]);
    assert_eq!(
        edited(one, &cookies[..2]),
        ["set-cookie: a=1; Path=/", "set-cookie: b=2; Domain=y"]
    );
}

#[test]
fn conditions_see_the_request_as_it_arrived() {
    let rule = |condition: Value, value: &str| {
        json!({ "match": condition, "request": [
        { "set": { "name": "x-kind", "value": value } },
    ], "response": [{ "append": { "name": "x-rule", "value": value } }] })
    };
    let rules = json!([
        rule(json!({ "methods": ["GET"] }), "get"),
        rule(
            json!({ "headers": [{ "name": "x-kind", "string_match": { "exact": "old" } }] }),
            "old"
        ),
        rule(json!({ "path": { "prefix": "/api" } }), "api"),
        rule(json!({}), "all"),
    ]);
    for (mode, expected, kind) in [
        ("all", vec!["get", "old", "all"], "all"),
        ("first_match", vec!["get"], "get"),
    ] {
        let plan = good(json!({ "mode": mode, "rules": rules }));
        let mut state = State::default();
        let asked = request(&[(":method", "GET"), (":path", "/"), ("x-kind", "old")]);
        plan.request(&mut state, &asked);
        assert_eq!(asked.lines()[2], format!("x-kind: {kind}"));
        // The request is another one now.
        let answered = response(&[(":method", "POST"), (":path", "/api")], &[]);
        plan.response(&mut state, &answered);
        let expected: Vec<String> = expected
            .iter()
            .map(|value| format!("x-rule: {value}"))
            .collect();
        assert_eq!(answered.lines(), expected);
    }
}

#[test]
fn rules_with_conditions_do_not_apply_without_the_request() {
    let edits = json!([{ "append": { "name": "x-a", "value": "1" } }]);
    let plan = good(json!({ "rules": [
        { "match": { "headers": [{ "name": "x", "present_match": false }] }, "response": edits },
        { "match_response": {}, "response": edits },
    ] }));
    let answered = response(&[], &[]);
    plan.response(&mut State::default(), &answered);
    assert_eq!(answered.lines().len(), 1);
}

#[test]
fn headers_are_saved_for_later() {
    let plan = good(json!({ "rules": [
        { "request": [{ "set": { "name": "x-a", "value": "%REQ(x-now)%" } }],
          "response": [{ "set": { "name": "x-a", "value": "%REQ(x-b?x-a)%%PATH%%RESP(x-c)%" } }] },
        { "response": [{ "set_cookie": { "name": "a", "value": "%REQ(x-b)%" } }],
          "response_trailers": [{ "set": { "name": "x-a", "value": "%RESP(x-d?x-a)%%TRAILER(x-c)%" } }] },
    ], "security_headers": { "preset": "recommended" } }));
    assert_eq!(
        plan.saved.request,
        ["x-b", "x-a", ":path", "x-envoy-original-path", ":scheme"]
    );
    assert_eq!(plan.saved.response, ["x-d", "x-a"]);
    let mut state = State::default();
    plan.request(&mut state, &request(&[(":path", "/"), ("x-now", "1")]));
    let one = |text: &str| Some(text.as_bytes().to_vec());
    let saved = [None, one("1"), one("/"), None, None];
    assert_eq!(state.saved.request, saved);
    plan.response(&mut state, &response(&[], &[("x-d", "2")]));
    assert_eq!(state.saved.response, [one("2"), None]);
    assert_eq!(state.saved.request, saved);
}

#[test]
fn responses_are_matched() {
    let add = json!([{ "append": { "name": "x", "value": "1" } }]);
    for (condition, matches) in [
        (json!({}), true),
        (json!({ "status_codes": [200, 404] }), true),
        (json!({ "status_codes": [200] }), false),
        (json!({ "status_classes": ["4xx"] }), true),
        (
            json!({ "status_classes": ["5xx"], "status_codes": [200] }),
            false,
        ),
        (json!({ "content_type": [{ "exact": "text/html" }] }), true),
        (
            json!({ "content_type": [{ "prefix": "image/" }, { "exact": "application/json" }] }),
            false,
        ),
        (json!({ "headers": [{ "name": "x-a" }] }), true),
        (json!({ "headers": [{ "name": "x-b" }] }), false),
        (
            json!({ "headers": [{ "name": "x-b", "invert_match": true }] }),
            true,
        ),
        (
            json!({ "headers": [{ "name": "x-a", "string_match": { "exact": "1" }, "invert_match": true }] }),
            false,
        ),
        (
            json!({ "headers": [{ "name": "x-b", "string_match": { "exact": "1" }, "invert_match": true }] }),
            false,
        ),
    ] {
        let plan = good(
            json!({ "rules": [{ "match_response": condition, "response": add, "response_trailers": add }] }),
        );
        let answered = response(
            &[],
            &[
                (":status", "404"),
                ("content-type", "Text/HTML; charset=utf-8"),
                ("x-a", "1"),
            ],
        );
        let mut state = State::default();
        plan.response(&mut state, &answered);
        assert_eq!(
            answered.lines().len(),
            if matches { 4 } else { 3 },
            "{condition}"
        );
        let trailers = response(&[], &[]);
        plan.trailers(&state, Trailers::Response, &trailers);
        assert_eq!(trailers.lines().len(), usize::from(matches), "{condition}");
    }
}

#[test]
fn trailers_are_edited() {
    let edits = |value: &str| json!([{ "set": { "name": "x-t", "value": value } }]);
    let plan = good(
        json!({ "rules": [{ "request_trailers": edits("request"), "response_trailers": edits("response") }] }),
    );
    for (which, value) in [
        (Trailers::Request, "request"),
        (Trailers::Response, "response"),
    ] {
        let trailers = response(&[], &[]);
        plan.trailers(&State::default(), which, &trailers);
        assert_eq!(trailers.lines(), [format!("x-t: {value}")]);
    }
}

#[test]
fn security_headers_are_set() {
    let plan = good(
        json!({ "security_headers": { "preset": "recommended", "x_frame_options": "DENY", "content_security_policy": "default-src 'self'" } }),
    );
    for (scheme, transport) in [("https", true), ("http", false)] {
        let message = response(&[(":scheme", scheme)], &[("x-frame-options", "SAMEORIGIN")]);
        plan.response(&mut State::default(), &message);
        let mut expected = vec![
            "x-frame-options: DENY",
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'self'",
            "referrer-policy: strict-origin-when-cross-origin",
        ];
        if transport {
            expected.push("strict-transport-security: max-age=31536000; includeSubDomains");
        }
        assert_eq!(message.lines(), expected);
    }
    let plan = good(
        json!({ "security_headers": { "overwrite": false, "x_frame_options": "DENY", "permissions_policy": "camera=()",
        "strict_transport_security": { "max_age": 31_536_000, "include_subdomains": true, "preload": true, "force": true },
        "content_security_policy_report_only": "a" } }),
    );
    let message = response(&[], &[("x-frame-options", "SAMEORIGIN")]);
    plan.response(&mut State::default(), &message);
    assert_eq!(
        message.lines(),
        [
            "x-frame-options: SAMEORIGIN",
            "content-security-policy-report-only: a",
            "permissions-policy: camera=()",
            "strict-transport-security: max-age=31536000; includeSubDomains; preload"
        ]
    );
}

proptest! {
    /// Edits of one field have the same effect as those of a list of values.
    #[test]
    fn order_of_edits_is_the_authors(edits in proptest::collection::vec((0..5_usize, "[a-z]{1,3}"), 0..8), first in proptest::option::of("[a-z]{1,3}")) {
        let mut model: Vec<String> = first.iter().cloned().collect();
        let mut list = Vec::new();
        for (kind, value) in edits {
            let header = json!({ "name": "x", "value": value });
            list.push(match kind {
                0 => { model = vec![value]; json!({ "set": header }) }
                1 => { model.push(value); json!({ "append": header }) }
                2 => { if model.is_empty() { model.push(value); } json!({ "add_if_absent": header }) }
                3 => { if !model.is_empty() { model = vec![value]; } json!({ "overwrite_if_exists": header }) }
                _ => { model.clear(); json!({ "remove": "x" }) }
            });
        }
        let fields: Vec<(&str, &str)> = first.iter().map(|value| ("x", value.as_str())).collect();
        let expected: Vec<String> = model.iter().map(|value| format!("x: {value}")).collect();
        prop_assert_eq!(edited(Value::Array(list), &fields), expected);
    }

    #[test]
    fn cookies_keep_name_and_value(name in "[A-Za-z0-9_-]{1,8}", value in "[ -:<-~]{0,12}", rest in "(; ?[A-Za-z]{1,8}(=[a-z0-9/]{0,5})?){0,4}") {
        let cookie = format!("{name}={value}{rest}");
        let secure = [("Secure", Some(String::new())), ("SameSite", Some("Lax".to_owned()))];
        let changed = with_attributes(cookie.as_bytes(), &secure);
        prop_assert_eq!(name_of(&changed), name.as_bytes());
        let text = String::from_utf8(changed.clone()).expect("text");
        let start = format!("{name}={value}");
        prop_assert!(text.starts_with(start.trim_end()), "{}", text);
        prop_assert_eq!(text.to_ascii_lowercase().matches("; samesite").count(), 1);
        // Again, nothing changes.
        prop_assert_eq!(with_attributes(&changed, &secure), changed);
    }

    #[test]
    fn any_cookie_can_be_edited(cookie in proptest::collection::vec(any::<u8>(), 0..40)) {
        name_of(&cookie);
        with_attributes(&cookie, &[("Secure", None), ("Path", Some("/".to_owned()))]);
    }
}
