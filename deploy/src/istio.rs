//! Istio's plugin resources: `WasmPlugin` and `TrafficExtension`, which supersedes it.
//!
//! [`manifest`] and [`envoy_filter`] generate the resources that deploy a plugin to a mesh, from the types in [`model`].
//! [`order`] computes which plugins apply to a workload, and in which order, from a set of resources. [`validate`]
//! validates documents like the API server and istiod of a given [`release`], and warns about documents that are admitted
//! but do not work as intended.

pub mod envoy_filter;
pub mod manifest;
pub mod model;
pub mod order;
pub mod release;
pub mod validate;

/// The error for a nested list. kubectl tries to expand the inner list, fails, and applies nothing of either list.
const LIST_IN_LIST: &str =
    "is a List inside a List, which kubectl does not support: move its items to the outer List";
