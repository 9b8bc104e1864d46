//! [`Builder`]: sets what a proxy has before its plugin is configured.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tidegate_semantics::{
    attributes::Attributes,
    clock::ManualClock,
    clusters::{Cluster, Clusters},
    instances::ChainConfig,
    plugin::PluginSpec,
};

use crate::{
    Plugin,
    log::Level,
    testing::{Answer, Message, Proxy, Refused, log::LogBook, services::Services},
};

/// Sets what a [`Proxy`] has before its plugin is configured, such as services, the time and properties.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use tidegate_guest::prelude::*;
/// use tidegate_guest::testing::{Message, Proxy, Refused};
///
/// # struct Hello;
/// # #[plugin]
/// # impl Plugin for Hello {
/// #     type Config = ();
/// #     type Stream = ();
/// #     fn configure(_: ()) -> Result<Self, ConfigError> { Ok(Hello) }
/// #     fn on_log(&self, _: &mut (), _: &mut HttpStream) {}
/// # }
/// # fn build() -> Result<(), Refused> {
/// let proxy = Proxy::<Hello>::builder()
///     .time(SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600))
///     .client("203.0.113.7:50000".parse().expect("an address"))
///     .property(&["xds", "route_name"], "shop")
///     .service("auth", |_: &Message| Message::response(200).into())
///     .build("{}")?;
/// # Ok(())
/// # }
/// # build().unwrap();
/// ```
#[must_use]
pub struct Builder<P> {
    make: fn(Parts) -> Result<Proxy<P>, Refused>,
    parts: Parts,
}

/// What a proxy is made of.
pub(super) struct Parts {
    pub(super) spec: PluginSpec,
    pub(super) now: u64,
    pub(super) level: Level,
    pub(super) attributes: Attributes,
    pub(super) clusters: Clusters,
    pub(super) services: Services,
    pub(super) client: SocketAddr,
    pub(super) buffer: usize,
    service_count: u16,
}

/// The time at which a proxy starts, in nanoseconds since 1970: 2026-01-01 00:00 UTC.
const BEGINNING: u64 = 1_767_225_600_000_000_000;

// === impl Builder ===

impl<P: Plugin> Builder<P> {
    pub(super) fn new(make: fn(Parts) -> Result<Proxy<P>, Refused>) -> Self {
        Builder {
            make,
            parts: Parts {
                spec: PluginSpec {
                    // A test does not have to wait after a trap.
                    restart_interval: Duration::ZERO,
                    ..PluginSpec::new("plugin", Bytes::new())
                },
                now: BEGINNING,
                level: Level::Trace,
                attributes: Attributes::default(),
                clusters: Clusters::default(),
                services: Services::default(),
                client: SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000)),
                buffer: 1 << 20,
                service_count: 0,
            },
        }
    }

    /// Adds a service that the plugin can call, by the name of its cluster. The function answers each request after the callback that
    /// sent it has returned.
    ///
    /// A call to a cluster that was not added returns [`Error::NotFound`](crate::Error::NotFound).
    pub fn service(
        mut self,
        cluster: &str,
        answer: impl FnMut(&Message) -> Answer + 'static,
    ) -> Self {
        // A cluster is known by its address when a call is sent.
        let host = "service";
        self.parts.service_count = self.parts.service_count.saturating_add(1);
        let port = self.parts.service_count;
        if let Ok(found) = Cluster::new(host, port) {
            self.parts.clusters.insert(cluster, found);
            let authority = format!("{host}:{port}");
            self.parts.services.add(&authority, Box::new(answer));
        }
        self
    }

    /// Adds a cluster without a healthy host. A call returns [`Error::Internal`](crate::Error::Internal).
    pub fn cluster_without_hosts(mut self, cluster: &str) -> Self {
        let found = Cluster::without_hosts();
        self.parts.clusters.insert(cluster, found);
        self
    }

    /// Sets the time. The default is the beginning of 2026.
    pub fn time(mut self, time: SystemTime) -> Self {
        self.parts.now = nanoseconds(time);
        self
    }

    /// Sets the address of the client. The default is port 50000 of this machine.
    pub fn client(mut self, address: SocketAddr) -> Self {
        self.parts.client = address;
        self
    }

    /// Sets a property of every stream, or of the plugin (`plugin_…`, or a path that begins with `xds` and `node`). The value has Envoy's
    /// encoding: strings as they are, integers as eight bytes in little-endian order, booleans as one byte.
    pub fn property(mut self, path: &[&str], value: impl Into<Vec<u8>>) -> Self {
        let value = Bytes::from(value.into());
        self.parts.attributes.insert(path.iter().copied(), value);
        self
    }

    /// Sets the name of the plugin: the property `plugin_name` of [`plugin_properties`](crate::plugin_properties). The default is `plugin`.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.parts.spec.name);
        self
    }

    /// Sets the [configuration of the instance](crate::vm_configuration).
    pub fn vm_configuration(mut self, configuration: impl Into<Vec<u8>>) -> Self {
        self.parts.spec.vm_configuration = configuration.into();
        self
    }

    /// Sets the lowest log level that is kept. By default, all levels are kept.
    pub fn log_level(mut self, level: Level) -> Self {
        self.parts.level = level;
        self
    }

    /// Sets how many bytes of a paused body are buffered. The default is 1 MiB, as in Envoy. The client gets status 413 if the body of a
    /// request is larger, and status 500 if the body of a response is larger.
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.parts.buffer = bytes;
        self
    }

    /// Configures the plugin. An empty configuration is the same as none.
    pub fn build(mut self, configuration: impl AsRef<[u8]>) -> Result<Proxy<P>, Refused> {
        self.parts.spec.configuration = configuration.as_ref().to_vec();
        (self.make)(self.parts)
    }
}

impl Parts {
    /// Returns what the semantics need, and what the test keeps of it.
    pub(super) fn chain_config(&mut self) -> (ChainConfig, Arc<ManualClock>, Arc<LogBook>) {
        let clock = Arc::new(ManualClock::new(self.now));
        let log = Arc::new(LogBook::new(self.level));
        let config = ChainConfig {
            buffer: self.buffer,
            clusters: Arc::new(std::mem::take(&mut self.clusters)),
            attributes: Arc::new(std::mem::take(&mut self.attributes)),
            ..ChainConfig::new(clock.clone(), log.clone())
        };
        (config, clock, log)
    }
}

/// Returns a time in nanoseconds since 1970. Earlier times are 0.
pub(super) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |it: Duration| {
        u64::try_from(it.as_nanos()).unwrap_or(u64::MAX)
    })
}
