//! `run --dashboard` over plain HTTP: access, contents, masking, limits, events.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::Value;

use crate::tool::{Folder, PATIENCE, Serving, serve, tidegate};

/// Sets `x-seen`, and logs the request's `authorization`, then text that is dangerous for terminals and pages.
const NOSY: &str = r#"(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 16) "authorizationx-seenyes")
  (data (i32.const 64) "<img src=x onerror=pwned=1>\1b[31m\e2\80\ae</td><script>pwned=1</script>")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 65536)
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (if (i32.eqz (call $get (i32.const 0) (i32.const 16) (i32.const 13) (i32.const 0) (i32.const 4)))
      (then (drop (call $log (i32.const 3) (i32.load (i32.const 0)) (i32.load (i32.const 4))))))
    (drop (call $log (i32.const 3) (i32.const 64) (i32.const 64)))
    (drop (call $set (i32.const 0) (i32.const 29) (i32.const 6) (i32.const 35) (i32.const 3)))
    i32.const 0))"#;

/// Logs at the first tick of its timer, and traps at the second one, which ends the timer.
const TICKING: &str = r#"(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $set_period (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "<b>tick")
  (global $ticked (mut i32) (i32.const 0))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 4096)
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $set_period (i32.const 10)))
    i32.const 1)
  (func (export "proxy_on_tick") (param i32)
    (if (global.get $ticked) (then (unreachable)))
    (global.set $ticked (i32.const 1))
    (drop (call $log (i32.const 3) (i32.const 16) (i32.const 7)))))"#;

/// Writes the plugin with a timer to a file in the directory.
pub fn ticking(folder: &Folder) -> String {
    folder.file("ticking.wasm", wat::parse_str(TICKING).expect("a module"))
}

/// Writes the plugin to a file in the directory.
pub fn nosy(folder: &Folder) -> String {
    folder.file("nosy.wasm", wat::parse_str(NOSY).expect("a module"))
}

/// A proxy with one worker and a dashboard, and the dashboard's address.
pub fn serve_with_dashboard(args: &[&str]) -> (Serving, SocketAddr) {
    let mut all = vec!["--workers", "1", "--log-level", "warn"];
    if !args.iter().any(|it| it.starts_with("--dashboard=")) {
        all.push("--dashboard=127.0.0.1:0");
    }
    all.extend(args);
    let serving = serve(all);
    let address = serving
        .introduction
        .iter()
        .find_map(|line| line.strip_prefix("dashboard on http://"))
        .expect("a dashboard")
        .parse()
        .expect("an address");
    (serving, address)
}

/// The response to this request, after which the connection is closed.
pub fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a read timeout");
    stream.write_all(request.as_ref()).expect("a request");
    let mut response = Vec::new();
    stream.read_to_end(&mut response).expect("a response");
    String::from_utf8(response).expect("text")
}

fn get(address: SocketAddr, path: &str) -> String {
    ask(
        address,
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"),
    )
}

fn json(response: &str) -> Value {
    let (head, body) = response.split_once("\r\n\r\n").expect("a body");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    serde_json::from_str(body).expect("JSON")
}

/// The list of requests, once this number of them has ended. The dashboard can be slightly behind the proxy.
fn requests(address: SocketAddr, count: usize) -> Value {
    let begun = std::time::Instant::now();
    while begun.elapsed() < PATIENCE {
        let list = json(&get(address, "/api/requests"));
        let gone = list["gone"].as_u64().expect("a number");
        let kept = list["requests"].as_array().expect("a list");
        let over = kept.iter().all(|it| it["took_ns"].is_u64());
        if usize::try_from(gone).expect("few") + kept.len() == count && over {
            return list;
        }
    }
    panic!("{count} requests do not come to be listed");
}

/// The list of events, once it contains this number of them.
fn events(address: SocketAddr, count: usize) -> Value {
    let begun = std::time::Instant::now();
    while begun.elapsed() < PATIENCE {
        let list = json(&get(address, "/api/plugin-events"));
        if list["events"].as_array().expect("a list").len() == count {
            return list;
        }
    }
    panic!("{count} events do not come to be listed");
}

#[test]
fn dashboard_is_off_by_default() {
    let folder = Folder::new();
    let serving = serve([folder.module("greeter.wasm")]);
    assert!(
        !serving
            .introduction
            .iter()
            .any(|line| line.contains("dashboard"))
    );
}

#[test]
fn dashboard_binds_to_loopback_only() {
    for address in ["0.0.0.0:0", "[::]:0", "10.1.2.3:80"] {
        tidegate(["run", "a.wasm", &format!("--dashboard={address}")])
            .misses("on loopback addresses only");
    }
    tidegate(["run", "a.wasm", "--dashboard=8081"]).misses("IP:PORT");
    tidegate(["run", "a.wasm", "--dashboard-secrets"]).misses("--dashboard");
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let path = folder.module("greeter.wasm");
    tidegate(["run", &path, &format!("--dashboard={address}")]).lacks(&[
        "cannot serve the dashboard on",
        &address,
        "in use",
    ]);
}

#[test]
fn dashboard_rejects_non_loopback_host_headers() {
    let folder = Folder::new();
    let (_serving, address) = serve_with_dashboard(&[&folder.module("greeter.wasm")]);
    let with = |hosts: &str| {
        ask(
            address,
            format!("GET /api/requests HTTP/1.1\r\n{hosts}connection: close\r\n\r\n"),
        )
    };
    for good in ["localhost", "localhost:9", "127.0.0.1:8081", "[::1]:8081"] {
        let response = with(&format!("host: {good}\r\n"));
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(
            !response
                .to_lowercase()
                .contains("access-control-allow-origin"),
            "{response}"
        );
    }
    let evil = [
        "",
        "host: evil.example\r\n",
        "host: evil.example:8081\r\n",
        "host: localhost\r\nhost: evil.example\r\n",
    ];
    for hosts in evil {
        let response = with(hosts);
        assert!(
            response.starts_with("HTTP/1.1 403 Forbidden\r\n"),
            "{hosts}: {response}"
        );
        assert!(!response.contains("requests\":"), "{response}");
    }
    let post = "POST /api/requests HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let response = ask(address, post);
    assert!(response.starts_with("HTTP/1.1 405 "), "{response}");
    assert!(get(address, "/api/requests/7").starts_with("HTTP/1.1 404 "));
    assert!(get(address, "/etc/passwd").starts_with("HTTP/1.1 404 "));
}

#[test]
fn page_loads_no_external_resources() {
    let folder = Folder::new();
    let (_serving, address) = serve_with_dashboard(&[&folder.module("greeter.wasm")]);
    let page = get(address, "/");
    let (head, body) = page.split_once("\r\n\r\n").expect("a page");
    let policy = head
        .lines()
        .find_map(|line| line.strip_prefix("content-security-policy: "))
        .expect("a policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"));
    assert!(!policy.contains("unsafe"), "{policy}");
    for foreign in ["https://", "src=", "@import", "innerHTML", "url("] {
        assert!(!body.contains(foreign), "the page has `{foreign}`");
    }
}

#[test]
fn dashboard_shows_what_a_plugin_saw_and_changed() {
    let folder = Folder::new();
    let (serving, address) = serve_with_dashboard(&[&nosy(&folder)]);
    ask(
        serving.address,
        "POST /a?b HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
    );
    let list = requests(address, 1);
    let summary = &list["requests"][0];
    let expected = [("method", "POST"), ("path", "/a?b"), ("authority", "h")];
    for (name, value) in expected {
        assert_eq!(summary[name], value);
    }
    assert_eq!(summary["status"], 200);
    assert_eq!(summary["by"]["kind"], "upstream");
    assert!(list["masked"].as_bool().expect("a flag"));
    let detail = json(&get(address, &format!("/api/requests/{}", summary["id"])));
    let [step] = detail["steps"].as_array().expect("steps").as_slice() else {
        panic!("{detail}");
    };
    assert_eq!(step["plugin"], "nosy");
    assert_eq!(step["callback"], "on-request-headers");
    assert_eq!(step["outcome"], "continue");
    assert!(step["fuel"].as_u64().expect("fuel") > 0);
    assert!(step["time_ns"].as_u64().expect("a time") > 0);
    assert_eq!(
        step["lines"][0]["text"],
        "<img src=x onerror=pwned=1>\\u{1b}[31m\\u{202e}</td><script>pwned=1</script>",
        "{step}"
    );
    let rows = step["fields"][0]["rows"].as_array().expect("rows");
    let changed: Vec<_> = rows.iter().filter(|row| row["is"] != "same").collect();
    assert_eq!(changed.len(), 1, "{rows:?}");
    assert_eq!(changed[0]["is"], "added");
    assert_eq!(changed[0]["name"], "x-seen");
    assert_eq!(changed[0]["value"], "yes");
}

#[test]
fn dashboard_shows_how_a_plugin_failed() {
    const TRAPPING: &str = r#"(module
      (memory (export "memory") 1)
      (func (export "proxy_abi_version_0_2_1"))
      (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 4096)
      (func (export "proxy_on_context_create") (param i32 i32))
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable))"#;
    let folder = Folder::new();
    let path = folder.file("broken.wasm", wat::parse_str(TRAPPING).expect("a module"));
    let (serving, address) = serve_with_dashboard(&[&nosy(&folder), &path]);
    let response = ask(
        serving.address,
        "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
    );
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    let list = requests(address, 1);
    let summary = &list["requests"][0];
    assert_eq!(summary["status"], 503);
    assert_eq!(summary["by"]["kind"], "failed");
    assert_eq!(summary["by"]["plugin"], "broken");
    assert_eq!(summary["trapped"], true);
    let detail = json(&get(address, &format!("/api/requests/{}", summary["id"])));
    let step = &detail["steps"][1];
    assert_eq!(step["plugin"], "broken");
    assert_eq!(step["outcome"], "trapped");
    let trap = step["trap"].as_str().expect("a trap");
    assert!(
        trap.starts_with("`proxy_on_request_headers` failed: wasm trap:") && trap.contains('\n'),
        "{trap}"
    );
    assert_eq!(step["lines"], Value::Array(Vec::new()), "it is said once");
    assert_eq!(step["answer"]["status"], 503);
    assert!(detail["upstream"].is_null());
}

#[test]
fn dashboard_shows_events() {
    let folder = Folder::new();
    let (_serving, address) = serve_with_dashboard(&[&ticking(&folder)]);
    let list = events(address, 2);
    assert_eq!(list["gone"], 0);
    assert_eq!(list["lost"], 0);
    let (first, second) = (&list["events"][0], &list["events"][1]);
    for event in [first, second] {
        assert_eq!(event["plugin"], "ticking");
        assert_eq!(event["callback"], "on-tick");
        assert_eq!(event["worker"], 0);
        assert!(event["fuel"].as_u64().expect("fuel") > 0);
        assert!(event["time_ns"].as_u64().expect("a time") > 0);
    }
    assert_eq!(first["trap"], Value::Null);
    assert_eq!(first["lines"][0]["level"], "warn");
    assert_eq!(first["lines"][0]["text"], "<b>tick");
    let trap = second["trap"].as_str().expect("a trap");
    assert!(
        trap.starts_with("`proxy_on_tick` failed: wasm trap:"),
        "{trap}"
    );
    assert_eq!(second["lines"], Value::Array(Vec::new()), "it is said once");
}

const SECRETS: &str = "GET /token/open-sesame-1 HTTP/1.1\r\nhost: h\r\nauthorization: Bearer open-sesame-1\r\n\
     cookie: session=open-sesame-2; a=b\r\nproxy-authorization: Basic open-sesame-3\r\nx-copy: open-sesame-2\r\n\
     connection: close\r\n\r\n";

/// Everything that the dashboard shows of one request, including its first server-sent event.
fn everything(address: SocketAddr) -> String {
    let list = requests(address, 1);
    let id = &list["requests"][0]["id"];
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a read timeout");
    write!(
        stream,
        "GET /api/events HTTP/1.1\r\nhost: localhost\r\n\r\n"
    )
    .expect("a request");
    let mut events = Vec::new();
    while !events.ends_with(b"\n\n\r\n") {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).expect("an event");
        assert!(read > 0, "the events end");
        events.extend_from_slice(&piece[..read]);
    }
    let events = String::from_utf8(events).expect("text");
    assert!(events.contains("event: hello\ndata: {"), "{events}");
    let detail = get(address, &format!("/api/requests/{id}"));
    format!("{list}{events}{detail}")
}

#[test]
fn secrets_are_masked_unless_dashboard_secrets_is_given() {
    let folder = Folder::new();
    let path = nosy(&folder);
    let (serving, address) = serve_with_dashboard(&[&path]);
    ask(serving.address, SECRETS);
    let said = everything(address);
    // In the path, in a field with another name, and in the plugin's log.
    assert!(said.contains("\"/token/[masked]\""), "{said}");
    assert_eq!(said.matches("\"text\":\"[masked]\"").count(), 4, "{said}");
    assert!(!said.contains("sesame"), "{said}");

    let (serving, address) = serve_with_dashboard(&[&path, "--dashboard-secrets"]);
    ask(serving.address, SECRETS);
    let said = everything(address);
    assert!(said.contains("\"Bearer open-sesame-1\""), "{said}");
    assert!(said.contains("session=open-sesame-2; a=b"), "{said}");
    assert!(!said.contains("[masked]"), "{said}");
}

#[test]
fn dashboard_keeps_the_latest_requests() {
    let folder = Folder::new();
    let (serving, address) = serve_with_dashboard(&[&folder.module("greeter.wasm")]);
    let mut stream = TcpStream::connect(serving.address).expect("a connection");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a read timeout");
    let mut all = String::new();
    for number in 0..230 {
        let last = if number == 229 {
            "connection: close\r\n"
        } else {
            ""
        };
        all += &format!("GET /{number} HTTP/1.1\r\nhost: h\r\n{last}\r\n");
    }
    stream.write_all(all.as_bytes()).expect("requests");
    let mut responses = String::new();
    stream.read_to_string(&mut responses).expect("responses");
    assert_eq!(responses.matches("HTTP/1.1 200 OK\r\n").count(), 230);
    let list = requests(address, 230);
    let kept = list["requests"].as_array().expect("a list");
    assert_eq!((kept.len(), &list["gone"]), (200, &Value::from(30)));
    assert_eq!(kept[0]["path"], "/30");
    assert_eq!(kept[199]["path"], "/229");
    assert_eq!(list["lost"], 0);
    let first = kept[0]["id"].as_u64().expect("a number");
    let gone = get(address, &format!("/api/requests/{}", first - 1));
    assert!(gone.starts_with("HTTP/1.1 404 "), "{gone}");
}
