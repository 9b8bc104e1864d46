//! Non-public addresses. Istio's agent does not follow a registry's redirects to them.

use std::io;
use std::net::IpAddr;

use http::Uri;
use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// The error for a host that has only link-local addresses.
#[derive(Debug, thiserror::Error)]
#[error("the address {0} is link-local")]
pub(crate) struct LinkLocal(pub(crate) IpAddr);

/// A resolver that omits link-local addresses, and fails for a host that has only such addresses. Cloud providers serve the
/// machine's credentials at link-local addresses, and a name can be pointed at one after the redirect has been checked.
#[derive(Debug, Default)]
pub(crate) struct PublicResolver(DefaultResolver);

/// Returns whether a host is the literal of a private, loopback or link-local IP address.
pub(crate) fn is_inner(host: &str) -> bool {
    match literal(host) {
        Some(IpAddr::V4(it)) => it.is_private() || it.is_loopback() || it.is_link_local(),
        Some(IpAddr::V6(it)) => {
            it.is_unique_local() || it.is_loopback() || it.is_unicast_link_local()
        }
        None => false,
    }
}

/// Returns whether a host is the literal of an unspecified address or of a link-local multicast address.
fn is_of_link(host: &str) -> bool {
    match literal(host) {
        Some(IpAddr::V4(it)) => it.is_unspecified() || it.octets().starts_with(&[224, 0, 0]),
        Some(IpAddr::V6(it)) => it.is_unspecified() || it.segments().starts_with(&[0xff02]),
        None => false,
    }
}

/// Returns whether an address is link-local, including the address of the metadata service of AWS for IPv6.
fn is_link_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(it) => it.is_link_local(),
        IpAddr::V6(it) => {
            it.is_unicast_link_local() || it.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
        }
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    let text = host.trim_start_matches('[').trim_end_matches(']');
    Some(text.parse::<IpAddr>().ok()?.to_canonical())
}

/// Returns whether the agent follows a redirect: the target is the host of the original request, on any port, or its host is
/// not a non-public IP address. Host names are resolved later, by [`PublicResolver`].
pub(crate) fn is_followed(first: &Uri, to: &Uri) -> bool {
    let host = |uri: &Uri| uri.host().unwrap_or_default().to_ascii_lowercase();
    let to = host(to);
    host(first) == to || !(is_inner(&to) || is_of_link(&to))
}

// === impl PublicResolver ===

impl Resolver for PublicResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let addresses = self.0.resolve(uri, config, timeout)?;
        // Behind a proxy, the address is that of the proxy, which resolves the host itself.
        if config.proxy().is_some() {
            return Ok(addresses);
        }
        let mut public = self.empty();
        addresses
            .iter()
            .filter(|it| !is_link_local(it.ip()))
            .for_each(|it| public.push(*it));
        match addresses.first() {
            Some(address) if public.is_empty() => {
                Err(ureq::Error::Io(io::Error::other(LinkLocal(address.ip()))))
            }
            _ => Ok(public),
        }
    }
}

#[cfg(test)]
mod tests {
    use ureq::Agent;
    use ureq::unversioned::transport::DefaultConnector;

    use super::*;

    #[test]
    fn link_local_address_is_not_connected_to() {
        let config = Agent::config_builder().proxy(None).build();
        let agent = Agent::with_parts(config, DefaultConnector::new(), PublicResolver::default());
        for host in [
            "169.254.169.254",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[::ffff:169.254.0.1]",
        ] {
            let error = agent
                .get(format!("http://{host}:1/"))
                .call()
                .expect_err("a link-local address");
            assert!(
                error.to_string().contains("is link-local"),
                "{host}: {error}"
            );
        }
        let error = agent
            .get("http://127.0.0.1:1/")
            .call()
            .expect_err("nothing listens");
        assert!(!error.to_string().contains("link-local"), "{error}");
    }

    #[test]
    fn only_ip_literals_count_as_non_public() {
        for inner in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.169.254",
            "[::1]",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[::ffff:169.254.169.254]",
        ] {
            assert!(is_inner(inner), "{inner}");
        }
        for other in [
            "8.8.8.8",
            "172.32.0.1",
            "[2001:db8::1]",
            "0.0.0.0",
            "localhost",
            "metadata.google.internal",
            "",
        ] {
            assert!(!is_inner(other), "{other}");
        }
    }

    #[test]
    fn non_public_redirect_is_followed_only_on_the_same_host() {
        let follows = |first: &str, to: &str| {
            let uri = |text: &str| text.parse::<Uri>().expect("an address");
            is_followed(&uri(first), &uri(to))
        };
        assert!(follows(
            "http://127.0.0.1:5000/v2/",
            "http://127.0.0.1:6000/blob"
        ));
        assert!(follows("https://ghcr.io/v2/", "https://cdn.example.com/b"));
        assert!(follows(
            "http://127.0.0.1:5000/v2/",
            "http://localhost:6000/b"
        ));
        assert!(!follows(
            "http://localhost:5000/v2/",
            "http://127.0.0.1:6000/b"
        ));
        assert!(!follows(
            "https://ghcr.io/v2/",
            "http://169.254.169.254/latest/meta-data"
        ));
        assert!(!follows("https://ghcr.io/v2/", "http://0.0.0.0/"));
        assert!(!follows("https://ghcr.io/v2/", "http://[ff02::1]/"));
    }
}
