//! A busy registry specifies when to retry, and no request is sent before.

use std::time::{Duration, Instant, SystemTime};

use tidegate_oci::{Digest, Error, Image, Labels, Layout, push};

use crate::registries::{Reply, Request, Scripted};
use crate::{open, reference};

/// Pushes to a registry that has every blob, and whose first responses to the manifest are these.
fn pushed(busy: Vec<Reply>) -> (Result<Digest, Error>, usize, Duration) {
    let busy = std::sync::Mutex::new(busy.into_iter());
    let registry = Scripted::start(move |request: &Request| {
        if request.method == "HEAD" {
            return Reply::Raw(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec());
        }
        let busy = busy.lock().expect("the answers").next();
        busy.unwrap_or_else(|| Reply::status(201))
    });
    let reference = reference(&registry.address, "pp:v1");
    let image = Image::plugin(b"\0asm\x01\0\0\0", Layout::Compat, &Labels::default());
    let begun = Instant::now();
    let result = push(&mut open(&reference), &image, "v1");
    let took = begun.elapsed();
    let puts = registry.asked();
    let puts = puts.iter().filter(|line| line.starts_with("PUT "));
    (result, puts.count(), took)
}

fn busy(status: u16, retry_after: &str) -> Reply {
    Reply::Whole(
        status,
        vec![format!("retry-after: {retry_after}")],
        Vec::new(),
    )
}

#[test]
fn push_waits_for_the_retry_after_delay() {
    let (result, puts, took) = pushed(vec![busy(429, "1")]);
    result.expect("a push");
    assert_eq!(puts, 2);
    // Without the header, the delay would be a fifth of this.
    assert!(took >= Duration::from_secs(1), "{took:?}");
}

#[test]
fn push_retries_if_retry_after_is_past_or_invalid() {
    for retry_after in ["0", "Sun, 06 Nov 1994 08:49:37 GMT", "soon"] {
        let (result, puts, _) = pushed(vec![busy(503, retry_after)]);
        result.expect("a push");
        assert_eq!(puts, 2, "{retry_after}");
    }
}

#[test]
fn push_fails_and_reports_the_delay_if_retry_after_is_long() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
    for (retry_after, part) in [("3600", "after 3600 s"), (date.as_str(), "after 35")] {
        let (result, puts, _) = pushed(vec![busy(429, retry_after)]);
        let error = result.expect_err("no push").to_string();
        assert!(error.contains("returned 429"), "{error}");
        assert!(error.contains(part), "{error}");
        assert_eq!(puts, 1, "it was not asked again");
    }
}
