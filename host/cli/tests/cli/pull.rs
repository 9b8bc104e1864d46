//! `tidegate pull`: what it writes, and that it writes nothing if an error occurs.

use crate::author::tidegate_in;
use crate::binary;
use crate::shipping::registries::{Distribution, Reply, Scripted, module};
use crate::shipping::ship;
use crate::tool::{Folder, component, text};

/// A real registry with a plugin, and the plugin's reference.
fn pushed(folder: &Folder) -> (Distribution, String) {
    let registry = Distribution::open();
    let place = format!("oci://{}/pp:v1", registry.address);
    ship(["push", &folder.file("plugin.wasm", module("")), &place]).succeeds();
    (registry, place)
}

#[test]
#[ignore = "needs docker-registry"]
fn pull_writes_the_module_needs_docker_registry() {
    let folder = Folder::new();
    let (_registry, place) = pushed(&folder);
    let output = text(&folder.path("back.wasm"));
    let done = ship(["pull", &place, "-o", &output]);
    assert!(done.succeeds().is_empty());
    assert!(
        done.stderr.contains("from the image `sha256:"),
        "{}",
        done.stderr
    );
    assert_eq!(std::fs::read(&output).expect("a module"), module(""));
    let done = ship(["pull", &place, "-o", "-"]);
    assert_eq!(done.succeeds(), module(""));
    assert_eq!(done.stderr, "");
}

#[test]
#[ignore = "needs docker-registry"]
fn pull_fetches_components_to_default_paths_needs_docker_registry() {
    let registry = Distribution::open();
    let folder = Folder::new();
    let bytes = component();
    let plugin = folder.file("plugin.wasm", &bytes);
    let place = format!("oci://{}/plugins/greeter:v1", registry.address);
    ship(["push", &plugin, &place, "--with-component"]).succeeds();
    let pull = |arguments: &[&str]| tidegate_in(&folder.path(""), arguments);

    pull(&["pull", &place, "--component"]).succeeds();
    let pulled = std::fs::read(folder.path("greeter.wasm")).expect("the component");
    assert!(pulled == bytes);
    pull(&["pull", &place]).succeeds();
    let module = std::fs::read(folder.path("greeter.proxy.wasm")).expect("the module");
    assert!(pull(&["adapt", "greeter.wasm", "-o", "-"]).succeeds() == module);
    // Next to the component's image, without an explicit reference.
    pull(&["adapt", "plugin.wasm"]).succeeds();
    let adapted = std::fs::read(folder.path("plugin.proxy.wasm")).expect("the module");
    assert!(adapted == module);

    let digest = format!(
        "oci://{}/plugins/greeter@sha256:{:064}",
        registry.address, 0
    );
    pull(&["pull", &digest, "--component"]).misses("--component cannot be used with");
    let other = format!("oci://{}/plugins/greeter:v2", registry.address);
    pull(&["pull", &other, "--component"]).lacks(&["v2-component"]);
}

#[test]
#[ignore = "needs docker-registry"]
fn pull_failure_writes_nothing_needs_docker_registry() {
    let folder = Folder::new();
    let (registry, place) = pushed(&folder);
    let output = folder.file("back.wasm", "what was there");
    let absent = format!("oci://{}/pp:v2", registry.address);
    let wrong = "0".repeat(64);
    ship(["pull", &absent, "-o", &output]).lacks(&["has no `pp` at `v2`", "MANIFEST_UNKNOWN"]);
    ship(["pull", &place, "-o", &output, "--sha256", &wrong])
        .fails_with(&["not the digest of this image"]);
    ship(["pull", &place, "-o", &output, "--sha256", "SHA"]).misses("64 lowercase");
    let lying = Scripted::start(|_| Reply::ok(&["content-type: application/json"], "no JSON"));
    ship([
        "pull",
        &format!("oci://{}/pp:v1", lying.address),
        "-o",
        &output,
    ])
    .lacks(&["sent an invalid manifest"]);
    assert_eq!(std::fs::read(&output).expect("a file"), b"what was there");
    let others = std::fs::read_dir(folder.path(""))
        .expect("a folder")
        .count();
    assert_eq!(others, 2, "something is left behind");
}

/// An error while writing, as on a full disk.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs docker-registry"]
fn pull_to_full_disk_reports_one_error_needs_docker_registry() {
    let folder = Folder::new();
    let (_registry, place) = pushed(&folder);
    ship(["pull", &place, "-o", "/dev/full"]).lacks(&["cannot write `/dev/full`", "No space left"]);
    ship(["pull", &place, "-o", "/proc/none/x.wasm"]).lacks(&["cannot write `/proc/none/x.wasm`"]);
}

/// The same when an existing file is replaced: the old file is kept, and no temporary file remains.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs docker-registry"]
fn pull_write_failure_keeps_existing_file_needs_docker_registry() {
    use std::process::Command;
    let folder = Folder::new();
    let (_registry, place) = pushed(&folder);
    let output = folder.file("back.wasm", "what was there");
    // Writing beyond the limit raises a signal, which ends the process unless it is ignored.
    let done = Command::new("sh")
        .args(["-c", r#"trap '' XFSZ; ulimit -f 0; exec "$@""#, "sh"])
        .args([binary::path(), "pull", &place, "-o"])
        .arg(&output)
        .env("DOCKER_CONFIG", folder.path("no-docker-here"))
        .output()
        .expect("the tool");
    let said = String::from_utf8(done.stderr).expect("text");
    assert_eq!(done.status.code(), Some(3), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let part = format!("error: cannot write `{output}`: File too large");
    assert!(said.contains(&part), "expected `{part}` in: {said}");
    assert_eq!(std::fs::read(&output).expect("a file"), b"what was there");
    let others = std::fs::read_dir(folder.path(""))
        .expect("a folder")
        .count();
    assert_eq!(others, 2, "something is left behind");
}

/// A blob that was corrupted on the registry's disk.
#[test]
#[ignore = "needs docker-registry"]
fn pull_rejects_a_corrupt_blob_needs_docker_registry() {
    let folder = Folder::new();
    let (registry, place) = pushed(&folder);
    let to = registry.address.clone();
    let way = Scripted::start(move |request| {
        let reply = crate::shipping::registries::forward(&to, request);
        match reply {
            Reply::Raw(mut bytes) if request.path.contains("/blobs/") => {
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                Reply::Raw(bytes)
            }
            other => other,
        }
    });
    let output = text(&folder.path("back.wasm"));
    let by_way = place.replace(&registry.address, &way.address);
    ship(["pull", &by_way, "-o", &output]).lacks(&["sent the wrong content for the blob `sha256:"]);
    assert!(!folder.path("back.wasm").exists());
}

/// Over TLS, to which a redirect leads on this machine: with a trusted certificate, with an untrusted one, and to a server without TLS.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs openssl and docker-registry"]
fn pull_uses_the_system_trust_store_needs_openssl() {
    use std::process::{Command, Stdio};
    let folder = Folder::new();
    let (registry, _) = pushed(&folder);
    let (certificate, key) = (
        text(&folder.path("certificate.pem")),
        text(&folder.path("key.pem")),
    );
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .args([
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-out",
            &certificate,
            "-keyout",
            &key,
        ])
        .stderr(Stdio::null())
        .status();
    let made = made.expect("`openssl` on PATH, which this test needs");
    assert!(made.success(), "openssl makes no certificate");
    let secret = registry.over_tls(&certificate, &key);
    let pull = |to: String, trusted: &str| {
        let way = Scripted::start(move |request| {
            Reply::Whole(
                307,
                vec![format!("location: {to}{}", request.path)],
                Vec::new(),
            )
        });
        let place = format!("oci://{}/pp:v1", way.address);
        let output = Command::new(binary::path())
            .args(["pull", &place, "-o", "-"])
            .env("SSL_CERT_FILE", trusted)
            .env_remove("SSL_CERT_DIR")
            .output()
            .expect("the tool");
        (
            output.status.code(),
            output.stdout,
            String::from_utf8(output.stderr).expect("text"),
        )
    };
    let port = secret
        .address
        .rsplit(':')
        .next()
        .expect("a port")
        .to_owned();
    let (code, module, said) = pull(format!("https://localhost:{port}"), &certificate);
    assert_eq!((code, module), (Some(0), self::module("")), "{said}");

    let plain = registry.address.rsplit(':').next().expect("a port");
    let none = folder.file("none.pem", "");
    let other = format!("https://127.0.0.1:{port}");
    for (to, trusted, part) in [
        (
            format!("https://localhost:{port}"),
            "/etc/ssl/certs/ca-certificates.crt",
            "certificate",
        ),
        (
            format!("https://localhost:{port}"),
            &none,
            "no root certificates",
        ),
        (other, &certificate, "certificate not valid for name"),
        (
            format!("https://localhost:{plain}"),
            &certificate,
            "localhost",
        ),
    ] {
        let (code, module, said) = pull(to, trusted);
        assert_eq!((code, module), (Some(3), Vec::new()), "{said}");
        assert!(said.contains(part), "expected `{part}` in: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
