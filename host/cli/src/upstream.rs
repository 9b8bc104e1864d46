//! The syntax of upstreams, `http://HOST[:PORT]`, and of clusters, `NAME=http://HOST[:PORT]`.

use http::Uri;
use tidegate_deploy::envoy::UPSTREAM_CLUSTER;

use crate::plugin;

/// An upstream server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
}

/// A cluster that plugins can send HTTP calls to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterArg {
    /// The name that plugins use.
    pub name: String,
    /// Its only server.
    pub url: UpstreamUrl,
}

// === impl UpstreamUrl ===

impl UpstreamUrl {
    /// Parses a URL. The error message is shown to the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_for(text, "an upstream", "the upstream")
    }

    /// Parses a URL of a server that messages call `a`, or `the` if they refer to this one.
    fn parse_for(text: &str, a: &str, the: &str) -> Result<Self, String> {
        let uri: Uri = text
            .parse()
            .map_err(|error| format!("not a URL: {error}"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(format!(
                    "TLS to {the} is not supported yet: use http://HOST[:PORT]"
                ));
            }
            Some(_) | None => return Err("expected http://HOST[:PORT]".into()),
        }
        if uri
            .path_and_query()
            .is_some_and(|path| path.as_str() != "/")
        {
            return Err(format!(
                "{a} must not have a path or a query, because those of the request are used: use http://HOST[:PORT]"
            ));
        }
        let authority = uri.authority().ok_or("expected http://HOST[:PORT]")?;
        if authority.as_str().contains('@') {
            return Err(format!(
                "{a} must not have a username: use http://HOST[:PORT]"
            ));
        }
        // The `http` crate treats a port that is not a number as absent.
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

// === impl ClusterArg ===

impl ClusterArg {
    /// Parses `NAME=URL`. The error message is shown to the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        // A URL that is valid here contains no `=`.
        let (name, url) = match text.split_once('=') {
            Some((name, url)) if !name.is_empty() => (name, url),
            _ => return Err("expected NAME=URL, such as auth=http://127.0.0.1:9000".into()),
        };
        if name == UPSTREAM_CLUSTER {
            return Err(format!(
                "`{name}` is the name of the upstream: choose another name for the cluster"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            url: UpstreamUrl::parse_for(url, "a cluster", "a cluster")?,
        })
    }

    /// Checks that all names are different.
    pub fn distinct(clusters: &[Self]) -> anyhow::Result<()> {
        for (index, cluster) in clusters.iter().enumerate() {
            let name = &cluster.name;
            if clusters.iter().skip(index + 1).any(|it| it.name == *name) {
                return Err(plugin::usage(format!(
                    "--cluster {name} is given twice: a cluster can have only one URL"
                )));
            }
        }
        Ok(())
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

    #[test]
    fn cluster_is_a_name_and_a_url() {
        for (text, name, port) in [
            ("auth=http://example.com", "auth", 80),
            (
                "outbound|80||auth.ns.svc.cluster.local=http://example.com:9000",
                "outbound|80||auth.ns.svc.cluster.local",
                9000,
            ),
        ] {
            let cluster = ClusterArg::parse(text).expect("a cluster");
            assert_eq!((&*cluster.name, cluster.url.port), (name, port));
        }
        for (text, error) in [
            ("http://example.com", "expected NAME=URL"),
            ("=http://example.com", "expected NAME=URL"),
            ("auth=example.com", "expected http://"),
            ("auth=https://example.com", "TLS to a cluster"),
            (
                "auth=http://example.com/?a=b",
                "a cluster must not have a path",
            ),
            ("upstream=http://example.com", "is the name of the upstream"),
        ] {
            let found = ClusterArg::parse(text).expect_err("no cluster");
            assert!(found.contains(error), "{text}: {found}");
        }
    }
}
