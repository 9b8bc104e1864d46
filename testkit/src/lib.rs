//! Runs one scenario in three homes and compares what came back.
//!
//! A scenario is a YAML file ([`scenario`]): plugins, what upstream answers, the steps, what must come back. [`runner`] takes it
//! through one home and writes down everything that was seen ([`transcript`]); [`verdict`] holds that
//! against what is stated, [`compare`] fails where two homes' transcripts differ outside the list of fields that the proxy owns. The homes stand behind one API ([`homes`]): a component in our
//! host, the adapted module in our host, the adapted module in a real Envoy.
//!
//! [`surroundings`] is what plugins find when a scenario begins. Around them: [`envoy`] fetches Envoy,
//! [`client`] asks the proxy, [`upstream`] answers what the proxy asks, [`ledger`] knows which of both belong together, [`logbook`] collects what plugins log.

pub mod scenario;

pub mod octets;

pub mod surroundings;

pub mod source;

pub mod rewrite;

pub mod bless;

pub mod schema;

pub mod runner;

pub mod transcript;

pub mod verdict;

pub mod compare;

pub mod homes;

pub mod envoy;

pub mod upstream;

pub mod ledger;

pub mod client;

pub mod logbook;

pub use compare::Owned;
pub use homes::HomeKind;
pub use runner::Runner;
pub use scenario::Scenario;
pub use transcript::Transcript;
