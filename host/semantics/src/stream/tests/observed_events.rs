//! Tests of what an observer receives of events: ticks, events of queues, outcomes of calls, and the end of plugins.

use std::time::Duration;

use http::uri::Authority;

use super::observed::RecordingObserver;
use super::*;
use crate::port::manual::ManualPort;
use crate::port::{CallOutcome, CallResponse, HttpCall, TimerSetting};
use crate::vm::VmHandle;

/// A worker with an instance of two plugins.
struct Setup {
    chain: WorkerChain,
    vm: Rc<VmHandle>,
    port: Rc<ManualPort>,
}

impl Setup {
    fn new(script: &Scripted, observer: Option<Arc<dyn Observer>>) -> Self {
        let port = Rc::new(ManualPort::default());
        let logs = Arc::new(LogCollector::default());
        let chain = chain_of(script, &[RELOAD, RELOAD], logs, observer)
            .start_worker_with(3, port.clone())
            .unwrap();
        let (vm, _) = open(&chain).chain.instance(0).unwrap();
        Self { chain, vm, port }
    }

    fn observed(script: &Scripted) -> (Self, Arc<RecordingObserver>) {
        let observer = Arc::new(RecordingObserver::default());
        (Self::new(script, Some(observer.clone())), observer)
    }

    fn start_timer(&self, plugin: usize) {
        self.vm.services().outbox.set_timer(TimerSetting {
            plugin,
            period: Duration::from_secs(1),
            from: 0,
        });
        self.pass_queued();
    }

    /// Sends a call whose outcome a context receives.
    fn send_call(&self, receiver: u32) {
        let call = HttpCall {
            authority: Authority::from_static("a:80"),
            headers: request(),
            body: Bytes::new(),
            deadline: None,
        };
        let outbox = &self.vm.services().outbox;
        outbox.queue_call(receiver, call).unwrap();
        self.pass_queued();
    }

    /// Passes to the port what is queued, as after a callback.
    fn pass_queued(&self) {
        self.vm.enter(0, |_| Ok(())).unwrap();
    }
}

fn answered(status: &str) -> CallOutcome {
    CallOutcome::Response(CallResponse {
        headers: fields(&[(":status", status)]),
        body: Bytes::new(),
        trailers: Fields::new(),
    })
}

/// Plugins that log in each event.
fn logging() -> Scripted {
    Scripted::default().on_event(|services, context| {
        services.log(context.plugin, Level::Info, "now");
        Ok(())
    })
}

/// Opens a stream that the first plugin pauses. Returns the ID of the plugin's context on it, too.
fn paused_stream(setup: &Setup) -> (Stream, u32) {
    let mut stream = open(&setup.chain);
    stream.request_headers(request(), true);
    let Binding::Bound { context, .. } = &stream.filters[0].binding else {
        panic!("the plugin has no context");
    };
    let id = context.id;
    (stream, id)
}

#[test]
fn observer_sees_ticks_and_events_of_queues() {
    let (setup, observer) = Setup::observed(&logging());
    setup.start_timer(1);
    assert!(setup.port.tick());
    setup.port.queue_ready(0, 7);
    assert!(setup.port.tick());
    assert_eq!(
        observer.plugin_event_texts(),
        [
            "p1#3 Tick info:now",
            "p0#3 queue 7 ready info:now",
            "p1#3 Tick info:now"
        ]
    );
    assert_eq!(observer.event_texts(), [""; 0]);
}

#[test]
fn observer_sees_events_that_log_nothing() {
    let (setup, observer) = Setup::observed(&Scripted::default());
    setup.port.queue_ready(1, 7);
    assert_eq!(observer.plugin_event_texts(), ["p1#3 queue 7 ready"]);
}

#[test]
fn observer_sees_outcomes_of_calls_for_a_plugin() {
    let (setup, observer) = Setup::observed(&logging());
    let receiver = setup.vm.services().contexts.plugin_id(1);
    setup.send_call(receiver);
    setup.send_call(receiver);
    assert!(setup.port.end_call(answered("204")));
    assert!(setup.port.end_call(CallOutcome::Reset));
    assert_eq!(
        observer.plugin_event_texts(),
        ["p1#3 call 4: 204 info:now", "p1#3 call 8: reset info:now"]
    );
    assert_eq!(observer.event_texts(), [""; 0]);
}

#[test]
fn observer_sees_outcomes_of_calls_with_their_stream() {
    let script = Scripted::default()
        .returns(0, Phase::RequestHeaders, &[Action::Pause])
        .on_event(|services, context| {
            // The end of the plugins has no stream.
            let Some(stream) = &context.stream else {
                return Ok(());
            };
            http_fields::set(stream, FieldMap::RequestHeaders, b"x-a", b"1").unwrap();
            stream_control::resume(stream, Direction::Request).unwrap();
            services.log(context.plugin, Level::Info, "now");
            Ok(())
        });
    let (setup, observer) = Setup::observed(&script);
    let (mut stream, receiver) = paused_stream(&setup);
    setup.send_call(receiver);
    assert!(setup.port.end_call(answered("200")));
    assert_eq!(take_effects(&mut stream), ["request-headers:end"]);
    assert_eq!(
        observer.event_texts(),
        [
            "begun on 3 4",
            "p0 RequestHeaders:end RequestHeaders 4>4 Pause",
            "p0 call 4: 200 RequestHeaders 4>5 info:now Continue",
            "0 resumed Request",
            "p1 RequestHeaders:end RequestHeaders 5>5 Continue",
            "passed RequestHeaders 5",
        ]
    );
    assert_eq!(observer.plugin_event_texts(), [""; 0]);
}

/// Lines of an event are not reported with the next callback of a stream.
#[test]
fn observer_distinguishes_events_and_callbacks() {
    let (setup, observer) = Setup::observed(&logging());
    setup.port.queue_ready(0, 7);
    let mut stream = open(&setup.chain);
    stream.request_headers(request(), true);
    assert_eq!(
        observer.event_texts()[1],
        "p0 RequestHeaders:end RequestHeaders 4>4 Continue"
    );
}

#[test]
fn observer_sees_traps_in_events() {
    let script = Scripted::default().on_event(|_, _| Err(Trap::new("oh")));
    let (setup, observer) = Setup::observed(&script);
    setup.start_timer(0);
    assert!(setup.port.tick());
    assert_eq!(
        observer.plugin_event_texts(),
        ["p0#3 Tick critical:oh died: oh"]
    );
    assert!(setup.vm.is_dead());
    assert!(!setup.port.has_timers());
}

/// Lets the instance trap in an event, and opens a stream, for which a new instance is started.
fn restart(setup: &Setup) {
    setup.port.queue_ready(0, 7);
    open(&setup.chain).request_headers(request(), true);
}

#[test]
fn observer_sees_traps_in_an_instance_that_starts_again() {
    let script = Scripted::default().on_event(|_, _| Err(Trap::new("oh")));
    let (setup, observer) = Setup::observed(&script);
    script.0.lock().unwrap().start_trap = Some("no".to_owned());
    restart(&setup);
    assert_eq!(
        observer.plugin_event_texts(),
        [
            "p0#3 queue 7 ready critical:oh died: oh",
            "p0#3 Start info:starting died: no"
        ]
    );
}

#[test]
fn observer_sees_traps_in_a_plugin_that_is_configured_again() {
    let script = Scripted::default().on_event(|_, _| Err(Trap::new("oh")));
    let (setup, observer) = Setup::observed(&script);
    script.0.lock().unwrap().configuration_trap = Some("no".to_owned());
    restart(&setup);
    assert_eq!(
        observer.plugin_event_texts(),
        [
            "p0#3 queue 7 ready critical:oh died: oh",
            "p0#3 Start critical:no died: no"
        ]
    );
}

#[test]
fn observer_sees_traps_in_outcomes_with_their_stream() {
    let script = Scripted::default()
        .returns(0, Phase::RequestHeaders, &[Action::Pause])
        .on_event(|_, _| Err(Trap::new("oh")));
    let (setup, observer) = Setup::observed(&script);
    let (mut stream, receiver) = paused_stream(&setup);
    setup.send_call(receiver);
    assert!(setup.port.end_call(CallOutcome::Reset));
    take_effects(&mut stream);
    assert_eq!(
        observer.event_texts()[2..4],
        [
            "p0 call 4: reset critical:oh died: oh",
            "answer 503 of Failed(0), body 0",
        ]
    );
}

#[test]
fn observer_sees_the_end_of_plugins_that_log() {
    let (setup, observer) = Setup::observed(&logging());
    drop(setup);
    assert_eq!(
        observer.plugin_event_texts(),
        [
            "p0#3 Done info:now",
            "p0#3 End info:now",
            "p1#3 Done info:now",
            "p1#3 End info:now"
        ]
    );
    let (setup, observer) = Setup::observed(&Scripted::default());
    drop(setup);
    assert_eq!(observer.plugin_event_texts(), [""; 0]);
}

#[test]
fn nothing_is_measured_without_an_observer() {
    let script = logging();
    let setup = Setup::new(&script, None);
    let (_stream, receiver) = paused_stream(&setup);
    setup.start_timer(1);
    assert!(setup.port.tick());
    setup.send_call(receiver);
    assert!(setup.port.end_call(CallOutcome::Reset));
    let events = script.seen();
    let events: Vec<_> = events.iter().filter(|it| it.ends_with("event")).collect();
    assert_eq!(events, ["1:event", "0:event"]);
    assert_eq!(script.0.lock().unwrap().measured, 0);
}
