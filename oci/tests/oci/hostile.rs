//! A registry that returns wrong, truncated, excessive or no data: each case has one clear error, and memory usage stays within the limits.

use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::json;
use tidegate_oci::{
    Access, Digest, Error, Image, Labels, Layout, Refusal, Registry, examine, push,
};

use crate::registries::{Reply, Request, Scripted, module};
use crate::shelf::{OCI_LAYER, OCI_MANIFEST, Shelf, gzip, layer};
use crate::{open, reference};

fn image() -> Image {
    Image::plugin(&module(""), Layout::Compat, &Labels::default())
}

/// The result of fetching an image from a hostile registry.
fn lied(
    lie: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
) -> (Error, Vec<String>) {
    let registry = Shelf::of(&image(), "v1").serve_but(lie);
    let reference = reference(&registry.address, "pp:v1");
    let error = examine(&mut open(&reference), &reference, None).expect_err("a lie");
    (error, registry.asked())
}

#[track_caller]
fn says(error: &Error, parts: &[&str]) {
    use std::error::Error as _;
    let mut text = error.to_string();
    if let Some(source) = error.source() {
        text = format!("{text}: {source}");
    }
    for part in parts {
        assert!(text.contains(part), "expected `{part}` in: {text}");
    }
    assert_eq!(text.lines().count(), 1, "{text}");
}

fn is_blob(request: &Request) -> bool {
    request.path.contains("/blobs/")
}

fn is_manifest(request: &Request) -> bool {
    request.path.contains("/manifests/")
}

#[test]
fn invalid_manifest_is_an_error() {
    for body in [
        "<html>a page</html>".to_owned(),
        "[]".to_owned(),
        r#"{"layers":[{"digest":"sha512:00","size":1}]}"#.to_owned(),
        r#"{"layers":[{"size":-1}]}"#.to_owned(),
        "[".repeat(100_000),
        String::new(),
    ] {
        let (error, asked) = lied(move |request, _| {
            is_manifest(request)
                .then(|| Reply::ok(&["content-type: application/json"], body.clone()))
        });
        assert!(matches!(error, Error::Manifest { .. }), "{error}");
        says(&error, &["an invalid manifest"]);
        assert_eq!(asked.len(), 1);
    }
}

#[test]
fn oversized_manifest_is_an_error() {
    // With or without a Content-Length header. With the header, the body is not read.
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
    let (error, asked) = lied(move |_, _| Some(Reply::Raw(head.into())));
    says(&error, &["more than 4194304 bytes", "`pp` at `v1`"]);
    assert_eq!(asked.len(), 1);
    let (error, _) = lied(|_, _| {
        let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        bytes.resize(5 << 20, b' ');
        Some(Reply::Raw(bytes))
    });
    says(&error, &["more than 4194304 bytes"]);
}

#[test]
fn content_with_the_wrong_digest_is_an_error() {
    let layer = &image().blobs[0];
    let (digest, size) = (layer.digest.to_string(), layer.bytes.len());
    let (error, _) =
        lied(move |request, _| is_blob(request).then(|| Reply::ok(&[], vec![7; size])));
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    says(
        &error,
        &[
            "sent the wrong content",
            &digest,
            &Digest::of(&vec![7; size]).to_string(),
        ],
    );
    // The same for a manifest that is requested by digest.
    let pinned = image().digest();
    let registry = Scripted::start(|_| Reply::ok(&[], "{}"));
    let reference = reference(&registry.address, &format!("pp@{pinned}"));
    let error = examine(&mut open(&reference), &reference, None).expect_err("a lie");
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[test]
fn blob_with_the_wrong_size_is_an_error() {
    let size = image().blobs[0].bytes.len();
    let by_manifest = format!("its size in the manifest is {size} bytes");
    for found in [0, size - 1, size + 1, size * 1000] {
        let (error, asked) =
            lied(move |request, _| is_blob(request).then(|| Reply::ok(&[], vec![0; found])));
        assert!(matches!(error, Error::Size { .. }), "{error}");
        says(&error, &[&format!("sent {found} bytes"), &by_manifest]);
        assert_eq!(asked.len(), 2);
        // Without a Content-Length header.
        let (error, _) = lied(move |request, _| {
            is_blob(request).then(|| {
                let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
                bytes.extend(vec![0; found]);
                Reply::Raw(bytes)
            })
        });
        let came = match found > size {
            true => format!("sent more than {size} bytes"),
            false => format!("sent {found} bytes"),
        };
        says(&error, &[&came, &by_manifest]);
    }
}

#[test]
fn oversized_descriptor_is_not_followed() {
    let mut shelf = Shelf::default();
    let mut blob = shelf.blob(OCI_LAYER, b"x");
    blob["size"] = json!(1_u64 << 40);
    shelf.image(OCI_MANIFEST, &[blob]);
    let registry = shelf.serve();
    let reference = reference(&registry.address, "pp:v1");
    let examined = examine(&mut open(&reference), &reference, None).expect("an answer");
    assert_eq!(examined.refusals, [Refusal::TooLarge]);
    assert_eq!(registry.asked().len(), 1);
}

#[test]
fn gzip_bomb_is_not_unpacked() {
    // A file before the plugin that never ends: only its header is ever in memory.
    let mut header = tar::Header::new_gnu();
    header.set_path("first").expect("a name");
    header.set_size(300 << 20);
    header.set_cksum();
    let mut bomb = gzip(header.as_bytes());
    let zeros = gzip(&vec![0; 1 << 20]);
    // Concatenated members of a gzip file are one file.
    for _ in 0..300 {
        bomb.extend_from_slice(&zeros);
    }
    assert!(bomb.len() < 2 << 20);
    let mut shelf = Shelf::default();
    let blob = shelf.blob(OCI_LAYER, &bomb);
    shelf.image(OCI_MANIFEST, &[blob]);
    let registry = shelf.serve();
    let reference = reference(&registry.address, "pp:v1");
    let examined = examine(&mut open(&reference), &reference, None).expect("an answer");
    assert_eq!(examined.refusals, [Refusal::TooLarge]);
}

#[test]
fn truncated_blob_download_is_retried() {
    let blob = image().blobs[0].bytes.clone();
    let cut = move |request: &Request| {
        is_blob(request).then(|| {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", blob.len());
            let mut bytes = head.into_bytes();
            bytes.extend_from_slice(&blob[..blob.len() / 2]);
            Reply::Raw(bytes)
        })
    };
    let (error, asked) = lied({
        let cut = cut.clone();
        move |request, _| cut(request)
    });
    assert!(matches!(error, Error::Connection { .. }), "{error}");
    says(&error, &["cannot reach `127.0.0.1:"]);
    assert_eq!(asked.len(), 1 + 4);

    let registry = Shelf::of(&image(), "v1").serve_but(move |request, now| match now {
        0 => cut(request),
        _ => None,
    });
    let reference = reference(&registry.address, "pp:v1");
    let examined = examine(&mut open(&reference), &reference, None).expect("an image");
    assert_eq!(examined.wasm, Some(module("")));
}

#[test]
fn transient_failure_is_retried() {
    for status in [408, 429, 500, 502, 503, 504] {
        let registry = Shelf::of(&image(), "v1")
            .serve_but(move |_, now| (now < 2).then(|| Reply::status(status)));
        let reference = reference(&registry.address, "pp:v1");
        let examined = examine(&mut open(&reference), &reference, None).expect("an image");
        assert_eq!(examined.refusals, [], "{status}");
        assert_eq!(registry.asked().len(), 6);
    }
    let (error, asked) = lied(|_, _| {
        let body = r#"{"errors":[{"code":"UNAVAILABLE","message":"come back later"}]}"#;
        Some(Reply::Whole(503, Vec::new(), body.into()))
    });
    says(
        &error,
        &[
            "returned 503",
            "come back later (UNAVAILABLE)",
            "`pp` at `v1`",
        ],
    );
    assert_eq!(asked.len(), 4);
}

#[test]
fn permanent_failure_is_not_retried() {
    for (status, part) in [
        (400, "returned 400"),
        (403, "returned 403"),
        (404, "has no `pp` at `v1`"),
        (418, "returned 418"),
        (501, "returned 501"),
        (204, "returned 204"),
        (304, "returned 304"),
    ] {
        let (error, asked) = lied(move |_, _| Some(Reply::status(status)));
        says(&error, &[part]);
        assert_eq!(asked.len(), 1, "{status}");
    }
    // Only one line of a registry's message is included in the error.
    let (error, _) = lied(|_, _| Some(Reply::Whole(400, Vec::new(), vec![b'x'; 10 << 20])));
    assert!(error.to_string().len() < 1000);
    let (error, _) = lied(|_, _| Some(Reply::Whole(400, Vec::new(), "<html>no</html>".into())));
    assert!(!error.to_string().contains("html"), "{error}");
}

#[test]
fn malformed_http_response_is_an_error() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nx: \u{1}\u{2}\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)),
    ] {
        let (error, _) = lied(move |_, _| Some(Reply::Raw(answer.clone().into())));
        says(&error, &["127.0.0.1:"]);
    }
    let (error, asked) = lied(|_, _| Some(Reply::Cut));
    assert!(matches!(error, Error::Connection { .. }), "{error}");
    assert_eq!(asked.len(), 4);
}

/// A registry that redirects requests for blobs to another address.
fn redirecting_blobs(to: &str) -> Scripted {
    let to = to.to_owned();
    Shelf::of(&image(), "v1").serve_but(move |request, _| {
        is_blob(request).then(|| {
            let location = format!("location: http://{to}{}", request.path);
            Reply::Whole(307, vec![location], Vec::new())
        })
    })
}

#[test]
fn blob_redirects_are_followed_up_to_a_limit() {
    let elsewhere = Shelf::of(&image(), "v1").serve();
    let registry = redirecting_blobs(&elsewhere.address);
    let there = reference(&registry.address, "pp:v1");
    let examined = examine(&mut open(&there), &there, None).expect("an image");
    assert_eq!(examined.wasm, Some(module("")));
    assert_eq!(elsewhere.asked().len(), 1);

    let (error, asked) = lied(|request, _| {
        Some(Reply::Whole(
            302,
            vec![format!("location: {}", request.path)],
            Vec::new(),
        ))
    });
    says(&error, &["redirect"]);
    assert!(asked.len() < 10, "{asked:?}");
    for location in ["file:///etc/passwd", "::", ""] {
        let (error, _) = lied(move |_, _| {
            Some(Reply::Whole(
                302,
                vec![format!("location: {location}")],
                Vec::new(),
            ))
        });
        says(&error, &["127.0.0.1"]);
    }
}

/// The agent treats every name as public, even if it resolves to a private address.
#[test]
fn redirect_to_non_public_address_is_not_followed() {
    let elsewhere = Shelf::of(&image(), "v1").serve();
    let registry = redirecting_blobs(&elsewhere.address);
    let (_, port) = registry.address.rsplit_once(':').expect("a port");
    let there = reference(&format!("localhost:{port}"), "pp:v1");
    let error = examine(&mut open(&there), &there, None).expect_err("a redirect");
    assert!(matches!(error, Error::InnerRedirect { .. }), "{error}");
    says(
        &error,
        &["localhost", "127.0.0.1", "Istio's agent does not follow"],
    );
    assert!(elsewhere.asked().is_empty());

    let (error, _) = lied(|_, _| {
        let location = "location: http://169.254.169.254/latest/meta-data".to_owned();
        Some(Reply::Whole(307, vec![location], Vec::new()))
    });
    assert!(matches!(error, Error::InnerRedirect { .. }), "{error}");
}

#[test]
fn unreachable_registry_is_named_in_the_error() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = port.local_addr().expect("an address").to_string();
    drop(port);
    let reference = reference(&address, "pp:v1");
    for error in [
        examine(&mut open(&reference), &reference, None).expect_err("nobody there"),
        push(&mut open(&reference), &image(), "v1").expect_err("nobody there"),
    ] {
        says(&error, &[&format!("cannot reach `{address}`"), "refused"]);
    }
}

#[test]
fn unresponsive_registry_times_out() {
    let (end, until) = mpsc::channel::<()>();
    let until = Mutex::new(until);
    let registry = Scripted::start(move |_| {
        let _ = until.lock().expect("the end").recv();
        Reply::Cut
    });
    let reference = reference(&registry.address, "pp:v1");
    let access = Access {
        timeout: Duration::from_millis(500),
        ..Access::default()
    };
    let begun = Instant::now();
    let mut silent = Registry::open(&reference, access);
    let error = examine(&mut silent, &reference, None).expect_err("silence");
    says(&error, &["timed out after 0.5 seconds"]);
    assert!(begun.elapsed() < Duration::from_secs(20));
    drop(end);
}

/// The result of pushing to a registry that responds to uploads in this way.
fn pushed(location: Option<String>, kept: &'static str) -> (Result<Digest, Error>, Scripted) {
    let registry = Scripted::start(move |request| match request.method.as_str() {
        "HEAD" => Reply::status(404),
        "POST" => {
            let headers = location.iter().map(|it| format!("location: {it}"));
            Reply::Whole(202, headers.collect(), Vec::new())
        }
        _ => Reply::Whole(
            201,
            vec![format!("docker-content-digest: {kept}")],
            Vec::new(),
        ),
    });
    let reference = reference(&registry.address, "pp:v1");
    let pushed = push(&mut open(&reference), &image(), "v1");
    (pushed, registry)
}

#[test]
fn upload_follows_the_location_header() {
    for location in ["/upload/1", "/upload/1?state=x"] {
        let (pushed, registry) = pushed(Some(location.to_owned()), "");
        assert_eq!(pushed.expect("a push"), image().digest());
        let digest = &image().blobs[0].digest;
        let separator = if location.contains('?') { '&' } else { '?' };
        assert_eq!(
            registry.asked()[2],
            format!("PUT {location}{separator}digest={digest}")
        );
        assert_eq!(registry.requests()[2].body, image().blobs[0].bytes);
    }
    let elsewhere = Scripted::start(|_| Reply::status(201));
    let (pushed, _) = pushed(Some(format!("http://{}/upload", elsewhere.address)), "");
    pushed.expect("a push");
    assert_eq!(elsewhere.asked().len(), 2);
}

#[test]
fn invalid_upload_location_is_an_error() {
    for location in [
        "",
        "::::",
        "upload/1",
        "file:///tmp/x",
        "ftp://127.0.0.1/x",
        "http://",
        "http:///x",
        "//x y",
        "javascript:alert(1)",
        "http://[",
        "/\u{7f}",
    ] {
        let (pushed, _) = pushed(Some(location.to_owned()), "");
        let error = pushed.expect_err(location);
        assert!(
            matches!(
                error,
                Error::Location { .. } | Error::Protocol { .. } | Error::Connection { .. }
            ),
            "{location}: {error}"
        );
    }
    let (pushed, _) = pushed(None, "");
    says(
        &pushed.expect_err("no place"),
        &["redirects an upload to ``"],
    );
}

#[test]
fn partially_stored_blob_is_an_error() {
    let registry = Scripted::start(|request| match request.method.as_str() {
        "HEAD" => Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n".to_vec()),
        _ => Reply::status(201),
    });
    let reference = reference(&registry.address, "pp:v1");
    let error = push(&mut open(&reference), &image(), "v1").expect_err("half a blob");
    assert!(matches!(error, Error::Damaged { found: 1, .. }), "{error}");
    says(&error, &["has 1 bytes of the blob", "push again"]);
    assert_eq!(registry.asked().len(), 1, "and no manifest");
}

#[test]
fn wrong_digest_in_push_response_is_an_error() {
    let other = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    let (pushed, _) = pushed(Some("/upload".to_owned()), other);
    let error = pushed.expect_err("another digest");
    assert!(matches!(error, Error::Kept { .. }), "{error}");
    says(&error, &[other, &image().digest().to_string()]);
}

#[test]
fn corrupted_layer_does_not_panic() {
    let plugin = layer(&[("plugin.wasm", &module(""))]);
    let mut shelf = Shelf::default();
    for at in 0..plugin.len() {
        let mut corrupted = plugin.clone();
        corrupted[at] ^= 0x55;
        let blob = shelf.blob(OCI_LAYER, &corrupted);
        shelf.image(OCI_MANIFEST, &[blob]);
        let registry = shelf.clone().serve();
        let reference = reference(&registry.address, "pp:v1");
        let examined = examine(&mut open(&reference), &reference, None).expect("an answer");
        assert!(
            examined.wasm.is_some() || examined.refusals.len() == 1,
            "{at}"
        );
    }
}
