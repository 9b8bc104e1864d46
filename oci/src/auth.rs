//! Registry authentication: parses the challenges of a registry and creates the `Authorization` header.
//!
//! Tokens are fetched from the address in the challenge, which is controlled by the registry. Credentials are therefore
//! never sent to an address that is less safe than the registry itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, Method, Uri};
use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::credentials::Credentials;
use crate::error::{Error, message, shortened};
use crate::inner::is_inner;
use crate::reference::is_loopback;
use crate::retry_after::retry_after;
use crate::transport::{Ask, Transport};

/// The challenge in a registry's response to an unauthenticated request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Basic authentication: a user name and a password with each request.
    Basic,
    /// Bearer authentication: a token from a token service.
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

/// The access for which a token is requested.
pub(crate) struct Grant<'a> {
    /// The registry's host.
    pub host: &'a str,
    /// Whether the registry is accessed over TLS, and whether plain HTTP is permitted.
    pub is_https: bool,
    pub may_be_plain: bool,
    /// The scope, such as `repository:greeter:pull,push`.
    pub scope: String,
}

/// The maximum size of a response from a token service.
const MAX_TOKEN: u64 = 1024 * 1024;

// === impl Challenge ===

impl Challenge {
    /// Returns the preferred challenge among those that a registry offers.
    pub fn read(host: &str, headers: &HeaderMap) -> Result<Self, Error> {
        let mut is_basic = false;
        let mut unknown = String::new();
        for value in headers.get_all(WWW_AUTHENTICATE) {
            let text = value.to_str().unwrap_or_default();
            for challenge in ChallengeParser::new(text).map_while(Result::ok) {
                if challenge.scheme.eq_ignore_ascii_case("bearer")
                    && let Some(realm) = parameter(&challenge, "realm")
                {
                    return Ok(Self::Bearer {
                        realm,
                        service: parameter(&challenge, "service"),
                    });
                }
                is_basic |= challenge.scheme.eq_ignore_ascii_case("basic");
            }
            text.clone_into(&mut unknown);
        }
        if is_basic {
            return Ok(Self::Basic);
        }
        Err(Error::Challenge {
            host: host.to_owned(),
            challenge: shortened(&unknown),
        })
    }

    /// Returns the header that answers the challenge, or `None` if the challenge requires credentials and there are none.
    pub fn answer(
        &self,
        transport: &Transport,
        credentials: &Credentials,
        grant: &Grant<'_>,
    ) -> Result<Option<HeaderValue>, Error> {
        match self {
            Self::Basic => Ok(basic(credentials)),
            Self::Bearer { realm, service } => {
                token(transport, credentials, grant, realm, service.as_deref()).map(Some)
            }
        }
    }
}

/// Returns the realm of a challenge that Istio's agent refuses to use since the patch releases 1.28.5 and 1.29.1. The agent
/// checks every quoted realm, regardless of the scheme, so that a human-readable realm, as in Basic authentication, is
/// refused as well.
pub(crate) fn unsafe_realm(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut realms = values.flat_map(|value| {
        let rests = value.split("realm=\"").skip(1);
        rests.filter_map(|rest| rest.split_once('"').map(|(realm, _)| realm))
    });
    let unsafe_one = realms.find(|realm| !is_public(realm));
    unsafe_one.map(shortened)
}

/// Returns whether an address is public, based on its text alone.
fn is_public(realm: &str) -> bool {
    let Ok(uri) = realm.parse::<Uri>() else {
        return false;
    };
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let host = uri.host().unwrap_or_default();
    let is_name = matches!(host, "" | "localhost" | "metadata.google.internal");
    is_web && !is_name && !is_inner(host)
}

fn parameter(challenge: &ChallengeRef<'_>, name: &str) -> Option<String> {
    let mut parameters = challenge.params.iter();
    let found = parameters.find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.to_unescaped())
}

fn basic(credentials: &Credentials) -> Option<HeaderValue> {
    let Credentials::Password { username, password } = credentials else {
        return None;
    };
    let encoded = STANDARD.encode(format!("{username}:{password}"));
    let mut header = HeaderValue::from_str(&format!("Basic {encoded}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn token(
    transport: &Transport,
    credentials: &Credentials,
    grant: &Grant<'_>,
    realm: &str,
    service: Option<&str>,
) -> Result<HeaderValue, Error> {
    let Grant { host, scope, .. } = grant;
    let place = place(grant, realm)?;
    let mut query = format!("scope={}", encoded(scope));
    if let Some(service) = service {
        query.push_str(&format!("&service={}", encoded(service)));
    }
    let form;
    let mut ask = Ask {
        method: Method::GET,
        uri: place.clone(),
        accept: None,
        authorization: None,
        body: None,
        limit: MAX_TOKEN,
        blob: None,
        what: "a token".to_owned(),
    };
    if let Credentials::IdentityToken(token) = credentials {
        form = format!(
            "grant_type=refresh_token&client_id=tidegate&refresh_token={}&{query}",
            encoded(token)
        );
        ask.method = Method::POST;
        ask.body = Some(("application/x-www-form-urlencoded", form.as_bytes()));
    } else {
        let separator = if place.query().is_some() { '&' } else { '?' };
        ask.uri = format!("{place}{separator}{query}")
            .parse()
            .map_err(|_| refused(grant, realm, "which is not an http or https URL"))?;
        ask.authorization = basic(credentials);
    }
    let answer = transport.send(&ask)?;
    let shown = shortened(realm);
    let no_token = |message: String| Error::Token {
        host: (*host).to_owned(),
        realm: shown.clone(),
        message,
    };
    match answer.status {
        200 => {}
        401 | 403 if matches!(credentials, Credentials::Anonymous) => {
            return Err(Error::CredentialsMissing {
                host: (*host).to_owned(),
                action: format!("`{scope}`"),
            });
        }
        401 | 403 => {
            return Err(Error::CredentialsRefused {
                host: (*host).to_owned(),
                user: credentials.user(),
                action: format!("`{scope}`"),
                message: message(&answer.body),
            });
        }
        status => {
            return Err(Error::Status {
                host: crate::transport::host(&place),
                action: "the request for a token".to_owned(),
                status,
                message: message(&answer.body),
                retry_after: retry_after(&answer.headers),
            });
        }
    }
    #[derive(Deserialize)]
    struct Granted {
        token: Option<String>,
        access_token: Option<String>,
    }
    let granted: Granted = serde_json::from_slice(&answer.body)
        .map_err(|error| no_token(format!("the response is not valid: {error}")))?;
    let token = granted.token.or(granted.access_token);
    let token = token.ok_or_else(|| no_token("the response contains no token".to_owned()))?;
    let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| no_token("it cannot be sent in a header".to_owned()))?;
    header.set_sensitive(true);
    Ok(header)
}

/// Returns the address from which a token is fetched, if it is permitted.
fn place(grant: &Grant<'_>, realm: &str) -> Result<Uri, Error> {
    let uri: Uri = realm
        .parse()
        .map_err(|_| refused(grant, realm, "which is not an http or https URL"))?;
    let place = uri.host().unwrap_or_default();
    match uri.scheme_str() {
        _ if place.is_empty() => Err(refused(grant, realm, "which is not an http or https URL")),
        Some("https") => Ok(uri),
        Some("http") if grant.is_https => Err(refused(
            grant,
            realm,
            "which is not protected by TLS, unlike the registry",
        )),
        Some("http") if is_loopback(place) || grant.may_be_plain => Ok(uri),
        Some("http") => Err(refused(
            grant,
            realm,
            "which is neither on this machine nor protected by TLS",
        )),
        _ => Err(refused(grant, realm, "which is not an http or https URL")),
    }
}

fn refused(grant: &Grant<'_>, realm: &str, why: &'static str) -> Error {
    Error::Realm {
        host: grant.host.to_owned(),
        realm: shortened(realm),
        why,
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(text: &str) -> Result<Challenge, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_str(text).expect("a header"),
        );
        Challenge::read("h", &headers)
    }

    #[test]
    fn bearer_challenge_is_preferred_over_basic() {
        let bearer = Challenge::Bearer {
            realm: "https://a.b/token".to_owned(),
            service: Some("a, \"b\"".to_owned()),
        };
        let text =
            r#"Basic realm="x", Bearer realm="https://a.b/token",service="a, \"b\"",scope="y""#;
        assert_eq!(challenge(text).expect("a challenge"), bearer);
        assert_eq!(
            challenge("basic realm=x").expect("a challenge"),
            Challenge::Basic
        );
        for text in ["Negotiate", "", "Bearer scope=x", "\t=,,"] {
            assert!(
                matches!(challenge(text), Err(Error::Challenge { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn non_public_or_malformed_realm_is_unsafe() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_str(text).expect("a header"),
            );
            unsafe_realm(&headers)
        };
        for realm in [
            "a realm",
            "Registry",
            "",
            "file:///x",
            "http://localhost/t",
            "https://127.0.0.1:5000/t",
            "http://[::1]/t",
            "https://10.0.0.1/t",
            "https://192.168.1.1/t",
            "https://169.254.169.254/t",
            "http://[fe80::1]/t",
            "http://[fd00::1]/t",
            "http://[::ffff:10.0.0.1]/t",
            "http://metadata.google.internal/t",
        ] {
            let found = of(&format!(
                r#"Bearer realm="https://a.b/t",service="x", Basic realm="{realm}""#
            ));
            assert_eq!(found.as_deref(), Some(realm));
        }
        for text in [
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io""#,
            r#"Basic realm="http://8.8.8.8/t""#,
            "Basic realm=unquoted",
            r#"Basic realm="unfinished"#,
            "",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn realm_must_be_as_secure_as_the_registry() {
        let grant = |is_https, may_be_plain| Grant {
            host: "h",
            is_https,
            may_be_plain,
            scope: String::new(),
        };
        for (realm, is_https, may_be_plain, is_safe) in [
            ("https://a.b/token", true, false, true),
            ("https://a.b/token", false, false, true),
            ("http://a.b/token", true, true, false),
            ("http://a.b/token", false, false, false),
            ("http://a.b/token", false, true, true),
            ("http://127.0.0.1:5001/token", false, false, true),
            ("http://127.0.0.1:5001/token", true, false, false),
            ("file:///etc/passwd", false, true, false),
            ("ftp://a.b/token", false, true, false),
            ("/token", false, true, false),
            ("Registry Realm", false, true, false),
            ("", false, true, false),
        ] {
            let place = place(&grant(is_https, may_be_plain), realm);
            assert_eq!(place.is_ok(), is_safe, "{realm} {is_https} {may_be_plain}");
        }
    }
}
