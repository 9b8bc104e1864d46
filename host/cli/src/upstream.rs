//! The one syntax for upstreams: `http://HOST[:PORT]`.

use http::Uri;

/// A server behind the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
}

// === impl UpstreamUrl ===

impl UpstreamUrl {
    /// Reads a URL; the error is for whoever typed it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text
            .parse()
            .map_err(|error| format!("not a URL: {error}"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(
                    "TLS to the upstream is not supported yet: use http://HOST[:PORT]".into(),
                );
            }
            Some(_) | None => return Err("expected http://HOST[:PORT]".into()),
        }
        if uri
            .path_and_query()
            .is_some_and(|path| path.as_str() != "/")
        {
            return Err("an upstream must not have a path or a query, because those of the request are used: use http://HOST[:PORT]".into());
        }
        let authority = uri.authority().ok_or("expected http://HOST[:PORT]")?;
        if authority.as_str().contains('@') {
            return Err("an upstream must not have a username: use http://HOST[:PORT]".into());
        }
        // A port that is no number is not a port to `http`, and not there at all.
        let port = match authority.as_str().strip_prefix(authority.host()) {
            None | Some("") => 80,
            Some(port) => authority
                .port_u16()
                .ok_or_else(|| format!("`{port}` is not a port"))?,
        };
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() || port == 0 {
            return Err("expected http://HOST[:PORT]".into());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_url_is_parsed_into_host_and_port() {
        for (text, host, port) in [
            ("http://example.com", "example.com", 80),
            ("http://example.com:8080/", "example.com", 8080),
            ("http://[::1]:9000", "::1", 9000),
        ] {
            assert_eq!(
                UpstreamUrl::parse(text),
                Ok(UpstreamUrl {
                    host: host.into(),
                    port
                })
            );
        }
    }

    #[test]
    fn invalid_or_unsupported_upstream_url_is_rejected() {
        for text in [
            "",
            "example.com",
            "/a",
            "https://example.com",
            "http://h/path",
            "http://h?q",
            "http://u@h",
            "http://h:0",
            "http://h:99999",
        ] {
            assert!(UpstreamUrl::parse(text).is_err(), "{text}");
        }
    }
}
