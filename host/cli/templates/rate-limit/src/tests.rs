//! Unit tests: they call the plugin's callbacks without a proxy. `scenarios/` contains tests that run it in proxies.

use std::time::Duration;

use tidegate_guest::testing::{Message, Proxy, Refused};

use crate::RateLimit;

#[test]
fn requests_over_the_limit_are_rejected() -> Result<(), Refused> {
    let proxy = Proxy::<RateLimit>::new(r#"{"rate": 2}"#)?;
    let status = || {
        let stream = proxy.request(Message::get("/"));
        stream.response().and_then(|response| response.status())
    };
    assert_eq!([status(), status(), status()], [None, None, Some(429)]);
    proxy.advance(Duration::from_millis(500));
    assert_eq!([status(), status()], [None, Some(429)]);
    Ok(())
}
