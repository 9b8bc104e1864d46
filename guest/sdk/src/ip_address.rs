//! IP addresses as proxies write them in attributes.

use std::net::IpAddr;

/// Returns the IP address in text such as `10.0.0.1:80`, `[::1]:80`, `10.0.0.1` or `::1`. A zone is left out, and an IPv4 address that is
/// mapped to IPv6 is an IPv4 address. Returns `None` if there is no IP address, as for a Unix domain socket.
pub(crate) fn parse(text: &str) -> Option<IpAddr> {
    let host = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?.0,
        None => match text.split_once(':') {
            // More than one colon, and no brackets: an IPv6 address without a port.
            Some((_, port)) if port.contains(':') => text,
            Some((host, _)) => host,
            None => text,
        },
    };
    let (host, _) = host.split_once('%').unwrap_or((host, ""));
    host.parse()
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_zones_and_brackets_are_left_out() {
        for (text, address) in [
            ("10.0.0.1:80", "10.0.0.1"),
            ("10.0.0.1", "10.0.0.1"),
            ("[::1]:80", "::1"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("2001:db8::2", "2001:db8::2"),
            ("[fe80::1%2]:80", "fe80::1"),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1"),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(parse(text), Some(address), "{text}");
        }
    }

    #[test]
    fn other_text_is_no_address() {
        for text in [
            "",
            "/run/socket",
            "localhost:80",
            "[::1",
            "[]:80",
            "@",
            ":80",
            "10.0.0",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
