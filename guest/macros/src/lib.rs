//! `#[plugin]`, the attribute that generates a component's exports from an `impl Plugin for …` block.
//!
//! The attribute determines which callbacks an impl block defines. For exactly those, it exports the interfaces of the
//! WIT contract, so that the proxy never calls a callback that does nothing. It also writes the plugin's name, version
//! and configuration schema into a custom section.
//!
//! The trait and the handling of callbacks are ordinary code in `tidegate-guest`. Plugin authors depend on that crate
//! and never directly on this one.
//!
//! - `declaration` parses the impl block and rejects invalid plugins.
//! - `callback` is the list of callbacks.
//! - `contract` contains the WIT text and generates the plugin's world.
//! - `metadata` generates the custom section.
//! - `expand` generates the exports. Where a callback has a `#[cfg(…)]`, it leaves that to a derive macro, which sees the callbacks that
//!   are left.

mod callback;
mod contract;
mod declaration;
mod expand;
mod metadata;

use proc_macro::TokenStream;

/// Builds a component from an `impl Plugin for …` block.
///
/// ```text
/// #[plugin]                                      // no schema
/// #[plugin(schema = "config.schema.json")]       // path from the crate's Cargo.toml
/// #[plugin(on_error = "continue")]               // streams continue after a callback has returned an error
/// impl Plugin for Greeter { … }
/// ```
///
/// Only the callbacks that the block defines are exported. If the block has no `on_stream`, the state of a stream is the default of
/// its type. See the documentation of `tidegate-guest`.
#[proc_macro_attribute]
pub fn plugin(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::plugin(arguments.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Exports the callbacks of a plugin of which some have a `#[cfg(…)]`. Only for the code that `#[plugin]` generates.
#[doc(hidden)]
#[proc_macro_derive(ExportPlugin, attributes(tidegate_plugin, tidegate_callback))]
pub fn export_plugin(item: TokenStream) -> TokenStream {
    expand::export_plugin(item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
