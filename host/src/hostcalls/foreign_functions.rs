//! `foreign-functions`: functions that Envoy provides beyond Proxy-Wasm. This host has three of them.

use std::io::{self, Read as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};

use crate::hostcalls::{Error, MAX_BODY_BYTES};

/// Calls a function.
pub(crate) fn call(name: &[u8], arguments: &[u8]) -> Result<Bytes, Error> {
    match name {
        // This host has no route cache, because it does not select routes.
        b"clear_route_cache" => Ok(Bytes::new()),
        b"compress" => read_all(ZlibEncoder::new(arguments, Compression::default())),
        b"uncompress" => read_all(ZlibDecoder::new(arguments)),
        _ => Err(Error::NotFound),
    }
}

/// Reads at most [`MAX_BODY_BYTES`]: a few bytes of compressed data can stand for many.
fn read_all(source: impl io::Read) -> Result<Bytes, Error> {
    let mut data = Vec::new();
    let limit = u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX);
    let read = source.take(limit.saturating_add(1)).read_to_end(&mut data);
    match read {
        Ok(_) if data.len() > MAX_BODY_BYTES => Err(Error::InvalidArgument),
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
        let large = vec![0; MAX_BODY_BYTES + 1];
        let compressed = call(b"compress", &large).expect("compressed data");
        let uncompressed = call(b"uncompress", &compressed);
        assert_eq!(uncompressed, Err(Error::InvalidArgument));
    }

    #[test]
    fn unknown_function_is_not_found() {
        assert_eq!(call(b"clear_route_cache", b""), Ok(Bytes::new()));
        assert_eq!(call(b"expr_create", b""), Err(Error::NotFound));
    }
}
