//! The admin listener: what it reports of plugins, and that it is bounded and optional.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use tidegate_host::{Clock, ManualClock, PluginSpec, ServeError, Server, SystemClock, Upstream};

use crate::modules;
use crate::peers::{PATIENCE, Peer, before_echo, config, start};

const GET: &str = "GET /a HTTP/1.1\r\nhost: h\r\n\r\n";

/// The size of a page of linear memory in bytes.
const PAGE: usize = 65_536;

/// Returns a plugin with one page of memory. `text` is added to the part that all modules have.
fn plugin(name: &str, text: &str) -> PluginSpec {
    let imports = r#"
      (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
      (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
      (import "env" "proxy_record_metric" (func $record (param i32 i64) (result i32)))
      (import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
      (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))"#;
    let data = r#"(data (i32.const 16) "visitors.allvisitors.sizes")"#;
    modules::plugin(name, imports, &format!("{data} {text}"))
}

/// A plugin that counts requests and records the number 30 for each.
const COUNTING: &str = r#"
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $define (i32.const 0) (i32.const 16) (i32.const 12) (i32.const 0)))
    (drop (call $define (i32.const 2) (i32.const 28) (i32.const 14) (i32.const 4)))
    i32.const 1)
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $increment (i32.load (i32.const 0)) (i64.const 1)))
    (drop (call $record (i32.load (i32.const 4)) (i64.const 30)))
    i32.const 0)"#;

/// A plugin that traps on each request.
const TRAPPING: &str =
    r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable)"#;

/// A plugin that adds a value to its queue on each request, and has no callback for it.
const QUEUEING: &str = r#"
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $register (i32.const 16) (i32.const 8) (i32.const 0)))
    i32.const 1)
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $enqueue (i32.load (i32.const 0)) (i32.const 16) (i32.const 1)))
    i32.const 0)"#;

/// A plugin whose memory grows by a page on each request.
const GROWING: &str = r#"
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (memory.grow (i32.const 1)))
    i32.const 0)"#;

/// Starts a proxy with an admin listener in front of the echo server.
fn serve(plugins: Vec<PluginSpec>, workers: usize) -> Server {
    serve_with(plugins, workers, Arc::new(SystemClock))
}

fn serve_with(plugins: Vec<PluginSpec>, workers: usize, clock: Arc<dyn Clock>) -> Server {
    let mut config = config(Upstream::Echo);
    config.admin = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.workers = workers;
    config.plugins = plugins;
    config.clock = clock;
    Server::start(config).expect("a proxy")
}

fn connect(server: &Server) -> TcpStream {
    let address = server.admin_addr().expect("an admin listener");
    let stream = TcpStream::connect(address).expect("a connection");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a read timeout");
    stream
}

/// Sends a request to the admin listener, and returns everything that it sends until it closes the connection.
fn ask(server: &Server, request: &str) -> String {
    let mut stream = connect(server);
    stream.write_all(request.as_bytes()).expect("a request");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    response
}

fn get(server: &Server, path: &str) -> String {
    ask(server, &format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n"))
}

/// Returns the metrics, one per line.
fn metrics(server: &Server) -> String {
    let response = get(server, "/metrics");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8"),
        "{head}"
    );
    body.to_owned()
}

/// Returns the value of a time series.
#[track_caller]
fn value(metrics: &str, series: &str) -> String {
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = value.unwrap_or_else(|| panic!("`{series}` is not in:\n{metrics}"));
    value.to_owned()
}

/// Waits until a time series has a value.
#[track_caller]
fn wait_for(server: &Server, series: &str, expected: usize) {
    let begun = Instant::now();
    loop {
        let value = value(&metrics(server), series);
        if value == expected.to_string() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{series} is {value}");
        std::thread::yield_now();
    }
}

#[test]
fn metrics_of_plugins_are_reported() {
    let server = serve(vec![plugin("counting", COUNTING)], 1);
    let text = metrics(&server);
    assert!(text.contains("\n# TYPE visitors_all counter\nvisitors_all 0\n"));
    let mut client = Peer::connect(&server);
    for _ in 0..3 {
        client.ask(GET);
    }
    let text = metrics(&server);
    assert_eq!(value(&text, "visitors_all"), "3");
    assert_eq!(value(&text, r#"visitors_sizes_bucket{le="25"}"#), "0");
    assert_eq!(value(&text, r#"visitors_sizes_bucket{le="50"}"#), "3");
    assert_eq!(value(&text, r#"visitors_sizes_bucket{le="+Inf"}"#), "3");
    assert_eq!(value(&text, "visitors_sizes_sum"), "90");
    assert_eq!(value(&text, "visitors_sizes_count"), "3");
}

#[test]
fn callbacks_and_memory_are_counted_on_all_workers() {
    let server = serve(vec![plugin("growing", GROWING)], 2);
    // Connections are assigned to the workers in turn.
    Peer::connect(&server).ask(GET);
    let mut second = Peer::connect(&server);
    second.ask(GET);
    second.ask(GET);
    let text = metrics(&server);
    let callbacks = value(
        &text,
        r#"tidegate_plugin_callbacks_total{plugin="growing"}"#,
    );
    assert_eq!(callbacks, "3");
    let seconds = value(
        &text,
        r#"tidegate_plugin_callback_seconds_total{plugin="growing"}"#,
    );
    let seconds: f64 = seconds.parse().expect("a number");
    assert!(seconds > 0.0 && seconds < PATIENCE.as_secs_f64());
    let mut memory = [0, 1].map(|worker| {
        let series =
            format!(r#"tidegate_plugin_memory_bytes{{plugin="growing",worker="{worker}"}}"#);
        value(&text, &series).parse::<usize>().expect("a number")
    });
    memory.sort_unstable();
    assert_eq!(memory, [2 * PAGE, 3 * PAGE]);
    for counter in ["traps", "restarts"] {
        let series = format!(r#"tidegate_plugin_{counter}_total{{plugin="growing"}}"#);
        assert_eq!(value(&text, &series), "0");
    }
}

#[test]
fn callbacks_that_a_plugin_does_not_export_are_not_counted() {
    let server = serve(vec![plugin("queueing", QUEUEING)], 1);
    let mut client = Peer::connect(&server);
    // The event of a request has passed when the next request is processed.
    for _ in 0..3 {
        client.ask(GET);
    }
    let series = r#"tidegate_plugin_callbacks_total{plugin="queueing"}"#;
    assert_eq!(value(&metrics(&server), series), "3");
}

#[test]
fn traps_and_restarts_are_counted() {
    let clock = Arc::new(ManualClock::new(1));
    let plugin = plugin("trapping", TRAPPING);
    let interval = plugin.restart_interval;
    let server = serve_with(vec![plugin], 1, clock.clone());
    let mut client = Peer::connect(&server);
    for requests in 1..=3_usize {
        let (head, _) = client.ask(GET);
        assert_eq!(head.first, "HTTP/1.1 503 Service Unavailable");
        let text = metrics(&server);
        for (counter, expected) in [
            ("callbacks", requests),
            ("traps", requests),
            ("restarts", requests - 1),
        ] {
            let series = format!(r#"tidegate_plugin_{counter}_total{{plugin="trapping"}}"#);
            assert_eq!(value(&text, &series), expected.to_string(), "{counter}");
        }
        let series = r#"tidegate_plugin_memory_bytes{plugin="trapping",worker="0"}"#;
        assert_eq!(value(&text, series), "0");
        // The next request gets a new instance.
        clock.advance(interval);
    }
}

#[test]
fn plugins_of_one_instance_are_reported_by_their_escaped_names() {
    let names = ["a\"b", "c\\d\n"];
    let plugins = names.map(|name| plugin(name, GROWING));
    let server = serve(plugins.to_vec(), 1);
    Peer::connect(&server).ask(GET);
    let text = metrics(&server);
    for name in [r#"a\"b"#, r"c\\d\n"] {
        let series = format!(r#"tidegate_plugin_callbacks_total{{plugin="{name}"}}"#);
        assert_eq!(value(&text, &series), "1");
        let series = format!(r#"tidegate_plugin_memory_bytes{{plugin="{name}",worker="0"}}"#);
        assert_eq!(value(&text, &series), (3 * PAGE).to_string());
    }
}

#[test]
fn counters_survive_a_reload_and_old_instances_do_not() {
    let server = serve(vec![plugin("counting", COUNTING)], 1);
    let mut client = Peer::connect(&server);
    client.ask(GET);
    server
        .reload(&[plugin("counting", GROWING)])
        .expect("a reload");
    client.ask(GET);
    let text = metrics(&server);
    assert_eq!(value(&text, "visitors_all"), "1");
    let series = r#"tidegate_plugin_callbacks_total{plugin="counting"}"#;
    assert_eq!(value(&text, series), "2");
    // The first stream may end slightly after the client has received its last byte.
    let series = r#"tidegate_plugin_memory_bytes{plugin="counting",worker="0"}"#;
    wait_for(&server, series, 2 * PAGE);
}

#[test]
fn readiness_and_unknown_paths_have_their_statuses() {
    let server = serve(Vec::new(), 1);
    assert!(get(&server, "/ready").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(get(&server, "/").starts_with("HTTP/1.1 404 Not Found\r\n"));
    // The proxy's own port does not serve them.
    let (_, body) = Peer::connect(&server).ask("GET /ready HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_ne!(body, b"ready\n");
    let address = server.admin_addr().expect("an admin listener");
    drop(server);
    assert!(
        TcpStream::connect(address).is_err(),
        "the admin port is still open"
    );
}

#[test]
fn slow_and_large_requests_do_not_hold_up_others() {
    let server = serve(Vec::new(), 1);
    let mut slow = connect(&server);
    slow.write_all(b"GET /rea").expect("a part of a request");
    let large = format!("{:x<8192}", "GET /ready HTTP/1.1\r\nx: ");
    assert!(ask(&server, &large).starts_with("HTTP/1.1 431 "));
    assert!(get(&server, "/ready").starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn there_is_no_admin_listener_by_default() {
    assert_eq!(before_echo().admin_addr(), None);
}

#[test]
fn admin_address_in_use_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let admin = taken.local_addr().expect("an address");
    let mut config = config(Upstream::Echo);
    config.admin = Some(admin);
    assert!(matches!(
        start(config),
        Err(ServeError::Listen { address, .. }) if address == admin
    ));
}
