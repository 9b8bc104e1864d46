//! The plugin in the proxy for tests: what depends on time, and on streams that are in progress at the same time.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_guest::EndOfStream;
use tidegate_guest::testing::{Message, Proxy, Stream};

use crate::RateLimit;

/// Starts a proxy with a configuration that is good.
#[track_caller]
pub fn proxy(config: &Value) -> Proxy<RateLimit> {
    Proxy::new(config.to_string()).expect("a good configuration")
}

/// Starts a proxy with one rule.
#[track_caller]
fn limited(rule: Value) -> Proxy<RateLimit> {
    proxy(&json!({ "rules": [rule], "response": { "enable_retry_after_header": true } }))
}

fn get(proxy: &Proxy<RateLimit>) -> Stream {
    proxy.request(Message::get("/"))
}

/// Returns whether the upstream has received the request. Otherwise the client has received a response.
pub fn has_passed(stream: &Stream) -> bool {
    let passed = stream.request().is_some();
    assert_ne!(passed, stream.response().is_some(), "{stream:?}");
    passed
}

/// Returns how many of these requests pass, each of which ends before the next one.
pub fn passing(proxy: &Proxy<RateLimit>, requests: usize, request: &Message) -> usize {
    let passed = (0..requests).filter(|_| has_passed(&proxy.request(request.clone())));
    passed.count()
}

/// Returns the header of the response that a request gets, which the upstream responds to if it passes.
pub fn header(stream: &Stream, name: &str) -> Option<String> {
    stream.respond(Message::response(200));
    let response = stream.response().expect("a response");
    response.value(name).map(str::to_owned)
}

pub fn milliseconds(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// Returns the counters `enabled`, `ok`, `near_limit`, `rate_limited` and `enforced` of a rule.
fn counters(proxy: &Proxy<RateLimit>, rule: &str) -> [Option<u64>; 5] {
    ["enabled", "ok", "near_limit", "rate_limited", "enforced"].map(|name| {
        let name = format!("rate_limit.http_local_rate_limit.{rule}.{name}");
        proxy.counter(&name)
    })
}

// === Time ===

#[test]
fn tokens_come_in_one_by_one() {
    let proxy = limited(json!({ "name": "all", "limit": "2/s", "burst": 3 }));
    let request = Message::get("/");
    assert_eq!(passing(&proxy, 10, &request), 3);
    proxy.advance(milliseconds(499));
    assert_eq!(passing(&proxy, 10, &request), 0);
    proxy.advance(milliseconds(1));
    assert_eq!(
        passing(&proxy, 10, &request),
        1,
        "rejected requests cost nothing"
    );
    proxy.advance(milliseconds(1000));
    assert_eq!(passing(&proxy, 10, &request), 2);
    proxy.advance(Duration::from_secs(3600));
    assert_eq!(
        passing(&proxy, 10, &request),
        3,
        "no more than the burst is saved up"
    );
}

#[test]
fn retry_after_counts_down_to_the_time_at_which_a_request_passes() {
    for algorithm in ["token_bucket", "fixed_window"] {
        let proxy = limited(json!({ "name": "all", "limit": "1/10s", "algorithm": algorithm }));
        assert_eq!(header(&get(&proxy), "retry-after"), None);
        for (advance, retry) in [(0, "10"), (3000, "7"), (6500, "1"), (499, "1")] {
            proxy.advance(milliseconds(advance));
            assert_eq!(header(&get(&proxy), "retry-after").as_deref(), Some(retry));
        }
        proxy.advance(milliseconds(1));
        assert!(has_passed(&get(&proxy)), "{algorithm}");
    }
}

#[test]
fn windows_begin_with_their_first_request() {
    let request = Message::get("/");
    let proxy = limited(json!({ "name": "all", "limit": "2/1s", "algorithm": "fixed_window" }));
    proxy.advance(milliseconds(700));
    assert_eq!(passing(&proxy, 1, &request), 1);
    proxy.advance(milliseconds(700));
    assert_eq!(passing(&proxy, 2, &request), 1);
    proxy.advance(milliseconds(299));
    assert_eq!(passing(&proxy, 1, &request), 0);
    proxy.advance(milliseconds(1));
    assert_eq!(passing(&proxy, 3, &request), 2);

    let proxy = limited(json!({ "name": "all", "limit": "4/1s", "algorithm": "sliding_window" }));
    assert_eq!(passing(&proxy, 9, &request), 4);
    proxy.advance(milliseconds(1000));
    assert_eq!(
        passing(&proxy, 9, &request),
        0,
        "all of the window before still counts"
    );
    proxy.advance(milliseconds(500));
    assert_eq!(passing(&proxy, 9, &request), 1, "half of it, rounded up");
    proxy.advance(milliseconds(500));
    assert_eq!(passing(&proxy, 9, &request), 3, "the window before has one");
}

#[test]
fn clock_that_is_set_does_not_keep_requests_waiting() {
    for scope in ["worker", "proxy"] {
        let proxy = limited(json!({ "name": "all", "limit": "1/s", "scope": scope }));
        assert!(has_passed(&get(&proxy)));
        proxy.set_time(proxy.time() - Duration::from_secs(3600));
        assert!(!has_passed(&get(&proxy)), "no time has passed");
        proxy.advance(milliseconds(1000));
        assert!(has_passed(&get(&proxy)), "{scope}");
        proxy.set_time(proxy.time() + Duration::from_secs(3600));
        assert!(has_passed(&get(&proxy)), "{scope}");
        assert!(!has_passed(&get(&proxy)), "{scope}");
    }
}

// === Requests in progress ===

/// Ends a stream.
type End = fn(Stream);

#[test]
fn concurrency_is_released_however_a_stream_ends() {
    let ends: [(&str, End); 6] = [
        ("the client disconnects while it waits", Stream::finish),
        ("the response is complete", |stream| {
            stream.respond(Message::response(200).body("content"));
            stream.finish();
        }),
        ("the response has trailers", |stream| {
            stream.respond(Message::response(200).body("content").trailer("x-sum", "7"));
            stream.finish();
        }),
        ("the client disconnects within the response", |stream| {
            stream.response_headers(Message::response(200), EndOfStream::No);
            stream.response_body("con", EndOfStream::No);
            stream.finish();
        }),
        ("the upstream fails", |stream| {
            stream.fail_upstream(503);
            stream.finish();
        }),
        ("the upstream fails within the response", |stream| {
            stream.response_headers(Message::response(200), EndOfStream::No);
            stream.fail_upstream(503);
            stream.finish();
        }),
    ];
    for scope in ["worker", "proxy"] {
        for (how, end) in ends {
            let rule =
                json!({ "name": "busy", "limit": "1", "algorithm": "concurrency", "scope": scope });
            let proxy = limited(rule);
            let first = get(&proxy);
            assert!(has_passed(&first));
            assert!(!has_passed(&get(&proxy)), "{scope}: {how}");
            end(first);
            let next = get(&proxy);
            assert!(has_passed(&next), "{scope}: {how}");
            assert!(
                !has_passed(&get(&proxy)),
                "{scope}: {how}: it is released once"
            );
        }
    }
}

#[test]
fn request_body_that_never_ends_is_in_progress() {
    let proxy = limited(json!({ "name": "busy", "limit": "1", "algorithm": "concurrency" }));
    let upload = proxy.open();
    upload.request_headers(Message::post("/"), EndOfStream::No);
    for chunk in ["one", "two"] {
        upload.request_body(chunk, EndOfStream::No);
        assert!(!has_passed(&get(&proxy)));
    }
    assert_eq!(upload.request().expect("a request").text(), "onetwo");
    upload.finish();
    assert!(has_passed(&get(&proxy)));
}

#[test]
fn streams_of_a_key_hold_its_limit_in_any_order() {
    let rule = json!({ "name": "busy", "limit": "2", "algorithm": "concurrency", "key": [{ "header": "x-key" }] });
    let proxy = limited(rule);
    let of = |key: &str| proxy.request(Message::get("/").header("x-key", key));
    let (first, second, rejected) = (of("a"), of("a"), of("a"));
    let other = of("b");
    assert_eq!(
        [&first, &second, &rejected, &other].map(has_passed),
        [true, true, false, true]
    );
    rejected.finish();
    assert!(!has_passed(&of("a")), "a rejected request holds nothing");
    second.finish();
    let third = of("a");
    assert!(has_passed(&third));
    assert!(!has_passed(&of("a")));
    other.finish();
    assert!(!has_passed(&of("a")), "that was another key");
    drop((first, third));
    let both = [of("a"), of("a")];
    assert_eq!(both.each_ref().map(has_passed), [true, true]);
    assert!(!has_passed(&of("a")));
}

#[test]
fn lease_bounds_how_long_a_stream_is_counted() {
    let rule = json!({ "name": "busy", "limit": "1", "algorithm": "concurrency", "lease": "10s" });
    let proxy = limited(rule);
    let first = get(&proxy);
    proxy.advance(milliseconds(9_999));
    assert!(!has_passed(&get(&proxy)), "for the lease at least");
    proxy.advance(milliseconds(10_001));
    let second = get(&proxy);
    assert!(has_passed(&second), "for twice the lease at most");
    first.finish();
    assert!(
        !has_passed(&get(&proxy)),
        "what has expired is not released again"
    );
    second.finish();
    assert!(has_passed(&get(&proxy)));
}

#[test]
fn rejected_request_is_not_in_progress_and_not_counted_by_other_rules() {
    let proxy = proxy(&json!({ "rules": [
        { "name": "busy", "limit": "1", "algorithm": "concurrency" },
        { "name": "all", "limit": "5/1h" },
        { "name": "once", "limit": "1/1h", "match": { "path": { "exact": "/once" } } },
    ] }));
    let once = Message::get("/once");
    assert_eq!(passing(&proxy, 4, &once), 1);
    // The streams of rejected requests have not ended.
    let rejected = [proxy.request(once.clone()), proxy.request(once)];
    assert_eq!(passing(&proxy, 9, &Message::get("/")), 4);
    drop(rejected);
    assert_eq!(counters(&proxy, "once"), [6, 1, 1, 5, 5].map(Some));
    assert_eq!(counters(&proxy, "busy"), [15, 15, 15, 0, 0].map(Some));
    let [enabled, _, _, limited, enforced] = counters(&proxy, "all");
    assert_eq!([enabled, limited, enforced], [15, 5, 5].map(Some));
}

// === Costs ===

/// A rule whose cost is a tenth of the size of the response.
fn tenths() -> Proxy<RateLimit> {
    proxy(&json!({
        "rules": [{ "name": "bytes", "limit": "10/1h", "cost": { "response_bytes": 10 } }],
        "response": { "enable_x_ratelimit_headers": "DRAFT_VERSION_03" },
    }))
}

fn remaining(proxy: &Proxy<RateLimit>) -> Option<String> {
    header(&get(proxy), "x-ratelimit-remaining")
}

#[test]
fn response_is_charged_in_chunks_when_its_stream_ends() {
    let proxy = tenths();
    let first = get(&proxy);
    first.response_headers(Message::response(200), EndOfStream::No);
    for chunk in ["aaaa", "aaaa", ""] {
        first.response_body(chunk, EndOfStream::No);
    }
    first.response_body("aaaa", EndOfStream::Yes);
    assert_eq!(first.response().expect("a response").text(), "aaaaaaaaaaaa");
    assert_eq!(
        remaining(&proxy).as_deref(),
        Some("10"),
        "its stream has not ended"
    );
    first.finish();
    assert_eq!(
        remaining(&proxy).as_deref(),
        Some("8"),
        "12 bytes are two begun tens"
    );

    let broken = get(&proxy);
    broken.response_headers(Message::response(200), EndOfStream::No);
    broken.response_body("a".repeat(30), EndOfStream::No);
    broken.finish();
    assert_eq!(
        remaining(&proxy).as_deref(),
        Some("5"),
        "the client has received 30 bytes"
    );
}

#[test]
fn responses_in_progress_make_a_debt_together() {
    let proxy = tenths();
    let streams = [get(&proxy), get(&proxy)];
    for stream in streams {
        assert!(has_passed(&stream));
        stream.respond(Message::response(200).body("a".repeat(60)));
    }
    // 12 of 10 are used, and one more comes in every six minutes.
    let rejected = get(&proxy);
    assert_eq!(
        header(&rejected, "x-ratelimit-remaining").as_deref(),
        Some("0")
    );
    assert!(!has_passed(&get(&proxy)));
    proxy.advance(Duration::from_secs(18 * 60 - 1));
    assert!(!has_passed(&get(&proxy)));
    proxy.advance(Duration::from_secs(1));
    assert!(has_passed(&get(&proxy)));
}

#[test]
fn local_response_is_not_charged_as_a_response() {
    let proxy = proxy(&json!({
        "rules": [
            { "name": "bytes", "limit": "10/1h", "cost": { "response_bytes": 1 } },
            { "name": "once", "limit": "1/1h", "match": { "path": { "exact": "/once" } } },
        ],
        "response": { "body": "a body that is longer than the limit" },
    }));
    assert_eq!(passing(&proxy, 5, &Message::get("/once")), 1);
    assert_eq!(passing(&proxy, 5, &Message::get("/")), 5);
}

// === Scope ===

/// The key in shared data of the only set of the rule `all`.
const SET: &str = "rate_limit.http_local_rate_limit.all.0";

#[test]
fn scope_proxy_decides_by_what_other_workers_have_stored() {
    let proxy = limited(json!({ "name": "all", "limit": "2/1h", "scope": "proxy" }));
    let request = Message::get("/");
    assert_eq!(proxy.shared_data(SET), None);
    assert_eq!(passing(&proxy, 1, &request), 1);
    let one_used = proxy.shared_data(SET).expect("a bucket");
    assert_eq!(passing(&proxy, 2, &request), 1);
    let both_used = proxy.shared_data(SET).expect("a bucket");
    assert!(proxy.set_shared_data(SET, one_used));
    assert_eq!(
        passing(&proxy, 2, &request),
        1,
        "another worker has given one back"
    );
    assert_eq!(proxy.shared_data(SET), Some(both_used));
    assert!(proxy.set_shared_data(SET, "not a bucket"));
    assert_eq!(passing(&proxy, 3, &request), 2, "it begins anew");
}

#[test]
fn requests_pass_and_errors_are_logged_while_shared_data_is_full() {
    let proxy = limited(json!({ "name": "all", "limit": "1/1h", "scope": "proxy" }));
    let (mut size, mut count) = (32 << 20, 0);
    while size > 0 {
        if proxy.set_shared_data(&format!("other {count}"), vec![0; size]) {
            count += 1;
        } else {
            size /= 2;
        }
    }
    assert_eq!(passing(&proxy, 2, &Message::get("/")), 2);
    let line = "error failed to use shared data: a request was not limited by a rule with the scope `proxy`";
    assert_eq!(proxy.take_log(), [line, line]);
    assert_eq!(counters(&proxy, "all"), [2, 2, 0, 0, 0].map(Some));

    assert!(proxy.set_shared_data("other 0", ""));
    assert_eq!(
        passing(&proxy, 2, &Message::get("/")),
        1,
        "there is room again"
    );
    assert_eq!(proxy.take_log().len(), 0);
}

// === Responses ===

#[test]
fn grpc_requests_are_rejected_with_a_status_of_grpc() {
    let request = Message::post("/service/Method").header("content-type", "application/grpc");
    for (exhausted, status) in [(true, "8"), (false, "14")] {
        let proxy = proxy(&json!({
            "rules": [{ "name": "all", "limit": "1/1h" }],
            "response": { "rate_limited_as_resource_exhausted": exhausted },
        }));
        assert!(has_passed(&proxy.request(request.clone())));
        let rejected = proxy.request(request.clone());
        let response = rejected.response().expect("a response");
        assert_eq!(response.status(), Some(200));
        assert_eq!(response.value("grpc-status"), Some(status));
        assert_eq!(response.content(), b"", "the status is all that there is");
    }
}

#[test]
fn messages_of_requests_that_pass_are_not_changed_except_for_headers() {
    let proxy = proxy(&json!({
        "rules": [{ "name": "all", "limit": "10/1h" }],
        "response": {
            "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
            "response_headers_to_add_when_near_limit": [{ "name": "x-near", "value": "yes" }],
        },
    }));
    let request = Message::post("/")
        .chunk("one")
        .chunk("two")
        .trailer("x-sum", "7");
    let stream = proxy.request(request.clone());
    assert_eq!(stream.request(), Some(request));
    let response = Message::response(404)
        .header("x-ratelimit-limit", "7")
        .header("x-near", "no");
    stream.respond(response.chunk("three").chunk("four").trailer("x-sum", "8"));
    let response = stream.response().expect("a response");
    assert_eq!(
        (response.status(), response.chunks()),
        (Some(404), &[b"three".to_vec(), b"four".to_vec()][..])
    );
    assert_eq!(response.trailer_value("x-sum"), Some("8"));
    assert_eq!(
        response.values("x-ratelimit-limit"),
        ["10"],
        "not that of the upstream"
    );
    assert_eq!(response.values("x-near"), ["no"]);
    for near in [false, false, false, false, false, false, true, true, true] {
        let stream = get(&proxy);
        stream.respond(Message::response(200).header("x-near", "no"));
        let response = stream.response().expect("a response");
        let expected: &[&str] = if near { &["no", "yes"] } else { &["no"] };
        assert_eq!(response.values("x-near"), expected);
    }
    assert_eq!(counters(&proxy, "all"), [10, 10, 3, 0, 0].map(Some));
}

#[test]
fn headers_are_those_of_the_moment_at_which_the_request_arrived() {
    let proxy = proxy(&json!({
        "rules": [{ "name": "all", "limit": "2/1h" }],
        "response": { "enable_ratelimit_headers": true },
    }));
    let (first, second) = (get(&proxy), get(&proxy));
    proxy.advance(Duration::from_secs(3600));
    assert_eq!(
        header(&second, "ratelimit").as_deref(),
        Some(r#""all";r=0;t=3600"#)
    );
    assert_eq!(
        header(&first, "ratelimit").as_deref(),
        Some(r#""all";r=1;t=1800"#)
    );
}

#[test]
fn clients_are_told_apart_by_their_connection() {
    let proxy =
        limited(json!({ "name": "all", "limit": "1/1h", "key": [{ "client_address": {} }] }));
    let passes = |client: &str| {
        let stream = proxy.open();
        stream.set_client(client.parse().expect("an address"));
        stream.request_headers(Message::get("/"), EndOfStream::Yes);
        has_passed(&stream)
    };
    assert!(passes("192.0.2.1:4000") && passes("192.0.2.2:4000"));
    assert!(
        !passes("192.0.2.1:5000"),
        "another port is not another client"
    );
    assert!(passes("[2001:db8::1]:4000") && passes("[2001:db8:0:1::1]:4000"));
    assert!(!passes("[2001:db8::2]:4000"), "a /64 is one client");
    assert!(
        !passes("[::ffff:192.0.2.2]:4000"),
        "an IPv4 address as an IPv6 one"
    );
}

// === Configuration ===

#[test]
fn wrong_configurations_are_refused() {
    for (configuration, reason) in [
        ("", "rules: expected at least one rule"),
        (r#"{ "rules": [] }"#, "rules: expected at least one rule"),
        (
            r#"{ "rules": [{ "name": "a", "limit": "1/s", "lease": "1h" }] }"#,
            "rules[0].lease: is only for the algorithm `concurrency`",
        ),
        (
            r#"{ "rules": [{ "name": "a", "limit": "1/s" }], "response": { "status": 700 } }"#,
            "response.status: expected 200 to 599",
        ),
    ] {
        let refused = Proxy::<RateLimit>::new(configuration).expect_err(reason);
        assert_eq!(refused.reason(), reason);
    }
    for broken in [
        "{",
        "[]",
        r#"{ "rules": [{ "name": "a", "limit": 1 }] }"#,
        "\u{0}",
    ] {
        assert!(Proxy::<RateLimit>::new(broken).is_err(), "{broken}");
    }
}
