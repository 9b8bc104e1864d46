//! Istio's resources for plugins: `WasmPlugin`, and `TrafficExtension`, which supersedes it.
//!
//! [`manifest`] and [`envoy_filter`] write what brings a plugin into a mesh, from the types in [`model`]. [`order`] says
//! which plugins a workload gets from many resources, and in which order.
//! [`validate`] judges documents as the API server and istiod of a [`release`] do, and says what they admit and then get wrong.

pub mod envoy_filter;
pub mod manifest;
pub mod model;
pub mod order;
pub mod release;
pub mod validate;

/// What is wrong with a list in which there is another: kubectl wants to open the one within, cannot, and takes nothing of either.
const LIST_IN_LIST: &str =
    "is a List inside a List, which kubectl does not support: move its items to the outer List";
