//! The exports of a component: looked up one interface at a time, and checked by type when the component is loaded.
//!
//! The code that wasmtime generates requires every export of its world, and compares types only after instantiation.
//! Here an absent callback is `None`, and one with a wrong type is an error that names it.

use tidegate_semantics::vocabulary::Phase;
use wasmtime::Store;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Component, Instance, InstancePre};

use crate::bindings::exports::tidegate::proxy as world;
use crate::engine::component::WORLD;
use crate::engine::component::guest::Guest;
use crate::engine::{Callbacks, EventCallback};
use crate::error::LoadError;

/// Declares the callbacks: each has an interface of its own, which a component may lack, with one function `handle`.
macro_rules! callbacks {
    ($($module:ident $name:literal: ($($parameter:ident),*) $(-> $result:ident)? $(in $phase:ident)? $(event $event:ident)?;)*) => {
        /// The index of each exported interface in the component.
        pub(crate) struct Indices {
            plugin: world::plugin::GuestIndices,
            http_filter: world::http_filter::GuestIndices,
            $($module: Option<world::$module::GuestIndices>,)*
        }

        /// The exported interfaces of an instance.
        pub(crate) struct Exports {
            pub(crate) plugin: world::plugin::Guest,
            pub(crate) http_filter: world::http_filter::Guest,
            $(pub(crate) $module: Option<world::$module::Guest>,)*
        }

        /// The function of each interface, with the types of its parameters and its result.
        const SIGNATURES: &[(&str, &str, &[ExpectedType], Option<ExpectedType>)] = &[
            (
                "plugin",
                "[static]plugin-context.configure",
                &[ExpectedType::Bytes],
                Some(ExpectedType::ConfigureResult),
            ),
            (
                "http-filter",
                "[constructor]filter",
                &[ExpectedType::Plugin, ExpectedType::Own],
                Some(ExpectedType::Own),
            ),
            $((
                $name,
                "handle",
                &[$(ExpectedType::$parameter),*],
                [$(ExpectedType::$result,)?].first().copied(),
            ),)*
        ];

        impl Indices {
            pub(crate) fn find(pre: &InstancePre<Guest>, plugin: &str) -> Result<Self, LoadError> {
                Ok(Self {
                    plugin: world::plugin::GuestIndices::new(pre)
                        .map_err(|error| wrong_type(plugin, interface("plugin"), &error))?,
                    http_filter: world::http_filter::GuestIndices::new(pre)
                        .map_err(|error| wrong_type(plugin, interface("http-filter"), &error))?,
                    $($module: {
                        let export = interface($name);
                        match pre.component().get_export_index(None, &export) {
                            Some(_) => Some(
                                // `check` has already verified its type.
                                world::$module::GuestIndices::new(pre)
                                    .map_err(|error| wrong_type(plugin, export, &error))?,
                            ),
                            None => None,
                        }
                    },)*
                })
            }

            /// Returns the callbacks that the component exports.
            pub(crate) fn callbacks(&self) -> Callbacks {
                let mut all = Callbacks::default();
                $($(if self.$module.is_some() {
                    all = all.with(Phase::$phase);
                })?)*
                $($(if self.$module.is_some() {
                    all = all.with_event(EventCallback::$event);
                })?)*
                all
            }
        }

        impl Exports {
            pub(crate) fn load(
                indices: &Indices,
                store: &mut Store<Guest>,
                instance: &Instance,
            ) -> wasmtime::Result<Self> {
                Ok(Self {
                    plugin: indices.plugin.load(&mut *store, instance)?,
                    http_filter: indices.http_filter.load(&mut *store, instance)?,
                    $($module: match &indices.$module {
                        Some(found) => Some(found.load(&mut *store, instance)?),
                        None => None,
                    },)*
                })
            }
        }
    };
}

callbacks! {
    on_request_headers "on-request-headers": (Filter, Bool) -> Action in RequestHeaders;
    on_request_body "on-request-body": (Filter, U32, Bool) -> Action in RequestBody;
    on_request_trailers "on-request-trailers": (Filter) -> Action in RequestTrailers;
    on_response_headers "on-response-headers": (Filter, Bool) -> Action in ResponseHeaders;
    on_response_body "on-response-body": (Filter, U32, Bool) -> Action in ResponseBody;
    on_response_trailers "on-response-trailers": (Filter) -> Action in ResponseTrailers;
    on_log "on-log": (Filter) in Log;
    on_http_call_response "on-http-call-response": (Filter, U32, Outcome) event StreamCallResponse;
    on_plugin_http_call_response "on-plugin-http-call-response": (Plugin, U32, Outcome) event PluginCallResponse;
    on_tick "on-tick": (Plugin) event Tick;
    on_queue_ready "on-queue-ready": (Plugin, U32) event QueueReady;
    on_plugin_done "on-plugin-done": (Plugin) -> Completion event PluginDone;
}

/// The types that occur in these functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExpectedType {
    Bool,
    U32,
    Bytes,
    Own,
    Filter,
    Plugin,
    /// `enum { continue, pause }`
    Action,
    /// `enum { done, pending }`
    Completion,
    /// `result<own, string>`
    ConfigureResult,
    /// `variant { response(record { headers, body, trailers }), reset }`
    Outcome,
}

fn interface(name: &str) -> String {
    format!("tidegate:proxy/{name}@0.1.0")
}

/// Checks that the component is a plugin, and that its exports of the world have the world's types.
pub(crate) fn check(component: &Component, plugin: &str) -> Result<(), LoadError> {
    for &(name, function, parameters, result) in SIGNATURES {
        let export = interface(name);
        let Some((item, index)) = component.get_export(None, &export) else {
            if matches!(name, "plugin" | "http-filter") {
                return Err(LoadError::MissingExport {
                    plugin: plugin.to_owned(),
                    export,
                    world: WORLD,
                });
            }
            continue;
        };
        let wrong = |export: String, reason: String| LoadError::WrongType {
            plugin: plugin.to_owned(),
            export,
            world: WORLD,
            reason,
        };
        if !matches!(item, ComponentItem::ComponentInstance(_)) {
            return Err(wrong(export, "it is not an interface".to_owned()));
        }
        let path = format!("{export}#{function}");
        match component.get_export(Some(&index), function) {
            Some((ComponentItem::ComponentFunc(found), _)) if fits(&found, parameters, result) => {}
            Some((ComponentItem::ComponentFunc(_), _)) => {
                let result = result.map_or(String::new(), |it| format!(" -> {it}"));
                let parameters: Vec<String> =
                    parameters.iter().map(ExpectedType::to_string).collect();
                return Err(wrong(
                    path,
                    format!("expected func({}){result}", parameters.join(", ")),
                ));
            }
            Some(_) => return Err(wrong(path, "it is not a function".to_owned())),
            None => return Err(wrong(export, format!("it has no function `{function}`"))),
        }
    }
    Ok(())
}

fn fits(found: &ComponentFunc, parameters: &[ExpectedType], result: Option<ExpectedType>) -> bool {
    let mut results = found.results();
    found.params().len() == parameters.len()
        && found
            .params()
            .zip(parameters)
            .all(|((_, found), shape)| shape.fits(&found))
        && match (results.next(), result) {
            (None, None) => true,
            (Some(found), Some(shape)) => shape.fits(&found) && results.next().is_none(),
            _ => false,
        }
}

impl ExpectedType {
    fn fits(self, found: &Type) -> bool {
        match (self, found) {
            (ExpectedType::Bool, Type::Bool)
            | (ExpectedType::U32, Type::U32)
            | (ExpectedType::Own, Type::Own(_))
            | (ExpectedType::Filter | ExpectedType::Plugin, Type::Borrow(_)) => true,
            (ExpectedType::Bytes, Type::List(list)) => matches!(list.ty(), Type::U8),
            (ExpectedType::Action, Type::Enum(cases)) => cases.names().eq(["continue", "pause"]),
            (ExpectedType::Completion, Type::Enum(cases)) => cases.names().eq(["done", "pending"]),
            (ExpectedType::ConfigureResult, Type::Result(result)) => {
                matches!(result.ok(), Some(Type::Own(_)))
                    && matches!(result.err(), Some(Type::String))
            }
            (ExpectedType::Outcome, Type::Variant(variant)) => {
                let mut cases = variant.cases();
                matches!(cases.next(), Some(case) if case.name == "response" && case.ty.as_ref().is_some_and(is_response))
                    && matches!(cases.next(), Some(case) if case.name == "reset" && case.ty.is_none())
                    && cases.next().is_none()
            }
            _ => false,
        }
    }
}

fn is_response(found: &Type) -> bool {
    let Type::Record(record) = found else {
        return false;
    };
    let names = ["headers", "body", "trailers"];
    record.fields().map(|field| field.name).eq(names)
        && record.fields().all(|field| match field.name {
            "body" => ExpectedType::Bytes.fits(&field.ty),
            _ => is_fields(&field.ty),
        })
}

/// Returns whether a type is `list<tuple<string, list<u8>>>`.
fn is_fields(found: &Type) -> bool {
    let Type::List(list) = found else {
        return false;
    };
    let Type::Tuple(tuple) = list.ty() else {
        return false;
    };
    let mut types = tuple.types();
    matches!(types.next(), Some(Type::String))
        && types.next().is_some_and(|it| ExpectedType::Bytes.fits(&it))
        && types.next().is_none()
}

impl std::fmt::Display for ExpectedType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ExpectedType::Bool => "bool",
            ExpectedType::U32 => "u32",
            ExpectedType::Bytes => "list<u8>",
            ExpectedType::Own => "a resource",
            ExpectedType::Filter => "borrow<filter>",
            ExpectedType::Plugin => "borrow<plugin-context>",
            ExpectedType::Action => "action",
            ExpectedType::Completion => "completion",
            ExpectedType::ConfigureResult => "result<plugin-context, string>",
            ExpectedType::Outcome => "outcome",
        })
    }
}

fn wrong_type(plugin: &str, export: String, error: &wasmtime::Error) -> LoadError {
    LoadError::WrongType {
        plugin: plugin.to_owned(),
        export,
        world: WORLD,
        reason: format!("{error:#}"),
    }
}
