//! Registries for tests: a real one, and one that is scripted by a test.
//!
//! The tests of the command-line tool use this directory, too.

mod distribution;
mod scripted;

pub use distribution::{Distribution, PASSWORD, USER};
pub use scripted::{Reply, Request, Scripted, forward};

/// A module that Envoy accepts: it has the ABI marker, an allocator and a memory, and the given imports.
pub fn module(imports: &str) -> Vec<u8> {
    let text = format!(
        r#"(module {imports}
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 1024))"#
    );
    wat::parse_str(text).expect("a module")
}
