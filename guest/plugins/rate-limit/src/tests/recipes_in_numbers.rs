//! What each recipe of the page limits, and how much, in the proxy for tests. Scenarios run the recipes in all runtimes; but in Envoy,
//! tokens come in while a client sends its requests.

use std::time::Duration;

use serde_json::Value;
use tidegate_guest::EndOfStream;
use tidegate_guest::testing::{Message, Proxy, Stream};

use super::proxy::{has_passed, header, milliseconds, passing, proxy};
use super::recipes;
use crate::RateLimit;

/// A test of a recipe, which gets its configuration.
type Test = fn(&Value);

/// The recipes by their headings.
const RECIPES: [(&str, Test); 10] = [
    ("One limit for a service", service),
    ("A limit for each client at a gateway", client),
    (
        "A limit for each API key, and a higher one for some",
        api_key,
    ),
    ("A limit for each authenticated user", user),
    ("A limit for login attempts", login),
    ("Limits for routes, and exempt paths", routes),
    ("A limit for requests in progress", in_progress),
    ("Costs and bandwidth", costs),
    ("Trying out a limit", candidate),
    ("Custom responses, and responses to gRPC requests", answers),
];

#[test]
fn recipes_limit_what_they_say() {
    let recipes = recipes::of("rate-limit");
    assert_eq!(recipes.len(), RECIPES.len());
    for recipe in recipes {
        let test = RECIPES
            .iter()
            .find(|(heading, _)| *heading == recipe.heading);
        let (_, test) = test.unwrap_or_else(|| panic!("add `{}` to RECIPES", recipe.heading));
        test(&recipe.configuration);
    }
}

fn service(configuration: &Value) {
    let proxy = proxy(configuration);
    let request = Message::get("/");
    assert_eq!(passing(&proxy, 210, &request), 200);
    proxy.advance(milliseconds(9));
    assert_eq!(passing(&proxy, 2, &request), 0);
    proxy.advance(milliseconds(1));
    assert_eq!(passing(&proxy, 2, &request), 1);
    proxy.advance(Duration::from_secs(60));
    assert_eq!(passing(&proxy, 210, &request), 200);
}

fn client(configuration: &Value) {
    let proxy = proxy(configuration);
    let from = |address: &str| Message::get("/").header("x-forwarded-for", address);
    assert_eq!(passing(&proxy, 25, &from("192.0.2.1")), 20);
    let rejected = proxy.request(from("198.51.100.1, 192.0.2.1"));
    assert_eq!(header(&rejected, "retry-after").as_deref(), Some("1"));
    assert_eq!(passing(&proxy, 25, &from("192.0.2.2")), 20);
    assert_eq!(passing(&proxy, 15, &from("2001:db8::1")), 15);
    assert_eq!(passing(&proxy, 10, &from("2001:db8::2")), 5, "the same /64");
    assert_eq!(passing(&proxy, 25, &from("2001:db8:0:1::1")), 20);
    proxy.advance(milliseconds(100));
    assert_eq!(passing(&proxy, 2, &from("192.0.2.1")), 1);
}

fn api_key(configuration: &Value) {
    let proxy = proxy(configuration);
    let with = |key: &str| Message::get("/").header("x-api-key", key);
    assert_eq!(passing(&proxy, 1005, &with("silver-1")), 1000);
    assert_eq!(passing(&proxy, 10_005, &with("gold-1")), 10_000);
    for (key, limit, reset) in [("silver-1", "1000", "3600"), ("gold-1", "10000", "3600")] {
        let rejected = proxy.request(with(key));
        assert!(!has_passed(&rejected));
        let response = rejected.response().expect("a response");
        assert_eq!(response.value("x-ratelimit-limit"), Some(limit));
        assert_eq!(response.value("x-ratelimit-remaining"), Some("0"));
        assert_eq!(response.value("x-ratelimit-reset"), Some(reset));
    }
    let other = proxy.request(with("silver-2"));
    assert_eq!(
        header(&other, "x-ratelimit-remaining").as_deref(),
        Some("999")
    );
    assert_eq!(
        passing(&proxy, 1005, &Message::get("/")),
        1000,
        "requests without a key"
    );
}

fn user(configuration: &Value) {
    let claim = [
        "metadata",
        "filter_metadata",
        "envoy.filters.http.jwt_authn",
        "payload",
        "sub",
    ];
    let builder = Proxy::<RateLimit>::builder().property(&claim, "alice");
    let proxy = builder
        .build(configuration.to_string())
        .expect("a good configuration");
    let request = Message::get("/");
    assert_eq!(passing(&proxy, 305, &request), 300);
    proxy.advance(milliseconds(199));
    assert_eq!(passing(&proxy, 2, &request), 0);
    proxy.advance(milliseconds(1));
    assert_eq!(passing(&proxy, 2, &request), 1);
}

fn login(configuration: &Value) {
    let proxy = proxy(configuration);
    let attempt = Message::post("/login").body("password=a");
    let attempts = |count| passing(&proxy, count, &attempt);
    assert_eq!(attempts(9), 5);
    assert_eq!(passing(&proxy, 9, &Message::get("/login")), 9);
    assert_eq!(passing(&proxy, 9, &Message::post("/logout")), 9);
    assert!(
        has_passed(&from(&proxy, "192.0.2.1:4000", attempt.clone())),
        "another client"
    );
    let minutes = |count: u64| Duration::from_secs(count * 60);
    proxy.advance(minutes(15));
    assert_eq!(attempts(9), 0, "all of them are within the last 15 minutes");
    proxy.advance(minutes(9));
    assert_eq!(
        attempts(9),
        2,
        "two fifths of that time are left of them, rounded up to 3"
    );
    proxy.advance(minutes(60));
    assert_eq!(attempts(9), 5);
}

fn routes(configuration: &Value) {
    let proxy = proxy(configuration);
    let search = Message::get("/api/v1/search/shoes?size=42");
    let orders = Message::get("/api/v1/orders");
    assert_eq!(passing(&proxy, 25, &search), 20);
    assert_eq!(passing(&proxy, 250, &orders), 180, "20 were for the search");
    for exempt in ["/api/health", "/shoes"] {
        assert_eq!(passing(&proxy, 5, &Message::get(exempt)), 5);
    }
    assert!(
        has_passed(&from(&proxy, "10.1.2.3:4000", orders.clone())),
        "from the network"
    );
    assert!(
        !has_passed(&from(&proxy, "10.1.2.3:4000", search.clone())),
        "no exemption here"
    );
    proxy.advance(milliseconds(50));
    assert_eq!(passing(&proxy, 5, &search), 1);
    assert_eq!(passing(&proxy, 25, &orders), 9);
}

fn in_progress(configuration: &Value) {
    let proxy = proxy(configuration);
    let export = || proxy.request(Message::get("/export/all"));
    let mut exports: Vec<Stream> = (0..12).map(|_| export()).collect();
    let passed = exports.iter().filter(|stream| has_passed(stream)).count();
    assert_eq!(passed, 10);
    assert_eq!(passing(&proxy, 20, &Message::get("/orders")), 20);
    drop(exports.swap_remove(3));
    let next = export();
    assert!(has_passed(&next) && !has_passed(&export()));
    // The others do not end, and are not counted any more after twice the lease.
    proxy.advance(Duration::from_secs(20 * 60));
    assert_eq!(
        passing(&proxy, 20, &Message::get("/export/all")),
        20,
        "each ends before the next"
    );
}

fn costs(configuration: &Value) {
    let proxy = proxy(configuration);
    let upload = Message::request("PUT", "/files").body("content");
    assert_eq!(passing(&proxy, 15, &upload), 10);
    proxy.advance(milliseconds(5_999));
    assert_eq!(passing(&proxy, 5, &upload), 0);
    proxy.advance(milliseconds(1));
    assert_eq!(passing(&proxy, 5, &Message::post("/files")), 1);
    // 30 MiB of 10 MiB per second.
    let download = proxy.request(Message::get("/files"));
    download.response_headers(Message::response(200), EndOfStream::No);
    for _ in 0..30 {
        download.response_body(vec![0; 1 << 20], EndOfStream::No);
    }
    assert!(
        has_passed(&proxy.request(Message::get("/"))),
        "it is still in progress"
    );
    download.finish();
    proxy.advance(milliseconds(2_000));
    assert!(!has_passed(&proxy.request(Message::get("/"))));
    assert!(
        has_passed(&from(&proxy, "192.0.2.1:4000", Message::get("/"))),
        "another client"
    );
    proxy.advance(milliseconds(1));
    assert!(has_passed(&proxy.request(Message::get("/"))));
}

fn candidate(configuration: &Value) {
    let proxy = proxy(configuration);
    // Whether each request is marked; `None` if it is rejected.
    let of = |tenant: &str, count: usize| -> Vec<Option<bool>> {
        let request = Message::get("/").header("x-tenant", tenant);
        let marked = (0..count).map(|_| {
            let request = proxy.request(request.clone()).request()?;
            Some(request.value("x-rate-limited") == Some("true"))
        });
        marked.collect()
    };
    let first = of("a", 60);
    assert!(
        first[..50].iter().all(|marked| *marked == Some(false)),
        "{first:?}"
    );
    assert!(
        first[50..].iter().all(|marked| *marked == Some(true)),
        "{first:?}"
    );
    assert_eq!(of("b", 40), [Some(false); 40]);
    let beyond = of("c", 20);
    let rejected: Vec<usize> = (0..20).filter(|at| beyond[*at].is_none()).collect();
    assert_eq!(rejected, [9, 19], "one of ten");
    assert!(beyond.iter().flatten().all(|marked| *marked), "{beyond:?}");
    let counter = |name: &str| proxy.counter(&format!("rate_limit.http_local_rate_limit.{name}"));
    assert_eq!(counter("candidate.rate_limited"), Some(10));
    assert_eq!(counter("candidate.enforced"), Some(0));
    assert_eq!(counter("rollout.rate_limited"), Some(20));
    assert_eq!(counter("rollout.enforced"), Some(2));
}

fn answers(configuration: &Value) {
    let proxy = proxy(configuration);
    for number in 1..=100 {
        let stream = proxy.request(Message::get("/"));
        let near = header(&stream, "x-rate-limit-warning");
        assert_eq!(
            near.as_deref(),
            (number >= 80).then_some("near"),
            "{number}"
        );
        let state = format!(r#""all";r={};t=1"#, 100 - number);
        assert_eq!(header(&stream, "ratelimit"), Some(state));
        assert_eq!(
            header(&stream, "ratelimit-policy").as_deref(),
            Some(r#""all";q=100;w=1"#)
        );
    }
    let rejected = proxy.request(Message::get("/"));
    let response = rejected.response().expect("a response");
    assert_eq!(response.status(), Some(503));
    assert_eq!(response.values("content-type"), ["application/json"]);
    assert_eq!(response.text(), r#"{"error":"too many requests"}"#);
    assert_eq!(response.value("retry-after"), Some("1"));
    assert_eq!(response.value("x-rate-limit-warning"), None);
    let grpc = Message::post("/service/Method").header("content-type", "application/grpc");
    let rejected = proxy.request(grpc);
    let response = rejected.response().expect("a response");
    assert_eq!(
        (response.status(), response.value("grpc-status")),
        (Some(200), Some("8"))
    );
}

/// Passes a request of a client with this address.
fn from(proxy: &Proxy<RateLimit>, client: &str, request: Message) -> Stream {
    let stream = proxy.open();
    stream.set_client(client.parse().expect("an address"));
    stream.request_headers(request, EndOfStream::Yes);
    stream
}
