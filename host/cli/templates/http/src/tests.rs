//! Unit tests: they call the plugin's callbacks without a proxy. `scenarios/` contains tests that run it in proxies.

use tidegate_guest::testing::{Message, Proxy, Refused};

use crate::Greeter;

#[test]
fn response_has_the_greeting() -> Result<(), Refused> {
    let proxy = Proxy::<Greeter>::new(r#"{"greeting": "good day"}"#)?;
    let stream = proxy.request(Message::get("/"));
    stream.respond(Message::response(200).body("content"));
    let response = stream.response().expect("a response");
    assert_eq!(response.value("x-greeting"), Some("good day"));
    assert_eq!(response.text(), "content");
    Ok(())
}

#[test]
fn misspelled_field_is_refused() {
    let refused = Proxy::<Greeter>::new(r#"{"greting": "hello"}"#).expect_err("a refusal");
    assert!(refused.reason().contains("greting"), "{refused}");
}
