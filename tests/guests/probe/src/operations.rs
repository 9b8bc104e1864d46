//! Executes the steps of the probe, and formats their results.
//!
//! Every operation logs one line at level info, `<callback>: <operation> <argument> = <result>`, so that a scenario can
//! state results, and the logs of two runtimes can be compared. `logging.log` and operations that end the plugin do not
//! log a line.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::bindings::tidegate::proxy::http_call_types::{Outcome, Request};
use crate::bindings::tidegate::proxy::http_fields::{self, FieldMap};
use crate::bindings::tidegate::proxy::http_streams::HttpStream;
use crate::bindings::tidegate::proxy::local_responses::{self, LocalResponse};
use crate::bindings::tidegate::proxy::logging;
use crate::bindings::tidegate::proxy::metrics::{Counter, Gauge, Histogram};
use crate::bindings::tidegate::proxy::shared_data::{self, Condition, Stored};
use crate::bindings::tidegate::proxy::types::{Action, Direction, Error};
use crate::bindings::tidegate::proxy::{
    clock, foreign_functions, http_bodies, http_calls, plugin_lifecycle, plugin_properties,
    properties, stream_control, timers, vm_configuration,
};
use crate::queues;
use crate::receiver::{Event, Receiver, State};
use crate::script::{self, Fields, Half, Level, Operation, Step};

/// The maximum length of a name that is logged completely.
const LONGEST_NAME: usize = 64;

/// The metrics that a plugin context has defined, by name.
#[derive(Default)]
pub struct Metrics {
    counters: Handles<Counter>,
    gauges: Handles<Gauge>,
    histograms: Handles<Histogram>,
}

type Handles<T> = RefCell<BTreeMap<String, T>>;

/// Executes one step of a callback.
pub fn run(
    receiver: Receiver<'_>,
    callback: &str,
    step: &Step,
    event: Event<'_>,
    action: &mut Action,
) {
    let plugin = receiver.plugin;
    let say = |what: String| logging::log(logging::Level::Info, &format!("{callback}: {what}"));
    match step.operation {
        // In `on-plugin-done`, this means that `pending` is returned.
        Operation::Pause | Operation::Pending => *action = Action::Pause,
        Operation::Log => logging::log(step.level.into(), &step.message.repeat(step.times)),
        Operation::LogLowest => say(format!("lowest = {}", level_name(logging::lowest()))),
        Operation::ClockNow => say(format!("clock.now = {}", clock_now(plugin))),
        Operation::Arguments => say(match event {
            Event::Empty => "no arguments".to_owned(),
            Event::Data { size, end } => format!("size {size}, end-of-stream {end}"),
            Event::Tick(number) => format!("tick {number}"),
            Event::Queue(id) => match plugin.queues.name_of(id) {
                Some(name) => format!("queue {name}"),
                None => "unknown queue".to_owned(),
            },
            Event::Outcome { call, .. } => call_name(call),
        }),
        Operation::Count => {
            let (context, instance) = plugin.count();
            say(format!(
                "count = {context} in this plugin context, {instance} in this instance"
            ));
        }
        Operation::Keep => {
            let Some(http) = receiver.own_stream() else {
                return say("keep: no handle".to_owned());
            };
            plugin.kept.borrow_mut().insert(step.name.clone(), http);
        }
        Operation::Forget => drop(plugin.kept.borrow_mut().remove(&step.name)),
        Operation::Drop => {
            if let Some(filter) = receiver.filter {
                drop(filter.http.borrow_mut().take());
            }
        }
        Operation::Panic => panic!("{}", step.message),
        Operation::Trap => trap(),
        Operation::Loop => loop {
            core::hint::spin_loop();
        },
        Operation::Allocate => {
            let memory = vec![1u8; step.times << 20];
            say(format!(
                "allocate = {} MiB",
                core::hint::black_box(&memory).len() >> 20
            ));
        }
        Operation::StreamId => say(match receiver.stream(step) {
            Some(http) => format!("id = {}", stream_id(plugin, &http)),
            None => "no handle".to_owned(),
        }),
        Operation::SharedGet | Operation::SharedSet => say(on_shared_data(plugin, step)),
        Operation::SetPeriod => say(set_period(step)),
        Operation::ForeignCall => say(foreign_call(step)),
        Operation::PluginPropertyGet => say(plugin_property(step)),
        Operation::PluginDone => say(format!("done = {}", done(plugin_lifecycle::done()))),
        Operation::VmConfigurationGet => say(format!(
            "vm-configuration = {}",
            quote(&vm_configuration::get())
        )),
        Operation::QueueRegister
        | Operation::QueueResolve
        | Operation::QueueEnqueue
        | Operation::QueueDequeue
        | Operation::QueueId => say(queues::run(&plugin.queues, step, event)),
        Operation::SendForStream | Operation::SendForPlugin => say(on_calls(receiver, step)),
        Operation::Outcome => say(outcome(step, event)),
        Operation::CounterDefine
        | Operation::CounterAdd
        | Operation::CounterValue
        | Operation::GaugeDefine
        | Operation::GaugeSet
        | Operation::GaugeAdd
        | Operation::GaugeValue
        | Operation::HistogramDefine
        | Operation::HistogramObserve => say(on_metrics(&plugin.metrics, step)),
        _ => match receiver.stream(step) {
            Some(http) => say(on_stream(&http, step)),
            None => say("no handle".to_owned()),
        },
    }
}

/// Executes `unreachable`. On targets without it, on which the workspace is only checked, it aborts.
pub fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort();
}

/// Executes an operation on a stream, and returns its result.
fn on_stream(http: &HttpStream, step: &Step) -> String {
    let fields = FieldMap::from(step.fields);
    let map = name_of(step.fields);
    let body = Direction::from(step.body);
    let half = match step.body {
        Half::Request => "request",
        Half::Response => "response",
    };
    let (name, value, data) = (
        &step.name,
        bytes(&step.value),
        bytes(&step.data).repeat(step.times),
    );
    match step.operation {
        Operation::FieldGet => {
            let got = http_fields::get(http, fields, name);
            format!(
                "get {map} {name} = {}",
                result(got, |value| value
                    .map_or("none".to_owned(), |value| quote(&value)))
            )
        }
        Operation::FieldValues => {
            let got = http_fields::values(http, fields, name);
            format!(
                "values {map} {name} = {}",
                result(got, |values| list(values.iter().map(|value| quote(value))))
            )
        }
        Operation::FieldEntries => {
            let got = http_fields::entries(http, fields);
            format!(
                "entries {map} {name}* = {}",
                result(got, |entries| chosen(&entries, name))
            )
        }
        Operation::FieldSet => {
            format!(
                "set {map} {name} = {}",
                done(http_fields::set(http, fields, name, &value))
            )
        }
        Operation::FieldAppend => {
            format!(
                "append {map} {name} = {}",
                done(http_fields::append(http, fields, name, &value))
            )
        }
        Operation::FieldRemove => format!(
            "remove {map} {name} = {}",
            done(http_fields::remove(http, fields, name))
        ),
        Operation::FieldReplaceAll => {
            let entries = repeated(&step.entries, step.times);
            format!(
                "replace-all {map} = {}",
                done(http_fields::replace_all(http, fields, &entries))
            )
        }
        Operation::BodySize => format!(
            "size {half} = {}",
            result(http_bodies::size(http, body), |size| size.to_string())
        ),
        Operation::BodyRead => {
            let got = http_bodies::read(http, body, step.offset, step.max);
            format!("read {half} = {}", result(got, |data| quote(&data)))
        }
        Operation::BodyReplace => format!(
            "replace {half} = {}",
            done(http_bodies::replace(http, body, &data))
        ),
        Operation::BodyAppend => format!(
            "append {half} = {}",
            done(http_bodies::append(http, body, &data))
        ),
        Operation::BodyPrepend => format!(
            "prepend {half} = {}",
            done(http_bodies::prepend(http, body, &data))
        ),
        Operation::Send => {
            let response = LocalResponse {
                status: step.status,
                headers: pairs(&step.headers),
                body: data,
                grpc_status: step.grpc_status,
                details: step.details.clone(),
            };
            format!(
                "send {} = {}",
                step.status,
                done(local_responses::send(http, &response))
            )
        }
        Operation::PropertyGet => {
            let got = properties::get(http, &step.segments);
            format!(
                "property {} = {}",
                step.segments.join("."),
                result(got, |value| property(step, value))
            )
        }
        Operation::PropertySet => {
            let value = value.repeat(step.times);
            format!(
                "set property {name} = {}",
                done(properties::set(http, name, &value))
            )
        }
        Operation::PropertyFill => {
            let mut set =
                (0..step.times).map(|at| properties::set(http, &format!("{name} {at}"), &value));
            match set
                .by_ref()
                .enumerate()
                .find(|(_, outcome)| outcome.is_err())
            {
                Some((at, outcome)) => format!("fill {name}: {at} set, then {}", done(outcome)),
                None => format!("fill {name}: {} set", step.times),
            }
        }
        Operation::Resume => format!(
            "resume {half} = {}",
            done(stream_control::resume(http, body))
        ),
        Operation::Reset => format!("reset = {}", done(stream_control::reset(http))),
        // The other operations do not use a stream. `run` handles them.
        _ => String::new(),
    }
}

/// Executes an operation on shared data, which all streams share.
fn on_shared_data(plugin: &State, step: &Step) -> String {
    let (key, read) = (&step.name, &plugin.read);
    if let Operation::SharedGet = step.operation {
        let got = shared_data::get(key);
        if let Ok(Some(stored)) = &got {
            read.set(stored.version);
        }
        let shown = |stored: Option<Stored>| match stored {
            Some(Stored { version: 0, .. }) => "version 0, which is none".to_owned(),
            Some(stored) => quote(&stored.value),
            None => "none".to_owned(),
        };
        return format!("get {key} = {}", result(got, shown));
    }
    let (condition, name) = match step.condition {
        script::Condition::Always => (Condition::Always, "always"),
        script::Condition::Absent => (Condition::Absent, "if absent"),
        script::Condition::Version => {
            let version = step.version.unwrap_or(read.get());
            (Condition::Version(version), "if of that version")
        }
    };
    let value = bytes(&step.value).repeat(step.times);
    format!(
        "set {key} {name} = {}",
        done(shared_data::set(key, &value, condition))
    )
}

/// Executes an operation on metrics. Only metrics that this plugin context has defined can be used.
fn on_metrics(metrics: &Metrics, step: &Step) -> String {
    let Metrics {
        counters,
        gauges,
        histograms,
    } = metrics;
    let name = &step.name.repeat(step.times);
    let shown = short(name);
    let (by, amount) = (step.by, step.by.cast_unsigned());
    let line = match step.operation {
        Operation::CounterDefine => Some(format!(
            "counter.define {shown} = {}",
            define(counters, name, Counter::define(name))
        )),
        Operation::CounterAdd => with(counters, name, |counter| {
            counter.add(amount);
            format!("counter.add {shown} {amount} = ok")
        }),
        Operation::CounterValue => with(counters, name, |counter| {
            format!("counter.value {shown} = {}", counter.value())
        }),
        Operation::GaugeDefine => Some(format!(
            "gauge.define {shown} = {}",
            define(gauges, name, Gauge::define(name))
        )),
        Operation::GaugeSet => with(gauges, name, |gauge| {
            gauge.set(amount);
            format!("gauge.set {shown} {amount} = ok")
        }),
        Operation::GaugeAdd => with(gauges, name, |gauge| {
            gauge.add(by);
            format!("gauge.add {shown} {by} = ok")
        }),
        Operation::GaugeValue => with(gauges, name, |gauge| {
            format!("gauge.value {shown} = {}", gauge.value())
        }),
        Operation::HistogramDefine => Some(format!(
            "histogram.define {shown} = {}",
            define(histograms, name, Histogram::define(name))
        )),
        Operation::HistogramObserve => with(histograms, name, |histogram| {
            histogram.observe(amount);
            format!("histogram.observe {shown} {amount} = ok")
        }),
        // The other operations do not use metrics. `run` handles them.
        _ => Some(String::new()),
    };
    line.unwrap_or_else(|| "no metric".to_owned())
}

/// Keeps the handle of a metric that was defined, and drops a handle that was kept under the same name.
fn define<T>(handles: &Handles<T>, name: &str, defined: Result<T, Error>) -> String {
    result(defined, |handle| {
        drop(handles.borrow_mut().insert(name.to_owned(), handle));
        "ok".to_owned()
    })
}

/// Calls a function with a metric that this plugin context has defined.
fn with<T>(handles: &Handles<T>, name: &str, call: impl FnOnce(&T) -> String) -> Option<String> {
    handles.borrow().get(name).map(call)
}

/// Sets the period of this plugin context's timer.
fn set_period(step: &Step) -> String {
    let period = u32::try_from(step.by).unwrap_or(u32::MAX);
    format!("set-period {period} = {}", done(timers::set_period(period)))
}

/// Calls a foreign function.
fn foreign_call(step: &Step) -> String {
    let arguments = bytes(&step.data).repeat(step.times);
    let called = foreign_functions::call(&step.name, &arguments);
    let shown = result(called, |value| value_of(step, &value));
    format!("call {} = {shown}", step.name)
}

/// Reads a property that does not require a stream.
fn plugin_property(step: &Step) -> String {
    let got = plugin_properties::get(&step.segments);
    let shown = result(got, |value| property(step, value));
    format!("plugin property {} = {shown}", step.segments.join("."))
}

/// Sends an HTTP call. Its ID is not logged, because proxies may use different IDs. Outcomes are logged with the number
/// of the call instead.
fn on_calls(receiver: Receiver<'_>, step: &Step) -> String {
    let (request, cluster, timeout) = (request(step), &step.cluster, step.timeout);
    let (function, sent) = if let Operation::SendForStream = step.operation {
        let Some(http) = receiver.stream(step) else {
            return "no handle".to_owned();
        };
        let sent = http_calls::send_for_stream(&http, cluster, &request, timeout);
        ("send-for-stream", sent)
    } else {
        let sent = http_calls::send_for_plugin(cluster, &request, timeout);
        ("send-for-plugin", sent)
    };
    let shown = result(sent, |call| {
        receiver.plugin.calls.borrow_mut().push(call);
        "ok".to_owned()
    });
    format!("{function} {cluster} = {shown}")
}

/// Returns the request of an HTTP call.
fn request(step: &Step) -> Request {
    let mut headers = if step.entries.is_empty() {
        let [method, path] = [(":method", "GET"), (":path", "/")]
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let authority = (":authority".to_owned(), bytes(&step.cluster));
        vec![method, path, authority]
    } else {
        pairs(&step.entries)
    };
    if !step.name.is_empty() {
        let header = (step.name.clone(), bytes(&step.value));
        headers.extend(std::iter::repeat_n(header, step.times));
    }
    Request {
        headers,
        body: bytes(&step.data).repeat(step.times),
        trailers: repeated(&step.trailers, step.times),
    }
}

/// Formats the outcome of an HTTP call: for a response, the status, the body, and the headers and trailers that `name`
/// selects.
fn outcome(step: &Step, event: Event<'_>) -> String {
    let Event::Outcome { call, outcome } = event else {
        return "no outcome".to_owned();
    };
    let shown = match outcome {
        Outcome::Response(response) => {
            let mut headers = response.headers.iter();
            let status = headers.find(|(name, _)| name == ":status");
            let status = status.map_or("no status".to_owned(), |(_, value)| {
                String::from_utf8_lossy(value).into_owned()
            });
            let body = if step.length {
                format!("{} bytes", response.body.len())
            } else {
                let max = step.max as usize;
                quote(response.body.get(..max).unwrap_or(&response.body))
            };
            let fields = if step.name.is_empty() {
                String::new()
            } else {
                let (name, headers, trailers) = (&step.name, &response.headers, &response.trailers);
                format!(
                    ", headers {name}* {}, trailers {name}* {}",
                    chosen(headers, name),
                    chosen(trailers, name)
                )
            };
            format!("{status} {body}{fields}")
        }
        Outcome::Reset => "reset".to_owned(),
    };
    format!("outcome {} = {shown}", call_name(call))
}

fn call_name(call: Option<usize>) -> String {
    match call {
        Some(number) => format!("call {number}"),
        None => "unknown call".to_owned(),
    }
}

/// Returns whether this stream has the number of the stream that was asked first. The numbers themselves differ between
/// proxies.
fn stream_id(plugin: &State, http: &HttpStream) -> &'static str {
    let id = http.id();
    let first = plugin.first.get().unwrap_or(id);
    plugin.first.set(Some(first));
    match id {
        0 => "zero",
        _ if id == first => "the first stream's",
        _ => "another than the first stream's",
    }
}

/// Returns the whole seconds since the plugin's first reading, which are the same for a stopped clock and a real one.
fn clock_now(plugin: &State) -> String {
    let now = clock::now();
    let started = plugin.started.get().unwrap_or(now);
    plugin.started.set(Some(started));
    match now.checked_sub(started) {
        Some(passed) => format!("{} s after the first reading", passed / 1_000_000_000),
        None => "before the first reading".to_owned(),
    }
}

pub fn result<T>(result: Result<T, Error>, shown: impl Fn(T) -> String) -> String {
    match result {
        Ok(value) => shown(value),
        Err(error) => format!("error {}", error_name(error)),
    }
}

pub fn done(outcome: Result<(), Error>) -> String {
    result(outcome, |()| "ok".to_owned())
}

fn error_name(error: Error) -> &'static str {
    match error {
        Error::Closed => "closed",
        Error::NotAvailable => "not-available",
        Error::NotFound => "not-found",
        Error::InvalidArgument => "invalid-argument",
        Error::TooLarge => "too-large",
        Error::CasMismatch => "cas-mismatch",
        Error::Empty => "empty",
        Error::Malformed => "malformed",
        Error::NotPermitted => "not-permitted",
        Error::Unsupported => "unsupported",
        Error::Internal => "internal",
    }
}

/// Formats the value of a property, if there is one.
fn property(step: &Step, value: Option<Vec<u8>>) -> String {
    value.map_or("none".to_owned(), |value| value_of(step, &value))
}

/// Formats a value as the step requires: the bytes or only their number.
pub fn value_of(step: &Step, value: &[u8]) -> String {
    if step.length {
        format!("{} bytes", value.len())
    } else {
        quote(value)
    }
}

/// Returns a name, or its length if it is too long to log.
pub fn short(name: &str) -> String {
    match name.len() {
        0..=LONGEST_NAME => name.to_owned(),
        length => format!("{length} bytes"),
    }
}

/// Formats bytes for the log: ASCII in quotes, other bytes escaped.
fn quote(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// Formats the fields whose names begin with a prefix.
fn chosen(fields: &[(String, Vec<u8>)], prefix: &str) -> String {
    let chosen = fields.iter().filter(|(name, _)| name.starts_with(prefix));
    list(chosen.map(|(name, value)| format!("{name}: {}", quote(value))))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// Converts each character to one byte. Characters beyond U+00FF are replaced with a question mark.
pub fn bytes(text: &str) -> Vec<u8> {
    text.chars()
        .map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?'))
        .collect()
}

fn pairs(fields: &[(String, String)]) -> Vec<(String, Vec<u8>)> {
    fields
        .iter()
        .map(|(name, value)| (name.clone(), bytes(value)))
        .collect()
}

/// Returns the fields, repeated the given number of times.
fn repeated(fields: &[(String, String)], times: usize) -> Vec<(String, Vec<u8>)> {
    std::iter::repeat_n(pairs(fields), times)
        .flatten()
        .collect()
}

fn level_name(level: logging::Level) -> &'static str {
    match level {
        logging::Level::Trace => "trace",
        logging::Level::Debug => "debug",
        logging::Level::Info => "info",
        logging::Level::Warn => "warn",
        logging::Level::Error => "error",
        logging::Level::Critical => "critical",
    }
}

fn name_of(fields: Fields) -> &'static str {
    match fields {
        Fields::RequestHeaders => "request-headers",
        Fields::RequestTrailers => "request-trailers",
        Fields::ResponseHeaders => "response-headers",
        Fields::ResponseTrailers => "response-trailers",
    }
}

// === impl From ===

impl From<Fields> for FieldMap {
    fn from(fields: Fields) -> Self {
        match fields {
            Fields::RequestHeaders => FieldMap::RequestHeaders,
            Fields::RequestTrailers => FieldMap::RequestTrailers,
            Fields::ResponseHeaders => FieldMap::ResponseHeaders,
            Fields::ResponseTrailers => FieldMap::ResponseTrailers,
        }
    }
}

impl From<Half> for Direction {
    fn from(half: Half) -> Self {
        match half {
            Half::Request => Direction::Request,
            Half::Response => Direction::Response,
        }
    }
}

impl From<Level> for logging::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
            Level::Critical => Self::Critical,
        }
    }
}
