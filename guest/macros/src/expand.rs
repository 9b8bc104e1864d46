//! Generates the exports of a plugin.
//!
//! wit-bindgen generates the bindings of the plugin's world. The code generated here connects its traits to functions
//! of the SDK, with one line each. Everything that can be ordinary code is in the SDK.
//!
//! On targets other than WebAssembly nothing is exported: the impl block is compiled and can be tested.
//!
//! The generated code refers to the author's type in the scope that declares the exports, and declarations there shadow
//! the author's items of the same name. All generated names therefore begin with `__tidegate`, a prefix that authors do
//! not use.

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use syn::{Ident, ItemImpl, LitStr, Result, parse2, spanned::Spanned};

use crate::{
    callback::{Callback, Receiver, Shape},
    contract,
    declaration::{self, Arguments, Declaration, Method},
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
    let exports = subsets(&declaration.callbacks).map(|(condition, callbacks)| {
        let exports = exports(&declaration, &callbacks);
        quote! {
            #[cfg(all(target_family = "wasm", #condition))]
            const _: () = {
                #exports
                #section
            };
        }
    });
    let item = &declaration.item;
    let plugin = &item.self_ty;
    Ok(quote! {
        #item

        #(#exports)*

        // Where there is nothing to export to, the plugin is used all the same.
        #[cfg(not(target_family = "wasm"))]
        const _: () = ::tidegate_guest::__private::exported::<#plugin>();
    })
}

/// Returns the sets of callbacks that a plugin can have, each with the condition under which it applies. An attribute
/// cannot evaluate `#[cfg(…)]`, so there is one set for each combination.
fn subsets(methods: &[Method]) -> impl Iterator<Item = (TokenStream, Vec<&'static Callback>)> {
    let conditional = methods.iter().filter(|it| !it.conditions.is_empty());
    let count = conditional.count();
    (0..1_usize << count).map(move |subset| {
        let mut bits = 0..count;
        let (mut condition, mut callbacks) = (TokenStream::new(), Vec::new());
        for method in methods {
            let holds = match method.conditions.is_empty() {
                true => true,
                false => bits.next().is_some_and(|bit| subset >> bit & 1 == 1),
            };
            let predicates = &method.conditions;
            match (method.conditions.is_empty(), holds) {
                (true, _) => {}
                (false, true) => condition.extend(quote!(#(#predicates,)*)),
                (false, false) => condition.extend(quote!(not(all(#(#predicates),*)),)),
            }
            if holds {
                callbacks.push(method.callback);
            }
        }
        (condition, callbacks)
    })
}

fn exports(declaration: &Declaration, callbacks: &[&'static Callback]) -> TokenStream {
    let plugin = &declaration.item.self_ty;
    let wit = LitStr::new(&contract::world_with(callbacks), plugin.span());
    let (shared, modules): (Vec<_>, Vec<_>) = shared_interfaces(callbacks)
        .map(|name| {
            (
                LitStr::new(&contract::qualified(name), plugin.span()),
                format_ident!("{}", name.replace('-', "_")),
            )
        })
        .unzip();
    let configure = if declaration.takes_configuration {
        "configure_from_json"
    } else {
        "configure_without"
    };
    let configure = Ident::new(configure, plugin.span());
    let callbacks = callbacks.iter().map(|callback| export_of(callback));
    quote! {
        mod __tidegate_bindings {
            ::tidegate_guest::__private::wit_bindgen::generate!({
                inline: #wit,
                with: {
                    #(#shared: ::tidegate_guest::__private::bindings::#modules,)*
                },
                runtime_path: "::tidegate_guest::__private::wit_bindgen::rt",
                generate_all,
            });
        }
        use ::tidegate_guest::__private as __tidegate_sdk;
        use __tidegate_bindings::exports::tidegate::proxy as __tidegate_exports;

        type __TidegateContext = __tidegate_sdk::Context<#plugin>;
        type __TidegateFilter = __tidegate_sdk::Filter<#plugin>;

        struct __TidegatePlugin;

        impl __tidegate_exports::plugin::Guest for __TidegatePlugin {
            type PluginContext = __TidegateContext;
        }
        impl __tidegate_exports::plugin::GuestPluginContext for __TidegateContext {
            fn configure(
                configuration: __tidegate_sdk::Vec<u8>,
            ) -> __tidegate_sdk::Result<__tidegate_exports::plugin::PluginContext, __tidegate_sdk::String> {
                __tidegate_sdk::#configure::<#plugin>(&configuration)
                    .map(__tidegate_exports::plugin::PluginContext::new)
            }
        }
        impl __tidegate_exports::http_filter::Guest for __TidegatePlugin {
            type Filter = __TidegateFilter;
        }
        impl __tidegate_exports::http_filter::GuestFilter for __TidegateFilter {
            fn new(
                plugin: __tidegate_exports::http_filter::PluginContextBorrow<'_>,
                http: __tidegate_exports::http_filter::HttpStream,
            ) -> Self {
                __TidegateFilter::create(plugin.get::<__TidegateContext>(), http)
            }
        }
        #(#callbacks)*

        __tidegate_bindings::export!(__TidegatePlugin with_types_in __tidegate_bindings);
    }
}

/// Returns the interfaces whose types the exports share with the SDK's bindings. wit-bindgen reports those that the world
/// does not use as errors.
fn shared_interfaces(callbacks: &[&Callback]) -> impl Iterator<Item = &'static str> {
    let has = |shapes: &[Shape]| callbacks.iter().any(|it| shapes.contains(&it.shape));
    let used = [
        ("http-streams", true),
        (
            "types",
            has(&[
                Shape::Headers,
                Shape::Body,
                Shape::Trailers,
                Shape::Completion,
            ]),
        ),
        ("http-call-types", has(&[Shape::Outcome])),
    ];
    used.into_iter()
        .filter_map(|(name, is_used)| is_used.then_some(name))
}

fn export_of(callback: &Callback) -> TokenStream {
    let module = format_ident!("{}", callback.module());
    let method = format_ident!("{}", callback.method);
    let (borrow, resource) = match callback.receiver {
        Receiver::Filter => (quote!(FilterBorrow), quote!(__TidegateFilter)),
        Receiver::PluginContext => (quote!(PluginContextBorrow), quote!(__TidegateContext)),
    };
    let (parameters, answer, arguments) = match callback.shape {
        Shape::Headers => (
            quote!(, end: bool),
            quote!(-> __tidegate_exports::#module::Action),
            quote!(end),
        ),
        Shape::Body => (
            quote!(, size: u32, end: bool),
            quote!(-> __tidegate_exports::#module::Action),
            quote!(size, end),
        ),
        Shape::Trailers => (
            quote!(),
            quote!(-> __tidegate_exports::#module::Action),
            quote!(),
        ),
        Shape::Outcome => (
            quote! {
                , call: __tidegate_exports::#module::CallId,
                outcome: __tidegate_exports::#module::Outcome
            },
            quote!(),
            quote!(call, outcome),
        ),
        Shape::Queue => (quote!(, queue: u32), quote!(), quote!(queue)),
        Shape::Completion => (
            quote!(),
            quote!(-> __tidegate_exports::#module::Completion),
            quote!(),
        ),
        Shape::Empty => (quote!(), quote!(), quote!()),
    };
    quote! {
        impl __tidegate_exports::#module::Guest for __TidegatePlugin {
            fn handle(receiver: __tidegate_exports::#module::#borrow<'_> #parameters) #answer {
                receiver.get::<#resource>().#method(#arguments)
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
        static __TIDEGATE_METADATA: [u8; #length] = [#(#bytes),*];
        #(const _: &[u8] = include_bytes!(#watched);)*
    }
}

#[cfg(test)]
mod tests {
    use syn::{Expr, Item, Stmt, UseTree};

    use super::*;

    #[test]
    fn only_implemented_callbacks_are_exported() {
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
            expanded.contains("__tidegate_exports :: on_log :: Guest"),
            "{expanded}"
        );
        assert!(
            !expanded.contains("__tidegate_exports :: on_request_headers"),
            "{expanded}"
        );
        assert!(expanded.contains("configure_without"), "{expanded}");
    }

    #[test]
    fn callbacks_are_passed_to_their_receivers() {
        let expanded = plugin(
            TokenStream::new(),
            quote! {
                impl Plugin for Greeter {
                    type Config = ();
                    type Stream = ();
                    fn configure(_: ()) -> Result<Self, ConfigError> { Ok(Greeter) }
                    fn on_response_trailers(&self, _: &mut (), _: &mut HttpStream) -> Action { Action::Continue }
                    fn on_http_call_response(&self, _: &mut (), _: &mut HttpStream, _: CallId, _: Outcome) {}
                    fn on_tick(&self) {}
                    fn on_queue_ready(&self, _: QueueId) {}
                    fn on_plugin_done(&self) -> Completion { Completion::Done }
                }
            },
        )
        .expect("this is a plugin")
        .to_string();
        for part in [
            "__tidegate_exports :: on_response_trailers :: FilterBorrow",
            "get :: < __TidegateFilter > () . on_response_trailers ()",
            "__tidegate_exports :: on_http_call_response :: FilterBorrow",
            "get :: < __TidegateFilter > () . on_http_call_response (call , outcome)",
            "__tidegate_exports :: on_tick :: PluginContextBorrow",
            "get :: < __TidegateContext > () . on_tick ()",
            "__tidegate_exports :: on_queue_ready :: PluginContextBorrow",
            "get :: < __TidegateContext > () . on_queue_ready (queue)",
            "__tidegate_exports :: on_plugin_done :: PluginContextBorrow",
            "-> __tidegate_exports :: on_plugin_done :: Completion",
            "get :: < __TidegateContext > () . on_plugin_done ()",
        ] {
            assert!(expanded.contains(part), "`{part}` is not in {expanded}");
        }
    }

    #[test]
    fn only_used_interfaces_are_shared() {
        let shared = |methods: &[&str]| -> Vec<&'static str> {
            let callbacks = methods.iter().map(|name| Callback::named(name));
            let callbacks: Option<Vec<_>> = callbacks.collect();
            shared_interfaces(&callbacks.expect("these are callbacks")).collect()
        };
        assert_eq!(shared(&["on_log"]), ["http-streams"]);
        assert_eq!(shared(&["on_tick"]), ["http-streams"]);
        assert_eq!(shared(&["on_queue_ready"]), ["http-streams"]);
        assert_eq!(shared(&["on_plugin_done"]), ["http-streams", "types"]);
        assert_eq!(shared(&["on_response_trailers"]), ["http-streams", "types"]);
        assert_eq!(
            shared(&["on_log", "on_request_body"]),
            ["http-streams", "types"]
        );
        assert_eq!(
            shared(&["on_request_headers", "on_plugin_http_call_response"]),
            ["http-streams", "types", "http-call-types"]
        );
    }

    #[test]
    fn conditional_callback_is_exported_only_if_its_cfg_holds() {
        let expanded = plugin(
            TokenStream::new(),
            quote! {
                impl Plugin for Greeter {
                    type Config = ();
                    type Stream = ();
                    fn configure(_: ()) -> Result<Self, ConfigError> { Ok(Greeter) }
                    fn on_log(&self, _: &mut (), _: &mut HttpStream) {}
                    #[cfg(feature = "bodies")]
                    fn on_request_body(&self, _: &mut (), _: &mut HttpStream, _: u32, _: EndOfStream) -> Action { todo() }
                }
            },
        )
        .expect("this is a plugin");
        let file: syn::File = parse2(expanded).expect("the expansion is Rust");
        let exports = file.items.iter().filter_map(|item| match item {
            Item::Const(item) => Some((quote!(#item)).to_string()),
            _ => None,
        });
        let with = |condition: &str, callback: bool| {
            let condition = format!("target_family = \"wasm\" , {condition}");
            let found = exports.clone().find(|text| text.contains(&condition));
            let found = found.expect("exports for this condition");
            assert_eq!(found.contains("on_request_body :: Guest"), callback);
            assert!(found.contains("on_log :: Guest"));
        };
        with("feature = \"bodies\"", true);
        with("not (all (feature = \"bodies\"))", false);
    }

    /// A plugin may be called `Filter`, `Context`, `Exports` or whatever else.
    #[test]
    fn generated_names_do_not_shadow_author_types() {
        let expanded = plugin(
            TokenStream::new(),
            quote! {
                impl Plugin for Filter {
                    type Config = Context;
                    type Stream = ();
                    fn configure(_: Context) -> Result<Self, ConfigError> { Ok(Filter) }
                    fn on_log(&self, _: &mut (), _: &mut HttpStream) {}
                }
            },
        )
        .expect("this is a plugin");
        let file: syn::File = parse2(expanded).expect("the expansion is Rust");
        let Some(Item::Const(exports)) = file.items.get(1) else {
            panic!("the exports come after the block itself");
        };
        let Expr::Block(block) = &*exports.expr else {
            panic!("the exports are in a block");
        };
        let mut names = Vec::new();
        for statement in &block.block.stmts {
            match statement {
                Stmt::Item(Item::Mod(item)) => names.push(item.ident.to_string()),
                Stmt::Item(Item::Use(item)) => {
                    names.push(last_name(&item.tree));
                }
                Stmt::Item(Item::Type(item)) => names.push(item.ident.to_string()),
                Stmt::Item(Item::Struct(item)) => names.push(item.ident.to_string()),
                Stmt::Item(Item::Static(item)) => names.push(item.ident.to_string()),
                // These declare nothing.
                Stmt::Item(Item::Impl(_)) | Stmt::Macro(_) => {}
                other => panic!("what does this declare? {}", quote!(#other)),
            }
        }
        assert_eq!(names.len(), 7, "{names:?}");
        for name in names {
            assert!(
                name.to_ascii_lowercase().starts_with("__tidegate"),
                "`{name}` hides an author's type of that name"
            );
        }
    }

    /// What a `use` declares.
    fn last_name(tree: &UseTree) -> String {
        match tree {
            UseTree::Path(path) => last_name(&path.tree),
            UseTree::Rename(rename) => rename.rename.to_string(),
            UseTree::Name(name) => name.ident.to_string(),
            UseTree::Glob(_) | UseTree::Group(_) => panic!("one name to a `use`"),
        }
    }

    #[test]
    fn item_other_than_impl_block_is_rejected() {
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
