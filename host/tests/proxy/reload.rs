//! Reloads while the proxy serves: which streams use which plugins, that an error changes nothing, and that old plugins
//! are released.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use tidegate_host::{
    Clock, LoadError, LogSink, PluginClock, PluginSpec, ServeError, Server, StartError, Upstream,
};

use crate::modules;
use crate::peers::{NoLogs, Origin, PATIENCE, Peer, config, to};

/// The number of reloads under load. `cargo xtask soak reload` sets a higher one in `TIDEGATE_RELOADS`.
const RELOADS: usize = 100;

/// Returns a plugin that adds its version to requests and responses.
fn version(version: usize) -> PluginSpec {
    plugin(&format!(
        r#"(data (i32.const 0) "x-version{version:04}")
        (func $mark (param $map i32) (drop (call $add
          (local.get $map) (i32.const 0) (i32.const 9) (i32.const 9) (i32.const 4))))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (call $mark (i32.const 0)) i32.const 0)
        (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
          (call $mark (i32.const 2)) i32.const 0)"#
    ))
}

/// Returns a plugin. `text` is added to the part that all modules have.
fn plugin(text: &str) -> PluginSpec {
    let imports = r#"
      (import "env" "proxy_add_header_map_value"
        (func $add (param i32 i32 i32 i32 i32) (result i32)))
      (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))"#;
    modules::plugin("plugin", imports, text)
}

fn echo_with(plugin: PluginSpec, workers: usize) -> Server {
    let mut config = config(Upstream::Echo);
    config.workers = workers;
    config.plugins = vec![plugin];
    Server::start(config).expect("a proxy")
}

/// Returns the version of the plugin that a request and its response passed through.
fn asked(client: &mut Peer, request: &[u8]) -> usize {
    let (head, body) = client.ask(request);
    assert_eq!(head.first, "HTTP/1.1 200 OK");
    let back = head.get("x-version").expect("a mark on the response");
    let told: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    let forth: Vec<_> = told["headers"]
        .as_array()
        .expect("headers")
        .iter()
        .filter(|field| field[0] == "x-version")
        .map(|field| field[1].as_str().expect("text"))
        .collect();
    assert_eq!(forth, [back.as_str()], "a stream that changed its plugin");
    back.parse().expect("a number")
}

const GET: &[u8] = b"GET /a HTTP/1.1\r\nhost: h\r\n\r\n";
const POST: &[u8] = b"POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, there\r\n0\r\n\r\n";
const CHUNKS: &[u8] = b"GET /chunks/200 HTTP/1.1\r\nhost: h\r\n\r\n";

#[test]
fn reload_under_load_fails_no_request() {
    let reloads = match std::env::var("TIDEGATE_RELOADS") {
        Ok(reloads) => reloads.parse().expect("TIDEGATE_RELOADS is a number"),
        Err(_) => RELOADS,
    };
    let server = echo_with(version(0), 2);
    // Versions only increase, so a client sees one between that which was certain before its request and that which was
    // possible after it.
    let (least, most) = (AtomicU64::new(0), AtomicU64::new(0));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let (server, least, most, over) = (&server, &least, &most, &over);
                scope.spawn(move || {
                    let mut client = Peer::connect(server);
                    let mut seen = std::collections::BTreeSet::new();
                    let mut count = 0_usize;
                    while !over.load(Ordering::SeqCst) {
                        let from = least.load(Ordering::SeqCst);
                        let version = match count % 3 {
                            0 => asked(&mut client, GET),
                            1 => asked(&mut client, POST),
                            _ => {
                                let (head, body) = client.ask(CHUNKS);
                                assert_eq!(head.first, "HTTP/1.1 200 OK");
                                assert!(body.ends_with(b"chunk 200\n"), "a body that was cut off");
                                head.get("x-version")
                                    .expect("a mark")
                                    .parse()
                                    .expect("a number")
                            }
                        };
                        let to = most.load(Ordering::SeqCst);
                        assert!(
                            (from..=to).contains(&(version as u64)),
                            "client {number} saw {version}, not {from} to {to}"
                        );
                        seen.insert(version);
                        count += 1;
                    }
                    (count, seen.len())
                })
            })
            .collect();
        let mut kept = Peer::connect(&server);
        for next in 1..=reloads {
            most.store(next as u64, Ordering::SeqCst);
            let reloaded = server.reload(&[version(next)]);
            least.store(next as u64, Ordering::SeqCst);
            if reloaded.is_err() || asked(&mut kept, GET) != next {
                over.store(true, Ordering::SeqCst);
                panic!("reload {next}: {reloaded:?}");
            }
        }
        over.store(true, Ordering::SeqCst);
        for client in clients {
            let (count, seen) = client.join().expect("a client whose requests all succeed");
            assert!(
                count > 0 && seen > 1,
                "{count} requests saw {seen} versions"
            );
        }
    });
}

#[test]
fn streams_in_progress_keep_their_plugins_across_reloads() {
    let (asked, wait) = mpsc::channel();
    let (go, release) = mpsc::channel::<()>();
    let release = std::sync::Mutex::new(release);
    let origin = Origin::new(move |mut peer| {
        while let Some(head) = peer.head() {
            if head.first.starts_with("GET /slow") {
                let await_release = || {
                    let release = release.lock().expect("a lock");
                    release.recv_timeout(PATIENCE).expect("the word to go on");
                };
                asked
                    .send(head.get("x-version"))
                    .expect("a test that listens");
                await_release();
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst");
                await_release();
                peer.send("other");
            } else {
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        }
    });
    let mut config = to(origin.address);
    config.plugins = vec![version(1)];
    let server = Server::start(config).expect("a proxy");
    let mut slow = Peer::connect(&server);
    slow.send("GET /slow HTTP/1.1\r\nhost: h\r\n\r\n");
    let forth = wait.recv_timeout(PATIENCE).expect("a request upstream");
    assert_eq!(forth.as_deref(), Some("0001"));
    // The plugins change before the response head, and again in the middle of the response body.
    server.reload(&[version(2)]).expect("a reload");
    go.send(()).expect("an upstream that waits");
    let head = slow.head().expect("a response");
    assert_eq!(head.get("x-version").as_deref(), Some("0001"));
    assert_eq!(slow.bytes(5), b"first");
    server.reload(&[version(3)]).expect("a reload");
    let (head, _) = Peer::connect(&server).ask(GET);
    assert_eq!(head.get("x-version").as_deref(), Some("0003"));
    go.send(()).expect("an upstream that waits");
    assert_eq!(slow.bytes(5), b"other");
    let (head, _) = slow.ask(GET);
    assert_eq!(head.get("x-version").as_deref(), Some("0003"));
}

#[test]
fn failed_reload_keeps_the_old_plugins() {
    let server = echo_with(version(1), 2);
    let mut clients = [Peer::connect(&server), Peer::connect(&server)];
    let mut refusing =
        plugin(r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) i32.const 0)"#);
    refusing.name = "refusing".into();
    let mut trapping =
        plugin(r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) unreachable)"#);
    trapping.name = "trapping".into();
    let failed = |plugins: &[PluginSpec]| server.reload(plugins).expect_err("a failure");
    assert!(matches!(
        failed(&[version(2), refusing]),
        ServeError::Start(StartError::Refused { plugin, .. }) if plugin == "refusing"
    ));
    assert!(matches!(
        failed(&[version(2), trapping]),
        ServeError::Start(StartError::Trapped { plugin, .. }) if plugin == "trapping"
    ));
    assert!(matches!(
        failed(&[version(2), PluginSpec::new("text", &b"no plugin"[..])]),
        ServeError::Load(LoadError::NotWasm { plugin }) if plugin == "text"
    ));
    assert!(matches!(
        failed(&[PluginSpec::new("cut", &b"\0asm\x01\0\0\0\x01"[..])]),
        ServeError::Load(LoadError::Compile { plugin, .. }) if plugin == "cut"
    ));
    for client in &mut clients {
        assert_eq!(asked(client, GET), 1);
    }
    server.reload(&[version(3)]).expect("a reload");
    for client in &mut clients {
        assert_eq!(asked(client, GET), 3);
    }
}

/// A clock that returns a different time for every reading.
struct Counting(AtomicU64);

impl PluginClock for Counting {
    fn now(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

impl Clock for Counting {}

#[test]
fn reload_failing_on_one_worker_changes_no_worker() {
    let mut config = config(Upstream::Echo);
    config.workers = 2;
    config.plugins = vec![version(1)];
    config.clock = Arc::new(Counting(AtomicU64::new(1)));
    let server = Server::start(config).expect("a proxy");
    // The first worker reads an odd time, the second an even one.
    let particular = plugin(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
          (drop (call $now (i32.const 0)))
          (i32.wrap_i64 (i64.rem_u (i64.load (i32.const 0)) (i64.const 2))))"#,
    );
    assert!(matches!(
        server.reload(&[particular]),
        Err(ServeError::Start(StartError::Refused { .. }))
    ));
    // Connections are assigned to the workers in turn.
    for mut client in [Peer::connect(&server), Peer::connect(&server)] {
        assert_eq!(asked(&mut client, GET), 1);
    }
}

#[test]
fn reload_replaces_a_trapping_plugin() {
    let server = echo_with(version(1), 1);
    let mut client = Peer::connect(&server);
    let trapping = plugin(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable)"#,
    );
    server.reload(&[trapping]).expect("a reload");
    for _ in 0..2 {
        assert_eq!(client.ask(GET).0.first, "HTTP/1.1 503 Service Unavailable");
    }
    server.reload(&[version(2)]).expect("a reload");
    assert_eq!(asked(&mut client, GET), 2);
}

#[test]
fn reload_releases_replaced_plugins() {
    // Every chain and every instance holds a reference to it.
    let logs: Arc<dyn LogSink> = Arc::new(NoLogs);
    let mut config = config(Upstream::Echo);
    config.workers = 2;
    config.plugins = vec![version(1)];
    config.logs = Arc::clone(&logs);
    let server = Server::start(config).expect("a proxy");
    let mut client = Peer::connect(&server);
    let at_start = Arc::strong_count(&logs);
    for next in 0..200 {
        server.reload(&[version(next % 2)]).expect("a reload");
        assert_eq!(asked(&mut client, GET), next % 2);
    }
    // The stream of the last response may end slightly after the client has received its last byte.
    wait_for_references(&logs, at_start);
    drop(server);
    assert_eq!(Arc::strong_count(&logs), 1);
}

fn wait_for_references(logs: &Arc<dyn LogSink>, expected: usize) {
    let begun = Instant::now();
    while Arc::strong_count(logs) != expected {
        assert!(
            begun.elapsed() < PATIENCE,
            "{} are held, {expected} were",
            Arc::strong_count(logs)
        );
        std::thread::yield_now();
    }
}

#[test]
fn pending_plugins_are_released_when_they_are_done_or_the_proxy_stops() {
    // Each plugin is done after its timer has run, but for the last ones, whose timer never runs.
    let pending = |period: u32| {
        let imports = r#"
          (import "env" "proxy_done" (func $done (result i32)))
          (import "env" "proxy_set_tick_period_milliseconds" (func $period (param i32) (result i32)))"#;
        let callbacks = format!(
            r#"
            ;; 0 says that the plugin is not done. It is also the status of the hostcall.
            (func (export "proxy_on_done") (param i32) (result i32)
              (call $period (i32.const {period})))
            (func (export "proxy_on_tick") (param i32)
              (if (call $done) (then unreachable)))"#
        );
        modules::plugin("pending", imports, &callbacks)
    };
    let logs: Arc<dyn LogSink> = Arc::new(NoLogs);
    let mut config = config(Upstream::Echo);
    config.workers = 2;
    config.plugins = vec![pending(1)];
    config.logs = Arc::clone(&logs);
    let server = Server::start(config).expect("a proxy");
    let at_start = Arc::strong_count(&logs);
    for _ in 0..20 {
        server.reload(&[pending(1)]).expect("a reload");
    }
    wait_for_references(&logs, at_start);
    server.reload(&[pending(1_000_000)]).expect("a reload");
    server.reload(&[version(1)]).expect("a reload");
    assert!(Arc::strong_count(&logs) > at_start);
    drop(server);
    assert_eq!(Arc::strong_count(&logs), 1);
}
