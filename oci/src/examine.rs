//! The way that Istio's agent goes from a reference to a module, step by step, and what it would not take on it.
//!
//! It goes on behind a step that the agent refuses where it can, so that whoever pushed an image learns everything that is
//! wrong with it at once. What a proxy's engine makes of the module then is not asked here.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::archive::{self, UnpackError};
use crate::digest::Digest;
use crate::error::Error;
use crate::image::Layout;
use crate::manifest::{
    ARTIFACT_LAYER, CNCF_LAYER, DOCKER_INDEX, DOCKER_LAYER, DOCKER_MANIFEST, Descriptor, Index,
    Manifest, OCI_INDEX, OCI_LAYER,
};
use crate::reference::Reference;
use crate::registry::{Raw, Registry};

/// The largest module that the agent takes unless it is told otherwise, with the tar before its end.
pub const MAX_MODULE: u64 = 256 * 1024 * 1024;

/// What the agent would find.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Examined {
    /// The digest of the image's manifest: what a `WasmPlugin` has as `sha256`.
    pub digest: Digest,
    /// The digest of the index that led there, if one did.
    pub index: Option<Digest>,
    /// How the image is laid out, if in a way that the agent takes.
    pub layout: Option<Layout>,
    /// The module, if there is one.
    pub wasm: Option<Vec<u8>>,
    /// What the image says of what is in it.
    pub annotations: BTreeMap<String, String>,
    /// Where the registry sends for authentication, if newer agents do not let themselves be sent there: a name for people as
    /// Basic has it, or an address that is not public. They then fetch nothing.
    pub unsafe_realm: Option<String>,
    /// What the agent would not take. Nothing, if all is well.
    pub refusals: Vec<Refusal>,
}

/// Why Istio's agent would not take an image. Its plugin would answer 403 to everything, or be left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A digest that is an index's.
    #[error(
        "`{given}` is the digest of an index, but the agent compares it with the digest of the image for linux/amd64; use `{image}`"
    )]
    DigestOfIndex {
        /// The digest given.
        given: Digest,
        /// The digest to give.
        image: Digest,
    },
    /// A digest that is the module's.
    #[error(
        "`{given}` is the digest of the module, but for `oci://` the agent compares it with the digest of the image manifest; use `{image}`"
    )]
    DigestOfModule {
        /// The digest given.
        given: Digest,
        /// The digest to give.
        image: Digest,
    },
    /// A digest of something else.
    #[error("`{given}` is not the digest of this image, which is `{image}`")]
    Digest {
        /// The digest given.
        given: Digest,
        /// The digest that it is not.
        image: Digest,
    },
    /// An index without the one platform that the agent looks for.
    #[error(
        "the index contains no image for linux/amd64, the only platform that the agent selects, but {found}; push an image without an index"
    )]
    Platform {
        /// What it has.
        found: String,
    },
    /// Indexes in indexes in indexes.
    #[error("the index contains only nested indexes; push an image without an index")]
    Nested,
    /// A manifest of Docker's first kind.
    #[error(
        "the manifest has the obsolete media type `{found}`; push the image again with a newer tool"
    )]
    Schema1 {
        /// Its type.
        found: String,
    },
    /// An image without anything in it.
    #[error("the image has no layers")]
    NoLayers,
    /// A Docker image whose last layer is something else.
    #[error(
        "the last layer has the media type `{found}`; in a Docker image the agent accepts only `{DOCKER_LAYER}`"
    )]
    DockerLayer {
        /// The layer's type.
        found: String,
    },
    /// An OCI image that is neither of the two kinds.
    #[error(
        "the layers have the media types {found}; the agent accepts an image whose last layer is `{OCI_LAYER}`, or one with two layers of which one is `{ARTIFACT_LAYER}`{}",
        hint(found)
    )]
    Layers {
        /// The layers' types.
        found: String,
    },
    /// A layer without the plugin.
    #[error(
        "the last layer contains no file `plugin.wasm`{}; the agent looks for this name in any directory",
        but(found)
    )]
    NoPlugin {
        /// What it has, if anything.
        found: Vec<String>,
    },
    /// A layer that is no compressed tar.
    #[error("the last layer is not a gzipped tar archive, as its media type claims: {message}")]
    Unreadable {
        /// What is wrong.
        message: String,
    },
    /// More than the agent takes.
    #[error(
        "the module and the files before it in its layer exceed {MAX_MODULE} bytes, the agent's limit"
    )]
    TooLarge,
    /// Not WebAssembly.
    #[error("the module is not a WebAssembly binary: it starts with {found}")]
    NotWasm {
        /// How it begins.
        found: String,
    },
}

/// How many indexes may lead to an image.
const MAX_INDEXES: usize = 4;

/// Goes the agent's way from a reference to a module. `sha256` is what a `WasmPlugin` has in the field of this name.
pub fn examine(
    registry: &mut Registry,
    reference: &Reference,
    sha256: Option<&Digest>,
) -> Result<Examined, Error> {
    let first = registry.manifest(&reference.asked_for())?;
    let mut examined = Examined {
        digest: first.digest.clone(),
        index: None,
        layout: None,
        wasm: None,
        annotations: BTreeMap::new(),
        unsafe_realm: None,
        refusals: Vec::new(),
    };
    match resolve(registry, first, &mut examined)? {
        Err(refusal) => examined.refusals.push(refusal),
        Ok(manifest) => {
            match find(registry, &manifest)? {
                Ok((layout, wasm)) => {
                    examined.layout = Some(layout);
                    examined.wasm = Some(wasm);
                }
                Err(refusal) => examined.refusals.push(refusal),
            }
            examined.annotations = manifest.annotations;
        }
    }
    examined.unsafe_realm = registry.unsafe_realm().map(str::to_owned);
    // The field goes before the reference's own digest, which then only says what is fetched.
    let given = sha256.or(reference.digest());
    if let Some(given) = given.filter(|given| **given != examined.digest) {
        // The agent compares before it looks what is in an image.
        let wrong = mismatch(given, &examined);
        examined.refusals.insert(0, wrong);
    }
    if let Some(wasm) = &examined.wasm
        && !is_wasm(wasm)
    {
        let start = wasm.get(..8).unwrap_or(wasm);
        let found = match start {
            [] => "nothing".to_owned(),
            start => format!("`{}`", start.escape_ascii()),
        };
        examined.refusals.push(Refusal::NotWasm { found });
    }
    Ok(examined)
}

/// From what a reference leads to, to an image.
fn resolve(
    registry: &mut Registry,
    first: Raw,
    examined: &mut Examined,
) -> Result<Result<Manifest, Refusal>, Error> {
    let mut raw = first;
    for _ in 0..MAX_INDEXES {
        match raw.media_type.as_str() {
            OCI_INDEX | DOCKER_INDEX => {}
            found if found.starts_with("application/vnd.docker.distribution.manifest.v1") => {
                let found = found.to_owned();
                return Ok(Err(Refusal::Schema1 { found }));
            }
            // Some registries say nothing of use; the agent takes that for an image too.
            _ => {
                examined.digest = raw.digest.clone();
                return parsed(registry, &raw).map(Ok);
            }
        }
        examined.index.get_or_insert(raw.digest.clone());
        let index: Index = parsed(registry, &raw)?;
        match index.manifests.iter().find(|child| is_wanted(child)) {
            Some(child) => raw = registry.manifest(&child.digest.to_string())?,
            None => {
                return Ok(Err(Refusal::Platform {
                    found: platforms(&index),
                }));
            }
        }
    }
    Ok(Err(Refusal::Nested))
}

/// From an image to the module in it: the layouts in the agent's order.
fn find(
    registry: &mut Registry,
    manifest: &Manifest,
) -> Result<Result<(Layout, Vec<u8>), Refusal>, Error> {
    let Some(last) = manifest.layers.last() else {
        return Ok(Err(Refusal::NoLayers));
    };
    let found = || {
        shown(
            manifest
                .layers
                .iter()
                .map(|layer| layer.media_type.as_str()),
        )
    };
    // The manifest's word counts, not the registry's.
    if manifest.media_type == DOCKER_MANIFEST {
        if last.media_type != DOCKER_LAYER {
            let found = last.media_type.clone();
            return Ok(Err(Refusal::DockerLayer { found }));
        }
        let wasm = unpack(registry, last)?;
        return Ok(wasm.map(|wasm| (Layout::Docker, wasm)));
    }
    let refusal = if last.media_type == OCI_LAYER {
        match unpack(registry, last)? {
            Ok(wasm) => return Ok(Ok((Layout::Compat, wasm))),
            Err(refusal) => refusal,
        }
    } else {
        Refusal::Layers { found: found() }
    };
    let mut layers = manifest.layers.iter();
    let content = layers.find(|layer| layer.media_type == ARTIFACT_LAYER);
    match content.filter(|_| manifest.layers.len() == 2) {
        Some(content) => {
            let wasm = fetch(registry, content)?;
            Ok(wasm.map(|wasm| (Layout::Artifact, wasm)))
        }
        None => Ok(Err(refusal)),
    }
}

fn unpack(registry: &mut Registry, layer: &Descriptor) -> Result<Result<Vec<u8>, Refusal>, Error> {
    let gzip = match fetch(registry, layer)? {
        Ok(gzip) => gzip,
        Err(refusal) => return Ok(Err(refusal)),
    };
    Ok(
        archive::unpack(&gzip, MAX_MODULE).map_err(|error| match error {
            UnpackError::Absent(found) => Refusal::NoPlugin { found },
            UnpackError::TooLarge => Refusal::TooLarge,
            UnpackError::Unreadable(error) => Refusal::Unreadable {
                message: error.to_string(),
            },
        }),
    )
}

fn fetch(registry: &mut Registry, layer: &Descriptor) -> Result<Result<Vec<u8>, Refusal>, Error> {
    if layer.size > MAX_MODULE {
        return Ok(Err(Refusal::TooLarge));
    }
    registry.blob(layer).map(Ok)
}

/// Reads a manifest or an index.
pub(crate) fn parsed<T: DeserializeOwned>(registry: &Registry, raw: &Raw) -> Result<T, Error> {
    serde_json::from_slice(&raw.bytes).map_err(|source| Error::Manifest {
        host: registry.host().to_owned(),
        what: raw.digest.to_string(),
        source,
    })
}

fn mismatch(given: &Digest, examined: &Examined) -> Refusal {
    let (given, image) = (given.clone(), examined.digest.clone());
    let of_module = || examined.wasm.as_deref().map(Digest::of);
    if examined.index.as_ref() == Some(&given) {
        Refusal::DigestOfIndex { given, image }
    } else if of_module().as_ref() == Some(&given) {
        Refusal::DigestOfModule { given, image }
    } else {
        Refusal::Digest { given, image }
    }
}

/// The agent takes what names no platform for this one.
fn is_wanted(child: &Descriptor) -> bool {
    let platform = child.platform.as_ref();
    platform.is_none_or(|it| it.os == "linux" && it.architecture == "amd64")
}

fn platforms(index: &Index) -> String {
    let platforms = index.manifests.iter().filter_map(|it| it.platform.as_ref());
    let platforms = platforms.map(|it| format!("{}/{}", it.os, it.architecture));
    shown(platforms.collect::<Vec<_>>().iter().map(String::as_str))
}

/// Names for a message: a few of them, and not all of a long one.
fn shown<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 5;
    let names: Vec<_> = names.collect();
    let mut shown: Vec<String> = names
        .iter()
        .take(MOST)
        .map(|name| format!("`{}`", crate::error::shortened(name)))
        .collect();
    if names.len() > MOST {
        shown.push(format!("{} more", names.len() - MOST));
    }
    match shown.is_empty() {
        true => "nothing".to_owned(),
        false => shown.join(", "),
    }
}

fn but(found: &[String]) -> String {
    match found {
        [] => ", nor any other".to_owned(),
        found => format!(" but {}", shown(found.iter().map(String::as_str))),
    }
}

fn hint(found: &str) -> &'static str {
    if found.contains(&format!("`{CNCF_LAYER}`")) {
        ". This is the CNCF's media type for components, which proxies do not support"
    } else if found.contains("`application/vnd.wasm.content.layer.v1+wasm`") {
        ". This is the media type of `wasm-to-oci`, which is not supported"
    } else {
        ""
    }
}

fn is_wasm(bytes: &[u8]) -> bool {
    bytes.len() >= 8 && bytes.starts_with(b"\0asm")
}
