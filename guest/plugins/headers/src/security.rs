//! Security headers for browsers.

use tidegate_guest::ConfigError;

use crate::object::{Object, flag, object, plain, take, text};
use crate::place::Place;
use crate::shape::Tree;

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
pub fn build(mut fields: Object, place: &Place<'_>) -> Result<SecurityHeaders, ConfigError> {
    let recommended = text(&mut fields, "preset").is_some();
    let mut security = SecurityHeaders {
        overwrite: flag(&mut fields, "overwrite").unwrap_or(true),
        ..SecurityHeaders::default()
    };
    match take(&mut fields, "strict_transport_security") {
        Some(tree) => {
            let place = place.field("strict_transport_security");
            security.strict_transport = Some(strict_transport(object(tree), &place)?);
        }
        None if recommended => {
            security.strict_transport =
                Some(("max-age=31536000; includeSubDomains".to_owned(), false));
        }
        None => {}
    }
    match flag(&mut fields, "x_content_type_options") {
        Some(false) => {}
        None if !recommended => {}
        _ => security
            .headers
            .push(("x-content-type-options", "nosniff".to_owned())),
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
        let value = plain(&mut fields, field, place)?.unwrap_or_else(|| preset.to_owned());
        if !value.is_empty() {
            security.headers.push((name, value));
        }
    }
    Ok(security)
}

fn strict_transport(mut fields: Object, place: &Place<'_>) -> Result<(String, bool), ConfigError> {
    let Some(Tree::Integer(max_age)) = take(&mut fields, "max_age") else {
        return Err(place.field("max_age").missing());
    };
    let mut value = String::from("max-age=");
    value.push_str(&max_age.to_string());
    let subdomains = flag(&mut fields, "include_subdomains").unwrap_or(false);
    if subdomains {
        value.push_str("; includeSubDomains");
    }
    if flag(&mut fields, "preload").unwrap_or(false) {
        if !subdomains || max_age < YEAR {
            return Err(place
                .field("preload")
                .refuse("needs `include_subdomains` and a `max_age` of at least 31536000"));
        }
        value.push_str("; preload");
    }
    Ok((value, flag(&mut fields, "force").unwrap_or(false)))
}
