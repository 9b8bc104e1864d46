//! Typical headers of messages, with twelve fields.

use http::header::{HeaderName, HeaderValue};
use tidegate_host::{Fields, Name, Pseudo};

/// Returns the headers of a browser's request, as the host sees them.
pub fn request() -> Fields {
    let mut fields = Fields::with_capacity(16);
    for (pseudo, value) in [
        (Pseudo::Authority, "shop.example.com"),
        (Pseudo::Path, "/catalogue/items?page=2"),
        (Pseudo::Method, "GET"),
        (Pseudo::Scheme, "http"),
    ] {
        fields.set_pseudo(pseudo, HeaderValue::from_static(value));
    }
    for (name, value) in REQUEST {
        fields.append(
            Name::Header(HeaderName::from_static(name)),
            HeaderValue::from_static(value),
        );
    }
    fields
}

/// Returns the headers of an application's response: twelve headers and the status.
pub fn response() -> Fields {
    let mut fields = Fields::with_capacity(16);
    fields.set_pseudo(Pseudo::Status, HeaderValue::from_static("200"));
    for (name, value) in RESPONSE {
        fields.append(
            Name::Header(HeaderName::from_static(name)),
            HeaderValue::from_static(value),
        );
    }
    fields
}

/// Returns a copy with the spare capacity that the host reserves when it reads headers from a connection. A clone has none, so that the
/// first header that a plugin adds would move all others.
pub fn copy(head: &Fields) -> Fields {
    let mut fields = Fields::with_capacity(head.len() + 4);
    for (name, value) in head.iter() {
        fields.append(name.clone(), value.clone());
    }
    fields
}

/// The headers of a request without `host`, for the host's state machine and the load generator.
pub const REQUEST: [(&str, &str); 11] = [
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-language", "en-GB,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("referer", "http://shop.example.com/catalogue"),
    (
        "cookie",
        "session=6f1c0ad4b5e84a0bb7f8c4f3a1d2e9b7; theme=dark",
    ),
    ("cache-control", "no-cache"),
    ("dnt", "1"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("upgrade-insecure-requests", "1"),
];

const RESPONSE: [(&str, &str); 12] = [
    ("date", "Tue, 15 Nov 1994 08:12:31 GMT"),
    ("server", "application/1.0"),
    ("content-type", "text/html; charset=utf-8"),
    ("content-length", "0"),
    ("cache-control", "private, max-age=0"),
    ("expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("etag", "\"33a64df551425fcc55e4d42a148795d9f25f89d4\""),
    ("vary", "accept-encoding"),
    (
        "set-cookie",
        "session=6f1c0ad4b5e84a0bb7f8c4f3a1d2e9b7; HttpOnly; SameSite=Lax",
    ),
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    (
        "strict-transport-security",
        "max-age=31536000; includeSubDomains",
    ),
];
