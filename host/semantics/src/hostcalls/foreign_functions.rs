//! `foreign-functions`: functions that Envoy provides beyond Proxy-Wasm. This host has three of them.

use std::io::{self, Read as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};

use crate::hostcalls::Error;

/// The maximum size of the arguments of a function, in bytes: nothing interrupts a hostcall.
const MAX_ARGUMENTS: usize = 16 << 20;

/// The maximum size of a result, in bytes: a few bytes of compressed data can stand for many.
const MAX_RESULT: usize = 64 << 20;

/// Calls a function.
pub fn call(name: &[u8], arguments: &[u8]) -> Result<Bytes, Error> {
    if arguments.len() > MAX_ARGUMENTS {
        return Err(Error::InvalidArgument);
    }
    match name {
        // This host has no route cache, because it does not select routes.
        b"clear_route_cache" => Ok(Bytes::new()),
        b"compress" => read_all(ZlibEncoder::new(arguments, Compression::default())),
        b"uncompress" => read_all(ZlibDecoder::new(arguments)),
        _ => Err(Error::NotFound),
    }
}

/// Reads at most [`MAX_RESULT`].
fn read_all(source: impl io::Read) -> Result<Bytes, Error> {
    let mut data = Vec::new();
    let limit = u64::try_from(MAX_RESULT).unwrap_or(u64::MAX);
    let read = source.take(limit.saturating_add(1)).read_to_end(&mut data);
    match read {
        Ok(_) if data.len() > MAX_RESULT => Err(Error::InvalidArgument),
        Ok(_) => Ok(data.into()),
        Err(_) => Err(Error::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_data_is_uncompressed() {
        let data = b"hello world! ".repeat(100);
        let compressed = call(b"compress", &data).expect("compressed data");
        assert!(compressed.len() < data.len() / 5);
        assert_eq!(call(b"uncompress", &compressed).expect("data"), data);
    }

    #[test]
    fn malformed_and_too_large_data_is_rejected() {
        assert_eq!(call(b"uncompress", b"hello"), Err(Error::Malformed));
        assert_eq!(call(b"uncompress", b""), Err(Error::Malformed));
        let large = io::repeat(0).take(MAX_RESULT as u64 + 1);
        let mut compressed = Vec::new();
        let mut encoder = ZlibEncoder::new(large, Compression::fast());
        encoder
            .read_to_end(&mut compressed)
            .expect("compressed data");
        let uncompressed = call(b"uncompress", &compressed);
        assert_eq!(uncompressed, Err(Error::InvalidArgument));
        let large = vec![0; MAX_ARGUMENTS + 1];
        assert_eq!(call(b"compress", &large), Err(Error::InvalidArgument));
    }

    #[test]
    fn unknown_function_is_not_found() {
        assert_eq!(call(b"clear_route_cache", b""), Ok(Bytes::new()));
        assert_eq!(call(b"expr_create", b""), Err(Error::NotFound));
    }
}
