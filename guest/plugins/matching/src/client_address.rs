//! [`client_address`]: the address of the client that sent a request, possibly through trusted proxies.

use std::net::{IpAddr, Ipv4Addr};

use crate::Request;

/// Returns the address of the client, where `trusted_hops` proxies in front of this one append to `x-forwarded-for` and are trusted.
///
/// With 0, it is the attribute `source.address`. Otherwise, the addresses of `x-forwarded-for` and the source address form one list, and
/// the result is the address that is `trusted_hops` entries before the last one. Some proxies have already appended the source address
/// to the header, and others have not; it is counted once. If the list is too short, or the entry is not an address, the request has
/// not passed through these proxies, and the result is the source address.
///
/// If `xff_num_trusted_hops` (in Istio `numTrustedProxies`) is set, Envoy determines `source.address` in the same way. In that
/// case, use 0 here.
pub fn client_address(request: &impl Request, trusted_hops: u32) -> Option<IpAddr> {
    let source = address_of(&request.property(&["source", "address"])?)?;
    if trusted_hops == 0 {
        return Some(source);
    }
    let forwarded = request
        .header("x-forwarded-for")
        .and_then(|forwarded| nth_forwarded(&forwarded, source, trusted_hops));
    Some(forwarded.unwrap_or(source))
}

fn nth_forwarded(forwarded: &[u8], source: IpAddr, trusted_hops: u32) -> Option<IpAddr> {
    let mut entries = forwarded.rsplit(|byte| *byte == b',');
    let last = address_of(entries.next()?)?;
    let before = match (last == source, trusted_hops) {
        (false, 1) => return Some(last),
        (false, hops) => hops.checked_sub(2)?,
        (true, hops) => hops.checked_sub(1)?,
    };
    address_of(entries.nth(usize::try_from(before).ok()?)?)
}

/// Parses an address, with or without a port: `192.0.2.7`, `192.0.2.7:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
pub fn address_of(text: &[u8]) -> Option<IpAddr> {
    match ipv4_with_port(text) {
        Some(address) => Some(IpAddr::V4(address)),
        None => any_address_of(text),
    }
}

fn any_address_of(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let address = if let Some(rest) = text.strip_prefix('[') {
        rest.split_once(']')?.0
    } else {
        match text.split_once(':') {
            Some((address, port)) if !port.contains(':') => address,
            _ => text,
        }
    };
    // An interface of a link-local address.
    let address = address
        .split_once('%')
        .map_or(address, |(address, _)| address);
    let address: IpAddr = address.parse().ok()?;
    Some(address.to_canonical())
}

/// Parses the form in which proxies report most clients, `192.0.2.7:80`, in one pass. Returns `None` for all other forms, whether they are
/// addresses or not.
fn ipv4_with_port(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut address, mut dots) = (0, 0);
    // The digits of a part with a 1 before them, so that leading zeros count.
    let mut part = 1;
    let mut bytes = text.iter();
    loop {
        let byte = *bytes.next()?;
        let digit = u32::from(byte.wrapping_sub(b'0'));
        if digit <= 9 {
            part = part * 10 + digit;
            if part > 1255 {
                return None;
            }
            continue;
        }
        let number = match part {
            10..20 => part - 10,
            110..200 => part - 100,
            1100.. => part - 1000,
            _ => return None,
        };
        (address, part) = (address << 8 | number, 1);
        match (byte, dots) {
            (b'.', 0..3) => dots += 1,
            (b':', 3) => break,
            _ => return None,
        }
    }
    bytes
        .all(u8::is_ascii_digit)
        .then_some(Ipv4Addr::from(address))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn common_form_is_parsed_in_one_pass() {
        for (text, address) in [
            ("192.0.2.7:80", [192, 0, 2, 7]),
            ("0.0.0.0:0", [0; 4]),
            ("255.255.255.255:65535", [255; 4]),
            ("10.20.30.40:", [10, 20, 30, 40]),
        ] {
            assert_eq!(
                ipv4_with_port(text.as_bytes()),
                Some(address.into()),
                "{text}"
            );
        }
        for text in [
            "",
            "192.0.2.7",
            "192.0.2:80",
            "192.0.2.7.1:80",
            "192.0.2.256:80",
            "192.0.2.4294967303:80",
            "192.0.02.7:80",
            "192.0.2.:80",
            ".0.2.7:80",
            " 192.0.2.7:80",
            "192.0.2.7:80 ",
            "192.0.2.7:8:0",
            "192.0.2.7%1:80",
            "[::1]:80",
        ] {
            assert_eq!(ipv4_with_port(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        /// The fast way never differs from the other one, so it changes no result.
        #[test]
        fn both_ways_agree(text in "[0-3]{0,4}[.][0-9]{1,3}[.][0-9]{1,3}[.%:][0-9]{1,3}[:.%]?[0-9a: ]{0,4}") {
            if let Some(address) = ipv4_with_port(text.as_bytes()) {
                prop_assert_eq!(any_address_of(text.as_bytes()), Some(IpAddr::V4(address)));
            }
        }
    }
}
