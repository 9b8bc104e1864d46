//! The engines that run plugins with wasmtime, behind the trait of the crate `tidegate-semantics`.
//!
//! `component` and `proxy_wasm` are thin: they pass callbacks to the guest, and hostcalls to the host. The semantics of
//! both are in that crate (`stream`, `hostcalls`). Its `vm` is one instance with all its contexts, and handles its traps.

mod compiler;
pub(crate) mod component;
mod limiter;
mod proxy_wasm;
mod trap;

pub(crate) use tidegate_semantics::engine::{
    Callback, Callbacks, Compiled, EventCallback, Instance, Trap,
};

pub(crate) use self::compiler::Compiler;
pub use self::compiler::{CodeCache, CodeCacheStats};
pub use self::proxy_wasm::UNSUPPORTED;

/// Refills a store's fuel, if its code was compiled to count it. It is more than any deadline lets a guest consume.
fn refuel<T>(store: &mut wasmtime::Store<T>) {
    // The only possible error is that fuel is not counted.
    let _ = store.set_fuel(u64::MAX);
}
