//! The parts of a request that its key has.

use std::net::IpAddr;

use plugin_matching::{Request, client_address, cookie, masked, path_of, query_parameter};

use crate::config::{ClientAddress, KeyPart};
use crate::jwt;
use crate::key::KeyHasher;

/// Stands for a part that the request does not have.
const ABSENT: u64 = u64::MAX;

impl KeyPart {
    /// Adds the part of a request to a key.
    pub fn hash(&self, request: &impl Request, hasher: &mut KeyHasher) {
        let value = match self {
            KeyPart::ClientAddress(address) => return address.hash(request, hasher),
            KeyPart::Constant(text) => return hasher.part(text.as_bytes()),
            KeyPart::Path => request.header(":path").map(|mut path| {
                let end = std::str::from_utf8(&path).map(|path| path_of(path).len());
                path.truncate(end.unwrap_or(path.len()));
                path
            }),
            KeyPart::Method => request.header(":method"),
            KeyPart::Host => request.header(":authority"),
            KeyPart::Header(name) => request.header(name),
            KeyPart::Cookie(name) => request
                .header("cookie")
                .and_then(|header| cookie(&header, name).map(<[u8]>::to_vec)),
            KeyPart::QueryParameter(name) => request
                .header(":path")
                .and_then(|path| query_parameter(std::str::from_utf8(&path).ok()?, name)),
            KeyPart::JwtClaim(claim) => request.property(&[
                "metadata",
                "filter_metadata",
                "envoy.filters.http.jwt_authn",
                &claim.payload_in_metadata,
                &claim.claim,
            ]),
            KeyPart::UnverifiedJwtClaim(claim) => {
                let header = claim.header.as_deref().unwrap_or("authorization");
                request
                    .header(header)
                    .and_then(|header| jwt::claim(&header, &claim.claim))
            }
            KeyPart::Property(path) => {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                request.property(&path)
            }
        };
        match value {
            Some(value) => hasher.part(&value),
            None => hasher.word(ABSENT),
        }
    }
}

impl ClientAddress {
    fn hash(&self, request: &impl Request, hasher: &mut KeyHasher) {
        match client_address(request, self.trusted_hops) {
            Some(address @ IpAddr::V4(_)) => {
                if let IpAddr::V4(address) = masked(address, self.ipv4_prefix) {
                    hasher.word(u32::from(address).into());
                }
            }
            Some(address @ IpAddr::V6(_)) => {
                if let IpAddr::V6(address) = masked(address, self.ipv6_prefix) {
                    hasher.part(&address.octets());
                }
            }
            None => hasher.word(ABSENT),
        }
    }
}
