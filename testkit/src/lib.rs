//! Runs scenarios in several runtimes and compares the results.
//!
//! A scenario is a YAML file ([`scenario`]) with plugins, upstream responses, steps and expectations. [`runner`] runs
//! it in one runtime and records the results as a [`transcript`]. [`verdict`] checks a transcript against the
//! expectations. [`compare`] compares the transcripts of two runtimes, except for the fields that belong to the proxy.
//! [`update`] rewrites the expectations. The [`runtimes`] are a component in Tidegate's proxy, the adapted module in
//! Tidegate's proxy, and the adapted module in a real Envoy.
//!
//! [`surroundings`] defines the shared data and properties that plugins find when a scenario begins, and [`metadata`] the
//! metadata of route and streams. Supporting modules: [`envoy`] downloads Envoy, [`client`] sends requests to the proxy, [`upstream`] is the server that the
//! proxy forwards to, [`clusters`] are the services that plugins call, [`gate`] holds their responses, [`ledger`]
//! matches upstream requests with client requests, and [`logbook`] collects the log output of plugins.

pub mod scenario;

pub mod octets;

pub mod surroundings;

pub mod metadata;

pub mod source;

pub mod rewrite;

pub mod update;

pub mod schema;

pub mod runner;

pub mod transcript;

pub mod verdict;

pub mod compare;

pub mod report;

pub mod runtimes;

pub mod envoy;

pub mod upstream;

pub mod clusters;

pub mod gate;

pub mod ledger;

pub mod client;

pub mod logbook;

pub use compare::Owned;
pub use runner::Runner;
pub use runtimes::RuntimeKind;
pub use scenario::Scenario;
pub use transcript::Transcript;
