//! Describes the contents of a component or module, without running or changing it.
//!
//! What a component needs is read from the same plan that `adapt` would link it by, so the two cannot disagree. The
//! caller decides how to present an [`Inspection`]: it can be displayed as text and serialised.

use crate::adapt::Adapter;
use crate::bridge::PREVIEW1;
use crate::component::Component;
use crate::contract::Contract;
use crate::error::AdaptError;
use crate::link::Stub;
use crate::module::{Module, Sizes};
use crate::name::{METADATA, wasi};
use crate::plan::{Binding, Plan};
use crate::{parse, proxy_wasm};
use serde::{Deserialize, Serialize};
use std::fmt;
use wasmparser::{Parser, Payload, Validator, WasmFeatures};

/// The contents of a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Inspection {
    /// The kind of file.
    pub kind: Kind,
    /// The contract that a component was built against, such as `tidegate:proxy@0.1.0`.
    pub world: Option<String>,
    /// The version of the ABI that a module implements, such as `0.2.1`.
    pub abi: Option<String>,
    /// The plugin's name.
    pub name: Option<String>,
    /// The plugin's version.
    pub version: Option<String>,
    /// The JSON Schema of the plugin's configuration.
    pub schema: Option<serde_json::Value>,
    /// What the proxy calls: the exported interfaces of a component, or the exported functions of a module.
    pub callbacks: Vec<String>,
    /// A component's exports that no proxy calls, and that `adapt` leaves out.
    pub ignored: Vec<String>,
    /// The functions of the proxy that it calls.
    pub hostcalls: Vec<String>,
    /// The functions of WASI that it calls.
    pub wasi: Vec<Wasi>,
    /// Its size.
    pub size: Size,
    /// Why `adapt` rejects it, if it does.
    pub rejection: Option<String>,
}

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A component.
    Component,
    /// A core module for Proxy-Wasm hosts.
    ProxyWasm,
    /// Any other core module.
    CoreModule,
}

/// A function of WASI that is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wasi {
    /// Its name, such as `wasi:clocks/wall-clock.now`.
    pub function: String,
    /// How the call is handled.
    pub how: Mapping,
}

/// How a call of WASI is handled in a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mapping {
    /// It works as specified, by means of the proxy's functions.
    Mapped,
    /// It fails at run time, in the way that its type allows.
    Fails,
    /// It traps at run time, because its type cannot express a failure.
    Traps,
    /// The proxy provides it, in every supported release.
    AlwaysAvailable,
    /// The proxy provides it in some releases only. In the others, the module does not load.
    NotEverywhere,
}

/// Sizes in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Code.
    pub code: usize,
    /// Data.
    pub data: usize,
    /// Names of functions and the like.
    pub names: usize,
    /// Other custom sections.
    pub custom: usize,
    /// Everything else: types, imports, exports, tables and so on.
    pub other: usize,
    /// The whole file.
    pub total: usize,
}

/// Why a file cannot be inspected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// Neither a component nor a module, or not a valid one.
    #[error(transparent)]
    Invalid(#[from] AdaptError),
    /// The plugin's metadata cannot be read.
    #[error("cannot read the section `{METADATA}`")]
    Metadata(#[source] serde_json::Error),
}

/// A plugin's metadata.
#[derive(Deserialize, Default)]
struct Metadata {
    name: Option<String>,
    version: Option<String>,
    schema: Option<serde_json::Value>,
}

/// The packages of WASI that have a meaning in a proxy. Calls of other packages are refused.
const MAPPED: &[&str] = &["wasi:cli/", "wasi:clocks/", "wasi:io/", "wasi:random/"];

/// Describes the contents of `wasm`.
pub fn inspect(wasm: &[u8]) -> Result<Inspection, InspectError> {
    let mut inspection = if Parser::is_core_wasm(wasm) {
        core_module(wasm)?
    } else {
        component(wasm)?
    };
    if let Some(metadata) = metadata(wasm).map_err(InspectError::Metadata)? {
        inspection.name = metadata.name;
        inspection.version = metadata.version;
        inspection.schema = metadata.schema;
    }
    Ok(inspection)
}

/// Returns the JSON schema of a plugin's configuration, if the plugin contains one. Unlike [`inspect`], this does not validate the plugin.
pub fn schema(wasm: &[u8]) -> Option<serde_json::Value> {
    metadata(wasm).ok().flatten()?.schema
}

// === impl Inspection ===

impl Inspection {
    fn empty(kind: Kind, size: Size) -> Inspection {
        Inspection {
            kind,
            world: None,
            abi: None,
            name: None,
            version: None,
            schema: None,
            callbacks: Vec::new(),
            ignored: Vec::new(),
            hostcalls: Vec::new(),
            wasi: Vec::new(),
            size,
            rejection: None,
        }
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Component => "component",
            Kind::ProxyWasm => "Proxy-Wasm module",
            Kind::CoreModule => "core module",
        };
        writeln!(f, "kind       {kind}")?;
        let named = [
            ("world", &self.world),
            ("abi", &self.abi),
            ("name", &self.name),
            ("version", &self.version),
        ];
        for (label, value) in named {
            if let Some(value) = value {
                writeln!(f, "{label:<10} {value}")?;
            }
        }
        if let Some(schema) = &self.schema {
            writeln!(f, "{:<10} {schema}", "schema")?;
        }
        for (label, values) in [
            ("callbacks", &self.callbacks),
            ("ignored", &self.ignored),
            ("hostcalls", &self.hostcalls),
        ] {
            for (i, value) in values.iter().enumerate() {
                writeln!(f, "{:<10} {value}", if i == 0 { label } else { "" })?;
            }
        }
        for (i, wasi) in self.wasi.iter().enumerate() {
            let how = match wasi.how {
                Mapping::Mapped => "mapped",
                Mapping::Fails => "fails at run time",
                Mapping::Traps => "traps at run time",
                Mapping::AlwaysAvailable => "always available",
                Mapping::NotEverywhere => "not in every supported Envoy",
            };
            writeln!(
                f,
                "{:<10} {} ({how})",
                if i == 0 { "wasi" } else { "" },
                wasi.function
            )?;
        }
        let Size {
            code,
            data,
            names,
            custom,
            other,
            total,
        } = self.size;
        writeln!(
            f,
            "size       {total} bytes: code {code}, data {data}, names {names}, custom {custom}, other {other}"
        )?;
        match &self.rejection {
            Some(reason) => writeln!(f, "adapt      rejects it: {reason}"),
            None => Ok(()),
        }
    }
}

fn component(wasm: &[u8]) -> Result<Inspection, InspectError> {
    let mut inspection = Inspection::empty(Kind::Component, component_size(wasm));
    let adapter = Adapter::get()?;
    let component = match parse::parse(wasm) {
        Ok(component) => component,
        Err(
            error @ (AdaptError::NotWasm
            | AdaptError::Truncated { .. }
            | AdaptError::Invalid { .. }),
        ) => return Err(error.into()),
        Err(error) => {
            inspection.rejection = Some(error.to_string());
            return Ok(inspection);
        }
    };
    let interfaces = component.exports.keys().chain(component.imports.keys());
    inspection.world = interfaces
        .into_iter()
        .find_map(|interface| world(interface, &adapter.contract.prefix));
    let exports = component.exports.keys();
    let ours = exports.filter_map(|name| adapter.contract.short(name));
    let callbacks = ours.filter(|name| !adapter.contract.required.iter().any(|it| it == name));
    inspection.callbacks = callbacks.map(str::to_owned).collect();
    match adapter.plan(&component) {
        Ok(plan) => describe(&plan, &mut inspection),
        Err(error) => {
            inspection.rejection = Some(error.to_string());
            unplanned(&component, &adapter.contract, &mut inspection);
        }
    }
    inspection.hostcalls.sort();
    inspection.wasi.sort_by(|a, b| a.function.cmp(&b.function));
    inspection.wasi.dedup();
    inspection.hostcalls.dedup();
    Ok(inspection)
}

/// Returns `tidegate:proxy@0.1.0` for an interface of that package.
fn world(interface: &str, prefix: &str) -> Option<String> {
    let rest = interface.strip_prefix(prefix)?;
    let (_, version) = rest.split_once('@')?;
    Some(format!("{}@{version}", prefix.trim_end_matches('/')))
}

fn describe(plan: &Plan, inspection: &mut Inspection) {
    for binding in plan.used_bindings() {
        match binding {
            Binding::Bridge {
                export,
                wasi: false,
                ..
            } => inspection.hostcalls.push(dotted(export)),
            Binding::Bridge {
                export, wasi: true, ..
            } => {
                let is_mapped = MAPPED.iter().any(|package| export.starts_with(package));
                let how = if is_mapped {
                    Mapping::Mapped
                } else {
                    Mapping::Fails
                };
                inspection.wasi.push(Wasi {
                    function: dotted(export),
                    how,
                });
            }
            Binding::Stub { function, ty, .. } => {
                let how = if Stub::of(ty) == Stub::Trap {
                    Mapping::Traps
                } else {
                    Mapping::Fails
                };
                inspection.wasi.push(Wasi {
                    function: dotted(function),
                    how,
                });
            }
        }
    }
    inspection.ignored = plan.ignored.clone();
    for function in plan.preview1.values() {
        inspection.wasi.push(Wasi {
            function: format!("{PREVIEW1}.{function}"),
            how: Mapping::Mapped,
        });
    }
}

/// Describes the calls of a component that cannot be adapted, for which there is no plan.
fn unplanned(component: &Component<'_>, contract: &Contract, inspection: &mut Inspection) {
    for lowering in component.lowerings.values() {
        let name = &lowering.name;
        match wasi(&name.interface) {
            Some(interface) => {
                let is_mapped = MAPPED.iter().any(|package| interface.starts_with(package));
                let how = if is_mapped {
                    Mapping::Mapped
                } else {
                    Mapping::Fails
                };
                inspection.wasi.push(Wasi {
                    function: format!("{interface}.{}", name.item),
                    how,
                });
            }
            None => {
                let interface = contract.short(&name.interface).unwrap_or(&name.interface);
                inspection
                    .hostcalls
                    .push(format!("{interface}.{}", name.item));
            }
        }
    }
}

fn dotted(export: &str) -> String {
    export.replacen('#', ".", 1)
}

fn core_module(wasm: &[u8]) -> Result<Inspection, InspectError> {
    let invalid = |error: wasmparser::Error| AdaptError::Invalid {
        message: error.message().to_owned(),
        offset: error.offset(),
    };
    Validator::new_with_features(WasmFeatures::all())
        .validate_all(wasm)
        .map_err(invalid)?;
    let module = Module::read(wasm).map_err(invalid)?;
    let abi = proxy_wasm::abi_version(&module);
    let kind = if abi.is_some() {
        Kind::ProxyWasm
    } else {
        Kind::CoreModule
    };
    let mut inspection = Inspection::empty(kind, module_size(&module.sizes));
    inspection.abi = abi;
    if kind == Kind::ProxyWasm {
        let exported = module.exports.iter().map(|export| export.name.to_owned());
        inspection.callbacks = exported
            .filter(|name| name.starts_with("proxy_on_") && name != "proxy_on_memory_allocate")
            .collect();
        inspection.callbacks.sort();
    }
    for (_, import) in module.imported_funcs() {
        match import.module {
            "env" if import.name.starts_with("proxy_") || import.name == "envoy_resolve_dns" => {
                inspection.hostcalls.push(import.name.to_owned())
            }
            PREVIEW1 | "wasi_unstable" => {
                let how = if proxy_wasm::wasi(import.name).is_some() {
                    Mapping::AlwaysAvailable
                } else {
                    Mapping::NotEverywhere
                };
                inspection.wasi.push(Wasi {
                    function: format!("{}.{}", import.module, import.name),
                    how,
                });
            }
            _ => {}
        }
    }
    inspection.hostcalls.sort();
    inspection.wasi.sort_by(|a, b| a.function.cmp(&b.function));
    Ok(inspection)
}

fn module_size(sizes: &Sizes) -> Size {
    let Sizes {
        code,
        data,
        names,
        customs,
        total,
    } = *sizes;
    let counted = code + data + names + customs;
    Size {
        code,
        data,
        names,
        custom: customs,
        other: total.saturating_sub(counted),
        total,
    }
}

/// The sizes of a component: of the sections of all its core modules together, and of everything around them.
fn component_size(wasm: &[u8]) -> Size {
    let mut size = Size {
        total: wasm.len(),
        ..Size::default()
    };
    // Sections that cannot be read are counted as other; `parse` reports the error.
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        match payload {
            Payload::CodeSectionStart { range, .. } => size.code += range.len(),
            Payload::DataSection(section) => size.data += section.range().len(),
            Payload::CustomSection(section) if section.name() == "name" => {
                size.names += section.data().len()
            }
            Payload::CustomSection(section) => size.custom += section.data().len(),
            _ => {}
        }
    }
    size.other = size
        .total
        .saturating_sub(size.code + size.data + size.names + size.custom);
    size
}

/// Reads the plugin's metadata from the first of the file's modules that has it.
fn metadata(wasm: &[u8]) -> Result<Option<Metadata>, serde_json::Error> {
    let section = Parser::new(0)
        .parse_all(wasm)
        .map_while(Result::ok)
        .find_map(|payload| match payload {
            Payload::CustomSection(section) if section.name() == METADATA => Some(section.data()),
            _ => None,
        });
    section.map(serde_json::from_slice).transpose()
}
