//! Security headers for browsers.

use plugin_matching::read::{Value, push_number};

use crate::builder::Builder;
use crate::place::Place;

/// Headers of all responses.
#[derive(Debug, Default)]
pub struct SecurityHeaders {
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
    /// `strict-transport-security`, and whether it is also sent without TLS.
    pub strict_transport: Option<(String, bool)>,
    /// Whether headers that the upstream has set are replaced.
    pub overwrite: bool,
}

/// The header `strict-transport-security`.
pub const STRICT_TRANSPORT: &str = "strict-transport-security";

/// The pseudo-header that says whether a request came with TLS.
pub const SCHEME: &str = ":scheme";

/// A year, which lists of browsers require.
const YEAR: u64 = 31_536_000;

/// Checks a configuration.
pub fn build(value: &Value, builder: &mut Builder) -> SecurityHeaders {
    let recommended = value.has("preset");
    let mut security = SecurityHeaders {
        headers: Vec::new(),
        strict_transport: None,
        overwrite: value.get_or("overwrite", true),
    };
    if value.has("strict_transport_security") {
        let value = value.field("strict_transport_security");
        security.strict_transport = Some(strict_transport(value, builder));
    } else if recommended {
        let value = "max-age=31536000; includeSubDomains".to_owned();
        security.strict_transport = Some((value, false));
    }
    if value.get_or("x_content_type_options", recommended) {
        let header = ("x-content-type-options", "nosniff".to_owned());
        security.headers.push(header);
    }
    for (field, name, preset) in [
        ("content_security_policy", "content-security-policy", ""),
        (
            "content_security_policy_report_only",
            "content-security-policy-report-only",
            "",
        ),
        ("x_frame_options", "x-frame-options", "SAMEORIGIN"),
        (
            "referrer_policy",
            "referrer-policy",
            "strict-origin-when-cross-origin",
        ),
        ("permissions_policy", "permissions-policy", ""),
    ] {
        let preset = if recommended { preset } else { "" };
        let header: Option<String> = value.get(field);
        let header = header.unwrap_or_else(|| preset.to_owned());
        if !header.is_empty() {
            security.headers.push((name, header));
        }
    }
    security
}

fn strict_transport(value: &Value, builder: &mut Builder) -> (String, bool) {
    let max_age: u64 = value.get("max_age");
    let subdomains: bool = value.get("include_subdomains");
    let mut header = String::from("max-age=");
    push_number(&mut header, max_age);
    if subdomains {
        header.push_str("; includeSubDomains");
    }
    if value.get::<bool>("preload") {
        if !subdomains || max_age < YEAR {
            builder.refuse(
                &Place::ROOT
                    .field("security_headers")
                    .field("strict_transport_security")
                    .field("preload"),
                "needs `include_subdomains` and a `max_age` of at least 31536000",
            );
        }
        header.push_str("; preload");
    }
    (header, value.get("force"))
}
