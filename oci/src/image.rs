//! Images: a manifest and its blobs, laid out as Istio's agent takes them, the same bytes whenever and wherever they are made.
//!
//! An image is one manifest, never an index: the agent holds a digest against that of the image that it ends up with, so
//! the digest of an index never fits.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::archive;
use crate::digest::Digest;
use crate::manifest::{
    ARTIFACT_CONFIG, ARTIFACT_LAYER, CNCF_CONFIG, CNCF_LAYER, DOCKER_CONFIG, DOCKER_LAYER,
    DOCKER_MANIFEST, Descriptor, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST,
};

/// How an image is laid out. Istio's agent takes these three, and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// An OCI image whose one layer is a compressed tar with `plugin.wasm` in it: what every registry and tool knows.
    #[default]
    Compat,
    /// The same as a Docker image (schema 2), for registries that know nothing newer.
    Docker,
    /// An OCI artifact of two layers, a configuration and the bare module.
    Artifact,
}

/// What an image says of what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// The plugin's name.
    pub title: Option<String>,
    /// The plugin's version.
    pub version: Option<String>,
    /// Where its source is.
    pub source: Option<String>,
    /// Which state of the source it was made of.
    pub revision: Option<String>,
    /// The contract that it was written against, such as `tidegate:proxy@0.1.0`.
    pub world: Option<String>,
    /// What Envoy has to allow for it to work: its callbacks, and what it calls.
    pub capabilities: Vec<String>,
    /// The JSON Schema of its configuration, as JSON.
    pub schema: Option<String>,
}

/// What a component has to do with the outside, by full names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Interfaces {
    /// What it exports.
    pub exports: Vec<String>,
    /// What it imports.
    pub imports: Vec<String>,
}

/// A manifest with everything that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The manifest.
    pub manifest: Vec<u8>,
    /// What the manifest is.
    pub media_type: &'static str,
    /// What it names.
    pub blobs: Vec<Blob>,
}

/// Some bytes under the name of their digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The name.
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
    /// It has to be there, and this is the time at which nothing is made.
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
    /// An image of a Proxy-Wasm module.
    pub fn plugin(wasm: &[u8], layout: Layout, labels: &Labels) -> Self {
        match layout {
            Layout::Compat => compat(wasm, labels),
            Layout::Docker => docker(wasm, labels),
            Layout::Artifact => artifact(wasm, labels),
        }
    }

    /// An image of a component, in the CNCF's layout. Runtimes for components take it, and no proxy does.
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

    /// The name of the whole.
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
    // Solo.io's specification asks for it; the agent does not look.
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
    // Docker's manifests have no annotations; what an image says of itself is in its configuration.
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
    // Not the same blob once more: a client that finds a layer by its digest finds the configuration instead.
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

/// The digest of the tar, and what is stored of it.
fn packed(wasm: &[u8]) -> (Digest, Blob) {
    let layer =
        archive::pack(wasm).expect("writing to memory does not fail, and the name is short");
    (Digest::of(&layer.tar), Blob::of(layer.gzip))
}

/// A configuration that container runtimes and scanners can read. The platform is the one that the agent looks for.
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

/// Written field by field as declared, so that no feature of a library changes the bytes.
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
