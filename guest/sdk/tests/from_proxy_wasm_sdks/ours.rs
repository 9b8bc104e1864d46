//! Rust code that contains every item of `docs/from-proxy-wasm-sdks.md` as it is written there. It is compiled, and never run.

use std::time::Duration;

use tidegate_guest::http_calls::{Request, Response};
use tidegate_guest::metrics::{Counter, Gauge, Histogram};
use tidegate_guest::prelude::*;
use tidegate_guest::shared_data::Condition;
use tidegate_guest::shared_queues::Queue;

struct Registered;

#[derive(Default)]
struct OfStream;

impl Drop for OfStream {
    fn drop(&mut self) {}
}

#[plugin]
impl Plugin for Registered {
    type Config = ();
    type Stream = OfStream;

    fn configure(_: ()) -> Result<Self, ConfigError> {
        vm_configuration::get();
        Ok(Registered)
    }

    fn on_plugin_done(&self) -> Completion {
        match plugin_lifecycle::done() {
            Ok(()) => Completion::Done,
            Err(_) => Completion::Pending,
        }
    }
}

/// The type parameter is called like the trait, as on the page.
fn callbacks<Plugin: tidegate_guest::Plugin>(
    config: Plugin::Config,
    http: &mut HttpStream,
    (size, end): (u32, EndOfStream),
    (call, outcome): (CallId, Outcome),
    queue: QueueId,
) -> Result<(), ConfigError> {
    let plugin: Plugin = Plugin::configure(config)?;
    let stream: &mut Plugin::Stream = &mut Plugin::on_stream(&plugin, http);
    drop(plugin.on_request_headers(stream, http, end));
    drop(plugin.on_request_body(stream, http, size, end));
    drop(plugin.on_request_trailers(stream, http));
    drop(plugin.on_response_headers(stream, http, end));
    drop(plugin.on_response_body(stream, http, size, end));
    drop(plugin.on_response_trailers(stream, http));
    plugin.on_log(stream, http);
    drop(plugin.on_http_call_response(stream, http, call, outcome.clone()));
    plugin.on_plugin_http_call_response(call, outcome);
    plugin.on_tick();
    plugin.on_queue_ready(queue);
    plugin.on_plugin_done();
    Ok(())
}

fn headers(
    http: &HttpStream,
    (name, value): (&str, &[u8]),
    entries: &[(String, Vec<u8>)],
) -> Result<(), Error> {
    http.request_headers().entries()?;
    http.request_headers().get_str(name)?;
    http.request_headers().get(name)?;
    http.request_headers().values(name)?;
    http.request_headers().replace_all(entries)?;
    http.request_headers().set(name, value)?;
    http.request_headers().remove(name)?;
    http.request_headers().append(name, value)?;
    let _: [Fields<'_>; 3] = [
        http.request_trailers(),
        http.response_headers(),
        http.response_trailers(),
    ];
    http.method()?;
    http.path()?;
    http.authority()?;
    http.scheme()?;
    http.status()?;
    http.query(name)?;
    http.cookie(name)?;
    http.client_address()?;
    Ok(())
}

fn bodies(http: &HttpStream, (offset, max): (u32, u32), value: &[u8]) -> Result<(), Error> {
    http.request_body().read(offset, max)?;
    http.request_body().read_all()?;
    http.request_body().size()?;
    http.response_body().replace(value)?;
    http.response_body().append(value)?;
    http.response_body().prepend(value)?;
    Ok(())
}

#[expect(clippy::needless_return, reason = "the page has it")]
fn streams(
    http: &mut HttpStream,
    status: u32,
    path: &[&str],
    (name, value): (&str, &[u8]),
) -> Result<Action, Error> {
    http.resume(Direction::Request)?;
    http.resume(Direction::Response)?;
    http.reset()?;
    http.share();
    http.property(path)?;
    http.property_str(path)?;
    http.property_i64(path)?;
    attributes::source_address(http)?;
    plugin_properties::get(path)?;
    http.set_property(name, value)?;
    http.send_response(LocalResponse::new(200).grpc_status(status))?;
    let status = 401;
    http.send_response(LocalResponse::new(status).header(name, value).body(value))?;
    return http.respond(LocalResponse::new(status));
}

fn calls(
    http: &HttpStream,
    cluster: &str,
    (method, authority, path): (&str, &str, &str),
    timeout: Duration,
) -> Result<CallId, Error> {
    http.call(cluster, Request::new(method, authority, path), timeout)?;
    let request = Request::get(authority, path);
    http_calls::send(cluster, request, timeout)
}

fn outcome(outcome: Outcome, name: &str) -> Option<Vec<u8>> {
    let response: Response = match outcome {
        Outcome::Response(response) => response,
        Outcome::Reset => return None,
    };
    response.headers().count();
    response.header(name)?;
    response.header_str(name)?;
    response.status()?;
    response.body();
    response.trailers().count();
    Some(response.into_body())
}

fn time(period: Duration) -> Result<(), Error> {
    timers::every(period)?;
    timers::stop()?;
    clock::system_time();
    clock::now();
    Ok(())
}

fn shared(
    key: &str,
    value: &[u8],
    version: u32,
    make: impl FnMut(Option<&[u8]>) -> Vec<u8>,
    (vm, name): (&str, &str),
    data: &[u8],
) -> Result<(), Error> {
    shared_data::get(key)?;
    shared_data::set(key, value, Condition::Always)?;
    shared_data::set(key, value, Condition::Version(version))?;
    shared_data::update(key, make)?;
    Queue::register(name)?;
    Queue::resolve(vm, name)?;
    let queue = Queue::find(name)?;
    queue.enqueue(data)?;
    queue.dequeue()?;
    Ok(())
}

fn metrics(name: &str, (by, value): (u64, u64)) -> Result<(), Error> {
    let labels = [("method", "GET")];
    Counter::define_labelled(name, &labels)?;
    let counter = Counter::define(name)?;
    counter.add(by);
    counter.increment();
    counter.value();
    let gauge = Gauge::define(name)?;
    gauge.set(value);
    let by = -1;
    gauge.add(by);
    gauge.value();
    let histogram = Histogram::define(name)?;
    histogram.observe(value);
    Ok(())
}

fn others(name: &str, arguments: &[u8], level: log::Level) -> Result<(), Error> {
    foreign_functions::call(name, arguments)?;
    log::trace!("{name}");
    log::debug!("{name}");
    log::info!("{name}");
    log::warn!("{name}");
    log::error!("{name}");
    log::critical!("{name}");
    log::install();
    log::lowest();
    log::is_kept(level);
    plugin_lifecycle::done()
}
