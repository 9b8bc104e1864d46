//! Resolves a reference to a module in the same steps as Istio's agent, and reports everything that the agent would reject.
//!
//! Where possible, examination continues after a step that the agent would reject, so that all problems of an image are
//! reported at once. Whether a proxy's Wasm engine accepts the module is not checked.

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

/// The size limit of the agent's default configuration, in bytes. It applies to the module together with the part of the
/// tar archive before the end of the module.
pub const MAX_MODULE: u64 = 256 * 1024 * 1024;

/// The result of examining an image.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Examined {
    /// The digest of the image's manifest. This is the value of `sha256` in a `WasmPlugin`.
    pub digest: Digest,
    /// The digest of the index that the image was selected from, if any.
    pub index: Option<Digest>,
    /// The image's layout, if it is one that the agent accepts.
    pub layout: Option<Layout>,
    /// The module, if the image contains one.
    pub wasm: Option<Vec<u8>>,
    /// The image's annotations, which describe its contents.
    pub annotations: BTreeMap<String, String>,
    /// The location that the registry specifies for authentication, if newer agents refuse to use it. This is either a
    /// human-readable realm, as in Basic authentication, or a non-public address. Such agents cannot fetch the image.
    pub unsafe_realm: Option<String>,
    /// The reasons why the agent would reject the image. Empty if it would accept the image.
    pub refusals: Vec<Refusal>,
}

/// A reason why Istio's agent would reject an image. The proxy would then respond with 403 to all requests, or, if the plugin
/// fails open, let them bypass the plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The specified digest is that of an index.
    #[error(
        "`{given}` is the digest of an index, but the agent compares it with the digest of the image for linux/amd64; use `{image}`"
    )]
    DigestOfIndex {
        /// The specified digest.
        given: Digest,
        /// The digest to use instead.
        image: Digest,
    },
    /// The specified digest is that of the module.
    #[error(
        "`{given}` is the digest of the module, but for `oci://` the agent compares it with the digest of the image manifest; use `{image}`"
    )]
    DigestOfModule {
        /// The specified digest.
        given: Digest,
        /// The digest to use instead.
        image: Digest,
    },
    /// The specified digest does not match the image.
    #[error("`{given}` is not the digest of this image, which is `{image}`")]
    Digest {
        /// The specified digest.
        given: Digest,
        /// The digest of the image.
        image: Digest,
    },
    /// The index does not contain the only platform that the agent selects.
    #[error(
        "the index contains no image for linux/amd64, the only platform that the agent selects (it contains {found}); push an image without an index"
    )]
    Platform {
        /// The platforms in the index.
        found: String,
    },
    /// Indexes are nested too deeply.
    #[error("the index contains only nested indexes; push an image without an index")]
    Nested,
    /// The manifest has Docker's obsolete schema 1 format.
    #[error(
        "the manifest has the obsolete media type `{found}`; push the image again with a newer tool"
    )]
    Schema1 {
        /// The media type of the manifest.
        found: String,
    },
    /// The image has no layers.
    #[error("the image has no layers")]
    NoLayers,
    /// The last layer of a Docker image has an unsupported media type.
    #[error(
        "the last layer has the media type `{found}`; in a Docker image the agent accepts only `{DOCKER_LAYER}`"
    )]
    DockerLayer {
        /// The media type of the layer.
        found: String,
    },
    /// The OCI image has neither of the two supported layouts.
    #[error(
        "the layers have the media types {found}; the agent accepts an image whose last layer is `{OCI_LAYER}`, or one with two layers of which one is `{ARTIFACT_LAYER}`{}",
        hint(found)
    )]
    Layers {
        /// The media types of the layers.
        found: String,
    },
    /// The layer does not contain the plugin.
    #[error(
        "the last layer contains no file `plugin.wasm`{}; the agent looks for this name in any directory",
        but(found)
    )]
    NoPlugin {
        /// The names of files in the layer, if any.
        found: Vec<String>,
    },
    /// The layer is not a compressed tar archive.
    #[error("the last layer is not a gzipped tar archive, as its media type claims: {message}")]
    Unreadable {
        /// A description of the problem.
        message: String,
    },
    /// The size exceeds the agent's limit.
    #[error(
        "the module and the files before it in its layer exceed {MAX_MODULE} bytes, the agent's limit"
    )]
    TooLarge,
    /// The module is not WebAssembly.
    #[error("the module is not a WebAssembly binary: it starts with {found}")]
    NotWasm {
        /// The first bytes of the module.
        found: String,
    },
}

/// The maximum number of indexes that are followed to reach an image.
const MAX_INDEXES: usize = 4;

/// Resolves a reference to a module in the same way as the agent. `sha256` is the value of the `WasmPlugin` field of this
/// name.
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
    // The field takes precedence over the digest in the reference, which then only determines what is fetched.
    let given = sha256.or(reference.digest());
    if let Some(given) = given.filter(|given| **given != examined.digest) {
        // The agent compares the digest before it inspects the contents of the image.
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

/// Resolves a reference to an image.
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
            // Some registries return an unhelpful media type, which the agent also treats as an image.
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

/// Finds the module in an image. The layouts are tried in the same order as in the agent.
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
    // The media type in the manifest takes precedence over the one in the registry's response.
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

/// Parses a manifest or an index.
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

/// The agent treats an entry without a platform as an entry for the platform that it selects.
fn is_wanted(child: &Descriptor) -> bool {
    let platform = child.platform.as_ref();
    platform.is_none_or(|it| it.os == "linux" && it.architecture == "amd64")
}

fn platforms(index: &Index) -> String {
    let platforms = index.manifests.iter().filter_map(|it| it.platform.as_ref());
    let platforms = platforms.map(|it| format!("{}/{}", it.os, it.architecture));
    shown(platforms.collect::<Vec<_>>().iter().map(String::as_str))
}

/// Formats names for a message. The number of names and the length of each name are limited.
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
