//! The configuration of the probe: a list of steps for each callback.
//!
//! A step is flat: what to do, when, on which stream, and the operation's arguments under their names in the WIT. What an
//! operation does with them is in `operations.rs`.

use serde::Deserialize;

/// What to do in each callback.
#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Script {
    /// Logged by `configure`.
    pub announce: Option<String>,
    /// Logged when the plugin context is dropped.
    pub announce_end: Option<String>,
    /// Whether a dropped filter is logged.
    pub announce_drop: bool,
    /// Refuse the configuration for this reason.
    pub refuse: Option<String>,
    /// Trap instead of reading on.
    pub trap: bool,
    /// Steps for `configure`, on no stream, after all of the above.
    pub configure: Vec<Step>,
    /// Steps for the constructor of the filter.
    pub constructor: Vec<Step>,
    /// Steps for the callback of this name, as all that follow.
    pub on_request_headers: Vec<Step>,
    pub on_request_body: Vec<Step>,
    pub on_request_trailers: Vec<Step>,
    pub on_response_headers: Vec<Step>,
    pub on_response_body: Vec<Step>,
    pub on_response_trailers: Vec<Step>,
    pub on_log: Vec<Step>,
    pub on_http_call_response: Vec<Step>,
    /// The plugin context is called, so there is no own stream. Streams that were kept can be used: `of` names them.
    pub on_plugin_http_call_response: Vec<Step>,
    /// The same holds for these.
    pub on_tick: Vec<Step>,
    pub on_queue_ready: Vec<Step>,
    pub on_plugin_done: Vec<Step>,
}

/// One thing to do.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Step {
    /// What.
    #[serde(rename = "do")]
    pub operation: Operation,
    /// Only on requests for this path.
    pub path: Option<String>,
    /// Only in calls whose `end-of-stream` is this.
    pub end: Option<bool>,
    /// Only in the tick of this number. The first of a plugin context is 1.
    pub tick: Option<u32>,
    /// Only for the outcome of this HTTP call. The first that a plugin context sends is 1, whether for a stream or for the plugin.
    pub call: Option<usize>,
    /// On the stream kept under this name instead of the filter's own.
    pub of: Option<String>,

    #[serde(default)]
    pub fields: Fields,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub value: String,
    /// New fields for `replace-all`; for `entries`, only fields whose names begin with `name` are logged.
    ///
    /// All headers of an HTTP call. Without any, the call is `GET /`, and its authority is the name of the cluster.
    #[serde(default)]
    pub entries: Vec<(String, String)>,

    /// Of a property's path.
    #[serde(default)]
    pub segments: Vec<String>,
    /// Log how long a property's value, a queue's, a function's result, or the body of an outcome is instead of its bytes, which no
    /// two proxies agree on or which are many.
    #[serde(default)]
    pub length: bool,
    #[serde(default)]
    pub condition: Condition,
    /// For `condition: version`; without it, that of the value that was read last.
    pub version: Option<u32>,

    #[serde(default)]
    pub body: Half,
    #[serde(default)]
    pub offset: u32,
    #[serde(default = "everything")]
    pub max: u32,
    #[serde(default)]
    pub data: String,
    /// How many times `data` (or the one entry, or the `name` of a metric that is defined or a queue that is registered or
    /// resolved) is repeated, for large arguments. Of an HTTP call, `data`, `trailers`, and the header `name` with `value`, which is
    /// there if it has a name.
    #[serde(default = "once")]
    pub times: usize,

    /// The virtual machine of the plugin that has registered the queue `name`.
    #[serde(default)]
    pub vm: String,

    /// Where an HTTP call is sent.
    #[serde(default)]
    pub cluster: String,
    /// The trailers of an HTTP call. Its body is `data`.
    #[serde(default)]
    pub trailers: Vec<(String, String)>,
    /// The timeout of an HTTP call in milliseconds.
    #[serde(default = "long")]
    pub timeout: u32,

    /// What is added to a metric, or set, or observed, or a timer's period. Where the contract has an unsigned number, -1 is the
    /// largest.
    #[serde(default = "one")]
    pub by: i64,

    #[serde(default)]
    pub status: u16,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    pub grpc_status: Option<u32>,
    #[serde(default)]
    pub details: String,

    #[serde(default)]
    pub level: Level,
    #[serde(default)]
    pub message: String,
}

fn everything() -> u32 {
    u32::MAX
}

fn once() -> usize {
    1
}

fn one() -> i64 {
    1
}

fn long() -> u32 {
    5000
}

/// One variant for each function that the world imports, and what the probe does by itself.
#[derive(Deserialize, Clone, Copy)]
pub enum Operation {
    #[serde(rename = "clock.now")]
    ClockNow,
    /// Call the function `name` with `data`.
    #[serde(rename = "foreign-functions.call")]
    ForeignCall,
    #[serde(rename = "http-bodies.size")]
    BodySize,
    #[serde(rename = "http-bodies.read")]
    BodyRead,
    #[serde(rename = "http-bodies.replace")]
    BodyReplace,
    #[serde(rename = "http-bodies.append")]
    BodyAppend,
    #[serde(rename = "http-bodies.prepend")]
    BodyPrepend,
    #[serde(rename = "http-calls.send-for-stream")]
    SendForStream,
    #[serde(rename = "http-calls.send-for-plugin")]
    SendForPlugin,
    #[serde(rename = "http-fields.get")]
    FieldGet,
    #[serde(rename = "http-fields.values")]
    FieldValues,
    #[serde(rename = "http-fields.entries")]
    FieldEntries,
    #[serde(rename = "http-fields.set")]
    FieldSet,
    #[serde(rename = "http-fields.append")]
    FieldAppend,
    #[serde(rename = "http-fields.remove")]
    FieldRemove,
    #[serde(rename = "http-fields.replace-all")]
    FieldReplaceAll,
    #[serde(rename = "http-streams.id")]
    StreamId,
    #[serde(rename = "local-responses.send")]
    Send,
    #[serde(rename = "logging.log")]
    Log,
    #[serde(rename = "logging.lowest")]
    LogLowest,
    /// Keep the handle of the metric `name`, in place of an earlier one.
    #[serde(rename = "metrics.counter.define")]
    CounterDefine,
    #[serde(rename = "metrics.counter.add")]
    CounterAdd,
    #[serde(rename = "metrics.counter.value")]
    CounterValue,
    #[serde(rename = "metrics.gauge.define")]
    GaugeDefine,
    #[serde(rename = "metrics.gauge.set")]
    GaugeSet,
    #[serde(rename = "metrics.gauge.add")]
    GaugeAdd,
    #[serde(rename = "metrics.gauge.value")]
    GaugeValue,
    #[serde(rename = "metrics.histogram.define")]
    HistogramDefine,
    #[serde(rename = "metrics.histogram.observe")]
    HistogramObserve,
    #[serde(rename = "plugin-lifecycle.done")]
    PluginDone,
    #[serde(rename = "plugin-properties.get")]
    PluginPropertyGet,
    #[serde(rename = "properties.get")]
    PropertyGet,
    #[serde(rename = "properties.set")]
    PropertySet,
    /// Set properties `name 0`, `name 1` and so on, `times` of them or until one is refused.
    #[serde(rename = "fill-properties")]
    PropertyFill,
    #[serde(rename = "shared-data.get")]
    SharedGet,
    #[serde(rename = "shared-data.set")]
    SharedSet,
    /// Keep the handle of the queue `name`, in place of an earlier one.
    #[serde(rename = "shared-queues.queue.register")]
    QueueRegister,
    /// The same.
    #[serde(rename = "shared-queues.queue.resolve")]
    QueueResolve,
    #[serde(rename = "shared-queues.queue.enqueue")]
    QueueEnqueue,
    #[serde(rename = "shared-queues.queue.dequeue")]
    QueueDequeue,
    /// Log whether the ID is the one that `on-queue-ready` was called with.
    #[serde(rename = "shared-queues.queue.id")]
    QueueId,
    #[serde(rename = "stream-control.resume")]
    Resume,
    #[serde(rename = "stream-control.reset")]
    Reset,
    #[serde(rename = "timers.set-period")]
    SetPeriod,
    #[serde(rename = "vm-configuration.get")]
    VmConfigurationGet,
    /// Return `pause`.
    #[serde(rename = "pause")]
    Pause,
    /// Return `pending`.
    #[serde(rename = "pending")]
    Pending,
    /// Log the callback's own arguments.
    #[serde(rename = "arguments")]
    Arguments,
    /// Log the outcome of an HTTP call, with the headers and trailers whose names begin with `name`, or none if `name` is empty.
    #[serde(rename = "outcome")]
    Outcome,
    /// Log a count of this plugin context and one of the instance.
    #[serde(rename = "count")]
    Count,
    /// Keep the filter's handle under `name`, beyond the filter.
    #[serde(rename = "keep")]
    Keep,
    /// Drop the handle kept under `name`.
    #[serde(rename = "forget")]
    Forget,
    /// Drop the filter's own handle.
    #[serde(rename = "drop")]
    Drop,
    /// Panic with `message`.
    #[serde(rename = "panic")]
    Panic,
    /// Execute `unreachable`.
    #[serde(rename = "trap")]
    Trap,
    /// Never return.
    #[serde(rename = "loop")]
    Loop,
    /// Take `times` MiB of memory and touch them.
    #[serde(rename = "allocate")]
    Allocate,
}

/// `http-fields.field-map`.
#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Fields {
    #[default]
    RequestHeaders,
    RequestTrailers,
    ResponseHeaders,
    ResponseTrailers,
}

/// `types.direction`.
#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Half {
    #[default]
    Request,
    Response,
}

/// `shared-data.condition`.
#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    #[default]
    Always,
    Absent,
    Version,
}

/// `logging.level`.
#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Trace,
    Debug,
    #[default]
    Info,
    Warn,
    Error,
    Critical,
}
