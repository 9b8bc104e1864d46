//! Attributes: stream information other than headers and bodies that plugins can query, under Envoy's names.
//!
//! Attributes derived from headers are in `hostcalls::properties`. This module provides attributes of the connection
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

/// Encodes an integer in the form in which plugins receive it: eight bytes, little-endian.
pub fn number(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_le_bytes())
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
        let text = |address: SocketAddr| Bytes::from(address.to_string());
        Some(match path {
            b"connection\0id" | b"connection_id" => number(self.id),
            // TLS is not supported yet.
            b"connection\0mtls" => Bytes::from_static(&[0]),
            b"connection\0requested_server_name" => Bytes::new(),
            b"source\0address" => text(self.source),
            b"source\0port" => number(self.source.port().into()),
            b"destination\0address" => text(self.destination),
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
