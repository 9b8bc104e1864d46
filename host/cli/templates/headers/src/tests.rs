//! Unit tests: they call the plugin's callbacks without a proxy. `scenarios/` contains tests that run it in proxies.

use tidegate_guest::testing::{Message, Proxy, Refused};

use crate::ResponseHeaders;

#[test]
fn response_headers_are_edited() -> Result<(), Refused> {
    let proxy = Proxy::<ResponseHeaders>::new(include_str!("../config.json"))?;
    let stream = proxy.request(Message::get("/"));
    stream.respond(Message::response(200).header("x-powered-by", "php"));
    let response = stream.response().expect("a response");
    assert_eq!(response.value("x-powered-by"), None);
    assert_eq!(response.value("x-frame-options"), Some("DENY"));
    Ok(())
}
