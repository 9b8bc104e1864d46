//! Watches the source and the configuration of a plugin, and builds it, for `tidegate dev`.
//!
//! `snapshot` records the state of the files; `author` compares snapshots, builds the plugin with cargo, and sends each version to
//! `commands/dev.rs`, which serves it.

mod author;
mod snapshot;

pub use author::{Author, News, Version};
