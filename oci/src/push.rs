//! Puts an image into a registry, in the order in which nothing is ever there by half.

use crate::digest::Digest;
use crate::error::Error;
use crate::image::Image;
use crate::registry::Registry;

/// Pushes an image under a tag and gives its digest.
///
/// The blobs go first and the manifest last, in one request that a registry does or does not do. So a push that ends
/// anywhere leaves the tag as it was, or whole. Blobs that are there already are not sent again.
pub fn push(registry: &mut Registry, image: &Image, tag: &str) -> Result<Digest, Error> {
    registry.begin_writing();
    for blob in &image.blobs {
        if !registry.has_blob(&blob.digest, blob.bytes.len() as u64)? {
            registry.put_blob(&blob.digest, &blob.bytes)?;
        }
    }
    registry.put_manifest(tag, image)
}
