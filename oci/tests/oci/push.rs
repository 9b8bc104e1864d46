//! Plugins that are pushed to a real registry in each layout are pulled unchanged.

use std::cell::RefCell;
use std::rc::Rc;

use tidegate_oci::{
    Access, Digest, Direction, Image, Interfaces, Labels, Layout, Refusal, Registry, examine, push,
};

use crate::registries::{Distribution, module};
use crate::{open, reference};

const LAYOUTS: [Layout; 3] = [Layout::Compat, Layout::Docker, Layout::Artifact];

fn labels() -> Labels {
    Labels {
        title: Some("greeter".to_owned()),
        version: Some("1.0.0".to_owned()),
        source: Some("https://example.com/greeter".to_owned()),
        revision: Some("abc".to_owned()),
        world: Some("tidegate:proxy@0.1.0".to_owned()),
        capabilities: vec!["proxy_log".to_owned(), "fd_write".to_owned()],
        schema: Some(r#"{"type":"object"}"#.to_owned()),
    }
}

#[test]
#[ignore = "needs docker-registry"]
fn push_round_trips_in_each_layout_needs_docker_registry() {
    let registry = Distribution::open();
    for layout in LAYOUTS {
        let wasm = module("");
        let image = Image::plugin(&wasm, layout, &labels());
        let reference = reference(&registry.address, "some/plug-in:1.0.0");
        let mut registry = open(&reference);
        let digest = push(&mut registry, &image, "1.0.0").expect("a push");
        assert_eq!(digest, image.digest());

        for (reference, sha256) in [
            (reference.clone(), None),
            (reference.clone(), Some(&digest)),
            (reference.pinned(digest.clone()), Some(&digest)),
        ] {
            let examined = examine(&mut registry, &reference, sha256).expect("an image");
            assert_eq!(examined.refusals, []);
            assert_eq!(examined.wasm.as_ref(), Some(&wasm));
            assert_eq!(examined.layout, Some(layout));
            assert_eq!((&examined.digest, &examined.index), (&digest, &None));
        }
    }
}

#[test]
#[ignore = "needs docker-registry"]
fn push_sets_annotations_needs_docker_registry() {
    let registry = Distribution::open();
    let reference = reference(&registry.address, "pp:v1");
    let mut registry = open(&reference);
    for layout in [Layout::Compat, Layout::Artifact] {
        let image = Image::plugin(&module(""), layout, &labels());
        push(&mut registry, &image, "v1").expect("a push");
        let mut annotations = examine(&mut registry, &reference, None)
            .expect("an image")
            .annotations;
        let variant = annotations.remove("module.wasm.image/variant");
        assert_eq!(variant.is_some(), layout == Layout::Compat);
        let said: Vec<_> = annotations
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            said,
            [
                ("dev.tidegate.capabilities", "proxy_log,fd_write"),
                ("dev.tidegate.configuration-schema", r#"{"type":"object"}"#),
                ("dev.tidegate.world", "tidegate:proxy@0.1.0"),
                ("org.opencontainers.image.revision", "abc"),
                (
                    "org.opencontainers.image.source",
                    "https://example.com/greeter"
                ),
                ("org.opencontainers.image.title", "greeter"),
                ("org.opencontainers.image.version", "1.0.0"),
            ]
        );
    }
}

#[test]
#[ignore = "needs docker-registry"]
fn component_image_is_rejected_as_plugin_needs_docker_registry() {
    let registry = Distribution::open();
    let reference = reference(&registry.address, "pp:v1-component");
    let mut registry = open(&reference);
    let interfaces = Interfaces {
        exports: vec!["tidegate:proxy/plugin@0.1.0".to_owned()],
        imports: Vec::new(),
    };
    let image = Image::component(b"\0asm\x0d\0\x01\0", &interfaces, &labels());
    push(&mut registry, &image, "v1-component").expect("a push");
    let examined = examine(&mut registry, &reference, None).expect("an image");
    match examined.refusals.as_slice() {
        [refusal @ Refusal::Layers { .. }] => {
            assert!(refusal.to_string().contains("CNCF"), "{refusal}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
#[ignore = "needs docker-registry"]
fn repeated_push_uploads_no_blob_needs_docker_registry() {
    let registry = Distribution::open();
    let reference = reference(&registry.address, "pp:v1");
    let image = Image::plugin(&vec![7; 300_000], Layout::Artifact, &labels());
    let mut sent = Vec::new();
    for tag in ["v1", "v2"] {
        let up = Rc::new(RefCell::new(Vec::new()));
        let log = up.clone();
        let access = Access {
            watcher: Some(Box::new(move |transfer| {
                assert_eq!(transfer.direction, Direction::Up);
                log.borrow_mut()
                    .push((transfer.digest.clone(), transfer.done, transfer.total));
            })),
            ..Access::default()
        };
        let mut registry = Registry::open(&reference, access);
        push(&mut registry, &image, tag).expect("a push");
        sent.push(up.take());
    }
    let whole: Vec<&Digest> = image.blobs.iter().map(|blob| &blob.digest).collect();
    let mut ends: Vec<_> = sent[0]
        .iter()
        .filter(|(_, done, total)| done == total)
        .map(|(digest, ..)| digest)
        .collect();
    ends.dedup();
    assert_eq!(ends, whole);
    assert!(
        sent[0].len() > 3,
        "a large blob goes in pieces: {:?}",
        sent[0].len()
    );
    assert_eq!(sent[1], []);
}

/// If this digest changes, images of another version of Tidegate have other digests. This can be necessary, for example with a new version
/// of the compressor, but must be intended.
#[test]
fn image_digests_match_the_recorded_ones() {
    let digests =
        LAYOUTS.map(|layout| Image::plugin(b"\0asm\x01\0\0\0", layout, &labels()).digest());
    assert_eq!(
        digests.map(|digest| digest.to_string()),
        [
            "sha256:685b3b8ae2ef34c05fa849bf790a6c35dbc21272406a3711954c14dd1aae38b7",
            "sha256:53dc15c67bc0b1eeec0335dcd653fb2624fcdd61ba854bfb5e0cc98deab0159e",
            "sha256:a8bb618227209175573a1041add7cf9fdb280c307b44e017c66c56bc17cac547"
        ]
    );
}
