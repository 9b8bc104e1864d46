//! Parses `#[plugin(…)] impl Plugin for …` and reports errors.
//!
//! rustc checks the types of the methods against the trait. It cannot know that a method which is not part of the trait
//! was meant to be a callback, or what a missing associated type means. Each error is reported at the token that causes
//! it, and all errors are reported at once.

use proc_macro2::TokenStream;
use syn::{
    Attribute, Error, ImplItem, ItemImpl, LitStr, Result, Type,
    parse::{Parse, ParseStream},
    spanned::Spanned,
};

use crate::callback::{self, Callback};

/// The arguments of the attribute.
#[derive(Default)]
pub struct Arguments {
    /// The path of the file with the JSON Schema of the configuration, relative to the crate's manifest.
    pub schema: Option<LitStr>,
    /// Whether streams continue after a callback has returned an error.
    pub continues_on_error: bool,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Arguments::default();
        let (mut schema, mut on_error) = (None, None::<LitStr>);
        while !input.is_empty() {
            let name: syn::Ident = input.parse()?;
            let argument = match name.to_string().as_str() {
                "schema" => &mut schema,
                "on_error" => &mut on_error,
                _ => {
                    return Err(Error::new(
                        name.span(),
                        format!(
                            "`{name}` is not an argument of #[plugin]; expected `schema = \"config.schema.json\"` or \
                             `on_error = \"continue\"`"
                        ),
                    ));
                }
            };
            if argument.is_some() {
                return Err(Error::new(name.span(), format!("`{name}` is given twice")));
            }
            input.parse::<syn::Token![=]>()?;
            *argument = Some(input.parse()?);
            if !input.is_empty() {
                input.parse::<syn::Token![,]>()?;
            }
        }
        if let Some(on_error) = &on_error
            && on_error.value() != "continue"
        {
            return Err(Error::new(
                on_error.span(),
                "expected `on_error = \"continue\"`; without `on_error`, streams end with status 503 if a callback returns an error",
            ));
        }
        arguments.schema = schema;
        arguments.continues_on_error = on_error.is_some();
        Ok(arguments)
    }
}

/// A plugin as declared by its impl block.
#[derive(Debug)]
pub struct Declaration {
    /// The impl block, unchanged.
    pub item: ItemImpl,
    /// The type of the state of a stream.
    pub stream: Type,
    /// The constructors of this state, if the block defines any, each with the predicates of its `#[cfg(…)]` attributes.
    pub constructors: Vec<Vec<TokenStream>>,
    /// The callbacks that it defines.
    pub callbacks: Vec<Method>,
    /// Whether the plugin has a configuration: false if the block contains literally `type Config = ()`.
    pub takes_configuration: bool,
}

/// A callback defined by an impl block.
#[derive(Debug, Clone)]
pub struct Method {
    /// The callback.
    pub callback: &'static Callback,
    /// The predicates of its `#[cfg(…)]` attributes. The callback exists only if all of them hold.
    pub conditions: Vec<TokenStream>,
}

/// Parses an impl block.
pub fn read(item: ItemImpl) -> Result<Declaration> {
    let mut complaints = Complaints::default();
    match &item.trait_ {
        Some((None, path, _))
            if path
                .segments
                .last()
                .is_some_and(|segment| segment.ident == "Plugin") => {}
        Some((_, path, _)) => complaints.add(
            path,
            "#[plugin] goes on an `impl Plugin for …` block, this is another trait",
        ),
        None => complaints.add(
            &item.self_ty,
            "#[plugin] goes on an `impl Plugin for …` block, `Plugin for` is missing",
        ),
    }
    if !item.generics.params.is_empty() {
        complaints.add(
            &item.generics,
            "a plugin has no generic parameters: a component is made of one type",
        );
    }

    let mut callbacks = Vec::new();
    let mut constructors = Vec::new();
    let (mut config, mut stream, mut configure) = (None, None, false);
    for member in &item.items {
        match member {
            ImplItem::Type(member) if member.ident == "Config" => config = Some(&member.ty),
            ImplItem::Type(member) if member.ident == "Stream" => stream = Some(&member.ty),
            ImplItem::Type(member) => {
                complaints.add(&member.ident, &format!("`{}` is not a type of `Plugin`, which has `Config` and `Stream`", member.ident));
            }
            ImplItem::Fn(member) if member.sig.ident == "configure" => configure = true,
            ImplItem::Fn(member) if member.sig.ident == "on_stream" => {
                constructors.push(conditions(&member.attrs));
            }
            ImplItem::Fn(member) => match Callback::named(&member.sig.ident.to_string()) {
                Some(callback) => callbacks.push(Method {
                    callback,
                    conditions: conditions(&member.attrs),
                }),
                None => complaints.add(
                    &member.sig.ident,
                    &format!(
                        "`{}` is not a method of `Plugin`, which has `configure`, `on_stream` and the callbacks {}; \
                         put your own functions into a separate `impl` block",
                        member.sig.ident,
                        callback::names()
                    ),
                ),
            },
            other => complaints.add(other, "`Plugin` has only types and methods"),
        }
    }
    if config.is_none() {
        complaints.add(
            &item.self_ty,
            "`type Config` is missing: the serde type of the configuration, or `type Config = ();` for a plugin without configuration",
        );
    }
    if stream.is_none() {
        complaints.add(
            &item.self_ty,
            "`type Stream` is missing: the type of the state of each HTTP stream, or `type Stream = ();` for a plugin without such state",
        );
    }
    if !configure {
        complaints.add(
            &item.self_ty,
            "`fn configure(config: Self::Config) -> Result<Self, ConfigError>` is missing",
        );
    }
    if callbacks.is_empty() && complaints.is_empty() {
        complaints.add(
            &item.self_ty,
            &format!(
                "this plugin has no callback and would never be called; the callbacks are {}",
                callback::names()
            ),
        );
    }
    complaints.into_result()?;

    // It is there, or this would be an error.
    let stream = stream
        .cloned()
        .unwrap_or_else(|| item.self_ty.as_ref().clone());
    let takes_configuration = !matches!(config, Some(Type::Tuple(tuple)) if tuple.elems.is_empty());
    Ok(Declaration {
        takes_configuration,
        stream,
        constructors,
        callbacks,
        item,
    })
}

/// Returns the predicates of the `#[cfg(…)]` attributes of a method.
fn conditions(attributes: &[Attribute]) -> Vec<TokenStream> {
    let lists = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .filter_map(|attribute| attribute.meta.require_list().ok());
    lists.map(|list| list.tokens.clone()).collect()
}

/// Collects all errors, each at its location.
#[derive(Default)]
struct Complaints(Option<Error>);

impl Complaints {
    fn add(&mut self, at: &impl Spanned, message: &str) {
        let error = Error::new(at.span(), message);
        match &mut self.0 {
            Some(first) => first.combine(error),
            none => *none = Some(error),
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn into_result(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn complaints(item: ItemImpl) -> Vec<String> {
        match read(item) {
            Ok(_) => Vec::new(),
            Err(error) => error.into_iter().map(|error| error.to_string()).collect(),
        }
    }

    #[test]
    fn callbacks_are_read_from_the_impl_block() {
        let declaration = read(parse_quote! {
            impl Plugin for Greeter {
                type Config = ();
                type Stream = ();
                fn configure(_: ()) -> Result<Self, ConfigError> { Ok(Greeter) }
                fn on_response_headers(&self, _: &mut (), _: &mut HttpStream, _: EndOfStream) -> Action { Action::Continue }
                fn on_log(&self, _: &mut (), _: &mut HttpStream) {}
            }
        }).expect("this is a plugin");
        let methods: Vec<&str> = declaration
            .callbacks
            .iter()
            .map(|callback| callback.callback.method)
            .collect();
        assert_eq!(methods, ["on_response_headers", "on_log"]);
        assert!(!declaration.takes_configuration);
    }

    #[test]
    fn unknown_method_error_lists_the_known_methods() {
        let complaints = complaints(parse_quote! {
            impl tidegate_guest::Plugin for Greeter {
                type Config = GreeterConfig;
                type Stream = ();
                fn configure(_: GreeterConfig) -> Result<Self, ConfigError> { Ok(Greeter) }
                fn on_request_header(&self) {}
            }
        });
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(
            complaints[0].starts_with("`on_request_header` is not a method of `Plugin`"),
            "{complaints:?}"
        );
        assert!(
            complaints[0].contains("`on_request_headers`, `on_request_body`"),
            "{complaints:?}"
        );
    }

    #[test]
    fn all_missing_items_are_reported_at_once() {
        let complaints = complaints(parse_quote! { impl Plugin for Greeter {} });
        assert_eq!(complaints.len(), 3, "{complaints:?}");
        assert!(
            complaints[0].contains("type Config = ();"),
            "{complaints:?}"
        );
        assert!(
            complaints[1].contains("type Stream = ();"),
            "{complaints:?}"
        );
        assert!(complaints[2].contains("fn configure"), "{complaints:?}");
    }

    #[test]
    fn unsupported_impl_blocks_are_rejected() {
        assert!(
            complaints(parse_quote! { impl Greeter {} })[0].contains("`Plugin for` is missing")
        );
        assert!(
            complaints(parse_quote! { impl Clone for Greeter {} })[0].contains("another trait")
        );
        assert!(
            complaints(parse_quote! { impl<T> Plugin for Greeter<T> {} })[0].contains("generic")
        );
    }

    #[test]
    fn plugin_without_callbacks_is_rejected() {
        let complaints = complaints(parse_quote! {
            impl Plugin for Greeter {
                type Config = ();
                type Stream = ();
                fn configure(_: ()) -> Result<Self, ConfigError> { Ok(Greeter) }
            }
        });
        assert!(complaints[0].contains("never be called"), "{complaints:?}");
    }

    #[test]
    fn constructors_of_streams_are_found() {
        let declaration = read(parse_quote! {
            impl Plugin for Greeter {
                type Config = ();
                type Stream = Began;
                fn configure(_: ()) -> Result<Self, ConfigError> { Ok(Greeter) }
                #[cfg(unix)]
                fn on_stream(&self, _: &HttpStream) -> Began { Began }
                fn on_log(&self, _: &mut Began, _: &mut HttpStream) {}
            }
        })
        .expect("this is a plugin");
        let stream: Type = parse_quote!(Began);
        assert_eq!(declaration.stream, stream);
        assert_eq!(declaration.constructors.len(), 1);
        assert_eq!(declaration.constructors[0].len(), 1);
        assert_eq!(declaration.callbacks.len(), 1, "on_stream is no callback");
    }

    #[test]
    fn attribute_arguments_are_parsed() {
        let arguments: Arguments = parse_quote!(schema = "config.schema.json");
        assert_eq!(
            arguments.schema.as_ref().map(LitStr::value).as_deref(),
            Some("config.schema.json")
        );
        assert!(!arguments.continues_on_error);
        let arguments: Arguments = parse_quote!(on_error = "continue", schema = "s.json");
        assert!(arguments.continues_on_error && arguments.schema.is_some());
        let error = syn::parse_str::<Arguments>("on_error = \"respond\"")
            .err()
            .expect("unknown")
            .to_string();
        assert!(
            error.contains("expected `on_error = \"continue\"`"),
            "{error}"
        );
        let error = syn::parse_str::<Arguments>("scheme = \"x\"")
            .err()
            .expect("unknown")
            .to_string();
        assert!(error.contains("`scheme` is not an argument"), "{error}");
        let error = syn::parse_str::<Arguments>("schema = \"x\", schema = \"y\"")
            .err()
            .expect("twice")
            .to_string();
        assert!(error.contains("twice"), "{error}");
    }
}
