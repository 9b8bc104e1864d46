//! Unit tests of the plugin.

use std::time::Duration;

use tidegate_guest::testing::{Answer, LogLine, Message, Proxy, Refused, Stream};

use crate::ExtAuth;

const CONFIGURATION: &str =
    r#"{"cluster": "auth", "timeout-ms": 500, "remember-ms": 1000, "refresh-ms": 60000}"#;

/// Allows requests with these credentials, and denies others. Each key is the number of requests for one so far.
fn service() -> impl FnMut(&Message) -> Answer {
    let mut keys = 0;
    move |request| {
        let status = match (request.value(":path"), request.value("authorization")) {
            (Some("/key"), _) => {
                keys += 1;
                return Message::response(200).body(format!("{keys}\n")).into();
            }
            (_, Some("Bearer good")) => 200,
            _ => 403,
        };
        Message::response(status).into()
    }
}

fn proxy(service: impl FnMut(&Message) -> Answer + 'static) -> Result<Proxy<ExtAuth>, Refused> {
    let proxy = Proxy::builder().service("auth", service);
    proxy.build(CONFIGURATION)
}

fn get(proxy: &Proxy<ExtAuth>, credentials: &str) -> Stream {
    proxy.request(Message::get("/orders").header("authorization", credentials))
}

/// Returns the status of the response that the plugin has sent, and whether the upstream has received the request.
fn decision(stream: &Stream) -> (Option<u16>, bool) {
    let status = stream.response().and_then(|it| it.status());
    (status, stream.request().is_some())
}

fn counters(proxy: &Proxy<ExtAuth>) -> [Option<u64>; 3] {
    ["ext_auth.allowed", "ext_auth.denied", "ext_auth.failed"].map(|name| proxy.counter(name))
}

#[test]
fn service_decides_about_each_question_once() -> Result<(), Refused> {
    let proxy = proxy(service())?;
    assert_eq!(decision(&get(&proxy, "Bearer good")), (None, true));
    assert_eq!(decision(&get(&proxy, "Bearer bad")), (Some(403), false));
    let [allowed, denied] = &proxy.take_calls()[..] else {
        panic!("two calls");
    };
    assert_eq!(allowed.value(":path"), Some("/orders"));
    assert_eq!(denied.value("authorization"), Some("Bearer bad"));

    assert_eq!(decision(&get(&proxy, "Bearer good")), (None, true));
    assert_eq!(decision(&get(&proxy, "Bearer bad")), (Some(403), false));
    assert!(proxy.take_calls().is_empty(), "both are remembered");
    assert_eq!(counters(&proxy), [Some(2), Some(2), Some(0)]);

    proxy.advance(Duration::from_secs(1));
    proxy.take_calls();
    assert_eq!(decision(&get(&proxy, "Bearer good")), (None, true));
    assert_eq!(proxy.take_calls().len(), 1, "not any more");
    Ok(())
}

#[test]
fn request_waits_for_the_decision() -> Result<(), Refused> {
    let allowed = Message::response(200);
    let late = Answer::after(Duration::from_millis(20), allowed);
    let proxy = proxy(move |_| late.clone())?;
    let stream = get(&proxy, "Bearer good");
    assert_eq!(decision(&stream), (None, false));
    proxy.advance(Duration::from_millis(20));
    assert_eq!(decision(&stream), (None, true));
    Ok(())
}

#[test]
fn requests_are_rejected_while_the_service_does_not_answer() -> Result<(), Refused> {
    for dead in [Answer::Unreachable, Answer::Reset, Answer::Never] {
        let proxy = proxy(move |_| dead.clone())?;
        let stream = get(&proxy, "Bearer good");
        proxy.advance(Duration::from_millis(500));
        assert_eq!(decision(&stream), (Some(503), false));
        assert_eq!(counters(&proxy), [Some(0), Some(0), Some(1)]);
    }
    // The cluster is not in the proxy's configuration.
    let proxy = Proxy::<ExtAuth>::new(CONFIGURATION)?;
    assert_eq!(decision(&get(&proxy, "Bearer good")), (Some(503), false));
    assert_eq!(
        proxy.take_log(),
        ["error on_request_headers failed: not-found"]
    );
    Ok(())
}

#[test]
fn timer_refreshes_the_key() -> Result<(), Refused> {
    let proxy = proxy(service())?;
    let key = || {
        get(&proxy, "Bearer good");
        let calls = proxy.take_calls();
        let asked = calls.iter().rfind(|it| it.value(":path") != Some("/key"));
        asked.and_then(|it| Some(it.value("x-key")?.to_owned()))
    };
    assert_eq!(key().as_deref(), Some(""));
    proxy.advance(Duration::from_secs(2));
    assert_eq!(proxy.take_log(), ["info the key was refreshed"]);
    assert_eq!(key().as_deref(), Some("1"));
    proxy.advance(Duration::from_secs(120));
    assert_eq!(key().as_deref(), Some("3"));
    assert_eq!(proxy.take_log().len(), 2);
    Ok(())
}

#[test]
fn failed_refresh_is_logged() -> Result<(), Refused> {
    let proxy = proxy(|_| Answer::Unreachable)?;
    proxy.advance(Duration::from_millis(1));
    let lines: Vec<String> = proxy.take_log().iter().map(LogLine::to_string).collect();
    assert_eq!(lines, ["warn the key was not refreshed"]);
    Ok(())
}

#[test]
fn misspelled_configuration_is_refused() {
    let refused = Proxy::<ExtAuth>::new(r#"{"clusters": "auth"}"#).expect_err("a refusal");
    assert!(refused.reason().contains("clusters"), "{refused}");
}
