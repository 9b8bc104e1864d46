//! `tidegate push` with a real registry, with each source of credentials, and interrupted at each request.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use serde_json::Value;
use tidegate_components::guests::{self, Shape};

use crate::binary;
use crate::json::assert_documented;
use crate::shipping::registries::{Distribution, PASSWORD, Reply, Scripted, USER, forward, module};
use crate::shipping::{run, ship, start};
use crate::tool::{Folder, PATIENCE, text};

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

fn lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    text.lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "needs docker-registry"]
fn push_prints_url_and_sha256_for_manifests_needs_docker_registry() {
    let registry = Distribution::open();
    let folder = Folder::new();
    let plugin = folder.file("plugin.wasm", module(""));
    let place = format!("oci://{}/some/plugin:1.0.0", registry.address);
    for layout in ["compat", "docker", "artifact"] {
        let done = ship(["push", &plugin, &place, "--layout", layout]);
        let said = lines(done.succeeds());
        let [url, sha256] = said.as_slice() else {
            panic!("{said:?}");
        };
        let pinned = url.strip_prefix("url: ").expect("a url");
        let hex = sha256
            .strip_prefix("sha256: \"")
            .and_then(|it| it.strip_suffix('"'));
        let hex = hex.expect("a quoted digest");
        assert_eq!(pinned, format!("{place}@sha256:{hex}"));

        let done = ship([
            "push", &plugin, &place, "--layout", layout, "--format", "json",
        ]);
        let result = json(done.succeeds());
        assert_eq!(result["url"], pinned);
        assert_eq!(result["sha256"], hex);
        assert_eq!(result["layout"], layout);
        assert_documented("push", &result);

        let verified =
            json(ship(["check", pinned, "--sha256", hex, "--format", "json"]).succeeds());
        assert_eq!(verified["inputs"][0]["layout"], layout);
        assert_documented("check", &verified);
        assert_eq!(verified["findings"], Value::Array(Vec::new()));
        let back = folder.path("back.wasm");
        ship(["pull", pinned, "-o", &text(&back)]).succeeds();
        assert_eq!(std::fs::read(&back).expect("a module"), module(""));
    }
}

#[test]
#[ignore = "needs docker-registry"]
fn push_adapts_and_annotates_a_component_needs_docker_registry() {
    let registry = Distribution::open();
    let folder = Folder::new();
    let component = guests::component("headers", Shape::Wasip2).expect("a component");
    let plugin = folder.file("headers.wasm", &component);
    let adapted = folder.path("adapted.wasm");
    ship(["adapt", &plugin, "-o", &text(&adapted)]).succeeds();

    let place = format!("oci://{}/headers:v1", registry.address);
    let options = [
        "--with-component",
        "--format",
        "json",
        "--source",
        "https://example.com",
        "--revision",
        "r",
    ];
    let done = ship(["push", &plugin, &place].into_iter().chain(options));
    let result = json(done.succeeds());
    assert!(done.stderr.contains("adapted "), "{}", done.stderr);
    let back = ship(["pull", &place, "-o", "-"]);
    assert_eq!(back.succeeds(), std::fs::read(&adapted).expect("a module"));

    let about = json(ship(["inspect", &plugin, "--format", "json"]).succeeds());
    let seen = json(ship(["inspect", &text(&adapted), "--format", "json"]).succeeds());
    let checked = json(ship(["check", &place, "--format", "json"]).succeeds());
    assert_documented("push", &result);
    assert_documented("inspect", &seen);
    assert_documented("check", &checked);
    let says = &checked["inputs"][0]["annotations"];
    assert_eq!(says["org.opencontainers.image.title"], about["name"]);
    assert_eq!(says["org.opencontainers.image.version"], about["version"]);
    assert_eq!(
        says["org.opencontainers.image.source"],
        "https://example.com"
    );
    assert_eq!(says["org.opencontainers.image.revision"], "r");
    assert_eq!(says["dev.tidegate.world"], about["world"]);
    let schema = says["dev.tidegate.configuration-schema"]
        .as_str()
        .expect("a schema");
    assert_eq!(json(schema.as_bytes()), about["schema"]);
    let capabilities = says["dev.tidegate.capabilities"]
        .as_str()
        .expect("capabilities");
    // All capabilities that Envoy must allow: without the callbacks in the list, the plugin would not be called.
    let names = |kind: &str| seen[kind].as_array().expect("a list").clone();
    let wasi = names("wasi").into_iter().map(|it| it["function"].clone());
    let needed: BTreeSet<String> = names("callbacks")
        .into_iter()
        .chain(names("hostcalls"))
        .chain(wasi)
        .filter_map(|name| Some(name.as_str()?.rsplit('.').next()?.to_owned()))
        .filter(|name| name != "proxy_on_memory_allocate")
        .collect();
    assert!(needed.contains("proxy_on_request_headers"), "{needed:?}");
    assert_eq!(
        capabilities.split(',').collect::<Vec<_>>(),
        needed.iter().collect::<Vec<_>>()
    );

    // The component was pushed, too.
    let beside = result["component"]["url"].as_str().expect("a url");
    assert!(beside.starts_with(&format!(
        "oci://{}/headers:v1-component@sha256:",
        registry.address
    )));
    let done = ship(["check", beside]);
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8_lossy(&done.stdout);
    for part in ["`application/wasm`", "CNCF", "[agent]"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
#[ignore = "needs docker-registry"]
fn push_digest_is_independent_of_location_needs_docker_registry() {
    let registry = Distribution::open();
    let component = guests::component("headers", Shape::Wasip2).expect("a component");
    let mut digests = Vec::new();
    for (i, name) in ["a.wasm", "another-name.wasm"].into_iter().enumerate() {
        let folder = Folder::new();
        let plugin = folder.file(name, &component);
        let place = format!("oci://{}/p{i}/q:v{i}", registry.address);
        let done = ship([
            "push",
            &plugin,
            &place,
            "--with-component",
            "--format",
            "json",
        ]);
        let result = json(done.succeeds());
        let beside = result["component"]["url"]
            .as_str()
            .expect("a url")
            .to_owned();
        let digest = beside.rsplit('@').next().expect("a digest").to_owned();
        digests.push((result["sha256"].clone(), digest));
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn push_rejects_modules_envoy_would_reject() {
    let folder = Folder::new();
    // Nothing is sent, so no registry is needed.
    let place = "oci://127.0.0.1:1/pp:v1";
    let plugin =
        |name: &str, text: &str| folder.file(name, wat::parse_str(text).expect("a module"));
    let imports = r#"(import "env" "proxy_log" (func)) (import "wasi_snapshot_preview1" "clock_res_get" (func (param i32 i32) (result i32)))"#;
    let wrong = folder.file("imports.wasm", module(imports));
    ship(["push", &wrong, place]).fails_with(&[
        "Envoy would not load",
        "imports.wasm",
        "`env` `proxy_log` as",
        "`clock_res_get`, which Envoy 1.36 does not provide; 1.39 and newer do",
    ]);
    ship(["push", &plugin("bare.wasm", "(module)"), place]).fails_with(&[
        "declares no supported Proxy-Wasm ABI version",
        "neither `malloc` nor",
        "memory is not exported",
    ]);
    let none = folder.file("none.wasm", "#!/bin/sh");
    ship(["push", &none, place]).fails_with(&["cannot push", "none.wasm"]);
    let other = plugin("other.wasm", "(component)");
    ship(["push", &other, place]).fails_with(&["cannot adapt", "other.wasm"]);
    let good = folder.file("good.wasm", module(""));
    ship(["push", &good, place, "--with-component"])
        .fails_with(&["--with-component requires a component"]);
    ship(["push", &text(&folder.path("absent.wasm")), place]).lacks(&["absent.wasm"]);
}

#[test]
fn push_requires_a_tagged_reference() {
    let digest = "0".repeat(64);
    for (place, part) in [
        ("127.0.0.1:5000/pp:v1", "does not start with `oci://`"),
        ("oci://127.0.0.1:5000/pp", "the tag is missing"),
        (
            &format!("oci://127.0.0.1:5000/pp:v1@sha256:{digest}"),
            "specify only a tag",
        ),
        ("oci://127.0.0.1:5000/P:v1", "not a valid repository name"),
    ] {
        ship(["push", "x.wasm", place]).misses(part);
    }
    ship(["push", "x.wasm", "oci://a.b/pp:v1", "--username", "me"]).misses("--password-stdin");
    ship(["push", "x.wasm", "oci://a.b/pp:v1", "--timeout", "0"]).misses("seconds");
    let options = ["--username", "me", "--password-stdin"];
    ship(["push", "-", "oci://a.b/pp:v1"].into_iter().chain(options))
        .misses("stdin cannot be used for both");
}

#[test]
#[ignore = "needs docker-registry"]
fn push_uses_flag_and_docker_credentials_needs_docker_registry() {
    let registry = Distribution::locked();
    let folder = Folder::new();
    let plugin = folder.file("plugin.wasm", module(""));
    let host = &registry.address;
    let place = format!("oci://{host}/pp:v1");
    let push = ["push", plugin.as_str(), place.as_str()];
    ship(push).lacks(&[
        "requires credentials",
        &format!("docker login {host}"),
        "--username",
        &place,
    ]);

    let by_flag = |password: &str| {
        let options = ["--username", USER, "--password-stdin"];
        run(push.into_iter().chain(options), None, password.as_bytes())
    };
    by_flag(PASSWORD).succeeds();
    by_flag(&format!("{PASSWORD}\n")).succeeds();
    by_flag("wrong").lacks(&["rejects the credentials of `mate`", host]);
    by_flag("").fails_with(&["the password is missing"]);

    let docker = |name: &str, config: &str| {
        let path = folder.path(name);
        std::fs::create_dir(&path).expect("a folder");
        std::fs::write(path.join("config.json"), config).expect("a file");
        run(push, Some(&path), b"")
    };
    // `mate:s3cret pass:word`
    let right = "bWF0ZTpzM2NyZXQgcGFzczp3b3Jk";
    docker(
        "auth",
        &format!(r#"{{"auths":{{"{host}":{{"auth":"{right}"}}}}}}"#),
    )
    .succeeds();
    docker(
        "other",
        &format!(r#"{{"auths":{{"ghcr.io":{{"auth":"{right}"}}}}}}"#),
    )
    .lacks(&["requires credentials"]);
    docker("broken", "{").lacks(&["Docker's configuration", "cannot read `config.json`"]);
    docker(
        "base64",
        &format!(r#"{{"auths":{{"{host}":{{"auth":"!"}}}}}}"#),
    )
    .lacks(&["Docker's configuration", host]);
    docker(
        "absent",
        &format!(r#"{{"credHelpers":{{"{host}":"tidegate-is-not-there"}}}}"#),
    )
    .lacks(&["cannot run", "`docker-credential-tidegate-is-not-there`"]);
}

/// Podman stores its credentials in a separate file.
#[cfg(unix)]
#[test]
#[ignore = "needs docker-registry"]
fn push_reads_podman_credentials_needs_docker_registry() {
    use std::process::Command;
    let registry = Distribution::locked();
    let folder = Folder::new();
    let plugin = folder.file("plugin.wasm", module(""));
    let place = format!("oci://{}/pp:v1", registry.address);
    // `mate:s3cret pass:word`
    let right = format!(
        r#"{{"auths":{{"{}":{{"auth":"bWF0ZTpzM2NyZXQgcGFzczp3b3Jk"}}}}}}"#,
        registry.address
    );
    std::fs::create_dir_all(folder.path("run/containers")).expect("a folder");
    folder.file("run/containers/auth.json", &right);
    folder.file("named.json", &right);
    let push = |variable: &str, value: &str| {
        let output = Command::new(binary::path())
            .args(["push", &plugin, &place])
            .env("DOCKER_CONFIG", folder.path("none"))
            .env("HOME", folder.path("none"))
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("REGISTRY_AUTH_FILE")
            .env(variable, folder.path(value))
            .output()
            .expect("the tool");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        (output.status.code(), said)
    };
    for (variable, value, code, part) in [
        ("REGISTRY_AUTH_FILE", "named.json", 0, ""),
        ("XDG_RUNTIME_DIR", "run", 0, ""),
        ("XDG_CONFIG_HOME", "run", 0, ""),
        ("XDG_RUNTIME_DIR", "none", 3, "requires credentials"),
        (
            "REGISTRY_AUTH_FILE",
            "none.json",
            3,
            "none.json`: cannot read",
        ),
    ] {
        let (ended, said) = push(variable, value);
        assert_eq!(ended, Some(code), "{variable} {value}: {said}");
        assert!(said.contains(part), "{variable} {value}: {said}");
    }
}

/// A credential helper is a program named `docker-credential-…` that reads the registry from stdin and prints the credentials.
#[cfg(unix)]
#[test]
#[ignore = "needs docker-registry"]
fn push_asks_credential_helpers_needs_docker_registry() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;
    let registry = Distribution::locked();
    let folder = Folder::new();
    let plugin = folder.file("plugin.wasm", module(""));
    let place = format!("oci://{}/pp:v1", registry.address);
    let host = &registry.address;
    let helper = |name: &str, script: &str| {
        let path = folder.file(
            &format!("docker-credential-{name}"),
            format!("#!/bin/sh\nread server\n{script}\n"),
        );
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a program");
    };
    helper(
        "right",
        &format!(
            r#"test "$1 $server" = "get {host}" || exit 1; echo '{{"Username":"{USER}","Secret":"{PASSWORD}"}}'"#
        ),
    );
    helper(
        "nothing",
        "echo 'credentials not found in native keychain'; exit 1",
    );
    helper("locked", "echo 'the keychain is locked' >&2; exit 1");
    let push = |config: String| {
        folder.file("config.json", config);
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new(binary::path())
            .args(["push", &plugin, &place])
            .env("DOCKER_CONFIG", folder.path(""))
            .env("PATH", format!("{}:{path}", text(&folder.path(""))))
            .output()
            .expect("the tool");
        (
            output.status.code(),
            String::from_utf8(output.stderr).expect("text"),
        )
    };
    for config in [
        format!(r#"{{"credHelpers":{{"{host}":"right"}}}}"#),
        r#"{"credsStore":"right"}"#.to_owned(),
    ] {
        let (code, said) = push(config);
        assert_eq!(code, Some(0), "{said}");
    }
    for (config, part) in [
        (r#"{"credsStore":"nothing"}"#, "requires credentials"),
        (
            r#"{"credsStore":"absent","credHelpers":{"a.b":"right"}}"#,
            "cannot run the credential helper `docker-credential-absent`",
        ),
        (
            r#"{"credsStore":"locked"}"#,
            "`docker-credential-locked` fails: the keychain is locked",
        ),
    ] {
        let (code, said) = push(config.to_owned());
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(part), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

/// Kills the tool at each of its requests, before or after the registry has received it.
#[test]
#[ignore = "needs docker-registry"]
fn push_is_atomic_when_killed_needs_docker_registry() {
    let registry = Distribution::open();
    let folder = Folder::new();
    let old = folder.file("old.wasm", module(""));
    let new = folder.file(
        "new.wasm",
        module(r#"(import "env" "proxy_done" (func (result i32)))"#),
    );
    // Three requests for each of two blobs, and one for the manifest.
    const REQUESTS: usize = 7;
    for at in 0..REQUESTS {
        for is_done in [false, true] {
            let repository = format!("p{at}{is_done}");
            let there = format!("oci://{}/{repository}:v1", registry.address);
            ship(["push", &old, &there]).succeeds();
            let (reached, at_it) = mpsc::channel();
            let (end, until) = mpsc::channel::<()>();
            let (count, until, to) = (
                AtomicUsize::new(0),
                Mutex::new(until),
                registry.address.clone(),
            );
            let way = Scripted::start(move |request| {
                let now = count.fetch_add(1, Ordering::SeqCst);
                if now < at {
                    return forward(&to, request);
                }
                if is_done && now == at {
                    forward(&to, request);
                }
                let _ = reached.send(());
                let _ = until.lock().expect("the end").recv();
                Reply::Cut
            });
            let by_way = format!("oci://{}/{repository}:v1", way.address);
            let mut child = start(["push", &new, &by_way], None, b"");
            at_it.recv_timeout(PATIENCE).expect("the request");
            child.kill().expect("it lives");
            child.wait().expect("its end");
            drop(end);
            let back = ship(["pull", &there, "-o", "-"]);
            let expected = if is_done && at + 1 == REQUESTS {
                &new
            } else {
                &old
            };
            let expected = std::fs::read(expected).expect("a module");
            assert_eq!(back.succeeds(), expected, "killed at {at}, {is_done}");
        }
    }
}

#[test]
fn push_to_unreachable_registry_reports_one_error() {
    let folder = Folder::new();
    let plugin = folder.file("plugin.wasm", module(""));
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = port.local_addr().expect("an address");
    drop(port);
    ship(["push", &plugin, &format!("oci://{address}/pp:v1")])
        .lacks(&["cannot push to", &format!("cannot reach `{address}`")]);
}

#[test]
fn push_escapes_control_characters_in_registry_errors() {
    let folder = Folder::new();
    let plugin = folder.file("plugin.wasm", module(""));
    let registry = Scripted::start(|request| {
        if request.method == "HEAD" {
            return Reply::status(404);
        }
        let body = r#"{"errors":[{"code":"X","message":"\u001b[2J no \n error: none"}]}"#;
        Reply::Whole(400, Vec::new(), body.into())
    });
    let place = format!("oci://{}/pp:v1", registry.address);
    ship(["push", &plugin, &place]).lacks(&[
        "returned 400 for the upload",
        "\\u{1b}[2J no \\n error: none (X)",
    ]);
}
