//! The command line tool as it is run: exit codes, what goes to which stream, what is left on disk.
//!
//! Nothing here sleeps: a server is ready when it says so, and every wait has an end.

mod adapt;
mod author;
mod binary;
#[cfg(unix)]
mod browser;
#[cfg(unix)]
mod capabilities;
mod check_manifests;
mod check_plugins;
mod dashboard;
mod dev;
#[cfg(unix)]
mod doctor;
#[cfg(unix)]
mod envoy;
mod examples;
mod istio_manifest;
mod json;
mod languages;
mod manifest;
mod order;
#[cfg(unix)]
mod page;
mod pull;
mod push;
mod reproducible;
mod run;
mod scenarios;
mod shell;
mod shipping;
mod snapshots;
#[cfg(unix)]
mod target;
mod tool;
mod usage;
