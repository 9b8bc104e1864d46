//! Typical headers of messages, with twelve fields, and whole messages for the load generator.

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

/// The messages of a request and its response, as the load generator and the upstream send them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// Twelve headers each way, and a body of two bytes in the response.
    Small,
    /// Sixty headers each way, and a body of two bytes in the response.
    ManyHeaders,
    /// Twelve headers and a body of 64 KiB each way.
    LargeBodies,
}

/// The number of headers of [`Messages::ManyHeaders`].
const MANY: usize = 60;

/// The size of the bodies of [`Messages::LargeBodies`], in bytes.
const LARGE: usize = 64 << 10;

impl Messages {
    /// All kinds.
    pub const ALL: [Messages; 3] = [
        Messages::Small,
        Messages::ManyHeaders,
        Messages::LargeBodies,
    ];

    /// A description for tables.
    pub fn name(self) -> &'static str {
        match self {
            Messages::Small => "12 headers",
            Messages::ManyHeaders => "60 headers",
            Messages::LargeBodies => "64 KiB bodies",
        }
    }

    /// The path of the request, from which the upstream knows how to respond.
    pub fn path(self) -> &'static str {
        match self {
            Messages::Small => "/get",
            Messages::ManyHeaders => "/headers",
            Messages::LargeBodies => "/bodies",
        }
    }

    /// Returns the whole request.
    pub fn request(self) -> Vec<u8> {
        let method = match self {
            Messages::LargeBodies => "POST",
            Messages::Small | Messages::ManyHeaders => "GET",
        };
        let mut text = format!("{method} {} HTTP/1.1\r\n", self.path());
        let host = [("host", "shop.example.com")];
        let body = match self {
            Messages::LargeBodies => LARGE,
            Messages::Small | Messages::ManyHeaders => 0,
        };
        if body > 0 {
            text.push_str(&format!("content-length: {body}\r\n"));
        }
        self.finish(text, host.iter().chain(&REQUEST), body)
    }

    /// Returns the whole response of the upstream.
    pub fn response(self) -> Vec<u8> {
        let body = match self {
            Messages::LargeBodies => LARGE,
            Messages::Small | Messages::ManyHeaders => 2,
        };
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {body}\r\n");
        let fields = RESPONSE
            .iter()
            .filter(|(name, _)| *name != "content-length");
        self.finish(text, fields, body)
    }

    /// Adds fields, as many as the messages have, and a body.
    fn finish<'a>(
        self,
        mut text: String,
        fields: impl Iterator<Item = &'a (&'static str, &'static str)>,
        body: usize,
    ) -> Vec<u8> {
        for (name, value) in fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if self == Messages::ManyHeaders {
            let present = text.matches("\r\n").count() - 1;
            for number in present..MANY {
                text.push_str(&format!("x-application-{number}: a value of {number}\r\n"));
            }
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.resize(bytes.len() + body, b'x');
        bytes
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_stated_numbers_of_headers() {
        let headers = |message: Vec<u8>| {
            let lines = message.windows(2).filter(|pair| pair == b"\r\n").count();
            // The first line, and the empty one.
            lines - 2
        };
        let numbers = Messages::ALL.map(|it| (headers(it.request()), headers(it.response())));
        assert_eq!(numbers, [(12, 12), (60, 60), (13, 12)]);
    }
}
