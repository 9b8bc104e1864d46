//! The plugin in the proxy for tests: messages that arrive in parts, streams that overlap, the time, metrics and the log.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tidegate_guest::EndOfStream;
use tidegate_guest::testing::{Message, Proxy, Stream};

use crate::Headers;

/// Starts a proxy with a configuration that is good.
#[track_caller]
fn proxy(config: Value) -> Proxy<Headers> {
    Proxy::new(config.to_string()).expect("a good configuration")
}

/// Passes the head of a request, which a body may follow.
fn begin(proxy: &Proxy<Headers>, request: Message) -> Stream {
    let stream = proxy.open();
    stream.request_headers(request, EndOfStream::No);
    stream
}

/// Returns what the client receives of this response.
#[track_caller]
fn answer(stream: &Stream, response: Message) -> Message {
    stream.respond(response);
    stream.response().expect("a response")
}

fn set(name: &str, value: &str) -> Value {
    json!({ "set": { "name": name, "value": value } })
}

// === Messages in parts ===

#[test]
fn bodies_pass_in_chunks_between_edited_headers_and_trailers() {
    let proxy = proxy(json!({ "rules": [{
        "request": [set("x-path", "%PATH%")],
        "request_trailers": [set("x-sum", "%REQ(x-path)%"), { "remove": "x-debug" }],
        "response": [set("x-status", "%RESPONSE_CODE%")],
        "response_trailers": [{ "append": { "name": "x-sum", "value": "%REQ(x-path)% %RESP(x-status)%%TRAILER(x-other)%" } }],
    }] }));
    let stream = begin(&proxy, Message::post("/a?b"));
    let passed = || stream.request().expect("a request");
    assert_eq!(passed().value("x-path"), Some("/a?b"));
    for (chunk, expected) in [("one", &["one"][..]), ("two", &["one", "two"])] {
        stream.request_body(chunk, EndOfStream::No);
        assert_eq!(
            passed().chunks(),
            expected.iter().map(|it| it.as_bytes()).collect::<Vec<_>>()
        );
    }
    assert!(!passed().is_complete());
    stream.request_trailers(
        Message::get("/")
            .trailer("x-debug", "1")
            .trailer("x-sum", "7"),
    );
    assert_eq!(
        passed().trailers(),
        [("x-sum".to_owned(), b"/a?b".to_vec())]
    );
    assert!(passed().is_complete());

    stream.response_headers(Message::response(201), EndOfStream::No);
    stream.response_body("three", EndOfStream::No);
    let received = stream.response().expect("a response");
    assert_eq!(
        (received.value("x-status"), received.text()),
        (Some("201"), "three".to_owned())
    );
    let trailers = Message::response(200)
        .trailer("x-sum", "8")
        .trailer("x-other", "9");
    stream.response_trailers(trailers);
    let received = stream.response().expect("a response");
    assert_eq!(received.trailer_value("x-other"), Some("9"));
    let sums = received
        .trailers()
        .iter()
        .filter(|(name, _)| name == "x-sum");
    let sums: Vec<&[u8]> = sums.map(|(_, value)| &**value).collect();
    assert_eq!(sums, [&b"8"[..], b"/a?b 2019"]);
    assert_eq!(proxy.take_log().len(), 0);
}

#[test]
fn trailers_have_the_values_of_their_response_after_its_rules() {
    let proxy = proxy(json!({ "rules": [
        {
            "response": [set("x-set", "%RESP(x-id)%"), { "remove": "x-gone" }],
            "response_trailers": [set("x-copy", "%RESP(x-set)%,%RESP(x-gone)%,%RESP(x-gone?x-id)%,%RESP(:status):1%")],
        },
        { "match_response": { "status_codes": [404] }, "response_trailers": [set("x-missing", "%RESP(:status)%")] },
    ] }));
    let head = |status, id: &str| {
        let head = Message::response(status).header("x-id", id);
        head.header("x-gone", "gone")
    };
    let trailers = || Message::response(200).trailer("x-copy", "?");
    let first = proxy.request(Message::get("/"));
    let second = proxy.request(Message::get("/"));
    second.response_headers(head(404, "2"), EndOfStream::No);
    first.response_headers(head(200, "1"), EndOfStream::No);
    for (stream, copy, missing) in [(&first, "1,,1,2", None), (&second, "2,,2,4", Some("404"))] {
        stream.response_trailers(trailers());
        let response = stream.response().expect("a response");
        assert_eq!(response.trailer_value("x-copy"), Some(copy));
        assert_eq!(response.trailer_value("x-missing"), missing);
    }
    assert_eq!(proxy.take_log().len(), 0);
}

#[test]
fn message_without_trailers_gets_none() {
    let proxy = proxy(json!({ "rules": [{
        "request_trailers": [set("x-sum", "1")],
        "response_trailers": [set("x-sum", "1")],
    }] }));
    let stream = proxy.request(Message::post("/").body("one"));
    let request = stream.request().expect("a request");
    assert!(request.is_complete() && request.trailers().is_empty());
    let response = answer(&stream, Message::response(200).body("two"));
    assert!(response.is_complete() && response.trailers().is_empty());
}

#[test]
fn plugin_without_rules_changes_nothing() {
    for configuration in ["", "{}", r#"{ "rules": [] }"#] {
        let proxy = Proxy::<Headers>::new(configuration).expect("a good configuration");
        let request = Message::post("/")
            .header("x-a", "1")
            .chunk("one")
            .chunk("two");
        let request = request.trailer("x-b", "2");
        let stream = proxy.request(request.clone());
        assert_eq!(stream.request(), Some(request), "{configuration}");
        let response = Message::response(404).header("x-a", "1").body("three");
        assert_eq!(
            answer(&stream, response.clone()),
            response,
            "{configuration}"
        );
    }
}

// === Streams that overlap ===

#[test]
fn streams_that_overlap_keep_their_own_rules_and_values() {
    let proxy = proxy(json!({ "rules": [
        { "match": { "path": { "prefix": "/a" } }, "response": [set("x-rule", "a")], "response_trailers": [set("x-rule", "a")] },
        { "match": { "path": { "prefix": "/b" } }, "response": [set("x-rule", "b")], "response_trailers": [set("x-rule", "b")] },
        {
            "request": [{ "rename": { "from": "x-id", "to": "x-former" } }],
            "request_trailers": [set("x-of", "%REQ(x-former)%")],
            "response": [set("x-of", "%REQ(x-former)% %REQ(:path)%")],
        },
    ] }));
    let message = |path: &str, id: &str| Message::post(path).header("x-id", id);
    let trailers = || Message::response(200).trailer("x-of", "?");
    let first = begin(&proxy, message("/a/1", "1"));
    let second = begin(&proxy, message("/b/2", "2"));
    let third = begin(&proxy, message("/c/3", "3"));
    second.request_trailers(trailers());
    first.request_body("one", EndOfStream::No);
    third.response_headers(Message::response(200), EndOfStream::No);
    second.response_headers(Message::response(200), EndOfStream::No);
    first.request_trailers(trailers());
    first.response_headers(Message::response(200), EndOfStream::No);
    drop(second);
    let fourth = begin(&proxy, message("/b/4", "4"));
    fourth.response_headers(Message::response(200), EndOfStream::No);
    for (stream, rule, of) in [
        (&first, Some("a"), "1 /a/1"),
        (&third, None, "3 /c/3"),
        (&fourth, Some("b"), "4 /b/4"),
    ] {
        stream.response_trailers(trailers());
        let response = stream.response().expect("a response");
        assert_eq!(response.value("x-rule"), rule, "{of}");
        assert_eq!(response.value("x-of"), Some(of));
        assert_eq!(response.trailer_value("x-rule"), rule, "{of}");
    }
    let request = first.request().expect("a request");
    assert_eq!(request.trailer_value("x-of"), Some("1"));
    assert_eq!(proxy.take_log().len(), 0);
}

#[test]
fn first_match_is_chosen_for_each_stream() {
    let proxy = proxy(json!({ "mode": "first_match", "rules": [
        { "match_response": { "status_classes": ["5xx"] }, "response": [set("x-rule", "failed")] },
        { "match": { "methods": ["POST"] }, "request": [set("x-rule", "post")], "response": [set("x-rule", "post")] },
        { "request": [set("x-rule", "other")], "response": [set("x-rule", "other")] },
    ] }));
    let post = proxy.request(Message::post("/").body("one"));
    let get = proxy.request(Message::get("/"));
    let failed = proxy.request(Message::get("/"));
    failed.fail_upstream(503);
    for (stream, at_upstream, to_client) in [
        (&get, "other", "other"),
        (&failed, "other", "failed"),
        (&post, "post", "post"),
    ] {
        let request = stream.request().expect("a request");
        assert_eq!(request.value("x-rule"), Some(at_upstream));
        let response = answer(stream, Message::response(200));
        assert_eq!(response.value("x-rule"), Some(to_client));
    }
}

#[test]
fn failure_of_the_upstream_gets_the_rules_for_responses() {
    let proxy = proxy(json!({
        "security_headers": { "preset": "recommended" },
        "rules": [{ "match": { "path": { "exact": "/a" } }, "response": [set("x-failed", "%REQ(:path)% %RESPONSE_CODE%")] }],
    }));
    let stream = proxy.request(Message::get("/a"));
    stream.fail_upstream(504);
    let response = stream.response().expect("a response");
    assert_eq!(
        (response.status(), response.value("x-failed")),
        (Some(504), Some("/a 504"))
    );
    assert_eq!(response.value("x-content-type-options"), Some("nosniff"));
    assert_eq!(
        response.value("strict-transport-security"),
        None,
        "the request came without TLS"
    );

    let secure = proxy.request(Message::get("/b").header(":scheme", "https"));
    let response = answer(&secure, Message::response(200));
    assert!(response.value("strict-transport-security").is_some());
    assert_eq!(response.value("x-failed"), None);
}

// === CORS ===

#[test]
fn origins_are_those_of_their_streams_and_counted() {
    let proxy = proxy(json!({ "cors": {
        "allow_origin_string_match": [{ "suffix": ".test" }],
        "allow_methods": "PUT",
        "allow_credentials": true,
        "expose_headers": "x-total",
    } }));
    let counters = || ["cors.origin_valid", "cors.origin_invalid"].map(|name| proxy.counter(name));
    assert_eq!(counters(), [Some(0), Some(0)]);
    let from = |method: &str, origin: &str| Message::request(method, "/").header("origin", origin);
    let allowed = proxy.request(from("GET", "https://a.test"));
    let other = proxy.request(from("GET", "https://b.example"));
    let without = proxy.request(Message::get("/"));
    assert_eq!(counters(), [Some(1), Some(1)]);

    let preflight =
        |origin: &str| from("OPTIONS", origin).header("access-control-request-method", "PUT");
    let answered = proxy.request(preflight("https://c.test"));
    assert_eq!(answered.request(), None);
    let response = answered.response().expect("a response");
    assert_eq!(response.status(), Some(200));
    assert_eq!(
        response.values("access-control-allow-origin"),
        ["https://c.test"]
    );
    assert_eq!(response.values("access-control-allow-methods"), ["PUT"]);
    let passed = proxy.request(preflight("https://d.example"));
    assert!(passed.request().is_some() && passed.response().is_none());
    assert_eq!(counters(), [Some(2), Some(2)]);

    for (stream, origin) in [
        (&without, None),
        (&passed, None),
        (&other, None),
        (&allowed, Some("https://a.test")),
    ] {
        let response = Message::response(200).header("access-control-expose-headers", "x-own");
        let response = answer(stream, response);
        assert_eq!(response.value("access-control-allow-origin"), origin);
        let credentials = response.value("access-control-allow-credentials");
        assert_eq!(credentials, origin.map(|_| "true"));
        let exposed = if origin.is_some() { "x-total" } else { "x-own" };
        assert_eq!(response.values("access-control-expose-headers"), [exposed]);
    }
}

#[test]
fn preflight_is_answered_before_its_body_arrives() {
    let proxy = proxy(json!({
        "cors": { "allow_origin_string_match": [{ "exact": "*" }], "allow_headers": "*" },
        "rules": [{ "request": [set("x-a", "b")], "response": [{ "append": { "name": "vary", "value": "origin" } }] }],
    }));
    let preflight = Message::request("OPTIONS", "/")
        .header("origin", "https://a.test")
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "x-one, x-two");
    let stream = begin(&proxy, preflight);
    let response = stream.response().expect("a response");
    assert!(response.is_complete());
    assert_eq!(
        response.value("access-control-allow-headers"),
        Some("x-one, x-two")
    );
    assert_eq!(response.value("vary"), Some("origin"), "rules apply to it");
    stream.request_body("one", EndOfStream::Yes);
    assert_eq!(
        (stream.request(), stream.response()),
        (None, Some(response))
    );
}

// === Values ===

#[test]
fn start_time_is_that_of_the_request() {
    let start = SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_045_678);
    let set = set("x-start", "%START_TIME(%Y%m%d %T.%3f)%");
    let config = json!({ "rules": [{ "request": [set], "response": [set] }] });
    let builder = Proxy::<Headers>::builder().time(start);
    let proxy = builder
        .build(config.to_string())
        .expect("a good configuration");
    for expected in ["20260102 03:04:05.678", "20260103 03:04:05.679"] {
        let stream = proxy.request(Message::get("/"));
        let request = stream.request().expect("a request");
        assert_eq!(request.value("x-start"), Some(expected));
        proxy.advance(Duration::from_millis(86_400_001));
        let response = answer(&stream, Message::response(200));
        assert_eq!(response.value("x-start"), Some(expected));
    }
}

#[test]
fn values_come_from_the_connection_and_from_metadata() {
    let metadata = ["metadata", "filter_metadata", "jwt", "sub"];
    let builder = Proxy::<Headers>::builder().property(&metadata, "alice");
    let config = json!({ "rules": [{ "request": [
        set("x-user", "%DYNAMIC_METADATA(jwt:sub)%"),
        set("x-none", "%DYNAMIC_METADATA(jwt:iss)%"),
        set("x-client", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT%"),
    ] }] });
    let proxy = builder
        .build(config.to_string())
        .expect("a good configuration");
    for (client, text) in [
        ("192.0.2.1:4000", "192.0.2.1 4000"),
        ("[2001:db8::1]:80", "2001:db8::1 80"),
    ] {
        let stream = proxy.open();
        stream.set_client(client.parse().expect("an address"));
        stream.request_headers(Message::get("/").header("x-none", "kept"), EndOfStream::Yes);
        let request = stream.request().expect("a request");
        assert_eq!(request.value("x-user"), Some("alice"));
        assert_eq!(request.value("x-none"), Some("kept"), "there is no value");
        assert_eq!(request.value("x-client"), Some(text));
    }
}

#[test]
fn path_host_and_query_are_rewritten_while_the_body_is_on_its_way() {
    let proxy = proxy(json!({ "rules": [{
        "match": { "path": { "prefix": "/v1/" } },
        "path": { "prefix_rewrite": { "prefix": "/v1/", "substitution": "/" } },
        "host": "%REQ(x-tenant)%.internal",
        "query_parameters": [{ "set": { "name": "v", "value": "1" } }],
        "response": [set("x-asked", "%REQ(:authority)%%PATH(NQ:PATH)%")],
    }] }));
    let stream = begin(
        &proxy,
        Message::post("/v1/users?q=a%20b").header("x-tenant", "shop"),
    );
    stream.request_body("one", EndOfStream::Yes);
    let request = stream.request().expect("a request");
    assert_eq!(request.value(":path"), Some("/users?q=a%20b&v=1"));
    assert_eq!(request.value(":authority"), Some("shop.internal"));
    assert_eq!(request.text(), "one");
    let response = answer(&stream, Message::response(200));
    assert_eq!(response.value("x-asked"), Some("shop.internal/users"));
    assert_eq!(
        proxy.take_log().len(),
        0,
        "the route cache has been cleared"
    );
}

#[test]
fn edit_that_the_proxy_refuses_is_logged_and_the_others_are_done() {
    let proxy = proxy(json!({ "rules": [{ "request": [
        { "append": { "name": "x-more", "value": "1" } },
        { "remove": "x-number" },
        set("x-done", "yes"),
    ] }] }));
    // A message has at most 4096 fields.
    for (fields, more, lines) in [
        (4095, Some("1"), &[][..]),
        (4096, None, &["error cannot append a field: too-large"][..]),
    ] {
        let mut request = Message::get("/");
        while request.headers().len() < fields {
            request = request.header("x-number", "1");
        }
        let passed = proxy.request(request).request().expect("a request");
        assert_eq!(passed.value("x-more"), more);
        assert_eq!(passed.value("x-number"), None);
        assert_eq!(passed.value("x-done"), Some("yes"));
        assert_eq!(proxy.take_log(), lines);
    }
}

#[test]
fn value_cannot_add_a_header() {
    let metadata = ["metadata", "filter_metadata", "jwt", "sub"];
    let builder = Proxy::<Headers>::builder().property(&metadata, "a\r\nx-admin: 1\0");
    let config =
        json!({ "rules": [{ "request": [set("x-user", "%DYNAMIC_METADATA(jwt:sub)%")] }] });
    let proxy = builder
        .build(config.to_string())
        .expect("a good configuration");
    let request = proxy
        .request(Message::get("/"))
        .request()
        .expect("a request");
    assert_eq!(request.value("x-admin"), None);
    let value = request.value("x-user").expect("a value");
    assert_eq!(value.trim_end(), "a  x-admin: 1");
}

// === Configuration ===

#[test]
fn wrong_configurations_are_refused_with_the_reason() {
    for (configuration, reason) in [
        (
            r#"{ "rules": [{ "request": [{ "remove": "te" }] }] }"#,
            "rules[0].request[0].remove: the header is protected",
        ),
        (
            r#"{ "rules": [{ "host": "%HOSTNAME%" }] }"#,
            "rules[0].host: the operator `HOSTNAME` is not supported",
        ),
        (
            r#"{ "cors": {} }"#,
            "cors.allow_origin_string_match: missing",
        ),
        (
            r#"{ "response": {} }"#,
            "response: moved to `rules[].response`",
        ),
    ] {
        let refused = Proxy::<Headers>::new(configuration).expect_err(reason);
        assert!(refused.reason().starts_with(reason), "{refused}");
    }
    for broken in ["{", "[]", "\u{0}", r#"{ "rules": 1 }"#] {
        assert!(Proxy::<Headers>::new(broken).is_err(), "{broken}");
    }
}
