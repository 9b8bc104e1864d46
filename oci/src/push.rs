//! Pushes an image to a registry, in an order that never leaves an incomplete image visible.

use crate::digest::Digest;
use crate::error::Error;
use crate::image::Image;
use crate::registry::Registry;

/// Pushes an image under a tag and returns its digest.
///
/// The blobs are uploaded first and the manifest last, in a single request that either succeeds or fails as a whole. If a
/// push is interrupted, the tag therefore refers either to the previous image or to the complete new one. Blobs that
/// already exist in the registry are not uploaded again.
pub fn push(registry: &mut Registry, image: &Image, tag: &str) -> Result<Digest, Error> {
    registry.begin_writing();
    for blob in &image.blobs {
        if !registry.has_blob(&blob.digest, blob.bytes.len() as u64)? {
            registry.put_blob(&blob.digest, &blob.bytes)?;
        }
    }
    registry.put_manifest(tag, image)
}
