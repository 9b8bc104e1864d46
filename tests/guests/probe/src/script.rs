//! The configuration of the probe: a list of steps for each callback.
//!
//! A step is a flat object: the operation, the conditions, the stream, and the operation's arguments, which have the
//! same names as in the WIT files. `operations.rs` implements the operations.

use serde::Deserialize;

/// The steps of each callback.
#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Script {
    /// A line that `configure` logs.
    pub announce: Option<String>,
    /// A line that is logged when the plugin context is dropped.
    pub announce_end: Option<String>,
    /// Whether the dropping of a filter is logged.
    pub announce_drop: bool,
    /// The reason for which the configuration is rejected.
    pub refuse: Option<String>,
    /// Whether to trap after the above.
    pub trap: bool,
    /// Steps for `configure`, without a stream, after all of the above.
    pub configure: Vec<Step>,
    /// Steps for the constructor of the filter.
    pub constructor: Vec<Step>,
    /// Steps for the callback of this name. The same applies to the following fields.
    pub on_request_headers: Vec<Step>,
    pub on_request_body: Vec<Step>,
    pub on_request_trailers: Vec<Step>,
    pub on_response_headers: Vec<Step>,
    pub on_response_body: Vec<Step>,
    pub on_response_trailers: Vec<Step>,
    pub on_log: Vec<Step>,
    pub on_http_call_response: Vec<Step>,
    /// These steps run on the plugin context, so there is no own stream. Streams that were kept can be used with `of`.
    pub on_plugin_http_call_response: Vec<Step>,
    /// The same applies to these fields.
    pub on_tick: Vec<Step>,
    pub on_queue_ready: Vec<Step>,
    pub on_plugin_done: Vec<Step>,
}

/// A single step.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Step {
    /// The operation.
    #[serde(rename = "do")]
    pub operation: Operation,
    /// Restricts the step to requests for this path.
    pub path: Option<String>,
    /// Restricts the step to callbacks with this value of `end-of-stream`.
    pub end: Option<bool>,
    /// Restricts the step to the tick with this number. The first tick of a plugin context is 1.
    pub tick: Option<u32>,
    /// Restricts the step to the outcome of the HTTP call with this number. The first call that a plugin context sends
    /// is 1, whether it belongs to a stream or to the plugin.
    pub call: Option<usize>,
    /// Uses the stream that was kept under this name instead of the filter's own.
    pub of: Option<String>,

    #[serde(default)]
    pub fields: Fields,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub value: String,
    /// The new fields for `replace-all`. For `entries`, only fields whose names begin with `name` are logged.
    ///
    /// All headers of an HTTP call. If empty, the call is `GET /` with the name of the cluster as its authority.
    #[serde(default)]
    pub entries: Vec<(String, String)>,

    /// The segments of a property's path.
    #[serde(default)]
    pub segments: Vec<String>,
    /// Whether to log the length of the value of a property or queue, the result of a function or the body of an
    /// outcome instead of its bytes. Used for bytes that differ between proxies and for long values.
    #[serde(default)]
    pub length: bool,
    #[serde(default)]
    pub condition: Condition,
    /// The version for `condition: version`. The default is the version of the value that was read last.
    pub version: Option<u32>,

    #[serde(default)]
    pub body: Half,
    #[serde(default)]
    pub offset: u32,
    #[serde(default = "everything")]
    pub max: u32,
    #[serde(default)]
    pub data: String,
    /// How many times `data` (or the single entry, or the `name` of a metric that is defined or of a queue that is
    /// registered or resolved) is repeated, for large arguments. For an HTTP call: how many times `data`, `trailers`
    /// and the header `name` with `value`, which is added if it has a name, are repeated.
    #[serde(default = "once")]
    pub times: usize,

    /// The virtual machine of the plugin that registered the queue `name`.
    #[serde(default)]
    pub vm: String,

    /// The destination of an HTTP call.
    #[serde(default)]
    pub cluster: String,
    /// The trailers of an HTTP call. Its body is `data`.
    #[serde(default)]
    pub trailers: Vec<(String, String)>,
    /// The timeout of an HTTP call in milliseconds.
    #[serde(default = "long")]
    pub timeout: u32,

    /// The value that is added to a metric, set or observed, or the period of a timer. For unsigned parameters, -1
    /// means the maximum.
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

/// One variant for each function that the world imports, and operations of the probe itself.
#[derive(Deserialize, Clone, Copy)]
pub enum Operation {
    #[serde(rename = "clock.now")]
    ClockNow,
    /// Call the foreign function `name` with `data`.
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
    /// Keep the handle of the metric `name`, and drop an earlier one.
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
    /// Set `times` properties named `name 0`, `name 1` and so on, or stop at the first one that is refused.
    #[serde(rename = "fill-properties")]
    PropertyFill,
    #[serde(rename = "shared-data.get")]
    SharedGet,
    #[serde(rename = "shared-data.set")]
    SharedSet,
    /// Keep the handle of the queue `name`, and drop an earlier one.
    #[serde(rename = "shared-queues.queue.register")]
    QueueRegister,
    /// The same, for a queue that already exists.
    #[serde(rename = "shared-queues.queue.resolve")]
    QueueResolve,
    #[serde(rename = "shared-queues.queue.enqueue")]
    QueueEnqueue,
    #[serde(rename = "shared-queues.queue.dequeue")]
    QueueDequeue,
    /// Log whether the queue's ID is the one that was passed to `on-queue-ready`.
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
    /// Log the arguments of the callback.
    #[serde(rename = "arguments")]
    Arguments,
    /// Log the outcome of an HTTP call, with the headers and trailers whose names begin with `name`, or with none if
    /// `name` is empty.
    #[serde(rename = "outcome")]
    Outcome,
    /// Increment and log the counters of this plugin context and of the instance.
    #[serde(rename = "count")]
    Count,
    /// Keep the filter's handle under `name` after the filter is dropped.
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
    /// Allocate `times` MiB of memory and write to them.
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
