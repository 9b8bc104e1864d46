//! [`client_address`]: the address of the client that sent a request, possibly through trusted proxies.

use std::net::IpAddr;

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
