//! Generates a complete Envoy bootstrap: one listener, the plugins in order, the router filter, one upstream, and the clusters that
//! plugins call.
//!
//! This file defines the model; `envoy/render.rs` renders it to the JSON that Envoy reads and documents the reason for each
//! setting. `envoy/profile.rs` has the settings of control planes. Envoy accepts the document as JSON or YAML and chooses the parser by file extension. A path without an
//! extension, such as `/dev/fd/63`, is parsed as JSON.
//!
//! ```
//! use tidegate_deploy::envoy::{Bootstrap, Module, Plugin, Upstream};
//!
//! let mut bootstrap = Bootstrap::new("127.0.0.1:8080".parse()?, Upstream::new("httpbin.org", 80));
//! bootstrap.plugins.push(Plugin::new("greeter", Module::File("/plugins/greeter.wasm".into())));
//! assert_eq!(bootstrap.to_json()["static_resources"]["clusters"][0]["type"], "STRICT_DNS");
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Map, Value};

mod profile;
mod render;

pub use profile::Profile;
pub(crate) use render::{CAPABILITIES, any_bytes, capabilities};

/// The name of the upstream's cluster, to which the route refers.
pub const UPSTREAM_CLUSTER: &str = "upstream";

/// The configuration of one Envoy process.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// The address to listen on. With port 0 the system chooses a port, which Envoy's admin interface reports.
    pub listen: SocketAddr,
    /// The server that receives the requests that the plugins let through.
    pub upstream: Upstream,
    /// The clusters that plugins can send HTTP calls to.
    pub clusters: Vec<Cluster>,
    /// The address of Envoy's admin interface. The default is `None`, because the admin interface can stop the proxy.
    pub admin: Option<SocketAddr>,
    /// The plugins, in the order in which they process requests. Responses are processed in reverse order.
    pub plugins: Vec<Plugin>,
    /// The metadata of the only route: an object for each namespace. Plugins read it as the properties
    /// `xds.route_metadata.filter_metadata.NAMESPACE.KEY`.
    pub route_metadata: Map<String, Value>,
    /// Dynamic metadata that a filter before the plugins sets on each stream: an object for each namespace. Plugins read it as the
    /// properties `metadata.filter_metadata.NAMESPACE.KEY`.
    pub dynamic_metadata: Map<String, Value>,
    /// The control plane whose settings Envoy is given.
    pub profile: Profile,
    /// What Envoy is started for.
    pub purpose: Purpose,
    /// The file from which Envoy reads the listener, and with it the plugins: see [`listener_to_json`](Self::listener_to_json). When
    /// another file is renamed to this path, Envoy replaces the listener. Streams in progress end with the plugins with which they
    /// started, within Envoy's drain time. The extension of the path must be `.json`. The default is `None`: the listener is part of the
    /// bootstrap, and never changes.
    pub listener_file: Option<PathBuf>,
}

/// The upstream server. Envoy connects to it with HTTP/1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// A host name or an IP address. IPv6 addresses are written without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// A cluster that plugins can send HTTP calls to. Envoy connects to its servers with HTTP/1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The name by which plugins refer to the cluster. Must be unique, and not [`UPSTREAM_CLUSTER`].
    pub name: String,
    /// The servers, which share the calls. Without any, sending a call fails.
    pub endpoints: Vec<Upstream>,
}

/// A deployed plugin.
///
/// On each worker, Envoy runs plugins that have the same module bytes, environment, `vm_configuration` and `vm_id` in one
/// virtual machine, with a separate plugin context for each plugin. This crate never sets `vm_id`, and neither does Istio. A
/// module that is listed twice therefore shares its globals and its shared data, and a trap in one plugin affects both, in
/// this bootstrap as in a mesh.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// The plugin's name in logs, statistics and properties, and its root ID. Must be unique among the plugins: Envoy would
    /// use a single plugin context for two plugins with the same module, configuration and name.
    pub name: String,
    /// The adapted module, or any other Proxy-Wasm module.
    pub module: Module,
    /// The configuration that the plugin's configuration callback reads. To the plugin, `None` and an empty value are
    /// equivalent.
    pub configuration: Option<Vec<u8>>,
    /// How streams are handled after the plugin has trapped.
    pub failure_policy: FailurePolicy,
    /// Environment variables that are visible to the plugin. They are part of the virtual machine: the same module with
    /// different variables runs in a different virtual machine.
    pub environment: Vec<(String, String)>,
    /// The configuration of the virtual machine. The same module with different ones runs in different virtual machines. If Envoy is
    /// given another listener while it runs, plugins that have not changed keep their virtual machines and plugin contexts. With another
    /// value here, they are started again.
    pub vm_configuration: Option<Vec<u8>>,
    /// The functions that the module may import and the callbacks that may be invoked on it, as in
    /// [`Facts::capabilities`](crate::module::Facts::capabilities). `None` allows everything.
    pub capabilities: Option<BTreeSet<String>>,
}

/// The location from which Envoy loads a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Module {
    /// The module is embedded in the bootstrap, which makes the bootstrap self-contained.
    Inline(Vec<u8>),
    /// The module is a file that Envoy can read. A relative path is resolved against Envoy's working directory.
    File(PathBuf),
}

/// How streams are handled after a plugin has trapped and its virtual machine has been lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// Streams receive a 503 response until a new virtual machine starts, which happens on the first request after a delay
    /// of one second plus jitter. Requires Envoy 1.33 or later; earlier versions reject the bootstrap with an error that
    /// names `failure_policy`.
    #[default]
    Reload,
    /// All subsequent streams receive a 503 response.
    Closed,
    /// Streams bypass the plugin.
    Open,
}

/// What Envoy is started for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To serve requests.
    #[default]
    Serving,
    /// To compare a transcript with that of another proxy. A plugin that has trapped is reloaded on the next request, without a delay.
    /// Whenever the admin interface is asked for statistics, Envoy updates histograms for the next response. By default, it
    /// does so every five seconds.
    ///
    /// The router adds no `x-envoy-*` headers. With [`Profile::Envoy`], Envoy's other additions are disabled, too, as far as Envoy
    /// allows: no `x-request-id`, `server` as sent by the upstream, and no `x-forwarded-proto` to the upstream (plugins still see it).
    Comparing,
}

// === impl Bootstrap ===

impl Bootstrap {
    /// Creates a bootstrap without plugins, without clusters for calls, without metadata and without an admin interface, with
    /// Envoy's default settings.
    pub fn new(listen: SocketAddr, upstream: Upstream) -> Self {
        Self {
            listen,
            upstream,
            clusters: Vec::new(),
            admin: None,
            plugins: Vec::new(),
            route_metadata: Map::new(),
            dynamic_metadata: Map::new(),
            profile: Profile::default(),
            purpose: Purpose::default(),
            listener_file: None,
        }
    }

    /// Returns the bootstrap as the JSON document that Envoy reads.
    pub fn to_json(&self) -> Value {
        render::bootstrap(self)
    }

    /// Returns the same document as YAML, for reading and editing by hand.
    pub fn to_yaml(&self) -> Result<String, YamlError> {
        // A base64-encoded module is a single long word. Folding it over several lines gains nothing and makes parsing
        // harder.
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        serde_saphyr::to_string_with_options(&self.to_json(), options).map_err(YamlError)
    }

    /// Returns the contents of [`listener_file`](Self::listener_file) in JSON.
    pub fn listener_to_json(&self) -> Value {
        render::listener_file(self)
    }
}

/// An error returned when the bootstrap cannot be serialized as YAML.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the bootstrap as YAML")]
pub struct YamlError(#[source] serde_saphyr::SerializeError);

// === impl Upstream ===

impl Upstream {
    /// Creates an upstream from a host name or an IP address.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    /// The IP address, if the host is one and does not need to be resolved.
    fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

// === impl Plugin ===

impl Plugin {
    /// Creates a plugin without a configuration. It is reloaded after a trap.
    pub fn new(name: impl Into<String>, module: Module) -> Self {
        Self {
            name: name.into(),
            module,
            configuration: None,
            failure_policy: FailurePolicy::default(),
            environment: Vec::new(),
            vm_configuration: None,
            capabilities: None,
        }
    }
}
