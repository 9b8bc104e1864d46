//! `#[plugin]`, the attribute that turns an `impl Plugin for …` into a component's exports; nothing else.
//!
//! The attribute looks at an impl block and asks one question of it: which callbacks does it have? For those, and for
//! those only, it exports the interfaces of the WIT contract, so that the proxy never calls into a plugin for nothing.
//! It also writes the plugin's name, version and configuration schema into a custom section.
//!
//! The trait itself, and everything that happens when a callback comes, is ordinary code in `tidegate-guest`; authors
//! depend on that crate and never on this one.
//!
//! - `declaration` reads the impl block and refuses what is not a plugin.
//! - `callback` is the list of callbacks.
//! - `contract` holds the WIT text and writes the plugin's own world.
//! - `metadata` makes the custom section.
//! - `expand` writes the exports.

mod callback;
mod contract;
mod declaration;
mod expand;
mod metadata;

use proc_macro::TokenStream;

/// Makes a component of an `impl Plugin for …` block.
///
/// ```text
/// #[plugin]                                      // no schema
/// #[plugin(schema = "config.schema.json")]       // path from the crate's Cargo.toml
/// impl Plugin for Greeter { … }
/// ```
///
/// Only the callbacks that the block has are exported. See the documentation of `tidegate-guest`.
#[proc_macro_attribute]
pub fn plugin(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::plugin(arguments.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
