//! Registries to test against: a real one, and one that does what a test tells it to.
//!
//! The command line tool's tests use this folder too.

mod distribution;
mod scripted;

pub use distribution::{Distribution, PASSWORD, USER};
pub use scripted::{Reply, Request, Scripted, forward};

/// A module that Envoy takes: it has the marker, an allocator and a memory, and imports what is wanted.
pub fn module(imports: &str) -> Vec<u8> {
    let text = format!(
        r#"(module {imports}
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 1024))"#
    );
    wat::parse_str(text).expect("a module")
}
