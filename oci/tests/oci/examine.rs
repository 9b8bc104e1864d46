//! How a module is found in an image, and each reason to reject an image. `cargo xtask e2e istio` shows that Istio's agent has the same
//! results.

use serde_json::{Value, json};
use tidegate_oci::{Digest, Examined, Image, Labels, Layout, examine};

use crate::registries::module;
use crate::shelf::{OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Shelf, layer, tar};
use crate::{open, reference};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const WASM_LAYER: &str = "application/vnd.module.wasm.content.layer.v1+wasm";

fn examined(shelf: &Shelf, rest: &str, sha256: Option<&Digest>) -> Examined {
    let registry = shelf.clone().serve();
    let reference = reference(&registry.address, rest);
    examine(&mut open(&reference), &reference, sha256).expect("an answer")
}

#[track_caller]
fn takes(shelf: &Shelf, layout: Layout) {
    let examined = examined(shelf, "pp:v1", None);
    assert_eq!(examined.refusals, []);
    assert_eq!(examined.wasm, Some(module("")));
    assert_eq!(examined.layout, Some(layout));
}

#[track_caller]
fn refuses(shelf: &Shelf, parts: &[&str]) {
    is_refused(&examined(shelf, "pp:v1", None), parts);
}

#[track_caller]
fn is_refused(examined: &Examined, parts: &[&str]) {
    match examined.refusals.as_slice() {
        [refusal] => {
            let text = refusal.to_string();
            for part in parts {
                assert!(text.contains(part), "expected `{part}` in: {text}");
            }
        }
        other => panic!("{other:?}"),
    }
}

/// An image with layers of these types. The last layer, or the first, contains the plugin.
fn image(manifest: &str, types: &[&str], content: &[u8]) -> Shelf {
    let mut shelf = Shelf::default();
    let layers: Vec<Value> = types.iter().map(|it| shelf.blob(it, content)).collect();
    shelf.image(manifest, &layers);
    shelf
}

#[test]
fn layouts_are_tried_in_the_agents_order() {
    let wasm = module("");
    let plugin = layer(&[("plugin.wasm", &wasm)]);
    takes(&image(OCI_MANIFEST, &[OCI_LAYER], &plugin), Layout::Compat);
    takes(
        &image(DOCKER_MANIFEST, &[DOCKER_LAYER], &plugin),
        Layout::Docker,
    );
    // An unknown or missing media type is treated as OCI's.
    takes(&image("", &[OCI_LAYER], &plugin), Layout::Compat);
    takes(
        &image(OCI_MANIFEST, &["x", "y", OCI_LAYER], &plugin),
        Layout::Compat,
    );
    takes(
        &image(OCI_MANIFEST, &["anything", WASM_LAYER], &wasm),
        Layout::Artifact,
    );
    takes(
        &image(OCI_MANIFEST, &[WASM_LAYER, "anything"], &wasm),
        Layout::Artifact,
    );
    // The last layer is a tar without a plugin, so the other layout is tried.
    let mut shelf = Shelf::default();
    let bare = shelf.blob(WASM_LAYER, &wasm);
    let empty = shelf.blob(OCI_LAYER, &layer(&[("x", b"")]));
    shelf.image(OCI_MANIFEST, &[bare, empty]);
    takes(&shelf, Layout::Artifact);

    for name in ["./plugin.wasm", "opt/x/plugin.wasm"] {
        let plugin = layer(&[("first", b"x"), (name, &wasm)]);
        takes(&image(OCI_MANIFEST, &[OCI_LAYER], &plugin), Layout::Compat);
    }
}

#[test]
fn unsupported_layouts_are_rejected() {
    let wasm = module("");
    let plugin = layer(&[("plugin.wasm", &wasm)]);
    for types in [
        ["application/vnd.oci.image.layer.v1.tar"].as_slice(),
        &["application/vnd.oci.image.layer.v1.tar+zstd"],
        &[OCI_LAYER, "x"],
        &[WASM_LAYER],
        &[WASM_LAYER, "x", "y"],
        &["x"; 9],
    ] {
        refuses(
            &image(OCI_MANIFEST, types, &wasm),
            &["the layers have the media types", types[0]],
        );
    }
    refuses(
        &image(OCI_MANIFEST, &["application/wasm"], &wasm),
        &["`application/wasm`", "the CNCF's media type for components"],
    );
    refuses(
        &image(
            OCI_MANIFEST,
            &["application/vnd.wasm.content.layer.v1+wasm"],
            &wasm,
        ),
        &["wasm-to-oci"],
    );
    refuses(
        &image(DOCKER_MANIFEST, &[OCI_LAYER], &plugin),
        &["in a Docker image", OCI_LAYER],
    );
    refuses(&image(OCI_MANIFEST, &[], &plugin), &["no layers"]);
    let mut shelf = Shelf::default();
    shelf.manifest("v1", OCI_MANIFEST, br#"{"layers":null,"annotations":null}"#);
    refuses(&shelf, &["no layers"]);
    let mut shelf = Shelf::default();
    let schema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    shelf.manifest("v1", schema1, b"{}");
    refuses(&shelf, &[schema1]);
}

#[test]
fn layer_without_a_plugin_is_rejected() {
    let wasm = module("");
    let of = |content: &[u8]| image(OCI_MANIFEST, &[OCI_LAYER], content);
    let named = layer(&[("module.wasm", &wasm), ("xplugin.wasm", &wasm)]);
    refuses(
        &of(&named),
        &["no file `plugin.wasm` but `module.wasm`, `xplugin.wasm`"],
    );
    refuses(&of(&layer(&[])), &["no file `plugin.wasm`, nor any other"]);
    refuses(
        &of(&tar(&[("plugin.wasm", &wasm)])),
        &["not a gzipped tar archive"],
    );
    refuses(&of(&wasm), &["not a gzipped tar archive"]);
    refuses(&of(b""), &["not a gzipped tar archive"]);
    refuses(
        &of(&layer(&[("plugin.wasm", b"#!/bin/sh\n")])),
        &["not a WebAssembly binary", "`#!/bin/s`"],
    );
    refuses(
        &of(&layer(&[("plugin.wasm", b"\0asm")])),
        &["not a WebAssembly binary", "`\\x00asm`"],
    );
    refuses(
        &of(&layer(&[("plugin.wasm", b"")])),
        &["not a WebAssembly binary", "nothing"],
    );
    // In the first of two layers, which the agent does not examine.
    let mut shelf = Shelf::default();
    let first = shelf.blob(OCI_LAYER, &layer(&[("plugin.wasm", &wasm)]));
    let last = shelf.blob(OCI_LAYER, &layer(&[("README", b"x")]));
    shelf.image(OCI_MANIFEST, &[first, last]);
    refuses(
        &shelf,
        &["the last layer contains no file `plugin.wasm` but `README`"],
    );
}

#[test]
fn component_in_plugin_layout_is_accepted() {
    let component = b"\0asm\x0d\0\x01\0";
    let shelf = image(
        OCI_MANIFEST,
        &[OCI_LAYER],
        &layer(&[("plugin.wasm", component)]),
    );
    let examined = examined(&shelf, "pp:v1", None);
    assert_eq!(examined.refusals, []);
    assert_eq!(examined.wasm.as_deref(), Some(component.as_slice()));
}

/// An index with an image for each of these platforms. Returns the digests of the index and of the images.
fn index(platforms: &[Option<(&str, &str)>]) -> (Shelf, Digest, Vec<Digest>) {
    let (mut shelf, mut children, mut digests) = (Shelf::default(), Vec::new(), Vec::new());
    for (i, platform) in platforms.iter().enumerate() {
        let labels = Labels {
            version: Some(i.to_string()),
            ..Labels::default()
        };
        let image = Image::plugin(&module(""), Layout::Compat, &labels);
        for blob in &image.blobs {
            shelf.blob("", &blob.bytes);
        }
        let mut child = shelf.manifest(&i.to_string(), OCI_MANIFEST, &image.manifest);
        if let Some((os, architecture)) = platform {
            child["platform"] = json!({ "os": os, "architecture": architecture });
        }
        digests.push(image.digest());
        children.push(child);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children });
    let index = index.to_string().into_bytes();
    shelf.manifest("v1", OCI_INDEX, &index);
    (shelf, Digest::of(&index), digests)
}

#[test]
fn index_resolves_to_image_but_its_digest_is_rejected() {
    let arm = Some(("linux", "arm64"));
    for wanted in [Some(("linux", "amd64")), None] {
        let (shelf, index, images) = index(&[arm, wanted, Some(("linux", "amd64"))]);
        takes(&shelf, Layout::Compat);
        let by_tag = examined(&shelf, "pp:v1", Some(&images[1]));
        assert_eq!(by_tag.refusals, []);
        assert_eq!(
            (&by_tag.index, &by_tag.digest),
            (&Some(index.clone()), &images[1])
        );

        let both = examined(&shelf, &format!("pp@{index}"), Some(&images[1]));
        assert_eq!(both.refusals, []);

        let is_index = "the digest of an index";
        for (rest, sha256) in [
            (format!("pp:v1@{index}"), None),
            (format!("pp@{index}"), None),
            ("pp:v1".to_owned(), Some(&index)),
            (format!("pp@{index}"), Some(&index)),
        ] {
            let examined = examined(&shelf, &rest, sha256);
            is_refused(&examined, &[is_index, &images[1].to_string()]);
        }
    }
}

#[test]
fn index_without_the_agents_platform_is_rejected() {
    let (shelf, ..) = index(&[Some(("wasi", "wasm")), Some(("unknown", "unknown"))]);
    refuses(
        &shelf,
        &["no image for linux/amd64", "`wasi/wasm`, `unknown/unknown`"],
    );
    let (shelf, ..) = index(&[]);
    refuses(&shelf, &["no image for linux/amd64", "nothing"]);
    // A nested index is resolved, but not many levels of them.
    for (height, is_taken) in [(2, true), (9, false)] {
        let (mut shelf, ..) = index(&[None]);
        for i in 0..height {
            let below = if i == 0 {
                "v1".to_owned()
            } else {
                format!("i{i}")
            };
            let registry = shelf.clone().serve();
            let reference = reference(&registry.address, &format!("pp:{below}"));
            let examined = examine(&mut open(&reference), &reference, None).expect("an answer");
            let digest = examined.index.expect("an index");
            let list =
                json!({ "manifests": [{ "mediaType": OCI_INDEX, "digest": digest, "size": 1 }] });
            let list = list.to_string().into_bytes();
            shelf.manifest(&format!("i{}", i + 1), OCI_INDEX, &list);
        }
        let examined = examined(&shelf, &format!("pp:i{height}"), None);
        match is_taken {
            true => assert_eq!(examined.refusals, []),
            false => is_refused(&examined, &["contains only nested indexes"]),
        }
    }
}

#[test]
fn mismatched_digest_is_rejected_and_identified() {
    let wasm = module("");
    let image = Image::plugin(&wasm, Layout::Compat, &Labels::default());
    let shelf = Shelf::of(&image, "v1");
    let right = image.digest().to_string();
    let of_module = Digest::of(&wasm);
    is_refused(
        &examined(&shelf, "pp:v1", Some(&of_module)),
        &[
            "is the digest of the module",
            &of_module.to_string(),
            &right,
        ],
    );
    let other = Digest::of(b"other");
    is_refused(
        &examined(&shelf, "pp:v1", Some(&other)),
        &[
            "is not the digest of this image",
            &other.to_string(),
            &right,
        ],
    );
    // Other problems are reported, too.
    let shelf = self::image(OCI_MANIFEST, &["x"], &wasm);
    let both = examined(&shelf, "pp:v1", Some(&other));
    assert_eq!(both.refusals.len(), 2);
}
