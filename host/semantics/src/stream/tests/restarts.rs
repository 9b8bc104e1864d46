//! When a new instance replaces one that has trapped.

use super::*;
use crate::clock::Clock;
use crate::fields::Pseudo;
use crate::port::manual::ManualPort;

const SECOND: Duration = Duration::from_secs(1);

/// A chain with a clock that the test advances.
struct Setup {
    script: Scripted,
    clock: Arc<ManualClock>,
    port: Rc<ManualPort>,
    logs: Arc<LogCollector>,
    chain: WorkerChain,
}

impl Setup {
    /// Starts a chain with one plugin for each policy. They are restarted once a second, and the first one traps in each
    /// request whose path is `/trap`.
    fn new(policies: &[FailurePolicy]) -> Self {
        let script = Scripted::default().on(0, Phase::RequestHeaders, |context| {
            let is_bad = stream_of(context).shared.read(|state| {
                state
                    .map(FieldMap::RequestHeaders)
                    .and_then(|fields| fields.pseudo(Pseudo::Path))
                    .is_some_and(|path| path == "/trap")
            });
            match is_bad {
                true => Err(Trap::new("it is broken")),
                false => Ok(Action::Continue),
            }
        });
        let clock = Arc::new(ManualClock::new(0));
        let port = Rc::new(ManualPort::default());
        let logs = Arc::new(LogCollector::default());
        let Chain(loaded) = chain_with(&script, policies, logs.clone());
        let mut loaded = Arc::into_inner(loaded).unwrap();
        loaded.config.clock = clock.clone();
        for plugin in &mut loaded.plugins {
            plugin.spec.restart_interval = SECOND;
        }
        let chain = Chain(Arc::new(loaded))
            .start_worker_with(0, port.clone())
            .unwrap();
        Self {
            script,
            clock,
            port,
            logs,
            chain,
        }
    }

    fn request(&self, path: &str) -> Vec<String> {
        let mut stream = open(&self.chain);
        let fields = fields(&[
            (":authority", "a"),
            (":path", path),
            (":method", "GET"),
            (":scheme", "http"),
        ]);
        stream.request_headers(fields, true);
        let effects = take_effects(&mut stream);
        stream.finish();
        effects
    }

    /// Lets time pass, without the event loop.
    fn wait(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Runs what is due.
    fn run_events(&self) {
        self.port.run_until(self.clock.monotonic());
    }

    fn instances(&self) -> usize {
        self.script.0.lock().unwrap().instances
    }
}

const SERVED: [&str; 1] = ["request-headers:end"];
const FAILED: [&str; 1] = ["response-headers:503:end"];

#[test]
fn instance_is_replaced_between_requests() {
    let setup = Setup::new(&[RELOAD]);
    setup.wait(SECOND);
    assert_eq!(setup.request("/trap"), FAILED);
    assert_eq!(setup.instances(), 1);
    setup.run_events();
    assert_eq!(setup.instances(), 2);
    assert_eq!(setup.request("/"), SERVED);
    assert_eq!(setup.instances(), 2);
    assert!(!setup.port.has_timers());
}

#[test]
fn storm_of_traps_starts_one_instance_each_second() {
    let setup = Setup::new(&[RELOAD]);
    setup.wait(SECOND * 10);
    for second in 1..=5 {
        for _ in 0..100 {
            assert_eq!(setup.request("/trap"), FAILED);
            setup.run_events();
        }
        assert_eq!(setup.instances(), 1 + second);
        setup.wait(SECOND);
    }
    setup.run_events();
    assert_eq!(setup.request("/"), SERVED);
}

#[test]
fn plugin_that_traps_soon_after_its_start_waits_for_the_rest_of_the_interval() {
    let setup = Setup::new(&[RELOAD]);
    setup.wait(SECOND / 2);
    assert_eq!(setup.request("/trap"), FAILED);
    setup.wait(SECOND / 4);
    setup.run_events();
    assert_eq!(setup.request("/"), FAILED);
    assert_eq!(setup.instances(), 1);
    setup.wait(SECOND / 4);
    setup.run_events();
    assert_eq!(setup.instances(), 2);
    assert_eq!(setup.request("/"), SERVED);
}

/// The event loop may have other work first. A client that waits for an answer does not know when the start is due.
#[test]
fn request_that_precedes_a_due_restart_is_served() {
    let setup = Setup::new(&[RELOAD]);
    setup.wait(SECOND);
    assert_eq!(setup.request("/trap"), FAILED);
    assert_eq!(setup.request("/"), SERVED);
    assert_eq!(setup.instances(), 2);
    assert!(!setup.port.has_timers(), "a second start is scheduled");
}

#[test]
fn plugin_that_cannot_be_started_again_is_retried_each_second() {
    let setup = Setup::new(&[RELOAD]);
    setup.wait(SECOND);
    let break_start = |text: Option<&str>| {
        setup.script.0.lock().unwrap().configuration_error = text.map(ToOwned::to_owned);
    };
    break_start(Some("no more"));
    assert_eq!(setup.request("/trap"), FAILED);
    for attempts in 1..=3 {
        for _ in 0..100 {
            setup.run_events();
            assert_eq!(setup.request("/"), FAILED);
        }
        assert_eq!(setup.instances(), 1 + attempts);
        setup.wait(SECOND);
    }
    break_start(None);
    setup.run_events();
    assert_eq!(setup.request("/"), SERVED);
    let logs = setup.logs.0.lock().unwrap();
    let failed = logs
        .iter()
        .filter(|it| it.contains("cannot be started again"));
    assert_eq!(failed.count(), 3, "{logs:?}");
}

/// As in Envoy: an instance that traps in its timer would otherwise be started for ever.
#[test]
fn nothing_is_started_without_a_request() {
    let setup = Setup::new(&[RELOAD]);
    assert_eq!(setup.request("/trap"), FAILED);
    setup.script.0.lock().unwrap().configuration_error = Some("no more".to_owned());
    setup.wait(SECOND * 10);
    setup.run_events();
    assert_eq!(setup.instances(), 2);
    setup.wait(SECOND * 10);
    setup.run_events();
    assert_eq!(setup.instances(), 2);
}

#[test]
fn plugins_that_are_not_restarted_fail_for_ever_beside_one_that_is() {
    let setup = Setup::new(&[RELOAD, FailurePolicy::Closed]);
    setup.wait(SECOND);
    assert_eq!(setup.request("/trap"), FAILED);
    setup.run_events();
    // Both share the instance.
    assert_eq!(setup.instances(), 2);
    assert_eq!(setup.request("/"), FAILED);
    assert!(!setup.port.has_timers());
}

#[test]
fn chain_that_has_ended_starts_nothing() {
    let setup = Setup::new(&[RELOAD]);
    assert_eq!(setup.request("/trap"), FAILED);
    assert!(setup.port.has_timers());
    let Setup {
        script,
        port,
        chain,
        ..
    } = setup;
    drop(chain);
    assert!(!port.has_timers());
    assert_eq!(script.0.lock().unwrap().instances, 1);
}
