//! Attributes: stream information other than headers and bodies that plugins can query, under Envoy's names.
//!
//! Attributes of a request and a response are in `hostcalls::properties`. This module provides attributes of the connection
//! and attributes that are set from outside, for example by a test that simulates a service mesh.

use std::collections::HashMap;
use std::net::SocketAddr;

use bytes::Bytes;
use http::Version;

/// Attributes with the same value for every stream, by path. They take precedence over the host's own attributes of a
/// stream.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    by_path: HashMap<Box<[u8]>, Bytes>,
}

/// The connection of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The ID of the connection, unique within this proxy.
    pub id: u64,
    /// The address of the client.
    pub source: SocketAddr,
    /// The local address that accepted the connection.
    pub destination: SocketAddr,
    /// The HTTP version of the connection.
    pub version: Version,
}

/// Encodes an integer in the form in which plugins receive it: eight bytes, little-endian. A time is the number of nanoseconds since
/// 1970-01-01 00:00 UTC.
pub fn number(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_le_bytes())
}

/// Encodes an address with its port. Plugins read it for each request, and formatting an IPv4 address with `to_string` takes longer than the
/// rest of the hostcall.
fn address(address: SocketAddr) -> Bytes {
    let SocketAddr::V4(v4) = address else {
        return Bytes::from(address.to_string());
    };
    let mut text = Text::default();
    for (index, part) in v4.ip().octets().into_iter().enumerate() {
        if index > 0 {
            text.push(b'.');
        }
        text.push_number(part.into());
    }
    text.push(b':');
    text.push_number(v4.port());
    Bytes::copy_from_slice(text.as_bytes())
}

/// An IPv4 address with its port.
#[derive(Default)]
struct Text {
    bytes: [u8; "255.255.255.255:65535".len()],
    len: usize,
}

// === impl Text ===

impl Text {
    fn push(&mut self, byte: u8) {
        if let Some(to) = self.bytes.get_mut(self.len) {
            *to = byte;
            self.len += 1;
        }
    }

    fn push_number(&mut self, mut number: u16) {
        let units = [10_000, 1000, 100, 10];
        let first = units.iter().position(|unit| number >= *unit);
        for unit in units.iter().skip(first.unwrap_or(units.len())) {
            self.push(b'0' + (number / unit) as u8);
            number %= unit;
        }
        self.push(b'0' + number as u8);
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

// === impl Attributes ===

impl Attributes {
    /// Sets the attribute at a path. The value has the encoding that Envoy uses for plugins: strings as they are,
    /// integers as eight bytes in little-endian order.
    pub fn insert<'a>(&mut self, path: impl IntoIterator<Item = &'a str>, value: Bytes) {
        let path: Vec<&str> = path.into_iter().collect();
        self.by_path
            .insert(path.join("\0").into_bytes().into(), value);
    }

    /// Returns the attribute at a path, whose segments are separated by zero bytes.
    #[doc(hidden)]
    pub fn get(&self, path: &[u8]) -> Option<&Bytes> {
        self.by_path.get(path)
    }
}

// === impl Connection ===

impl Connection {
    /// Returns the attribute at a path, whose segments are separated by zero bytes.
    #[doc(hidden)]
    pub fn attribute(&self, path: &[u8]) -> Option<Bytes> {
        Some(match path {
            b"connection\0id" | b"connection_id" => number(self.id),
            // TLS is not supported yet.
            b"connection\0mtls" => Bytes::from_static(&[0]),
            b"connection\0requested_server_name" => Bytes::new(),
            b"source\0address" => address(self.source),
            b"source\0port" => number(self.source.port().into()),
            b"destination\0address" => address(self.destination),
            b"destination\0port" => number(self.destination.port().into()),
            b"request\0protocol" => Bytes::from_static(match self.version {
                Version::HTTP_09 => b"HTTP/0.9",
                Version::HTTP_10 => b"HTTP/1.0",
                Version::HTTP_2 => b"HTTP/2",
                Version::HTTP_3 => b"HTTP/3",
                _ => b"HTTP/1.1",
            }),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_text() {
        for text in [
            "0.0.0.0:0",
            "10.0.0.1:80",
            "192.0.2.7:4711",
            "1.20.103.200:9999",
            "255.255.255.255:65535",
            "[::1]:443",
            "[2001:db8::7]:10000",
        ] {
            assert_eq!(address(text.parse().expect("an address")), text);
        }
    }
}
