//! Runs one scenario in three runtimes and compares what came back.
//!
//! A scenario is a YAML file ([`scenario`]): plugins, what upstream answers, the steps, what must come back. [`runner`] takes it
//! through one runtime and writes down everything that was seen ([`transcript`]); [`verdict`] holds that
//! against what is stated, [`compare`] fails where two runtimes' transcripts differ outside the list of fields that the proxy owns. The runtimes stand behind one API ([`runtimes`]): a component in our
//! host, the adapted module in our host, the adapted module in a real Envoy.
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
