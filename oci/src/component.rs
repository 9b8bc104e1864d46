//! Fetches components from images in the CNCF's layout. Component runtimes accept this layout; proxies do not.

use crate::digest::Digest;
use crate::error::Error;
use crate::examine::parsed;
use crate::manifest::{CNCF_LAYER, Manifest};
use crate::reference::Reference;
use crate::registry::Registry;

/// A component and the image that contains it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// The digest of the image's manifest.
    pub digest: Digest,
    /// The component's bytes, verified against the digest in the manifest.
    pub wasm: Vec<u8>,
}

/// Fetches the component in an image. Returns `None` if the image has no layer with the media type of components.
pub fn component(
    registry: &mut Registry,
    reference: &Reference,
) -> Result<Option<Component>, Error> {
    let raw = registry.manifest(&reference.asked_for())?;
    let manifest: Manifest = parsed(registry, &raw)?;
    let mut layers = manifest.layers.iter();
    let Some(layer) = layers.find(|layer| layer.media_type == CNCF_LAYER) else {
        return Ok(None);
    };
    let wasm = registry.blob(layer)?;
    Ok(Some(Component {
        digest: raw.digest,
        wasm,
    }))
}
