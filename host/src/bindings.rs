//! Rust bindings generated from `wit/`. No other module reads it.
//!
//! The world is `all`. A plugin does not have to export all of it, so the engine looks up each interface separately and
//! does not use the generated world. Imported interfaces are implemented in `engine/component/imports.rs`.

wasmtime::component::bindgen!({
    path: "wit",
    world: "tidegate:proxy/all@0.1.0",
    with: {
        "tidegate:proxy/http-streams.http-stream": HttpStream,
        "tidegate:proxy/metrics.counter": Counter,
        "tidegate:proxy/metrics.gauge": Gauge,
        "tidegate:proxy/metrics.histogram": Histogram,
        "tidegate:proxy/shared-queues.queue": Queue,
    },
    // A handle that the host did not create is an internal error, which traps.
    imports: {
        "tidegate:proxy/metrics.[method]counter.add": trappable,
        "tidegate:proxy/metrics.[method]counter.value": trappable,
        "tidegate:proxy/metrics.[method]gauge.set": trappable,
        "tidegate:proxy/metrics.[method]gauge.add": trappable,
        "tidegate:proxy/metrics.[method]gauge.value": trappable,
        "tidegate:proxy/metrics.[method]histogram.observe": trappable,
    },
});

/// The resource type for a guest's handle to an HTTP stream. Its representation is the ID of the stream context.
pub enum HttpStream {}

/// The resource type for a guest's handle to a counter. Its representation is the number of the metric in the instance.
pub enum Counter {}

/// The resource type for a guest's handle to a gauge, like [`Counter`].
pub enum Gauge {}

/// The resource type for a guest's handle to a histogram, like [`Counter`].
pub enum Histogram {}

/// The resource type for a guest's handle to a queue. Its representation is the ID of the queue.
pub enum Queue {}
