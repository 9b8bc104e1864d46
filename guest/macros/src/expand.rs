//! Writing the exports of a plugin.
//!
//! wit-bindgen makes the bindings of the plugin's own world; what is written here joins its traits to functions of the
//! SDK, a line each. Whatever could be ordinary code is there and not here.
//!
//! On other targets than WebAssembly nothing is exported: the impl block is compiled and can be tested.

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use syn::{Ident, ItemImpl, LitStr, Result, parse2, spanned::Spanned};

use crate::{
    callback::{Callback, Shape},
    contract,
    declaration::{self, Arguments, Declaration},
    metadata::{self, Metadata, SECTION},
};

/// Expands the attribute.
pub fn plugin(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments: Arguments = parse2(arguments)?;
    let item: ItemImpl = parse2(item.clone()).map_err(|_| {
        syn::Error::new(
            item.span(),
            "#[plugin] goes on an `impl Plugin for …` block",
        )
    })?;
    let declaration = declaration::read(item)?;
    let section = section(&metadata::of_current_crate(arguments.schema.as_ref())?);
    let exports = exports(&declaration);
    let item = &declaration.item;
    let plugin = &item.self_ty;
    Ok(quote! {
        #item

        #[cfg(target_family = "wasm")]
        const _: () = {
            #exports
            #section
        };

        // Where there is nothing to export to, the plugin is used all the same.
        #[cfg(not(target_family = "wasm"))]
        const _: () = ::tidegate_guest::__private::exported::<#plugin>();
    })
}

fn exports(declaration: &Declaration) -> TokenStream {
    let plugin = &declaration.item.self_ty;
    let wit = LitStr::new(&contract::world_with(&declaration.callbacks), plugin.span());
    let [types, streams] = ["types", "http-streams"]
        .map(|name| LitStr::new(&contract::qualified(name), plugin.span()));
    let configure = if declaration.takes_configuration {
        "configure_from_json"
    } else {
        "configure_without"
    };
    let configure = Ident::new(configure, plugin.span());
    let callbacks = declaration
        .callbacks
        .iter()
        .map(|callback| export_of(callback));
    quote! {
        mod bindings {
            ::tidegate_guest::__private::wit_bindgen::generate!({
                inline: #wit,
                with: {
                    #types: ::tidegate_guest::__private::bindings::types,
                    #streams: ::tidegate_guest::__private::bindings::http_streams,
                },
                runtime_path: "::tidegate_guest::__private::wit_bindgen::rt",
                generate_all,
            });
        }
        use ::tidegate_guest::__private as sdk;
        use bindings::exports::tidegate::proxy as exports;

        type Context = sdk::Context<#plugin>;
        type Filter = sdk::Filter<#plugin>;

        struct Exports;

        impl exports::plugin::Guest for Exports {
            type PluginContext = Context;
        }
        impl exports::plugin::GuestPluginContext for Context {
            fn configure(configuration: sdk::Vec<u8>) -> sdk::Result<exports::plugin::PluginContext, sdk::String> {
                sdk::#configure::<#plugin>(&configuration).map(exports::plugin::PluginContext::new)
            }
        }
        impl exports::http_filter::Guest for Exports {
            type Filter = Filter;
        }
        impl exports::http_filter::GuestFilter for Filter {
            fn new(plugin: exports::http_filter::PluginContextBorrow<'_>, http: exports::http_filter::HttpStream) -> Self {
                Filter::create(plugin.get::<Context>(), http)
            }
        }
        #(#callbacks)*

        bindings::export!(Exports with_types_in bindings);
    }
}

fn export_of(callback: &Callback) -> TokenStream {
    let module = format_ident!("{}", callback.module());
    let method = format_ident!("{}", callback.method);
    let (parameters, answer, arguments) = match callback.shape {
        Shape::Headers => (
            quote!(, end: bool),
            quote!(-> exports::#module::Action),
            quote!(end),
        ),
        Shape::Body => (
            quote!(, size: u32, end: bool),
            quote!(-> exports::#module::Action),
            quote!(size, end),
        ),
        Shape::Log => (quote!(), quote!(), quote!()),
    };
    quote! {
        impl exports::#module::Guest for Exports {
            fn handle(filter: exports::#module::FilterBorrow<'_> #parameters) #answer {
                filter.get::<Filter>().#method(#arguments)
            }
        }
    }
}

fn section(metadata: &Metadata) -> TokenStream {
    // One by one: a byte string would leave a second copy of itself among the module's data.
    let bytes = metadata
        .json
        .iter()
        .map(|byte| Literal::u8_unsuffixed(*byte));
    let length = Literal::usize_unsuffixed(metadata.json.len());
    let watched = metadata.schema_file.iter();
    quote! {
        #[used]
        #[unsafe(link_section = #SECTION)]
        static METADATA: [u8; #length] = [#(#bytes),*];
        #(const _: &[u8] = include_bytes!(#watched);)*
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_callbacks_of_the_block_are_exported() {
        let expanded = plugin(
            TokenStream::new(),
            quote! {
                impl Plugin for Greeter {
                    type Config = ();
                    type Stream = ();
                    fn configure(_: ()) -> Result<Self, ConfigError> { Ok(Greeter) }
                    fn on_log(&self, _: &mut (), _: &mut HttpStream) {}
                }
            },
        )
        .expect("this is a plugin")
        .to_string();
        let file: syn::File = syn::parse_str(&expanded).expect("the expansion is Rust");
        assert_eq!(
            file.items.len(),
            3,
            "the block itself, the exports, and what stands for them in tests"
        );
        assert!(
            expanded.contains("exports :: on_log :: Guest"),
            "{expanded}"
        );
        assert!(
            !expanded.contains("exports :: on_request_headers"),
            "{expanded}"
        );
        assert!(expanded.contains("configure_without"), "{expanded}");
    }

    #[test]
    fn what_is_no_impl_block_is_refused() {
        let error = plugin(
            TokenStream::new(),
            quote!(
                struct Greeter;
            ),
        )
        .expect_err("a struct is refused");
        assert!(error.to_string().contains("impl Plugin for"), "{error}");
    }
}
