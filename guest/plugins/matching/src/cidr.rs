//! [`Cidr`]: a range of IP addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::read::{Read, Shape, Value};

/// A range of addresses, written as `10.0.0.0/8`, `2001:db8::/32`, or as a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(with = "String"))]
pub struct Cidr {
    network: IpAddr,
    prefix: u32,
}

impl Read for Cidr {
    const SHAPE: &'static Shape = &Shape::Checked(&Shape::Text, |value| {
        let reason = "expected an IP address, or a range of addresses such as 10.0.0.0/8";
        Cidr::parse(value.text()).map(drop).ok_or(reason.into())
    });

    fn read(value: &Value) -> Self {
        Cidr::parse(value.text()).unwrap_or(Cidr {
            network: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            prefix: 0,
        })
    }
}

impl Cidr {
    /// Parses a range. Returns `None` if it is invalid.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= longest)?,
            None => longest,
        };
        Some(Cidr {
            network: masked(address, prefix),
            prefix,
        })
    }

    /// Returns whether the range contains an address. An IPv4 address that is written as an IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.prefix) == self.network
    }
}

/// Returns the first `prefix` bits of an address, followed by zeros. A longer prefix than the address is all of it.
pub fn masked(address: IpAddr, prefix: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(address) & !host))
        }
        IpAddr::V6(address) => {
            let host = u128::MAX.checked_shr(prefix).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(address) & !host))
        }
    }
}
