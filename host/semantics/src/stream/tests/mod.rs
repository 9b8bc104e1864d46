//! Tests of the state machine, with scripted plugins instead of WebAssembly.

mod answers;
mod failures;
mod observed;
mod observed_events;
mod passing;
mod phases;
mod restarts;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::clock::ManualClock;
use crate::context::{Services, StreamContext};
use crate::engine::{self, Callback, Callbacks, EventCallback, Trap};
use crate::error::StartError;
use crate::fields::tests::fields;
use crate::hostcalls::{http_bodies, http_fields, local_responses, stream_control};
use crate::instances::{ChainConfig, LoadedChain, LoadedModule, LoadedPlugin};
use crate::logs::{Level, LogLine, LogSink};
use crate::observe::Observer;
use crate::plugin::{EngineKind, FailurePolicy, PluginSpec};
use crate::port::{NoPort, Port};
use crate::vocabulary::Action;

// === The scripted plugins ===

/// The behaviour of a plugin in one callback.
type Behaviour = Box<dyn FnMut(&Context) -> Result<Action, Trap> + Send>;

/// The behaviour of all plugins in events, and when they end.
type EventBehaviour = Box<dyn FnMut(&Services, &Context) -> Result<(), Trap> + Send>;

/// The behaviour of a test's plugins, and a record of their callbacks: `plugin:phase[:size][:end]`.
#[derive(Default)]
struct Script {
    behaviours: Vec<(usize, Phase, Behaviour)>,
    event_behaviour: Option<EventBehaviour>,
    /// How many times code has run whose cost was measured.
    measured: usize,
    seen: Vec<String>,
    instances: usize,
    /// Makes the start-up code of instances log something and trap.
    start_trap: Option<String>,
    configuration_trap: Option<String>,
    configuration_error: Option<String>,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

/// An instance of the plugins.
struct ScriptedInstance {
    script: Scripted,
    services: Rc<Services>,
}

impl Scripted {
    fn on(
        self,
        plugin: usize,
        phase: Phase,
        behaviour: impl FnMut(&Context) -> Result<Action, Trap> + Send + 'static,
    ) -> Self {
        self.0
            .lock()
            .unwrap()
            .behaviours
            .push((plugin, phase, Box::new(behaviour)));
        self
    }

    /// Makes the callback return these actions in order, and the last one repeatedly.
    fn returns(self, plugin: usize, phase: Phase, actions: &[Action]) -> Self {
        let mut actions: VecDeque<Action> = actions.iter().copied().collect();
        self.on(plugin, phase, move |_| {
            Ok(if actions.len() > 1 {
                actions.pop_front()
            } else {
                actions.front().copied()
            }
            .unwrap())
        })
    }

    fn on_event(
        self,
        behaviour: impl FnMut(&Services, &Context) -> Result<(), Trap> + Send + 'static,
    ) -> Self {
        self.0.lock().unwrap().event_behaviour = Some(Box::new(behaviour));
        self
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().seen)
    }

    fn run(&self, context: &Context, phase: Phase, what: String) -> Result<Action, Trap> {
        let mut script = self.0.lock().unwrap();
        let plugin = context.plugin;
        script.seen.push(format!("{plugin}:{what}"));
        let index = script
            .behaviours
            .iter()
            .position(|(whose, when, _)| *whose == plugin && *when == phase);
        let Some(index) = index else {
            return Ok(Action::Continue);
        };
        let (_, _, mut behaviour) = script.behaviours.swap_remove(index);
        drop(script);
        let result = behaviour(context);
        self.0
            .lock()
            .unwrap()
            .behaviours
            .push((plugin, phase, behaviour));
        result
    }

    fn run_event(&self, services: &Services, context: &Context) -> Result<(), Trap> {
        let behaviour = self.0.lock().unwrap().event_behaviour.take();
        let Some(mut behaviour) = behaviour else {
            return Ok(());
        };
        let result = behaviour(services, context);
        self.0.lock().unwrap().event_behaviour = Some(behaviour);
        result
    }
}

impl engine::Compiled for Scripted {
    fn callbacks(&self) -> Callbacks {
        use Phase::*;
        let events = [
            EventCallback::StreamCallResponse,
            EventCallback::PluginCallResponse,
            EventCallback::Tick,
            EventCallback::QueueReady,
            EventCallback::PluginDone,
        ];
        let phases = [
            RequestHeaders,
            RequestBody,
            RequestTrailers,
            ResponseHeaders,
            ResponseBody,
            ResponseTrailers,
            Log,
        ];
        let callbacks = events
            .into_iter()
            .fold(Callbacks::default(), Callbacks::with_event);
        phases.into_iter().fold(callbacks, Callbacks::with)
    }

    fn instantiate(&self, services: &Rc<Services>) -> Result<Box<dyn engine::Instance>, Trap> {
        let mut script = self.0.lock().unwrap();
        script.instances += 1;
        if let Some(trap) = &script.start_trap {
            services.log(0, Level::Info, "starting");
            return Err(Trap::new(trap.clone()));
        }
        drop(script);
        Ok(Box::new(ScriptedInstance {
            script: self.clone(),
            services: services.clone(),
        }))
    }
}

impl engine::Instance for ScriptedInstance {
    fn configure(&mut self, _: &Context, _: &[u8]) -> Result<Result<(), String>, Trap> {
        let script = self.script.0.lock().unwrap();
        match &script.configuration_trap {
            Some(trap) => Err(Trap::new(trap.clone())),
            None => Ok(script.configuration_error.clone().map_or(Ok(()), Err)),
        }
    }

    fn open_stream(&mut self, context: &Context) -> Result<usize, Trap> {
        self.script
            .0
            .lock()
            .unwrap()
            .seen
            .push(format!("{}:open", context.plugin));
        Ok(0)
    }

    fn call(&mut self, context: &Context, callback: Callback) -> Result<Action, Trap> {
        let last = |end: bool| if end { ":end" } else { "" };
        let (phase, what) = match callback {
            Callback::RequestHeaders { end, .. } => (
                Phase::RequestHeaders,
                format!("request-headers{}", last(end)),
            ),
            Callback::RequestBody { size, end } => (
                Phase::RequestBody,
                format!("request-body:{size}{}", last(end)),
            ),
            Callback::RequestTrailers { .. } => {
                (Phase::RequestTrailers, "request-trailers".to_owned())
            }
            Callback::ResponseHeaders { end, .. } => (
                Phase::ResponseHeaders,
                format!("response-headers{}", last(end)),
            ),
            Callback::ResponseBody { size, end } => (
                Phase::ResponseBody,
                format!("response-body:{size}{}", last(end)),
            ),
            Callback::ResponseTrailers { .. } => {
                (Phase::ResponseTrailers, "response-trailers".to_owned())
            }
            Callback::Log => (Phase::Log, "log".to_owned()),
            Callback::HttpCallResponse { .. }
            | Callback::Tick
            | Callback::QueueReady { .. }
            | Callback::PluginDone => {
                let seen = format!("{}:event", context.plugin);
                self.script.0.lock().unwrap().seen.push(seen);
                self.script.run_event(&self.services, context)?;
                return Ok(Action::Continue);
            }
        };
        self.script.run(context, phase, what)
    }

    fn close_stream(&mut self, context: &Context) -> Result<(), Trap> {
        self.script
            .0
            .lock()
            .unwrap()
            .seen
            .push(format!("{}:close", context.plugin));
        Ok(())
    }

    fn shut_down(&mut self, context: &Context) -> Result<(), Trap> {
        self.script.run_event(&self.services, context)
    }

    fn refuel(&mut self) {
        self.script.0.lock().unwrap().measured += 1;
    }
}

#[derive(Default)]
struct LogCollector(Mutex<Vec<String>>);

impl LogSink for LogCollector {
    fn line(&self, line: &LogLine<'_>) {
        self.0
            .lock()
            .unwrap()
            .push(format!("{} {} {}", line.plugin, line.level, line.message));
    }
}

/// Starts a chain with one plugin for each policy, all in one instance.
fn chain(script: &Scripted, policies: &[FailurePolicy]) -> WorkerChain {
    chain_with(script, policies, Arc::new(LogCollector::default()))
        .start_worker(0)
        .unwrap()
}

fn chain_with(script: &Scripted, policies: &[FailurePolicy], logs: Arc<LogCollector>) -> Chain {
    chain_of(script, policies, logs, None)
}

fn chain_of(
    script: &Scripted,
    policies: &[FailurePolicy],
    logs: Arc<LogCollector>,
    observer: Option<Arc<dyn Observer>>,
) -> Chain {
    let plugins = policies
        .iter()
        .enumerate()
        .map(|(index, policy)| LoadedPlugin {
            spec: PluginSpec {
                failure_policy: *policy,
                restart_interval: Duration::ZERO,
                ..PluginSpec::new(format!("p{index}"), Bytes::new())
            },
            engine: EngineKind::Component,
            module: 0,
            index_in_module: index,
        })
        .collect();
    let mut modules = vec![LoadedModule {
        compiled: Arc::new(script.clone()),
        plugins: (0..policies.len()).collect(),
    }];
    modules.retain(|module| !module.plugins.is_empty());
    let config = ChainConfig {
        buffer: 10,
        observer,
        ..ChainConfig::new(Arc::new(ManualClock::new(0)), logs)
    };
    Chain(Arc::new(LoadedChain {
        config,
        plugins,
        modules,
    }))
}

/// The plugins of a chain, as a worker starts them.
#[derive(Clone)]
struct Chain(Arc<LoadedChain>);

/// The plugins of a chain on one worker.
#[derive(Clone)]
struct WorkerChain(Rc<ChainInstances>);

impl Chain {
    fn start_worker(&self, worker: usize) -> Result<WorkerChain, StartError> {
        self.start_worker_with(worker, Rc::new(NoPort::default()))
    }

    fn start_worker_with(
        &self,
        worker: usize,
        port: Rc<dyn Port>,
    ) -> Result<WorkerChain, StartError> {
        let instances = ChainInstances::start(self.0.clone(), worker, port)?;
        Ok(WorkerChain(Rc::new(instances)))
    }
}

impl WorkerChain {
    fn open(&self, wake: Rc<dyn Fn()>) -> Stream {
        Stream::new(self.0.clone(), wake)
    }
}

fn open(chain: &WorkerChain) -> Stream {
    chain.open(Rc::new(|| ()))
}

/// Starts a chain with one plugin for each policy, and passes it the headers of a request. With `end`, the request has nothing else.
/// The chain ends with the stream.
fn request_on(script: &Scripted, policies: &[FailurePolicy], end: bool) -> Stream {
    let chain = chain(script, policies);
    let mut stream = open(&chain);
    stream.request_headers(request(), end);
    stream
}

fn request() -> Fields {
    fields(&[
        (":authority", "a"),
        (":path", "/"),
        (":method", "GET"),
        (":scheme", "http"),
    ])
}

fn response() -> Fields {
    fields(&[(":status", "200"), ("x", "upstream")])
}

/// Takes all effects, and returns them as text.
fn take_effects(stream: &mut Stream) -> Vec<String> {
    let mut words = Vec::new();
    let end = |end: bool| if end { ":end" } else { "" };
    let text = |data: Bytes| String::from_utf8(data.to_vec()).unwrap();
    while let Some(effect) = stream.next_effect() {
        words.push(match effect {
            Effect::RequestHeaders { end: last, .. } => format!("request-headers{}", end(last)),
            Effect::RequestBody { data, end: last } => {
                format!("request-body:{}{}", text(data), end(last))
            }
            Effect::RequestTrailers(_) => "request-trailers".to_owned(),
            Effect::ResponseHeaders { fields, end: last } => {
                format!(
                    "response-headers:{}{}",
                    fields.status().unwrap().as_u16(),
                    end(last)
                )
            }
            Effect::ResponseBody { data, end: last } => {
                format!("response-body:{}{}", text(data), end(last))
            }
            Effect::ResponseTrailers(_) => "response-trailers".to_owned(),
            Effect::Reset => "reset".to_owned(),
        });
    }
    words
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn stream_of(context: &Context) -> &StreamContext {
    context.stream.as_ref().unwrap()
}

/// Returns the context in which hostcalls of a plugin apply to a stream.
fn context_of(stream: &Stream, filter: usize) -> StreamContext {
    StreamContext {
        shared: stream.shared.clone(),
        filter,
        slot: 0,
    }
}

fn respond_with(status: u16) -> impl FnMut(&Context) -> Result<Action, Trap> + Send + 'static {
    move |context| {
        let headers = [(&b"x"[..], &b"own"[..])];
        local_responses::send(
            false,
            stream_of(context),
            status,
            headers.into_iter(),
            bytes("no"),
            None,
        )
        .unwrap();
        Ok(Action::Pause)
    }
}

const RELOAD: FailurePolicy = FailurePolicy::Reload;
