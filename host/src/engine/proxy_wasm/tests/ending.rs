//! The end of plugins: which of them the host waits for, and what ends the wait.

use tidegate_semantics::port::NoPort;
use tidegate_semantics::port::manual::ManualPort;

use super::*;
use crate::{PluginClock, SharedQueues};

/// A worker with one or two plugins in one instance.
struct Worker {
    chain: Option<WorkerChain>,
    lines: Arc<LogCapture>,
    clock: Arc<ManualClock>,
    queues: Arc<SharedQueues>,
    port: Rc<ManualPort>,
}

impl Worker {
    fn start(plugins: &[PluginSpec]) -> Self {
        Self::start_on(plugins, Rc::default())
    }

    /// Starts the plugins on a port that other plugins may have used before.
    fn start_on(plugins: &[PluginSpec], port: Rc<ManualPort>) -> Self {
        let lines = Arc::new(LogCapture::default());
        let clock = Arc::new(ManualClock::new(0));
        let config = ChainConfig::new(clock.clone(), lines.clone());
        let queues = config.queues.clone();
        let chain = Runtime::new(config.into()).unwrap().load(plugins).unwrap();
        let chain = chain.start_worker_with(0, port.clone()).unwrap();
        Self {
            chain: Some(chain),
            lines,
            clock,
            queues,
            port,
        }
    }

    /// Stops using the instance, and returns what it has logged.
    fn end(&mut self) -> Vec<String> {
        self.chain = None;
        self.lines.take()
    }

    /// Lets time pass, and returns what the instance has logged.
    fn advance(&self, by: Duration) -> Vec<String> {
        self.clock.advance(by);
        self.port.run_until(self.clock.now());
        self.lines.take()
    }

    /// Adds a value to a queue, and returns the plugins that the event is for, by index.
    fn enqueue(&self, queue: u32) -> Vec<usize> {
        self.queues.enqueue(queue, Bytes::new()).unwrap();
        self.port.take_queue_events()
    }

    /// Returns whether the instance still exists. It holds a reference to its log.
    fn has_instance(&self) -> bool {
        Arc::strong_count(&self.lines) > 1
    }
}

/// Returns a plugin that logs the callbacks for its end and its timer by a letter and the number of the context, and the results of
/// `$finish`, which calls `proxy_done`. The parameters are the bodies of `proxy_on_done` and `proxy_on_tick`.
fn ending(done: &str, tick: &str) -> PluginSpec {
    plugin(&module(&format!(
        r#"(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
           (import "env" "proxy_done" (func $proxy_done (result i32)))
           (import "env" "proxy_set_tick_period_milliseconds" (func $period (param i32) (result i32)))
           (func $say (param $letter i32) (param $number i32)
               (i32.store8 (i32.const 0) (local.get $letter))
               (i32.store8 (i32.const 1) (i32.add (i32.const 0x30) (local.get $number)))
               (drop (call $log (i32.const 2) (i32.const 0) (i32.const 2))))
           (func $finish (call $say (i32.const 0x66) (call $proxy_done)))
           (func (export "proxy_on_done") (param $context i32) (result i32)
               (call $say (i32.const 0x64) (local.get $context))
               {done})
           (func (export "proxy_on_tick") (param $context i32)
               (call $say (i32.const 0x74) (local.get $context))
               {tick})
           (func (export "proxy_on_delete") (param $context i32)
               (call $say (i32.const 0x78) (local.get $context)))"#
    )))
}

/// Is not done, and starts the timer.
const PENDING: &str = "(call $finish) (drop (call $period (i32.const 40))) (i32.const 0)";

/// Stops the timer, and is done, which it can report once.
const FINISH: &str = "(drop (call $period (i32.const 0))) (call $finish) (call $finish)";

const PERIOD: Duration = Duration::from_millis(40);

#[test]
fn plugin_that_is_done_is_deleted_at_once() {
    let mut worker = Worker::start(&[ending("(i32.const 1)", "")]);
    assert!(worker.has_instance());
    assert_eq!(worker.end(), ["info d1", "info x1"]);
    assert!(!worker.has_instance());
}

#[test]
fn pending_plugin_is_kept_until_it_is_done() {
    let mut worker = Worker::start(&[ending(PENDING, FINISH)]);
    // The plugin is not pending until the callback has returned.
    assert_eq!(worker.end(), ["info d1", "info f1"]);
    assert!(worker.has_instance());
    let lines = worker.advance(PERIOD);
    assert_eq!(lines, ["info t1", "info f0", "info f1", "info x1"]);
    assert!(!worker.has_instance());
    assert_eq!(worker.advance(Duration::from_secs(120)), [""; 0]);
}

#[test]
fn wait_for_a_pending_plugin_is_limited() {
    let mut worker = Worker::start(&[ending("(i32.const 0)", "")]);
    assert_eq!(worker.end(), ["info d1"]);
    assert_eq!(worker.advance(Duration::from_secs(59)), [""; 0]);
    assert!(worker.has_instance());
    let lines = worker.advance(Duration::from_secs(1));
    assert_eq!(lines, ["warn stopped: it was not done within 60 s"]);
    assert!(!worker.has_instance());
}

#[test]
fn number_of_instances_that_are_kept_is_limited() {
    let plugins = [ending("(i32.const 0)", "")];
    let mut first = Worker::start(&plugins);
    first.end();
    for number in 2..=5 {
        assert!(first.has_instance());
        let mut next = Worker::start_on(&plugins, first.port.clone());
        assert_eq!(next.end(), ["info d1"]);
        assert!(next.has_instance(), "{number}");
    }
    let reason = "warn stopped: 4 more recent instances are not done either";
    assert_eq!(first.lines.take(), [reason]);
    assert!(!first.has_instance());
}

#[test]
fn trap_ends_the_wait_for_a_pending_plugin() {
    let mut worker = Worker::start(&[ending(PENDING, "unreachable")]);
    worker.end();
    let lines = worker.advance(PERIOD);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[1].starts_with("critical `proxy_on_tick` failed: "),
        "{lines:?}"
    );
    assert!(!worker.has_instance());
}

#[test]
fn trap_when_asked_ends_all_plugins_of_the_instance() {
    let trapping = ending("unreachable", "");
    let again = PluginSpec {
        name: "again".to_owned(),
        ..trapping.clone()
    };
    let mut worker = Worker::start(&[trapping, again]);
    let lines = worker.end();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(!worker.has_instance());
}

#[test]
fn pending_plugin_does_not_keep_another_one_of_its_instance() {
    // The plugins' contexts are 1 and 2.
    let first = ending(
        "(drop (call $period (i32.const 40))) (i32.eq (local.get $context) (i32.const 2))",
        FINISH,
    );
    let second = PluginSpec {
        name: "second".to_owned(),
        ..first.clone()
    };
    let mut worker = Worker::start(&[first, second]);
    assert_eq!(worker.end(), ["info d1", "info d2", "info x2"]);
    assert!(worker.has_instance());
    let lines = worker.advance(PERIOD);
    assert_eq!(lines, ["info t1", "info f0", "info f1", "info x1"]);
    assert!(!worker.has_instance());
}

#[test]
fn plugin_that_was_dropped_listens_to_no_queue() {
    // The plugins' contexts are 1 and 2. Both register the queue, the second one last. The first one is not done.
    let first = plugin(&module(
        r#"(import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
               (i32.eqz (call $register (i32.const 0) (i32.const 1) (i32.const 8))))
           (func (export "proxy_on_done") (param $context i32) (result i32)
               (i32.eq (local.get $context) (i32.const 2)))"#,
    ));
    let second = PluginSpec {
        name: "second".to_owned(),
        ..first.clone()
    };
    let mut worker = Worker::start(&[first, second]);
    // It is the only queue.
    assert_eq!(worker.enqueue(1), [1]);
    worker.end();
    assert!(worker.has_instance());
    assert_eq!(worker.enqueue(1), [0]);
}

#[test]
fn plugin_can_become_done_while_another_one_is_dropped() {
    // The plugins' contexts are 1 and 2. The second one reports for the first one when it is deleted.
    let first = plugin(&module(
        r#"(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
           (import "env" "proxy_done" (func $proxy_done (result i32)))
           (import "env" "proxy_set_effective_context" (func $select (param i32) (result i32)))
           (func (export "proxy_on_done") (param $context i32) (result i32)
               (i32.eq (local.get $context) (i32.const 2)))
           (func (export "proxy_on_delete") (param $context i32)
               (i32.store8 (i32.const 0) (i32.add (i32.const 0x30) (local.get $context)))
               (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1)))
               (if (i32.eq (local.get $context) (i32.const 2))
                   (then
                       (drop (call $select (i32.const 1)))
                       (drop (call $proxy_done)))))"#,
    ));
    let second = PluginSpec {
        name: "second".to_owned(),
        ..first.clone()
    };
    let mut worker = Worker::start(&[first, second]);
    assert_eq!(worker.end(), ["info 2", "info 1"]);
    assert!(!worker.has_instance());
}

#[test]
fn discarded_chain_is_not_kept() {
    let pending = plugin(&module(
        r#"(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
           (func (export "proxy_on_done") (param i32) (result i32)
               (i32.store8 (i32.const 0) (i32.const 0x64))
               (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1)))
               (i32.const 0))"#,
    ));
    let mut worker = Worker::start(std::slice::from_ref(&pending));
    worker.chain.take().unwrap().discard();
    // It was asked, and is not waited for.
    assert_eq!(worker.lines.take(), ["info d"]);
    assert!(!worker.has_instance());
    assert!(!worker.port.has_timers());
}

#[test]
fn refused_plugin_listens_to_no_queue() {
    // The plugins' contexts are 1 and 2. The second one registers a queue and is refused. The first one is not done.
    let first = plugin(&module(
        r#"(import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
           (func (export "proxy_on_configure") (param $context i32) (param i32) (result i32)
               (if (i32.eq (local.get $context) (i32.const 2))
                   (then (drop (call $register (i32.const 0) (i32.const 1) (i32.const 8)))))
               (i32.eq (local.get $context) (i32.const 1)))
           (func (export "proxy_on_done") (param i32) (result i32)
               (i32.const 0))"#,
    ));
    let second = PluginSpec {
        name: "second".to_owned(),
        ..first.clone()
    };
    let config = RuntimeConfig::new(Arc::new(LogCapture::default()));
    let queues = config.chain.queues.clone();
    let port = Rc::new(ManualPort::default());
    let chain = Runtime::new(config)
        .unwrap()
        .load(&[first, second])
        .unwrap();
    let refused = chain.start_worker_with(0, port.clone()).map(|_| ());
    assert!(matches!(refused, Err(StartError::Refused { .. })));
    // The first plugin is not done, but it has never served a stream.
    assert!(!port.has_timers());
    // It is the only queue.
    queues.enqueue(1, Bytes::new()).unwrap();
    assert_eq!(port.take_queue_events(), [0; 0]);
}

#[test]
fn configuration_of_a_refused_plugin_is_not_readable() {
    // The plugins' contexts are 1 and 2. The second one does not start, and then the first one ends.
    let first = PluginSpec {
        configuration: b"own".to_vec(),
        ..plugin(&module(
            r#"(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
               (import "env" "proxy_get_buffer_bytes" (func $get (param i32 i32 i32 i32 i32) (result i32)))
               (func (export "proxy_on_vm_start") (param $context i32) (param i32) (result i32)
                   (i32.eq (local.get $context) (i32.const 1)))
               (func (export "proxy_on_delete") (param i32)
                   (i32.store8 (i32.const 0) (i32.add
                       (i32.const 0x30)
                       (call $get (i32.const 7) (i32.const 0) (i32.const 100) (i32.const 16) (i32.const 20))))
                   (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1))))"#,
        ))
    };
    let second = PluginSpec {
        name: "second".to_owned(),
        ..first.clone()
    };
    let lines = Arc::new(LogCapture::default());
    let chain = Runtime::new(RuntimeConfig::new(lines.clone()))
        .unwrap()
        .load(&[first, second])
        .unwrap();
    let refused = chain.start_worker(0).map(|_| ()).unwrap_err();
    assert!(matches!(refused, StartError::Refused { .. }), "{refused}");
    // `NotFound`
    assert_eq!(lines.take(), ["info 1"]);
}

#[test]
fn plugin_ends_after_its_last_stream() {
    let mut worker = Worker::start(&[ending("(i32.const 0)", "")]);
    let mut stream = worker.chain.as_ref().unwrap().open(Rc::new(|| ()));
    stream.request_headers(request(), true);
    assert_eq!(worker.end(), [""; 0]);
    stream.finish();
    // A stream is deleted whatever `proxy_on_done` returns.
    assert_eq!(worker.lines.take(), ["info d2", "info x2", "info d1"]);
}

#[test]
fn port_that_has_stopped_does_not_wait() {
    let lines = Arc::new(LogCapture::default());
    let chain = Runtime::new(RuntimeConfig::new(lines.clone()))
        .unwrap()
        .load(&[ending(PENDING, FINISH)])
        .unwrap();
    drop(
        chain
            .start_worker_with(0, Rc::new(NoPort::default()))
            .unwrap(),
    );
    drop(chain);
    assert_eq!(lines.take(), ["info d1", "info f1"]);
    assert_eq!(Arc::strong_count(&lines), 1);
}

#[test]
fn plugin_that_is_not_pending_cannot_become_done() {
    let text = callback(
        r#"(import "env" "proxy_done" (func $done (result i32)))"#,
        "(call $status (call $done))",
    );
    let (_, lines) = start(plugin(&text)).request();
    assert_eq!(lines, ["info 01"]);
}
