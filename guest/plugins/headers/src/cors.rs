//! CORS, as in Envoy's filter `envoy.filters.http.cors`: what is decided about a request, and which headers its response gets.

use plugin_matching::StringMatcher;

/// Which origins are allowed, and what is sent to them.
#[derive(Debug)]
pub struct Cors {
    /// Origins that are allowed.
    pub origins: Vec<StringMatcher>,
    /// Fields of a preflight's response, which are absent if they are empty.
    pub allow_methods: String,
    /// `*` stands for the requested headers.
    pub allow_headers: String,
    /// Of all responses.
    pub expose_headers: String,
    /// In seconds.
    pub max_age: String,
    /// Whether credentials are allowed.
    pub credentials: bool,
    /// Whether private networks are allowed.
    pub private_network: bool,
    /// Whether preflights from other origins are passed on.
    pub forwards: bool,
    /// Whether origins are only counted.
    pub shadow: bool,
}

/// What is decided about a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// CORS does not concern the request, or it has no origin.
    None,
    /// The request is passed on. Its response is for this origin, if it is allowed.
    Pass(Option<Vec<u8>>),
    /// A preflight, which is answered with 200 and these headers. The origin is there if it is allowed.
    Answer(Vec<(&'static str, Vec<u8>)>, Option<Vec<u8>>),
}

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";

impl Cors {
    /// Decides about a request, whose headers `header` returns.
    pub fn decide(&self, header: impl Fn(&str) -> Option<Vec<u8>>) -> Decision {
        let Some(origin) = header("origin").filter(|origin| !origin.is_empty()) else {
            return Decision::None;
        };
        let allowed = self
            .origins
            .iter()
            .any(|matcher| matcher.matches(b"*") || matcher.matches(&origin));
        let origin = allowed.then_some(origin);
        let method = header("access-control-request-method").unwrap_or_default();
        let is_preflight = !method.is_empty() && header(":method").as_deref() == Some(b"OPTIONS");
        if self.shadow || !is_preflight || (!allowed && self.forwards) {
            return Decision::Pass(origin);
        }
        let mut headers = Vec::new();
        if let Some(origin) = &origin {
            headers.push((ALLOW_ORIGIN, origin.clone()));
        }
        if self.credentials {
            headers.push((ALLOW_CREDENTIALS, b"true".to_vec()));
        }
        let requested_headers = || header("access-control-request-headers").unwrap_or_default();
        let mut push = |name, value: &str, requested: Vec<u8>| {
            let value = if value == "*" {
                requested
            } else {
                value.as_bytes().to_vec()
            };
            if !value.is_empty() {
                headers.push((name, value));
            }
        };
        push("access-control-allow-methods", &self.allow_methods, method);
        push(
            "access-control-allow-headers",
            &self.allow_headers,
            requested_headers(),
        );
        push("access-control-max-age", &self.max_age, Vec::new());
        let asks = header("access-control-request-private-network").as_deref() == Some(b"true");
        if self.private_network && asks {
            headers.push(("access-control-allow-private-network", b"true".to_vec()));
        }
        Decision::Answer(headers, origin)
    }

    /// The headers of a response for an origin that is allowed.
    pub fn response<'a>(
        &'a self,
        origin: &'a [u8],
    ) -> impl Iterator<Item = (&'static str, &'a [u8])> {
        let credentials: &[u8] = if self.credentials { b"true" } else { b"" };
        [
            (ALLOW_ORIGIN, origin),
            (ALLOW_CREDENTIALS, credentials),
            (
                "access-control-expose-headers",
                self.expose_headers.as_bytes(),
            ),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
    }
}
