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
use quote::{format_ident, quote, quote_spanned};
use syn::{
    Ident, ItemImpl, ItemStruct, LitStr, Result, Type,
    parse::{Parse, ParseStream},
    parse_quote, parse2,
    spanned::Spanned,
};

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
    let Declaration {
        item, callbacks, ..
    } = &declaration;
    let plugin = &item.self_ty;
    let configure = if declaration.takes_configuration {
        "configure_from_json"
    } else {
        "configure_without"
    };
    let configure = Ident::new(configure, plugin.span());
    let exports = if callbacks.iter().all(|it| it.conditions.is_empty()) {
        let callbacks: Vec<_> = callbacks.iter().map(|it| it.callback).collect();
        exports(plugin, &configure, &callbacks)
    } else {
        conditional_exports(plugin, &configure, callbacks)
    };
    let block = block(&declaration, arguments.continues_on_error);
    Ok(quote! {
        #block

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

/// Returns the impl block with what its author has left out.
///
/// Callbacks of the trait return `impl CallbackResult<…>`, and those of the block one type, which is what authors want.
fn block(declaration: &Declaration, continues_on_error: bool) -> TokenStream {
    let mut item = declaration.item.clone();
    item.attrs.push(parse_quote!(#[allow(refining_impl_trait)]));
    let constructors = &declaration.constructors;
    if constructors.iter().all(|conditions| !conditions.is_empty()) {
        let stream = &declaration.stream;
        let condition = (!constructors.is_empty()).then(|| {
            let conditions = constructors.iter();
            let conditions = conditions.map(|conditions| quote!(all(#(#conditions),*)));
            quote!(#[cfg(not(any(#(#conditions),*)))])
        });
        // Errors about the type are reported where the author has written it.
        item.items
            .push(syn::ImplItem::Verbatim(quote_spanned! {stream.span()=>
                #condition
                #[inline]
                fn on_stream(&self, _: &::tidegate_guest::HttpStream) -> Self::Stream {
                    <#stream as ::tidegate_guest::__private::DefaultStream>::default_stream()
                }
            }));
    }
    let names = declaration.callbacks.iter().map(|method| {
        let name = method.callback.method;
        let conditions = &method.conditions;
        match conditions.is_empty() {
            true => quote!(#name),
            false => quote!(#[cfg(all(#(#conditions),*))] #name),
        }
    });
    let takes_configuration = declaration.takes_configuration;
    item.items.push(parse_quote!(
        const EXPORTS: ::tidegate_guest::__private::Exports = ::tidegate_guest::__private::Exports {
            callbacks: ::core::option::Option::Some(&[#(#names),*]),
            takes_configuration: #takes_configuration,
        };
    ));
    if continues_on_error {
        item.items.push(parse_quote!(
            const CONTINUES_ON_ERROR: bool = true;
        ));
    }
    quote!(#item)
}

/// Returns an item that exports the callbacks whose conditions hold.
///
/// An attribute macro cannot evaluate `#[cfg(…)]`. A derive macro receives its input when that has been done, so the list of callbacks
/// is passed to one: [`export_plugin`].
fn conditional_exports(plugin: &Type, configure: &Ident, methods: &[Method]) -> TokenStream {
    let callbacks = methods.iter().map(|method| {
        let name = format_ident!("{}", method.callback.method);
        let conditions = &method.conditions;
        match conditions.is_empty() {
            true => quote!(#[tidegate_callback(#name)]),
            false => quote!(#[cfg_attr(all(#(#conditions),*), tidegate_callback(#name))]),
        }
    });
    quote! {
        #[derive(::tidegate_guest::__private::ExportPlugin)]
        #[tidegate_plugin(#plugin, #configure)]
        #(#callbacks)*
        struct __TidegateCallbacks;
    }
}

/// Expands the derive macro for the item of [`conditional_exports`].
pub fn export_plugin(item: TokenStream) -> Result<TokenStream> {
    let item: ItemStruct = parse2(item)?;
    let mut exported = None;
    let mut callbacks: Vec<&Callback> = Vec::new();
    for attribute in &item.attrs {
        if attribute.path().is_ident("tidegate_plugin") {
            exported = Some(attribute.parse_args::<Exported>()?);
        } else if attribute.path().is_ident("tidegate_callback") {
            let method: Ident = attribute.parse_args()?;
            let callback = Callback::named(&method.to_string());
            callbacks.push(callback.ok_or_else(|| {
                syn::Error::new(method.span(), format!("there is no callback `{method}`"))
            })?);
        }
    }
    let Some(Exported { plugin, configure }) = exported else {
        return Err(syn::Error::new(
            item.span(),
            "this macro is for the code that #[plugin] generates",
        ));
    };
    Ok(exports(&plugin, &configure, &callbacks))
}

/// The arguments of `#[tidegate_plugin(…)]`.
struct Exported {
    plugin: Type,
    /// The function of the SDK that configures it.
    configure: Ident,
}

impl Parse for Exported {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let plugin = input.parse()?;
        input.parse::<syn::Token![,]>()?;
        let configure = input.parse()?;
        Ok(Exported { plugin, configure })
    }
}

/// Returns the exports of a plugin with these callbacks.
fn exports(plugin: &Type, configure: &Ident, callbacks: &[&Callback]) -> TokenStream {
    let wit = LitStr::new(&contract::world_with(callbacks), plugin.span());
    let (shared, modules): (Vec<_>, Vec<_>) = shared_interfaces(callbacks)
        .map(|name| {
            (
                LitStr::new(&contract::qualified(name), plugin.span()),
                format_ident!("{}", name.replace('-', "_")),
            )
        })
        .unzip();
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
    // One by one, and without `#[used]`: either a byte string or the attribute would leave a second copy among the module's data.
    let bytes = metadata
        .json
        .iter()
        .map(|byte| Literal::u8_unsuffixed(*byte));
    let length = Literal::usize_unsuffixed(metadata.json.len());
    let watched = metadata.schema_file.iter();
    quote! {
        #[unsafe(link_section = #SECTION)]
        static __TIDEGATE_METADATA: [u8; #length] = [#(#bytes),*];
        #(const _: &[u8] = include_bytes!(#watched);)*
    }
}

#[cfg(test)]
mod tests {
    use syn::{Expr, Item, Meta, Stmt, UseTree};

    use super::*;
    use crate::callback::CALLBACKS;

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

    /// The impl block of an expansion, for a plugin with this constructor.
    fn expanded_block(arguments: TokenStream, constructor: TokenStream) -> String {
        let block = quote! {
            impl Plugin for Greeter {
                type Config = ();
                type Stream = Began;
                fn configure(_: ()) -> Result<Self, ConfigError> { Ok(Greeter) }
                #constructor
                fn on_log(&self, _: &mut Began, _: &mut HttpStream) {}
            }
        };
        let expanded = plugin(arguments, block).expect("this is a plugin");
        let file: syn::File = parse2(expanded).expect("the expansion is Rust");
        let Some(Item::Impl(block)) = file.items.first() else {
            panic!("the block comes first");
        };
        quote!(#block).to_string()
    }

    #[test]
    fn stream_has_its_default_unless_there_is_a_constructor() {
        let block = expanded_block(TokenStream::new(), TokenStream::new());
        assert!(block.contains("fn on_stream"), "{block}");
        assert!(block.contains("< Began as"), "{block}");
        let constructor = quote!(
            fn on_stream(&self, _: &HttpStream) -> Began {
                Began
            }
        );
        let block = expanded_block(TokenStream::new(), constructor.clone());
        assert_eq!(block.matches("fn on_stream").count(), 1, "{block}");
        let block = expanded_block(TokenStream::new(), quote!(#[cfg(unix)] #constructor));
        assert_eq!(block.matches("fn on_stream").count(), 2, "{block}");
        assert!(block.contains("cfg (not (any (all (unix))))"), "{block}");
    }

    #[test]
    fn callbacks_may_name_their_types() {
        let block = expanded_block(TokenStream::new(), TokenStream::new());
        assert!(
            block.starts_with("# [allow (refining_impl_trait)]"),
            "{block}"
        );
    }

    #[test]
    fn streams_continue_after_errors_if_asked_for() {
        let constant = "const CONTINUES_ON_ERROR : bool = true ;";
        let block = expanded_block(quote!(on_error = "continue"), TokenStream::new());
        assert!(block.contains(constant), "{block}");
        let block = expanded_block(TokenStream::new(), TokenStream::new());
        assert!(!block.contains("CONTINUES_ON_ERROR"), "{block}");
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

    /// The item that the derive macro gets, with its attributes as they are before conditions are evaluated.
    fn conditional_item(expanded: TokenStream) -> ItemStruct {
        let file: syn::File = parse2(expanded).expect("the expansion is Rust");
        let Some(Item::Const(exports)) = file.items.into_iter().nth(1) else {
            panic!("the exports come after the block itself");
        };
        let Expr::Block(block) = *exports.expr else {
            panic!("the exports are in a block");
        };
        match block.block.stmts.into_iter().next() {
            Some(Stmt::Item(Item::Struct(item))) => item,
            other => panic!("an item with the callbacks, not {}", quote!(#other)),
        }
    }

    /// Expands the derive macro as if all conditions held, or none.
    fn export_if(mut item: ItemStruct, holds: bool) -> String {
        let mut attributes = Vec::new();
        for attribute in item.attrs {
            if attribute.path().is_ident("derive") {
                continue;
            }
            if !attribute.path().is_ident("cfg_attr") {
                attributes.push(attribute);
                continue;
            }
            let parse = |input: ParseStream<'_>| {
                input.parse::<Meta>()?;
                input.parse::<syn::Token![,]>()?;
                input.parse::<Meta>()
            };
            let meta = attribute.parse_args_with(parse).expect("two arguments");
            if holds {
                attributes.push(parse_quote!(#[#meta]));
            }
        }
        item.attrs = attributes;
        export_plugin(quote!(#item))
            .expect("the item is as generated")
            .to_string()
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
        let item = conditional_item(expanded);
        let attributes = quote!(#item).to_string();
        assert!(
            attributes.contains(
                "cfg_attr (all (feature = \"bodies\") , tidegate_callback (on_request_body))"
            ),
            "{attributes}"
        );
        for holds in [false, true] {
            let exports = export_if(item.clone(), holds);
            assert_eq!(exports.contains("on_request_body :: Guest"), holds);
            assert!(exports.contains("on_log :: Guest"), "{exports}");
            assert!(exports.contains("configure_without"), "{exports}");
            assert!(exports.contains("Context < Greeter >"), "{exports}");
        }
    }

    #[test]
    fn size_of_expansion_is_proportional_to_conditional_callbacks() {
        let methods = CALLBACKS.iter().map(|callback| {
            let method = format_ident!("{}", callback.method);
            quote!(#[cfg(feature = "all")] fn #method(&self) {})
        });
        let expanded = plugin(
            TokenStream::new(),
            quote! {
                impl Plugin for Greeter {
                    type Config = ();
                    type Stream = ();
                    fn configure(_: ()) -> Result<Self, ConfigError> { Ok(Greeter) }
                    #(#methods)*
                }
            },
        )
        .expect("this is a plugin");
        let size = expanded.to_string().len();
        assert!(size < 10_000, "the expansion has {size} bytes");
        let exports = export_if(conditional_item(expanded), true);
        for callback in CALLBACKS {
            let export = format!("{} :: Guest", callback.module());
            assert!(exports.contains(&export), "`{export}` is not exported");
        }
    }

    #[test]
    fn derive_macro_rejects_other_items() {
        let error = export_plugin(quote!(
            struct Greeter;
        ));
        let error = error.expect_err("it is not generated");
        assert!(error.to_string().contains("#[plugin]"), "{error}");
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
