//! Plugins that trap again and again: how often they are started, and what becomes of other requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tidegate_host::{FailurePolicy, ManualClock, PluginSpec, Server, Upstream};

use crate::modules::{self, LOG, Reports};
use crate::peers::{PATIENCE, Peer, config};

/// Returns a plugin that traps in requests with many fields.
fn plugin(policy: FailurePolicy, restart_interval: Duration) -> PluginSpec {
    let plugin = modules::plugin(
        "plugin",
        LOG,
        r#"(data (i32.const 0) "started")
          (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (drop (call $log (i32.const 2) (i32.const 0) (i32.const 7)))
            i32.const 1)
          (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (if (i32.gt_u (local.get 1) (i32.const 20)) (then unreachable))
            i32.const 0)"#,
    );
    PluginSpec {
        failure_policy: policy,
        restart_interval,
        ..plugin
    }
}

/// Starts a proxy with one worker.
fn start(plugin: PluginSpec) -> (Server, Arc<ManualClock>, mpsc::Receiver<()>) {
    let (started, starts) = mpsc::channel();
    let clock = Arc::new(ManualClock::new(1));
    let mut config = config(Upstream::Echo);
    config.plugins = vec![plugin];
    config.logs = Arc::new(Reports {
        message: "started",
        to: started,
    });
    config.clock = clock.clone();
    let server = Server::start(config).expect("a proxy");
    starts.recv_timeout(PATIENCE).expect("the first start");
    (server, clock, starts)
}

const GOOD: &str = "GET /a HTTP/1.1\r\nhost: h\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK";
const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable";

/// Returns a request in which the plugin traps.
fn bad() -> String {
    format!(
        "GET /a HTTP/1.1\r\nhost: h\r\n{}\r\n",
        "x: 1\r\n".repeat(20)
    )
}

fn status(client: &mut Peer, request: &str) -> String {
    client.ask(request).0.first
}

#[test]
fn storm_of_traps_starts_no_instance_before_the_interval_has_passed() {
    let interval = Duration::from_secs(1);
    let (server, clock, starts) = start(plugin(FailurePolicy::Reload, interval));
    let (mut storm, mut other) = (Peer::connect(&server), Peer::connect(&server));
    assert_eq!(status(&mut other, GOOD), OK);
    for round in 0..3 {
        for _ in 0..100 {
            assert_eq!(status(&mut storm, &bad()), UNAVAILABLE);
        }
        assert_eq!(status(&mut other, GOOD), UNAVAILABLE);
        assert_eq!(starts.try_recv(), Err(mpsc::TryRecvError::Empty));
        clock.advance(interval);
        // Without a request.
        let started = starts.recv_timeout(PATIENCE);
        assert_eq!(started, Ok(()), "round {round}");
        assert_eq!(status(&mut other, GOOD), OK);
    }
}

#[test]
fn every_request_is_answered_while_a_plugin_traps() {
    let (server, _, starts) = start(plugin(FailurePolicy::Reload, Duration::ZERO));
    let is_over = AtomicBool::new(false);
    let (connected, is_connected) = mpsc::channel();
    let served = std::thread::scope(|scope| {
        let others: Vec<_> = (0..4)
            .map(|_| {
                let (server, is_over, connected) = (&server, &is_over, connected.clone());
                scope.spawn(move || {
                    let mut client = Peer::connect(server);
                    assert_eq!(status(&mut client, GOOD), OK);
                    connected.send(()).expect("a test that waits");
                    let mut served = 0;
                    while !is_over.load(Ordering::SeqCst) {
                        let status = status(&mut client, GOOD);
                        assert!([OK, UNAVAILABLE].contains(&status.as_str()), "{status}");
                        served += usize::from(status == OK);
                    }
                    served
                })
            })
            .collect();
        for _ in &others {
            is_connected.recv_timeout(PATIENCE).expect("a client");
        }
        let mut storm = Peer::connect(&server);
        for _ in 0..300 {
            assert_eq!(status(&mut storm, &bad()), UNAVAILABLE);
        }
        is_over.store(true, Ordering::SeqCst);
        let served = others.into_iter().map(|it| it.join().expect("a client"));
        served.sum::<usize>()
    });
    assert!(served > 0);
    assert_eq!(status(&mut Peer::connect(&server), GOOD), OK);
    assert!(
        starts.try_iter().count() <= 300,
        "more instances were started than there were traps"
    );
}

#[test]
fn requests_bypass_a_plugin_that_traps_if_it_fails_open() {
    let (server, clock, starts) = start(plugin(FailurePolicy::Open, Duration::ZERO));
    let (mut storm, mut other) = (Peer::connect(&server), Peer::connect(&server));
    assert_eq!(status(&mut storm, &bad()), UNAVAILABLE);
    clock.advance(Duration::from_secs(10));
    for _ in 0..10 {
        assert_eq!(status(&mut storm, &bad()), OK);
        assert_eq!(status(&mut other, GOOD), OK);
    }
    assert_eq!(starts.try_recv(), Err(mpsc::TryRecvError::Empty));
}
