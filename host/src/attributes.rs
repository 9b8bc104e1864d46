//! What plugins can ask of a stream beside its fields: attributes, by Envoy's names for them.
//!
//! What is made of headers is in `hostcalls::properties`. Here is what a connection has, and what somebody says from outside: a
//! test that plays a mesh, for instance.

use std::collections::HashMap;
use std::net::SocketAddr;

use bytes::Bytes;
use http::Version;

/// Attributes that are the same for every stream, by path. They come before what this host knows of a stream itself.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    by_path: HashMap<Box<[u8]>, Bytes>,
}

/// The connection that a stream came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its number; no other connection of this proxy has it.
    pub id: u64,
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it arrived.
    pub destination: SocketAddr,
    /// Which version of HTTP it speaks.
    pub version: Version,
}

/// An integer, in the form in which plugins get it.
pub fn number(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_le_bytes())
}

// === impl Attributes ===

impl Attributes {
    /// Says what is at a path, in the form in which Envoy gives it to plugins: texts as they are, integers as eight bytes, little
    /// endian.
    pub fn insert<'a>(&mut self, path: impl IntoIterator<Item = &'a str>, value: Bytes) {
        let path: Vec<&str> = path.into_iter().collect();
        self.by_path
            .insert(path.join("\0").into_bytes().into(), value);
    }

    /// What is at a path, its segments with zeros between them.
    pub(crate) fn get(&self, path: &[u8]) -> Option<&Bytes> {
        self.by_path.get(path)
    }
}

// === impl Connection ===

impl Connection {
    /// What is at a path, its segments with zeros between them.
    pub(crate) fn attribute(&self, path: &[u8]) -> Option<Bytes> {
        let text = |address: SocketAddr| Bytes::from(address.to_string());
        Some(match path {
            b"connection\0id" | b"connection_id" => number(self.id),
            // There is no TLS here yet.
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
