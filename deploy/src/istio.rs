//! Istio's resources for plugins: `WasmPlugin`, and `TrafficExtension`, which supersedes it.
//!
//! [`manifest`] and [`envoy_filter`] write what brings a plugin into a mesh, from the types in [`model`]. [`order`] says
//! which plugins a workload gets from many resources, and in which order.
//! [`validate`] judges documents as the API server and istiod do, and says what they admit and then get wrong.

pub mod envoy_filter;
pub mod manifest;
pub mod model;
pub mod order;
pub mod validate;
