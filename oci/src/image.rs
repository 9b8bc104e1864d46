//! Builds images, which consist of a manifest and its blobs, in the layouts that Istio's agent accepts. Builds are
//! reproducible: the same input always results in the same bytes.
//!
//! An image is always a single manifest, never an index. The agent compares the specified digest with that of the image
//! that it selects, so the digest of an index never matches.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::archive;
use crate::digest::Digest;
use crate::manifest::{
    ARTIFACT_CONFIG, ARTIFACT_LAYER, CNCF_CONFIG, CNCF_LAYER, DOCKER_CONFIG, DOCKER_LAYER,
    DOCKER_MANIFEST, Descriptor, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST,
};

/// The layout of an image. Istio's agent accepts these three layouts and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// An OCI image with a single layer, a compressed tar archive that contains `plugin.wasm`. Supported by all registries
    /// and tools.
    #[default]
    Compat,
    /// The same content as a Docker image (schema 2), for registries that do not support OCI images.
    Docker,
    /// An OCI artifact with two layers: a configuration and the uncompressed module.
    Artifact,
}

/// Metadata that describes the contents of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// The plugin's name.
    pub title: Option<String>,
    /// The plugin's version.
    pub version: Option<String>,
    /// The location of the plugin's source code.
    pub source: Option<String>,
    /// The revision of the source code that the plugin was built from.
    pub revision: Option<String>,
    /// The contract that the plugin was written against, such as `tidegate:proxy@0.1.0`.
    pub world: Option<String>,
    /// The capabilities that Envoy must allow for the plugin to work: the callbacks that it exports and the functions that
    /// it imports.
    pub capabilities: Vec<String>,
    /// The JSON Schema of the plugin's configuration, serialized as JSON.
    pub schema: Option<String>,
}

/// The imports and exports of a component, by their full names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Interfaces {
    /// The interfaces that the component exports.
    pub exports: Vec<String>,
    /// The interfaces that the component imports.
    pub imports: Vec<String>,
}

/// A manifest with all blobs that it references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The bytes of the manifest.
    pub manifest: Vec<u8>,
    /// The media type of the manifest.
    pub media_type: &'static str,
    /// The blobs that the manifest references.
    pub blobs: Vec<Blob>,
}

/// A blob, which is identified by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The digest of the bytes.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Vec<u8>,
}

#[derive(Serialize)]
struct ImageConfig<'a> {
    architecture: &'static str,
    os: &'static str,
    config: Settings<'a>,
    rootfs: RootFs<'a>,
}

#[derive(Serialize)]
struct Settings<'a> {
    #[serde(rename = "Labels", skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct RootFs<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: [&'a Digest; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ComponentConfig<'a> {
    /// A required field. A fixed time keeps builds reproducible.
    created: &'static str,
    architecture: &'static str,
    os: &'static str,
    layer_digests: [&'a Digest; 1],
    component: &'a Interfaces,
}

// === impl Labels ===

impl Labels {
    fn annotations(&self) -> BTreeMap<String, String> {
        let capabilities = self.capabilities.join(",");
        let labels = [
            ("org.opencontainers.image.title", self.title.as_ref()),
            ("org.opencontainers.image.version", self.version.as_ref()),
            ("org.opencontainers.image.source", self.source.as_ref()),
            ("org.opencontainers.image.revision", self.revision.as_ref()),
            ("dev.tidegate.world", self.world.as_ref()),
            (
                "dev.tidegate.capabilities",
                Some(&capabilities).filter(|text| !text.is_empty()),
            ),
            ("dev.tidegate.configuration-schema", self.schema.as_ref()),
        ];
        let labels = labels.into_iter();
        let said = labels.filter_map(|(key, value)| Some((key.to_owned(), value?.clone())));
        said.collect()
    }
}

// === impl Image ===

impl Image {
    /// Builds an image of a Proxy-Wasm module.
    pub fn plugin(wasm: &[u8], layout: Layout, labels: &Labels) -> Self {
        match layout {
            Layout::Compat => compat(wasm, labels),
            Layout::Docker => docker(wasm, labels),
            Layout::Artifact => artifact(wasm, labels),
        }
    }

    /// Builds an image of a component in the CNCF's layout. Component runtimes accept this layout; proxies do not.
    pub fn component(wasm: &[u8], interfaces: &Interfaces, labels: &Labels) -> Self {
        let layer = Blob::of(wasm.to_vec());
        let config = Blob::of(json(&ComponentConfig {
            created: "1970-01-01T00:00:00Z",
            architecture: "wasm",
            os: "wasip2",
            layer_digests: [&layer.digest],
            component: interfaces,
        }));
        let layers = [(CNCF_LAYER, layer)];
        image(
            OCI_MANIFEST,
            (CNCF_CONFIG, config),
            layers,
            labels.annotations(),
        )
    }

    /// Returns the digest of the manifest, which identifies the image.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }
}

// === impl Blob ===

impl Blob {
    fn of(bytes: Vec<u8>) -> Self {
        Self {
            digest: Digest::of(&bytes),
            bytes,
        }
    }
}

fn compat(wasm: &[u8], labels: &Labels) -> Image {
    let (tar, layer) = packed(wasm);
    let config = image_config(&tar, &BTreeMap::new());
    let mut annotations = labels.annotations();
    // Required by Solo.io's specification; the agent ignores it.
    annotations.insert("module.wasm.image/variant".to_owned(), "compat".to_owned());
    image(
        OCI_MANIFEST,
        (OCI_CONFIG, config),
        [(OCI_LAYER, layer)],
        annotations,
    )
}

fn docker(wasm: &[u8], labels: &Labels) -> Image {
    let (tar, layer) = packed(wasm);
    // Docker manifests have no annotations, so the image's metadata is stored in its configuration.
    let config = image_config(&tar, &labels.annotations());
    let config = (DOCKER_CONFIG, config);
    image(
        DOCKER_MANIFEST,
        config,
        [(DOCKER_LAYER, layer)],
        BTreeMap::new(),
    )
}

fn artifact(wasm: &[u8], labels: &Labels) -> Image {
    let runtime = Blob::of(br#"{"type":"envoy_proxy"}"#.to_vec());
    // A separate blob from the layer's: a client that looks up a layer by its digest would find the configuration instead.
    let config = Blob::of(b"{}".to_vec());
    let layers = [
        (ARTIFACT_CONFIG, runtime),
        (ARTIFACT_LAYER, Blob::of(wasm.to_vec())),
    ];
    image(
        OCI_MANIFEST,
        (ARTIFACT_CONFIG, config),
        layers,
        labels.annotations(),
    )
}

/// Returns the digest of the tar archive and the blob in which it is stored.
fn packed(wasm: &[u8]) -> (Digest, Blob) {
    let layer =
        archive::pack(wasm).expect("writing to memory does not fail, and the name is short");
    (Digest::of(&layer.tar), Blob::of(layer.gzip))
}

/// Builds an image configuration that container runtimes and scanners can read. The platform is the one that the agent
/// selects.
fn image_config(tar: &Digest, labels: &BTreeMap<String, String>) -> Blob {
    Blob::of(json(&ImageConfig {
        architecture: "amd64",
        os: "linux",
        config: Settings { labels },
        rootfs: RootFs {
            kind: "layers",
            diff_ids: [tar],
        },
    }))
}

/// Fields are written in the order of their declaration, so that no library feature flag changes the bytes.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("there is nothing in it that JSON does not have")
}

fn image<const N: usize>(
    media_type: &'static str,
    config: (&'static str, Blob),
    layers: [(&'static str, Blob); N],
    annotations: BTreeMap<String, String>,
) -> Image {
    let descriptor = |(media_type, blob): &(&str, Blob)| Descriptor {
        media_type: (*media_type).to_owned(),
        digest: blob.digest.clone(),
        size: blob.bytes.len() as u64,
        platform: None,
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type.to_owned(),
        config: Some(descriptor(&config)),
        layers: layers.iter().map(descriptor).collect(),
        annotations,
    };
    let manifest = json(&manifest);
    let blobs = layers.into_iter().chain([config]).map(|(_, blob)| blob);
    Image {
        manifest,
        media_type,
        blobs: blobs.collect(),
    }
}
