//! A registry with arbitrary contents, which a test can make return wrong data.

use std::collections::HashMap;
use std::io::Read as _;

use serde_json::{Value, json};
use tidegate_oci::{Digest, Image};

use crate::registries::{Reply, Request, Scripted};

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The contents by path, with their media types.
#[derive(Default, Clone)]
pub struct Shelf(HashMap<String, (String, Vec<u8>)>);

// === impl Shelf ===

impl Shelf {
    /// An image under a tag.
    pub fn of(image: &Image, tag: &str) -> Self {
        let mut shelf = Self::default();
        for blob in &image.blobs {
            shelf.blob("", &blob.bytes);
        }
        shelf.manifest(tag, image.media_type, &image.manifest);
        shelf
    }

    /// Adds a blob, and returns its descriptor.
    pub fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        let content = ("application/octet-stream".to_owned(), bytes.to_vec());
        self.0.insert(format!("/v2/pp/blobs/{digest}"), content);
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    /// Adds a manifest under a tag and its digest, and returns its descriptor.
    pub fn manifest(&mut self, tag: &str, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        for name in [tag, &digest.to_string()] {
            let content = (media_type.to_owned(), bytes.to_vec());
            self.0.insert(format!("/v2/pp/manifests/{name}"), content);
        }
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    /// Adds an image with these layers as `v1`.
    pub fn image(&mut self, media_type: &str, layers: &[Value]) -> Digest {
        let config = self.blob("application/vnd.oci.image.config.v1+json", b"{}");
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": config,
            "layers": layers,
        });
        let bytes = manifest.to_string().into_bytes();
        self.manifest("v1", media_type, &bytes);
        Digest::of(&bytes)
    }

    pub fn serve(self) -> Scripted {
        self.serve_but(|_, _| None)
    }

    /// Serves the contents, except for requests that the test handles. The number is that of previous requests for the same path.
    pub fn serve_but(
        self,
        lie: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Scripted {
        let counts = std::sync::Mutex::new(HashMap::new());
        Scripted::start(move |request| {
            let mut counts = counts.lock().expect("the counts");
            let count: &mut usize = counts.entry(request.path.clone()).or_default();
            let now = *count;
            *count += 1;
            drop(counts);
            if let Some(reply) = lie(request, now) {
                return reply;
            }
            match self.0.get(&request.path) {
                Some((media_type, bytes)) => {
                    Reply::ok(&[&format!("content-type: {media_type}")], bytes.clone())
                }
                None => Reply::status(404),
            }
        })
    }
}

/// A compressed tar with these files.
pub fn layer(files: &[(&str, &[u8])]) -> Vec<u8> {
    gzip(&tar(files))
}

pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, name, *bytes)
            .expect("an entry");
    }
    builder.into_inner().expect("a tar")
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = Vec::new();
    let mut encoder = flate2::read::GzEncoder::new(bytes, flate2::Compression::fast());
    encoder.read_to_end(&mut gzip).expect("gzip");
    gzip
}
