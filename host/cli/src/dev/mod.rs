//! What `tidegate dev` does beside serving: it watches a plugin's source and configuration, and builds.
//!
//! `snapshot` is what the files are at one moment; `author` compares two of them, has cargo build what has changed, and hands
//! on what came of it. Serving, and what becomes of a version, is in `commands/dev.rs`.

mod author;
mod snapshot;

pub use author::{Author, News, Version};
