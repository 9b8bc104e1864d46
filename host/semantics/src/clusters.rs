//! The clusters that plugins can send HTTP calls to.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::uri::Authority;

/// The clusters that plugins can send HTTP calls to, by name.
#[derive(Clone, Debug, Default)]
pub struct Clusters {
    by_name: BTreeMap<String, Cluster>,
}

/// A service that plugins can send HTTP calls to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    authority: Option<Authority>,
}

/// The error for a service whose host is invalid.
#[derive(Debug, thiserror::Error)]
#[error("`{host}` is neither a name nor an IP address")]
pub struct InvalidCluster {
    /// The given host.
    pub host: String,
}

// === impl Clusters ===

impl Clusters {
    /// Adds a cluster, or replaces the one of this name.
    pub fn insert(&mut self, name: impl Into<String>, cluster: Cluster) {
        self.by_name.insert(name.into(), cluster);
    }

    /// Returns the cluster of this name.
    ///
    /// A name that Istio generates, such as `outbound|80||auth.default.svc.cluster.local`, also finds the cluster
    /// `auth.default.svc.cluster.local:80`, and then `auth.default.svc.cluster.local`.
    pub fn get(&self, name: &str) -> Option<&Cluster> {
        let exact = self.by_name.get(name);
        if exact.is_some() {
            return exact;
        }
        let mut parts = name.strip_prefix("outbound|")?.splitn(3, '|');
        let (port, _subset, host) = (parts.next()?, parts.next()?, parts.next()?);
        let with_port = self.by_name.get(&format!("{host}:{port}"));
        with_port.or_else(|| self.by_name.get(host))
    }
}

// === impl Cluster ===

impl Cluster {
    /// Creates a cluster of one service, at a host name or IP address and a TCP port.
    pub fn new(host: &str, port: u16) -> Result<Self, InvalidCluster> {
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let is_name = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        let authority = (is_address || is_name).then(|| authority(host, port));
        let authority = authority.flatten().ok_or_else(|| InvalidCluster {
            host: host.to_owned(),
        })?;
        Ok(Self {
            authority: Some(authority),
        })
    }

    /// Creates a cluster without a healthy host. Every call fails with the error `internal`.
    pub fn without_hosts() -> Self {
        Self { authority: None }
    }

    /// Returns the address of the service, if there is one.
    #[doc(hidden)]
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }
}

/// Returns the authority of a URI for a host and a port. IPv6 addresses are put in brackets.
#[doc(hidden)]
pub fn authority(host: &str, port: u16) -> Option<Authority> {
    let text = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authority_brackets_an_ipv6_address() {
        assert_eq!(authority("::1", 80).expect("an authority"), "[::1]:80");
        assert_eq!(
            authority("localhost", 80).expect("an authority"),
            "localhost:80"
        );
        assert!(authority("no host", 80).is_none());
    }

    #[test]
    fn istio_name_finds_its_host() {
        let mut clusters = Clusters::default();
        clusters.insert("auth.ns", Cluster::new("127.0.0.1", 1).expect("a cluster"));
        clusters.insert(
            "auth.ns:80",
            Cluster::new("127.0.0.1", 2).expect("a cluster"),
        );
        clusters.insert("outbound|81||auth.ns", Cluster::without_hosts());
        let port = |name: &str| {
            let cluster = clusters.get(name).expect("a cluster");
            cluster.authority().and_then(Authority::port_u16)
        };
        assert_eq!(port("auth.ns"), Some(1));
        assert_eq!(port("outbound|80||auth.ns"), Some(2));
        assert_eq!(port("outbound|90|v1|auth.ns"), Some(1));
        assert_eq!(port("outbound|81||auth.ns"), None);
        for unknown in ["", "auth", "outbound|80", "inbound|80||auth.ns"] {
            assert!(clusters.get(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn cluster_has_a_name_or_an_address() {
        for host in ["localhost", "a_b.example", "127.0.0.1", "::1", "[::1]"] {
            assert!(Cluster::new(host, 80).is_ok(), "{host}");
        }
        for host in ["", "user@host", "a b", "a:b", "h/path"] {
            assert!(Cluster::new(host, 80).is_err(), "{host}");
        }
    }
}
