//! Tests of the command-line tool: exit codes, output streams, files.
//!
//! No test sleeps: a server prints a line when it is ready, and every wait has a time limit.

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
mod renamed;
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
mod verbose;
