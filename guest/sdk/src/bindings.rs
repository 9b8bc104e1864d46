//! What wit-bindgen makes of the contract's imports; the only place where it is called for them.
//!
//! The rest of this crate wraps these modules, and `#[plugin]` points the bindings of a plugin's exports at them, so
//! that both speak of the same types. A component imports only the functions that end up in it.

#![expect(
    missing_docs,
    reason = "some of what wit-bindgen adds to the contract's items is undocumented"
)]

wit_bindgen::generate!({
    path: "wit",
    world: "imports",
    generate_all,
});

pub use tidegate::proxy::*;
