//! Data that workers share: there is one store for all workers, and it survives a reload.

use std::sync::Arc;

use tidegate_host::{PluginSpec, Server, SharedData, Upstream};

use crate::peers::{Peer, config};

/// A plugin that counts requests under a key, and retries if another worker was faster.
const COUNTER: &str = r#"(module
  (import "env" "proxy_get_shared_data" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "count")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 64)
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (loop $again
      ;; Where nothing is stored, a count of none and a version that nothing has.
      (i64.store (i32.const 64) (i64.const 0))
      (i32.store (i32.const 24) (i32.const -1))
      (drop (call $get (i32.const 0) (i32.const 5) (i32.const 16) (i32.const 20) (i32.const 24)))
      (i64.store (i32.const 64) (i64.add (i64.load (i32.const 64)) (i64.const 1)))
      (br_if $again (call $set (i32.const 0) (i32.const 5) (i32.const 64) (i32.const 8)
        (i32.load (i32.const 24)))))
    (i32.const 0)))"#;

const WORKERS: usize = 3;
const CLIENTS: usize = 6;
const REQUESTS: usize = 100;

fn ask_at_once(server: &Server) {
    std::thread::scope(|threads| {
        for _ in 0..CLIENTS {
            threads.spawn(|| {
                let mut client = Peer::connect(server);
                for _ in 0..REQUESTS {
                    let (head, _) = client.ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
                    assert_eq!(head.first, "HTTP/1.1 200 OK");
                }
            });
        }
    });
}

#[test]
fn shared_data_spans_workers_and_survives_reloads() {
    let shared = Arc::new(SharedData::default());
    let plugins = vec![PluginSpec::new(
        "counter",
        wat::parse_str(COUNTER).expect("a module"),
    )];
    let mut config = config(Upstream::Echo);
    config.workers = WORKERS;
    config.plugins = plugins.clone();
    config.shared_data = Arc::clone(&shared);
    let server = Server::start(config).expect("a proxy");
    let count = || {
        let stored = shared.get(b"count").expect("a count");
        u64::from_le_bytes(stored.value[..].try_into().expect("eight bytes"))
    };
    ask_at_once(&server);
    assert_eq!(count(), (CLIENTS * REQUESTS) as u64);
    server.reload(&plugins).expect("the same plugins");
    ask_at_once(&server);
    assert_eq!(count(), (2 * CLIENTS * REQUESTS) as u64);
}
