//! Bindings that wit-bindgen generates for the contract's imports. This is the only place that invokes it for imports.
//!
//! The rest of this crate wraps these modules. `#[plugin]` makes the bindings of a plugin's exports refer to them, so
//! that imports and exports use the same types. A component imports only the functions that are linked into it.
//!
//! With the feature `testing`, on other targets than wasm, `native` stands in for them: its functions call the same hostcalls as the proxy's.

#![expect(
    missing_docs,
    reason = "some of what wit-bindgen adds to the contract's items is undocumented"
)]

#[cfg(all(feature = "testing", not(target_family = "wasm")))]
pub(crate) mod native;

#[cfg(all(feature = "testing", not(target_family = "wasm")))]
pub use native::*;

#[cfg(not(all(feature = "testing", not(target_family = "wasm"))))]
wit_bindgen::generate!({
    path: "wit",
    world: "imports",
    generate_all,
});

#[cfg(not(all(feature = "testing", not(target_family = "wasm"))))]
pub use tidegate::proxy::*;
