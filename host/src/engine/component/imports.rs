//! The contract's hostcalls for components: implementations of the generated traits, in which each function calls its
//! counterpart in `hostcalls`. `http_fields`, `http_calls` and `shared_queues` contain those of their interfaces.

use tidegate_semantics::hostcalls;
use tidegate_semantics::hostcalls::shared_data::Condition;
use tidegate_semantics::logs::Level;
use tidegate_semantics::metrics::MetricKind;
use tidegate_semantics::vocabulary::Direction;
use wasmtime::component::{HasSelf, Linker, Resource};

use crate::bindings::tidegate::proxy::{
    clock, foreign_functions, http_bodies, http_call_types, http_calls, http_streams,
    local_responses, logging, metrics, plugin_lifecycle, plugin_properties, properties,
    shared_data, shared_queues, stream_control, timers, types, vm_configuration,
};
use crate::bindings::{Counter, Gauge, Histogram, HttpStream};
use crate::engine::component::guest::Guest;
use crate::engine::component::http_fields;

pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    clock::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    foreign_functions::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    http_bodies::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    http_call_types::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    http_calls::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    http_fields::link(linker)?;
    http_streams::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    local_responses::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    logging::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    metrics::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    plugin_lifecycle::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    plugin_properties::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    properties::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    shared_data::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    shared_queues::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    stream_control::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    timers::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    types::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    vm_configuration::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)
}

type Http = Resource<HttpStream>;
type HostcallResult<T> = Result<T, types::Error>;

impl types::Host for Guest {}

impl clock::Host for Guest {
    fn now(&mut self) -> u64 {
        hostcalls::clock::now(&self.services)
    }
}

impl logging::Host for Guest {
    fn log(&mut self, level: logging::Level, message: String) {
        let level = match level {
            logging::Level::Trace => Level::Trace,
            logging::Level::Debug => Level::Debug,
            logging::Level::Info => Level::Info,
            logging::Level::Warn => Level::Warn,
            logging::Level::Error => Level::Error,
            logging::Level::Critical => Level::Critical,
        };
        hostcalls::logging::log(&self.services, self.plugin(), level, &message);
    }

    fn lowest(&mut self) -> logging::Level {
        match hostcalls::logging::lowest(&self.services) {
            Level::Trace => logging::Level::Trace,
            Level::Debug => logging::Level::Debug,
            Level::Info => logging::Level::Info,
            Level::Warn => logging::Level::Warn,
            Level::Error => logging::Level::Error,
            Level::Critical => logging::Level::Critical,
        }
    }
}

impl http_streams::Host for Guest {}

impl http_streams::HostHttpStream for Guest {
    fn id(&mut self, http: Http) -> u32 {
        hostcalls::http_streams::id(http.rep())
    }

    fn drop(&mut self, _handle: Http) -> wasmtime::Result<()> {
        // A handle is only a number, so there is nothing to release.
        Ok(())
    }
}

impl http_bodies::Host for Guest {
    fn size(&mut self, http: Http, body: types::Direction) -> HostcallResult<u32> {
        let size = self.stream(http.rep(), |stream| {
            hostcalls::http_bodies::size(stream, body.into())
        })?;
        Ok(u32::try_from(size).unwrap_or(u32::MAX))
    }

    fn read(
        &mut self,
        http: Http,
        body: types::Direction,
        offset: u32,
        max: u32,
    ) -> HostcallResult<Vec<u8>> {
        let (offset, max) = (offset as usize, max as usize);
        Ok(self.stream(http.rep(), |stream| {
            hostcalls::http_bodies::read(stream, body.into(), offset, max)
        })?)
    }

    fn replace(&mut self, http: Http, body: types::Direction, data: Vec<u8>) -> HostcallResult<()> {
        Ok(self.stream(http.rep(), |stream| {
            hostcalls::http_bodies::replace(stream, body.into(), data.into())
        })?)
    }

    fn append(&mut self, http: Http, body: types::Direction, data: Vec<u8>) -> HostcallResult<()> {
        Ok(self.stream(http.rep(), |stream| {
            hostcalls::http_bodies::append(stream, body.into(), data.into())
        })?)
    }

    fn prepend(&mut self, http: Http, body: types::Direction, data: Vec<u8>) -> HostcallResult<()> {
        Ok(self.stream(http.rep(), |stream| {
            hostcalls::http_bodies::prepend(stream, body.into(), data.into())
        })?)
    }
}

impl local_responses::Host for Guest {
    fn send(&mut self, http: Http, response: local_responses::LocalResponse) -> HostcallResult<()> {
        // Details are for access logs, which this host does not write.
        let local_responses::LocalResponse {
            status,
            headers,
            body,
            grpc_status,
            details: _,
        } = response;
        Ok(self.stream(http.rep(), |stream| {
            let headers = headers
                .iter()
                .map(|(name, value)| (name.as_bytes(), &value[..]));
            hostcalls::local_responses::send(
                self.services.in_event.get(),
                stream,
                status,
                headers,
                body.into(),
                grpc_status,
            )
        })?)
    }
}

impl metrics::Host for Guest {}

impl metrics::HostCounter for Guest {
    fn define(&mut self, name: String) -> HostcallResult<Resource<Counter>> {
        self.define_metric(MetricKind::Counter, &name)
    }

    fn add(&mut self, counter: Resource<Counter>, by: u64) -> wasmtime::Result<()> {
        metric(hostcalls::metrics::add(&self.services, counter.rep(), by))
    }

    fn value(&mut self, counter: Resource<Counter>) -> wasmtime::Result<u64> {
        metric(hostcalls::metrics::value(&self.services, counter.rep()))
    }

    fn drop(&mut self, _handle: Resource<Counter>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl metrics::HostGauge for Guest {
    fn define(&mut self, name: String) -> HostcallResult<Resource<Gauge>> {
        self.define_metric(MetricKind::Gauge, &name)
    }

    fn set(&mut self, gauge: Resource<Gauge>, value: u64) -> wasmtime::Result<()> {
        metric(hostcalls::metrics::set(&self.services, gauge.rep(), value))
    }

    fn add(&mut self, gauge: Resource<Gauge>, by: i64) -> wasmtime::Result<()> {
        metric(hostcalls::metrics::add(
            &self.services,
            gauge.rep(),
            by.cast_unsigned(),
        ))
    }

    fn value(&mut self, gauge: Resource<Gauge>) -> wasmtime::Result<u64> {
        metric(hostcalls::metrics::value(&self.services, gauge.rep()))
    }

    fn drop(&mut self, _handle: Resource<Gauge>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl metrics::HostHistogram for Guest {
    fn define(&mut self, name: String) -> HostcallResult<Resource<Histogram>> {
        self.define_metric(MetricKind::Histogram, &name)
    }

    fn observe(&mut self, histogram: Resource<Histogram>, value: u64) -> wasmtime::Result<()> {
        metric(hostcalls::metrics::observe(
            &self.services,
            histogram.rep(),
            value,
        ))
    }

    fn drop(&mut self, _handle: Resource<Histogram>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl Guest {
    fn define_metric<T: 'static>(
        &mut self,
        kind: MetricKind,
        name: &str,
    ) -> HostcallResult<Resource<T>> {
        let id = hostcalls::metrics::define(&self.services, kind, name.as_bytes())?;
        Ok(Resource::new_own(id))
    }
}

/// The handles of metrics are made by `define`, so that each of them stands for a metric.
fn metric<T>(result: Result<T, hostcalls::Error>) -> wasmtime::Result<T> {
    result.map_err(|error| wasmtime::format_err!("a metric's handle is invalid: {error:?}"))
}

impl foreign_functions::Host for Guest {
    fn call(&mut self, name: String, arguments: Vec<u8>) -> HostcallResult<Vec<u8>> {
        let result = hostcalls::foreign_functions::call(name.as_bytes(), &arguments)?;
        Ok(result.into())
    }
}

impl plugin_lifecycle::Host for Guest {
    fn done(&mut self) -> HostcallResult<()> {
        Ok(hostcalls::plugin_lifecycle::done(
            &self.services,
            self.plugin(),
        )?)
    }
}

impl plugin_properties::Host for Guest {
    fn get(&mut self, path: Vec<String>) -> HostcallResult<Option<Vec<u8>>> {
        let (services, plugin) = (&self.services, self.plugin());
        let found = hostcalls::plugin_properties::get(services, plugin, &path)?;
        Ok(found.map(Vec::from))
    }
}

impl properties::Host for Guest {
    fn get(&mut self, http: Http, path: Vec<String>) -> HostcallResult<Option<Vec<u8>>> {
        let services = &self.services;
        // The plugin of that stream, which may differ from the running plugin.
        let context = services.contexts.find(http.rep());
        let plugin = context.map_or_else(|| self.plugin(), |it| it.plugin);
        Ok(self.stream(http.rep(), |stream| {
            hostcalls::properties::check_open(stream)?;
            let path = hostcalls::properties::join_path(&path)?;
            let found = hostcalls::properties::get(services, plugin, stream, &path)?;
            Ok(found.map(Vec::from))
        })?)
    }

    fn set(&mut self, http: Http, name: String, value: Vec<u8>) -> HostcallResult<()> {
        Ok(self.stream(http.rep(), |stream| {
            hostcalls::properties::check_open(stream)?;
            hostcalls::properties::check_segment(&name)?;
            hostcalls::properties::set(stream, name.as_bytes(), &value)
        })?)
    }
}

impl shared_data::Host for Guest {
    fn get(&mut self, key: String) -> HostcallResult<Option<shared_data::Stored>> {
        let stored = hostcalls::shared_data::get(&self.services, key.as_bytes());
        Ok(stored.map(|stored| shared_data::Stored {
            value: stored.value.into(),
            version: stored.version,
        }))
    }

    fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        condition: shared_data::Condition,
    ) -> HostcallResult<()> {
        let condition = match condition {
            shared_data::Condition::Always => Condition::Always,
            shared_data::Condition::Absent => Condition::Absent,
            shared_data::Condition::Version(version) => Condition::Version(version),
        };
        let (services, key) = (&self.services, key.as_bytes());
        Ok(hostcalls::shared_data::set(
            services,
            key,
            value.into(),
            condition,
        )?)
    }
}

impl stream_control::Host for Guest {
    fn resume(&mut self, http: Http, direction: types::Direction) -> HostcallResult<()> {
        Ok(self.stream(http.rep(), |stream| {
            hostcalls::stream_control::resume(stream, direction.into())
        })?)
    }

    fn reset(&mut self, http: Http) -> HostcallResult<()> {
        Ok(self.stream(http.rep(), hostcalls::stream_control::reset)?)
    }
}

impl vm_configuration::Host for Guest {
    fn get(&mut self) -> Vec<u8> {
        hostcalls::vm_configuration::get(&self.services).to_vec()
    }
}

impl From<hostcalls::Error> for types::Error {
    fn from(error: hostcalls::Error) -> Self {
        match error {
            hostcalls::Error::Closed => types::Error::Closed,
            hostcalls::Error::NotAvailable => types::Error::NotAvailable,
            hostcalls::Error::NotFound => types::Error::NotFound,
            hostcalls::Error::InvalidArgument => types::Error::InvalidArgument,
            hostcalls::Error::TooLarge => types::Error::TooLarge,
            hostcalls::Error::CasMismatch => types::Error::CasMismatch,
            hostcalls::Error::Empty => types::Error::Empty,
            hostcalls::Error::Malformed => types::Error::Malformed,
            hostcalls::Error::Internal => types::Error::Internal,
        }
    }
}

impl From<types::Direction> for Direction {
    fn from(direction: types::Direction) -> Self {
        match direction {
            types::Direction::Request => Direction::Request,
            types::Direction::Response => Direction::Response,
        }
    }
}
