//! `http-calls`: requests to other services.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, Method};

use crate::clock::after;
use crate::context::Services;
use crate::fields::{Fields, Name, Pseudo};
use crate::hostcalls::http_fields::resolve_alias;
use crate::hostcalls::{Error, check_sizes};
use crate::port::HttpCall;
use crate::vocabulary::FieldMap;

/// A call as a plugin describes it.
pub struct Call<'a> {
    pub cluster: &'a [u8],
    pub headers: Vec<(&'a [u8], &'a [u8])>,
    pub body: Bytes,
    /// No service receives them, because the proxy uses HTTP/1.1.
    pub trailers: Vec<(&'a [u8], &'a [u8])>,
    pub timeout_ms: u32,
}

/// Headers that the proxy sets itself.
const RESERVED: [HeaderName; 5] = [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE];

/// Sends a request, whose outcome the stream context `stream` receives. Returns the number of the call.
pub fn send_for_stream(services: &Services, stream: u32, call: Call<'_>) -> Result<u32, Error> {
    send(services, stream, call)
}

/// Sends a request, whose outcome the plugin receives. Returns the number of the call.
pub fn send_for_plugin(services: &Services, plugin: usize, call: Call<'_>) -> Result<u32, Error> {
    send(services, services.contexts.plugin_id(plugin), call)
}

/// Sends a request by Proxy-Wasm's rules: a timeout of zero means no timeout. The outcome is passed to the plugin.
pub fn send_any(services: &Services, plugin: usize, call: Call<'_>) -> Result<u32, Error> {
    let timeout = match call.timeout_ms {
        0 => None,
        1..=MAX_TIMEOUT => Some(Duration::from_millis(call.timeout_ms.into())),
        _ => return Err(Error::InvalidArgument),
    };
    let mut headers = Fields::with_capacity(call.headers.len() + 1);
    for (name, value) in &call.headers {
        // As in Envoy, other names are ignored.
        let name = Name::parse(resolve_alias(FieldMap::RequestHeaders, name));
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            let joins = name.is_inline(FieldMap::RequestHeaders);
            headers.append_or_join(&name, joins, value);
        }
    }
    let required = [Pseudo::Method, Pseudo::Path, Pseudo::Authority];
    if required.iter().any(|it| headers.pseudo(*it).is_none()) {
        return Err(Error::InvalidArgument);
    }
    let receiver = services.contexts.plugin_id(plugin);
    queue(
        services,
        receiver,
        call.cluster,
        headers,
        call.body,
        timeout,
    )
}

const MAX_TIMEOUT: u32 = i32::MAX.cast_unsigned();

fn send(services: &Services, receiver: u32, call: Call<'_>) -> Result<u32, Error> {
    if !(1..=MAX_TIMEOUT).contains(&call.timeout_ms) {
        return Err(Error::InvalidArgument);
    }
    let headers = request_headers(&call.headers)?;
    check_trailers(&call.trailers)?;
    let timeout = Duration::from_millis(call.timeout_ms.into());
    queue(
        services,
        receiver,
        call.cluster,
        headers,
        call.body,
        Some(timeout),
    )
}

fn queue(
    services: &Services,
    receiver: u32,
    cluster: &[u8],
    mut headers: Fields,
    body: Bytes,
    timeout: Option<Duration>,
) -> Result<u32, Error> {
    let name = std::str::from_utf8(cluster).map_err(|_| Error::NotFound)?;
    let cluster = services.clusters.get(name).ok_or(Error::NotFound)?;
    let authority = cluster.authority().ok_or(Error::Internal)?.clone();
    if !body.is_empty() {
        headers.set(CONTENT_LENGTH.into(), HeaderValue::from(body.len()));
    }
    let deadline = timeout.map(|timeout| after(services.clock.monotonic(), timeout));
    let call = HttpCall {
        authority,
        headers,
        body,
        deadline,
    };
    services
        .outbox
        .queue_call(receiver, call)
        .ok_or(Error::Internal)
}

/// Checks the headers of a request.
fn request_headers(entries: &[(&[u8], &[u8])]) -> Result<Fields, Error> {
    check_sizes(entries.iter().map(|(name, value)| name.len() + value.len()))?;
    let mut headers = Fields::with_capacity(entries.len() + 1);
    for (name, value) in entries {
        let value = HeaderValue::from_bytes(value).map_err(|_| Error::InvalidArgument)?;
        let name = Name::parse(name).ok_or(Error::InvalidArgument)?;
        let accepted = match &name {
            Name::Pseudo(Pseudo::Status) => false,
            Name::Pseudo(pseudo) => headers.pseudo(*pseudo).is_none(),
            Name::Header(name) => !RESERVED.contains(name),
        };
        if !accepted {
            return Err(Error::InvalidArgument);
        }
        let joins = name.is_inline(FieldMap::RequestHeaders);
        headers.append_or_join(&name, joins, value);
    }
    let pseudo = |pseudo| {
        headers
            .pseudo(pseudo)
            .map_or(&b""[..], HeaderValue::as_bytes)
    };
    let method = Method::from_bytes(pseudo(Pseudo::Method)).map_err(|_| Error::InvalidArgument)?;
    let path = pseudo(Pseudo::Path);
    let good = method != Method::CONNECT
        && path.starts_with(b"/")
        && path.iter().all(|byte| is_uri_character(*byte))
        && !pseudo(Pseudo::Authority).is_empty();
    match good {
        true => Ok(headers),
        false => Err(Error::InvalidArgument),
    }
}

fn check_trailers(entries: &[(&[u8], &[u8])]) -> Result<(), Error> {
    check_sizes(entries.iter().map(|(name, value)| name.len() + value.len()))?;
    let good = |name: &[u8], value: &[u8]| {
        matches!(Name::parse(name), Some(Name::Header(_))) && HeaderValue::from_bytes(value).is_ok()
    };
    match entries.iter().all(|(name, value)| good(name, value)) {
        true => Ok(()),
        false => Err(Error::InvalidArgument),
    }
}

/// Returns whether RFC 3986 allows a character in a URI (section 2). `#` is not allowed here, because it begins a fragment.
fn is_uri_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(changes: &[(&str, &str)]) -> Result<Fields, Error> {
        let mut entries = vec![
            (":method", "GET"),
            (":path", "/a?b=%20"),
            (":authority", "h"),
        ];
        for (name, value) in changes {
            match name.strip_prefix('-') {
                Some(removed) => entries.retain(|(name, _)| *name != removed),
                None => entries.push((name, value)),
            }
        }
        let entries: Vec<_> = entries
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        request_headers(&entries)
    }

    #[test]
    fn request_needs_method_path_and_authority_once() {
        let fields = check(&[("x", "1"), ("X", "2"), (":scheme", "https")]).expect("headers");
        assert_eq!(fields.values("x").count(), 2);
        for name in [":method", ":path", ":authority"] {
            assert_eq!(
                check(&[(&format!("-{name}"), "")]),
                Err(Error::InvalidArgument)
            );
            assert_eq!(check(&[(name, "/")]), Err(Error::InvalidArgument));
            let replaced = [(format!("-{name}"), ""), (name.to_owned(), "")];
            let replaced = replaced
                .each_ref()
                .map(|(name, value)| (name.as_str(), *value));
            assert_eq!(
                check(&replaced),
                Err(Error::InvalidArgument),
                "empty {name}"
            );
        }
    }

    #[test]
    fn request_with_headers_of_the_proxy_is_rejected() {
        for name in [
            "Connection",
            "content-length",
            "host",
            "transfer-encoding",
            "upgrade",
            ":status",
            ":other",
            "",
        ] {
            assert_eq!(check(&[(name, "1")]), Err(Error::InvalidArgument), "{name}");
        }
        for path in ["a", "*", "/ ", "/#a", "/\u{e4}", "/\"", "/\\", "/{"] {
            let replaced = [("-:path", ""), (":path", path)];
            assert_eq!(check(&replaced), Err(Error::InvalidArgument), "{path}");
        }
        for method in ["CONNECT", "A B", "A/"] {
            let replaced = [("-:method", ""), (":method", method)];
            assert_eq!(check(&replaced), Err(Error::InvalidArgument), "{method}");
        }
    }

    #[test]
    fn trailers_have_no_pseudo_headers() {
        assert_eq!(check_trailers(&[(b"x", b"1")]), Ok(()));
        assert_eq!(
            check_trailers(&[(b":path", b"/")]),
            Err(Error::InvalidArgument)
        );
        let many = vec![(&b"x"[..], &b"1"[..]); 1025];
        assert_eq!(check_trailers(&many), Err(Error::TooLarge));
    }
}
