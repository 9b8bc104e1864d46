//! A complete Envoy bootstrap: one listener, the plugins in order, the router, one upstream.
//!
//! This file is the model; `envoy/render.rs` turns it into the JSON that Envoy reads, and says of each setting why it is
//! there. Envoy takes the same document as JSON or YAML and goes by the file's extension; a path without one, such as
//! `/dev/fd/63`, is read as JSON.
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

mod render;

pub(crate) use render::{CAPABILITIES, any_bytes, capabilities};

/// What one Envoy is to do.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// Where it listens; port 0 lets the system choose, and Envoy's admin interface tells which it was.
    pub listen: SocketAddr,
    /// Where requests go that the plugins let through.
    pub upstream: Upstream,
    /// Where Envoy's admin interface listens; none by default, since it can stop the proxy.
    pub admin: Option<SocketAddr>,
    /// The plugins, in the order that requests pass them; responses pass them the other way round.
    pub plugins: Vec<Plugin>,
    /// How much Envoy adds to messages by itself.
    pub profile: Profile,
}

/// The server behind the proxy, spoken to in HTTP/1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// A name or an IP address; an IPv6 address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// One plugin as it is deployed.
///
/// Envoy runs plugins whose modules have the same bytes, environment and `vm_id` in one virtual machine per worker, each
/// with a plugin context of its own. `vm_id` is never set here, as Istio never sets it: the same module listed twice
/// shares its globals, its shared data and its fate, in this bootstrap as in a mesh.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// Names the plugin in logs, statistics and properties, and is its root id. Must differ from the other plugins':
    /// two plugins of one module, one configuration and one name would be one plugin context to Envoy.
    pub name: String,
    /// The adapted module, or any other Proxy-Wasm module.
    pub module: Module,
    /// What the plugin's configuration callback reads; `None` and empty are the same to it.
    pub configuration: Option<Vec<u8>>,
    /// What happens to streams after the plugin has trapped.
    pub fail_policy: FailPolicy,
    /// Environment variables that the plugin sees. They belong to the virtual machine: the same module with other
    /// variables runs in another one.
    pub environment: Vec<(String, String)>,
    /// All that the module may call and be called for, such as [`Facts::capabilities`](crate::module::Facts::capabilities)
    /// has it; everything if it is `None`.
    pub capabilities: Option<BTreeSet<String>>,
}

/// Where Envoy takes a module's bytes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Module {
    /// From the bootstrap itself, so that it is one file that can be handed around.
    Inline(Vec<u8>),
    /// From a file that Envoy can read; a relative path starts at Envoy's working directory.
    File(PathBuf),
}

/// What happens once a plugin has trapped and its virtual machine is lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FailPolicy {
    /// Streams get 503 until a fresh machine starts, on the first request after a delay of a second and some jitter.
    /// Needs Envoy 1.33 or newer; an older one refuses the bootstrap by naming `failure_policy`.
    #[default]
    Reload,
    /// Every stream gets 503 from then on.
    Closed,
    /// Streams pass as if the plugin were not there.
    Open,
}

/// How much Envoy adds to messages by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Profile {
    /// Envoy as it comes.
    #[default]
    Serving,
    /// What Envoy adds by itself is left out as far as Envoy lets it, so that a transcript can be held against another
    /// proxy's: no `x-request-id`, no `x-envoy-*`, `server` as the upstream sent it, no `x-forwarded-proto` upstream
    /// (plugins still see that one), and a plugin that trapped is reloaded for the very next request.
    Comparable,
}

// === impl Bootstrap ===

impl Bootstrap {
    /// A proxy without plugins and without admin interface.
    pub fn new(listen: SocketAddr, upstream: Upstream) -> Self {
        Self {
            listen,
            upstream,
            admin: None,
            plugins: Vec::new(),
            profile: Profile::default(),
        }
    }

    /// The bootstrap as Envoy reads it.
    pub fn to_json(&self) -> serde_json::Value {
        render::bootstrap(self)
    }

    /// The same as YAML, for reading and editing by hand.
    pub fn to_yaml(&self) -> Result<String, YamlError> {
        // A module in base64 is one long word; folding it over lines would gain nothing and cost a parser's goodwill.
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        serde_saphyr::to_string_with_options(&self.to_json(), options).map_err(YamlError)
    }
}

/// The bootstrap could not be written as YAML.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the bootstrap as YAML")]
pub struct YamlError(#[source] serde_saphyr::SerializeError);

// === impl Upstream ===

impl Upstream {
    /// A server by its name or address.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    /// The address, where the host is one and needs no resolving.
    fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

// === impl Plugin ===

impl Plugin {
    /// A plugin without configuration, reloaded when it traps.
    pub fn new(name: impl Into<String>, module: Module) -> Self {
        Self {
            name: name.into(),
            module,
            configuration: None,
            fail_policy: FailPolicy::default(),
            environment: Vec::new(),
            capabilities: None,
        }
    }
}
