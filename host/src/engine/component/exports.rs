//! The exports of a component: looked up one interface at a time, and checked by type when the component is loaded.
//!
//! The code that wasmtime generates requires every export of its world, and compares types only after instantiation.
//! Here an absent callback is `None`, and one with a wrong type is an error that names it.

use wasmtime::Store;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Component, Instance, InstancePre};

use crate::bindings::exports::tidegate::proxy as world;
use crate::engine::Callbacks;
use crate::engine::component::WORLD;
use crate::engine::component::guest::Guest;
use crate::error::LoadError;
use crate::vocabulary::Phase;

/// The index of each exported interface in the component.
pub(crate) struct Indices {
    plugin: world::plugin::GuestIndices,
    http_filter: world::http_filter::GuestIndices,
    on_request_headers: Option<world::on_request_headers::GuestIndices>,
    on_request_body: Option<world::on_request_body::GuestIndices>,
    on_response_headers: Option<world::on_response_headers::GuestIndices>,
    on_response_body: Option<world::on_response_body::GuestIndices>,
    on_log: Option<world::on_log::GuestIndices>,
}

/// The exported interfaces of an instance.
pub(crate) struct Exports {
    pub(crate) plugin: world::plugin::Guest,
    pub(crate) http_filter: world::http_filter::Guest,
    pub(crate) on_request_headers: Option<world::on_request_headers::Guest>,
    pub(crate) on_request_body: Option<world::on_request_body::Guest>,
    pub(crate) on_response_headers: Option<world::on_response_headers::Guest>,
    pub(crate) on_response_body: Option<world::on_response_body::Guest>,
    pub(crate) on_log: Option<world::on_log::Guest>,
}

/// The function of each interface, with the types of its parameters and its result.
const SIGNATURES: [(&str, &str, &[ExpectedType], Option<ExpectedType>); 7] = [
    (
        "plugin",
        "[static]plugin-context.configure",
        &[ExpectedType::Bytes],
        Some(ExpectedType::ConfigureResult),
    ),
    (
        "http-filter",
        "[constructor]filter",
        &[ExpectedType::Borrow, ExpectedType::Own],
        Some(ExpectedType::Own),
    ),
    (
        "on-request-headers",
        "handle",
        &[ExpectedType::Borrow, ExpectedType::Bool],
        Some(ExpectedType::Action),
    ),
    (
        "on-request-body",
        "handle",
        &[ExpectedType::Borrow, ExpectedType::U32, ExpectedType::Bool],
        Some(ExpectedType::Action),
    ),
    (
        "on-response-headers",
        "handle",
        &[ExpectedType::Borrow, ExpectedType::Bool],
        Some(ExpectedType::Action),
    ),
    (
        "on-response-body",
        "handle",
        &[ExpectedType::Borrow, ExpectedType::U32, ExpectedType::Bool],
        Some(ExpectedType::Action),
    ),
    ("on-log", "handle", &[ExpectedType::Borrow], None),
];

/// The types that occur in these functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExpectedType {
    Bool,
    U32,
    Bytes,
    Own,
    Borrow,
    /// `enum { continue, pause }`
    Action,
    /// `result<own, string>`
    ConfigureResult,
}

fn interface(name: &str) -> String {
    format!("tidegate:proxy/{name}@0.1.0")
}

/// Checks that the component is a plugin, and that its exports of the world have the world's types.
pub(crate) fn check(component: &Component, plugin: &str) -> Result<(), LoadError> {
    for (name, function, parameters, result) in SIGNATURES {
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
            | (ExpectedType::Borrow, Type::Borrow(_)) => true,
            (ExpectedType::Bytes, Type::List(list)) => matches!(list.ty(), Type::U8),
            (ExpectedType::Action, Type::Enum(cases)) => cases.names().eq(["continue", "pause"]),
            (ExpectedType::ConfigureResult, Type::Result(result)) => {
                matches!(result.ok(), Some(Type::Own(_)))
                    && matches!(result.err(), Some(Type::String))
            }
            _ => false,
        }
    }
}

impl std::fmt::Display for ExpectedType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ExpectedType::Bool => "bool",
            ExpectedType::U32 => "u32",
            ExpectedType::Bytes => "list<u8>",
            ExpectedType::Own => "a resource",
            ExpectedType::Borrow => "borrow<filter>",
            ExpectedType::Action => "action",
            ExpectedType::ConfigureResult => "result<plugin-context, string>",
        })
    }
}

/// Looks up an optional interface. `check` has already verified its type.
macro_rules! optional {
    ($pre:ident, $plugin:ident, $module:ident, $name:literal) => {{
        let export = interface($name);
        match $pre.component().get_export_index(None, &export) {
            Some(_) => Some(
                world::$module::GuestIndices::new($pre)
                    .map_err(|error| wrong_type($plugin, export, &error))?,
            ),
            None => None,
        }
    }};
}

fn wrong_type(plugin: &str, export: String, error: &wasmtime::Error) -> LoadError {
    LoadError::WrongType {
        plugin: plugin.to_owned(),
        export,
        world: WORLD,
        reason: format!("{error:#}"),
    }
}

impl Indices {
    pub(crate) fn find(pre: &InstancePre<Guest>, plugin: &str) -> Result<Self, LoadError> {
        Ok(Self {
            plugin: world::plugin::GuestIndices::new(pre)
                .map_err(|error| wrong_type(plugin, interface("plugin"), &error))?,
            http_filter: world::http_filter::GuestIndices::new(pre)
                .map_err(|error| wrong_type(plugin, interface("http-filter"), &error))?,
            on_request_headers: optional!(pre, plugin, on_request_headers, "on-request-headers"),
            on_request_body: optional!(pre, plugin, on_request_body, "on-request-body"),
            on_response_headers: optional!(pre, plugin, on_response_headers, "on-response-headers"),
            on_response_body: optional!(pre, plugin, on_response_body, "on-response-body"),
            on_log: optional!(pre, plugin, on_log, "on-log"),
        })
    }

    pub(crate) fn callbacks(&self) -> Callbacks {
        let has = [
            (Phase::RequestHeaders, self.on_request_headers.is_some()),
            (Phase::RequestBody, self.on_request_body.is_some()),
            (Phase::ResponseHeaders, self.on_response_headers.is_some()),
            (Phase::ResponseBody, self.on_response_body.is_some()),
            (Phase::Log, self.on_log.is_some()),
        ];
        has.into_iter()
            .filter(|(_, has)| *has)
            .fold(Callbacks::default(), |all, (phase, _)| all.with(phase))
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
            on_request_headers: indices
                .on_request_headers
                .as_ref()
                .map(|it| it.load(&mut *store, instance))
                .transpose()?,
            on_request_body: indices
                .on_request_body
                .as_ref()
                .map(|it| it.load(&mut *store, instance))
                .transpose()?,
            on_response_headers: indices
                .on_response_headers
                .as_ref()
                .map(|it| it.load(&mut *store, instance))
                .transpose()?,
            on_response_body: indices
                .on_response_body
                .as_ref()
                .map(|it| it.load(&mut *store, instance))
                .transpose()?,
            on_log: indices
                .on_log
                .as_ref()
                .map(|it| it.load(&mut *store, instance))
                .transpose()?,
        })
    }
}
