//! Runs a scenario in three runtimes and compares the results.
//!
//! A scenario is a YAML file ([`scenario`]): plugins, responses of the upstream, steps, expectations. [`runner`] runs it in one runtime
//! and records the results ([`transcript`]). [`verdict`] checks a transcript against the expectations, [`compare`] checks the transcripts
//! of two runtimes against each other, except for the fields that belong to the proxy, and [`update`] rewrites the expectations.
//! [`runtimes`] are a component in Tidegate's proxy, the adapted module in Tidegate's proxy, and the adapted module in a real Envoy.
//!
//! [`surroundings`] is what plugins find when a scenario begins. Around them: [`envoy`] fetches Envoy,
//! [`client`] asks the proxy, [`upstream`] answers what the proxy asks, [`ledger`] knows which of both belong together, [`logbook`] collects what plugins log.

pub mod scenario;

pub mod octets;

pub mod surroundings;

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

pub mod ledger;

pub mod client;

pub mod logbook;

pub use compare::Owned;
pub use runner::Runner;
pub use runtimes::RuntimeKind;
pub use scenario::Scenario;
pub use transcript::Transcript;
