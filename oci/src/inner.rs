//! Non-public addresses, to which Istio's agent does not follow registries.

use std::net::IpAddr;

use http::Uri;

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

fn literal(host: &str) -> Option<IpAddr> {
    let text = host.trim_start_matches('[').trim_end_matches(']');
    Some(text.parse::<IpAddr>().ok()?.to_canonical())
}

/// Returns whether the agent follows a redirect: to the host of the original request, on any port, or to a host that is not
/// a non-public address. Host names are not resolved.
pub(crate) fn is_followed(first: &Uri, to: &Uri) -> bool {
    let host = |uri: &Uri| uri.host().unwrap_or_default().to_ascii_lowercase();
    let to = host(to);
    host(first) == to || !(is_inner(&to) || is_of_link(&to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_addresses_are_literals() {
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
    fn redirect_to_an_inner_address_is_followed_on_the_same_host_alone() {
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
