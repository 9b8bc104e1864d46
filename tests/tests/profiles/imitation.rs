//! Applies the functions that imitate Envoy, and describes the outcomes as `wire` does.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use http::header::{CONNECTION, SERVER};
use http::{HeaderValue, Uri};
use tidegate_host::proxy::profile::{Downstream, Profile, Rejection, random_id};
use tidegate_host::{Fields, Name, Pseudo};

use crate::wire::{Head, accepted, answered};

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// Returns what happens to a target.
pub fn path(profile: Profile, target: &str) -> String {
    let mut fields = Fields::new();
    if let Ok(target) = HeaderValue::from_str(target) {
        fields.set_pseudo(Pseudo::Path, target);
    }
    let outcome = on_request(profile, &mut fields, false);
    match outcome {
        Ok(_) => text(fields.pseudo(Pseudo::Path)),
        Err(rejection) => {
            let (response, _) = rejection.response(&fields);
            let status = text(response.pseudo(Pseudo::Status));
            match response.get("location") {
                Some(location) => format!("{status} {}", text(Some(location))),
                None => status,
            }
        }
    }
}

/// Returns what happens to a request.
pub fn fields(profile: Profile, request: &str) -> Result<String> {
    let (mut fields, is_absolute) = received(request)?;
    let settings = profile.settings();
    match on_request(profile, &mut fields, is_absolute) {
        Ok(source) => {
            let source = match source == PEER {
                true => "peer".to_owned(),
                false => source.to_string(),
            };
            Ok(passed(request, &fields, &source)?
                + &from_upstream(request, |response| {
                    settings.on_response(response);
                })?)
        }
        Err(rejection) => {
            let (mut response, _) = rejection.response(&fields);
            if rejection.closes() {
                response.append(CONNECTION.into(), HeaderValue::from_static("close"));
            }
            settings.on_response(&mut response);
            described(&response)
        }
    }
}

/// Returns what happens to a request if nothing is changed.
pub fn unchanged(request: &str) -> Result<String> {
    let (fields, _) = received(request)?;
    Ok(passed(request, &fields, "peer")? + &from_upstream(request, |_| ())?)
}

fn on_request(
    profile: Profile,
    fields: &mut Fields,
    has_absolute_target: bool,
) -> Result<SocketAddr, Rejection> {
    let downstream = Downstream {
        peer: PEER,
        has_absolute_target,
    };
    profile
        .settings()
        .on_request(fields, &downstream, random_id)
}

/// Returns the fields of a request as the proxy receives them, and whether its target is a URI.
fn received(request: &str) -> Result<(Fields, bool)> {
    let head = Head::parse(request)?;
    let target: Uri = head.target().parse().context("the target is not valid")?;
    let path = match target.scheme() {
        Some(_) => target.path_and_query().map_or("/", |path| path.as_str()),
        None => head.target(),
    };
    let scheme = target.scheme_str().unwrap_or("http");
    let mut received = Fields::new();
    received.set_pseudo(Pseudo::Path, HeaderValue::from_str(path)?);
    received.set_pseudo(Pseudo::Method, HeaderValue::from_static("GET"));
    received.set_pseudo(Pseudo::Scheme, HeaderValue::from_str(scheme)?);
    for (name, value) in &head.fields {
        let value = HeaderValue::from_str(value)?;
        match name.as_str() {
            "host" => received.set_pseudo(Pseudo::Authority, value),
            name => {
                // The fields that occur twice are those whose values are joined.
                let joined = match received.get(name) {
                    Some(first) => [first.as_bytes(), b",", value.as_bytes()].concat(),
                    None => value.as_bytes().to_vec(),
                };
                let name = Name::parse(name.as_bytes()).context("a name is not valid")?;
                received.set(name, HeaderValue::from_bytes(&joined)?);
            }
        }
    }
    if let Some(authority) = target.authority() {
        received.set_pseudo(
            Pseudo::Authority,
            HeaderValue::from_str(authority.as_str())?,
        );
    }
    Ok((received, target.scheme().is_some()))
}

/// Returns the lines for a request that is passed on.
fn passed(request: &str, fields: &Fields, source: &str) -> Result<String> {
    let scheme = text(fields.pseudo(Pseudo::Scheme));
    accepted(request, &listed(fields), &scheme, source)
}

/// Returns the lines for the upstream's response to a request.
fn from_upstream(request: &str, change: impl FnOnce(&mut Fields)) -> Result<String> {
    let mut response = Fields::new();
    response.set_pseudo(Pseudo::Status, HeaderValue::from_static("200"));
    if request.starts_with("GET /server ") {
        response.append(SERVER.into(), HeaderValue::from_static("upstream"));
    }
    change(&mut response);
    described(&response)
}

fn described(response: &Fields) -> Result<String> {
    answered(&text(response.pseudo(Pseudo::Status)), &listed(response))
}

fn listed(fields: &Fields) -> Vec<(String, String)> {
    let headers = fields
        .iter()
        .filter(|(name, _)| matches!(name, Name::Header(_)));
    headers
        .map(|(name, value)| (name.as_str().to_owned(), text(Some(value))))
        .collect()
}

fn text(value: Option<&HeaderValue>) -> String {
    let value = value.map_or(&b""[..], HeaderValue::as_bytes);
    String::from_utf8_lossy(value).into_owned()
}
