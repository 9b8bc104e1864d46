//! The contract: the package `tidegate:proxy` that this adapter was built with.
//!
//! The files of `wit/` are compiled in, so that a component is compared with what the bridge was written against, and
//! not with the files that happen to be on disk.

use crate::name;
use crate::name::Name;
use crate::types::{FuncTy, Ty};
use semver::Version;
use std::collections::BTreeMap;
use wit_parser::{
    Handle, InterfaceId, Resolve, SourceMap, Stability, Type, TypeDefKind, TypeId, TypeOwner,
    WorldItem,
};

/// The files of the package, by name.
pub const FILES: &[(&str, &str)] = &[
    ("clock.wit", include_str!("../wit/clock.wit")),
    (
        "foreign-functions.wit",
        include_str!("../wit/foreign-functions.wit"),
    ),
    ("http-bodies.wit", include_str!("../wit/http-bodies.wit")),
    (
        "http-call-types.wit",
        include_str!("../wit/http-call-types.wit"),
    ),
    ("http-calls.wit", include_str!("../wit/http-calls.wit")),
    ("http-fields.wit", include_str!("../wit/http-fields.wit")),
    ("http-filter.wit", include_str!("../wit/http-filter.wit")),
    ("http-streams.wit", include_str!("../wit/http-streams.wit")),
    (
        "local-responses.wit",
        include_str!("../wit/local-responses.wit"),
    ),
    ("logging.wit", include_str!("../wit/logging.wit")),
    ("metrics.wit", include_str!("../wit/metrics.wit")),
    (
        "on-http-call-response.wit",
        include_str!("../wit/on-http-call-response.wit"),
    ),
    ("on-log.wit", include_str!("../wit/on-log.wit")),
    (
        "on-plugin-done.wit",
        include_str!("../wit/on-plugin-done.wit"),
    ),
    (
        "on-plugin-http-call-response.wit",
        include_str!("../wit/on-plugin-http-call-response.wit"),
    ),
    (
        "on-queue-ready.wit",
        include_str!("../wit/on-queue-ready.wit"),
    ),
    (
        "on-request-body.wit",
        include_str!("../wit/on-request-body.wit"),
    ),
    (
        "on-request-headers.wit",
        include_str!("../wit/on-request-headers.wit"),
    ),
    (
        "on-request-trailers.wit",
        include_str!("../wit/on-request-trailers.wit"),
    ),
    (
        "on-response-body.wit",
        include_str!("../wit/on-response-body.wit"),
    ),
    (
        "on-response-headers.wit",
        include_str!("../wit/on-response-headers.wit"),
    ),
    (
        "on-response-trailers.wit",
        include_str!("../wit/on-response-trailers.wit"),
    ),
    ("on-tick.wit", include_str!("../wit/on-tick.wit")),
    (
        "plugin-lifecycle.wit",
        include_str!("../wit/plugin-lifecycle.wit"),
    ),
    (
        "plugin-properties.wit",
        include_str!("../wit/plugin-properties.wit"),
    ),
    ("plugin.wit", include_str!("../wit/plugin.wit")),
    ("properties.wit", include_str!("../wit/properties.wit")),
    ("shared-data.wit", include_str!("../wit/shared-data.wit")),
    (
        "shared-queues.wit",
        include_str!("../wit/shared-queues.wit"),
    ),
    (
        "stream-control.wit",
        include_str!("../wit/stream-control.wit"),
    ),
    ("timers.wit", include_str!("../wit/timers.wit")),
    ("types.wit", include_str!("../wit/types.wit")),
    (
        "vm-configuration.wit",
        include_str!("../wit/vm-configuration.wit"),
    ),
    ("worlds.wit", include_str!("../wit/worlds.wit")),
];

/// The part of WASI 0.2 that has a meaning in a proxy.
const WASI: &str = include_str!("wasi.wit");

/// The contract. Interfaces are named without package and version, and the types contain no versions.
#[derive(Debug)]
pub struct Contract {
    /// `tidegate:proxy/`
    pub prefix: String,
    /// The version of the package.
    pub version: Version,
    /// The functions that a component may import, by interface.
    pub imports: BTreeMap<String, BTreeMap<String, Member>>,
    /// The functions that a component may export, by interface. Interfaces without functions are included.
    pub exports: BTreeMap<String, BTreeMap<String, Member>>,
    /// Interfaces that every plugin exports.
    pub required: Vec<String>,
    /// The functions of WASI that have a meaning in a proxy, by interface without version. Their types contain no
    /// versions.
    pub wasi: BTreeMap<String, BTreeMap<String, FuncTy>>,
}

/// A function of the contract.
#[derive(Debug)]
pub struct Member {
    /// Its type.
    pub ty: FuncTy,
    /// The version of the package that added it.
    pub since: Option<Version>,
}

// === impl Contract ===

impl Contract {
    /// Reads the compiled-in files.
    ///
    /// The tests parse them too, so an error here means that the adapter itself was built incorrectly.
    pub fn load() -> Result<Contract, String> {
        Contract::read(FILES.iter().copied())
    }

    /// Reads the files of a package, by name.
    pub fn read<'t>(texts: impl Iterator<Item = (&'t str, &'t str)>) -> Result<Contract, String> {
        let mut files = SourceMap::new();
        for (name, contents) in texts {
            files.push_str(name, contents);
        }
        let group = files.parse().map_err(|(_, error)| format!("{error:?}"))?;
        let mut resolve = Resolve::default();
        let package = resolve
            .push_group(group)
            .map_err(|error| format!("{error:?}"))?;

        let name = resolve.packages[package].name.clone();
        let Some(version) = name.version.clone() else {
            return Err("the package has no version".to_owned());
        };
        let prefix = format!("{}:{}/", name.namespace, name.name);
        let mut contract = Contract {
            prefix,
            version,
            imports: BTreeMap::new(),
            exports: BTreeMap::new(),
            required: Vec::new(),
            wasi: wasi()?,
        };
        for (world, contents) in &resolve.packages[package].worlds {
            let world_items = &resolve.worlds[*contents];
            let interfaces = |items: Vec<&WorldItem>| -> Vec<InterfaceId> {
                let ids = items.into_iter().filter_map(|item| match item {
                    WorldItem::Interface { id, .. } => Some(*id),
                    _ => None,
                });
                ids.collect()
            };
            let exports = interfaces(world_items.exports.values().collect());
            match world.as_str() {
                "http-plugin" => {
                    let names = exports.iter();
                    contract.required = names
                        .filter_map(|id| resolve.interfaces[*id].name.clone())
                        .collect()
                }
                "all" => {
                    contract.exports = exports
                        .iter()
                        .filter_map(|id| members(&resolve, *id))
                        .collect();
                    let imports = interfaces(world_items.imports.values().collect());
                    contract.imports = imports
                        .iter()
                        .filter_map(|id| members(&resolve, *id))
                        .collect();
                }
                _ => {}
            }
        }
        Ok(contract)
    }

    /// Whether `interface` belongs to the contract's package, in any version.
    pub fn covers(&self, interface: &str) -> bool {
        interface.starts_with(&self.prefix)
    }

    /// Returns `http-fields` for `tidegate:proxy/http-fields@0.1.0`, and for any version that is compatible with this
    /// one.
    pub fn short<'a>(&self, interface: &'a str) -> Option<&'a str> {
        let (name, version) = self.split(interface)?;
        are_compatible(&self.version, &version).then_some(name)
    }

    /// The name and the version of an interface of the contract's package.
    pub fn split<'a>(&self, interface: &'a str) -> Option<(&'a str, Version)> {
        let (name, version) = interface.strip_prefix(&self.prefix)?.split_once('@')?;
        Some((name, Version::parse(version).ok()?))
    }

    /// The full name of an interface.
    pub fn full(&self, name: &str) -> String {
        format!("{}{name}@{}", self.prefix, self.version)
    }

    /// The callbacks: interfaces that a plugin may export but need not.
    pub fn callbacks(&self) -> impl Iterator<Item = &String> {
        self.exports
            .keys()
            .filter(|name| !self.required.contains(name))
    }
}

/// Whether a component that was built against one version links with the other, provided that it uses nothing that the
/// other lacks. The rule is that of component runtimes: the versions must agree up to the first number that is not
/// zero. A pre-release is compatible only with itself.
fn are_compatible(one: &Version, other: &Version) -> bool {
    if !one.pre.is_empty() || !other.pre.is_empty() {
        return one == other;
    }
    let track = |version: &Version| match (version.major, version.minor, version.patch) {
        (0, 0, patch) => (0, 0, patch),
        (0, minor, _) => (0, minor, 0),
        (major, _, _) => (major, 0, 0),
    };
    track(one) == track(other)
}

/// The functions of WASI, from the compiled-in text.
fn wasi() -> Result<BTreeMap<String, BTreeMap<String, FuncTy>>, String> {
    let mut resolve = Resolve::default();
    let pushed = resolve.push_str("wasi.wit", WASI);
    pushed.map_err(|error| format!("{error:?}"))?;
    let mut interfaces = BTreeMap::new();
    for (id, _) in resolve.interfaces.iter() {
        let Some((name, functions)) = functions(&resolve, id) else {
            continue;
        };
        let functions = functions.into_iter();
        let functions = functions.map(|(name, ty)| (name, ty.without_versions()));
        if let Some(name) = name::wasi(&name) {
            interfaces.insert(name.to_owned(), functions.collect());
        }
    }
    Ok(interfaces)
}

/// Returns the name of an interface, without package and version, and its functions.
fn members(resolve: &Resolve, id: InterfaceId) -> Option<(String, BTreeMap<String, Member>)> {
    let interface = &resolve.interfaces[id];
    let (_, functions) = functions(resolve, id)?;
    let members = functions.into_iter().map(|(name, ty)| {
        let stability = interface.functions.get(&name).map(|it| &it.stability);
        let since = match stability {
            Some(Stability::Stable { since, .. }) => Some(since.clone()),
            _ => None,
        };
        let ty = ty.without_versions();
        (name, Member { ty, since })
    });
    Some((interface.name.clone()?, members.collect()))
}

fn functions(resolve: &Resolve, id: InterfaceId) -> Option<(String, BTreeMap<String, FuncTy>)> {
    let functions = resolve.interfaces[id]
        .functions
        .iter()
        .map(|(name, function)| {
            let ty = FuncTy {
                is_async: function.kind.is_async(),
                params: function
                    .params
                    .iter()
                    .map(|param| (param.name.clone(), ty(resolve, &param.ty)))
                    .collect(),
                result: function.result.as_ref().map(|result| ty(resolve, result)),
            };
            (name.clone(), ty)
        });
    Some((resolve.id_of(id)?, functions.collect()))
}

fn ty(resolve: &Resolve, of: &Type) -> Ty {
    match of {
        Type::Bool => Ty::Primitive("bool"),
        Type::U8 => Ty::Primitive("u8"),
        Type::U16 => Ty::Primitive("u16"),
        Type::U32 => Ty::Primitive("u32"),
        Type::U64 => Ty::Primitive("u64"),
        Type::S8 => Ty::Primitive("s8"),
        Type::S16 => Ty::Primitive("s16"),
        Type::S32 => Ty::Primitive("s32"),
        Type::S64 => Ty::Primitive("s64"),
        Type::F32 => Ty::Primitive("f32"),
        Type::F64 => Ty::Primitive("f64"),
        Type::Char => Ty::Primitive("char"),
        Type::String => Ty::Primitive("string"),
        Type::ErrorContext => Ty::Other("error-context"),
        Type::Id(id) => defined(resolve, *id),
    }
}

fn defined(resolve: &Resolve, id: TypeId) -> Ty {
    let boxed = |of: &Option<Type>| of.as_ref().map(|of| Box::new(ty(resolve, of)));
    match &resolve.types[id].kind {
        TypeDefKind::Type(of) => ty(resolve, of),
        TypeDefKind::Record(record) => Ty::Record(
            record
                .fields
                .iter()
                .map(|field| (field.name.clone(), ty(resolve, &field.ty)))
                .collect(),
        ),
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter();
            Ty::Variant(
                cases
                    .map(|case| {
                        (
                            case.name.clone(),
                            case.ty.as_ref().map(|of| ty(resolve, of)),
                        )
                    })
                    .collect(),
            )
        }
        TypeDefKind::Enum(of) => Ty::Enum(of.cases.iter().map(|case| case.name.clone()).collect()),
        TypeDefKind::Flags(of) => {
            Ty::Flags(of.flags.iter().map(|flag| flag.name.clone()).collect())
        }
        TypeDefKind::Tuple(tuple) => {
            Ty::Tuple(tuple.types.iter().map(|of| ty(resolve, of)).collect())
        }
        TypeDefKind::List(of) => Ty::List(Box::new(ty(resolve, of))),
        TypeDefKind::Option(of) => Ty::Option(Box::new(ty(resolve, of))),
        TypeDefKind::Result(result) => Ty::Result(boxed(&result.ok), boxed(&result.err)),
        TypeDefKind::Handle(Handle::Own(id)) => Ty::Own(resource(resolve, *id)),
        TypeDefKind::Handle(Handle::Borrow(id)) => Ty::Borrow(resource(resolve, *id)),
        TypeDefKind::Future(_) => Ty::Other("future"),
        TypeDefKind::Stream(_) => Ty::Other("stream"),
        other => Ty::Other(other.as_str()),
    }
}

/// Names a resource by the interface that declares it, whichever interface uses it.
fn resource(resolve: &Resolve, mut id: TypeId) -> Name {
    while let TypeDefKind::Type(Type::Id(of)) = resolve.types[id].kind {
        id = of;
    }
    let ty = &resolve.types[id];
    let interface = match ty.owner {
        TypeOwner::Interface(id) => resolve.id_of(id).unwrap_or_default(),
        TypeOwner::World(_) | TypeOwner::None => String::new(),
    };
    Name {
        interface,
        item: ty.name.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wit_file_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit");
        let mut on_disk: Vec<_> = std::fs::read_dir(folder)
            .expect("failed to read `wit`")
            .map(|entry| {
                entry
                    .expect("failed to read an entry of `wit`")
                    .file_name()
                    .into_string()
                    .expect("file name should be UTF-8")
            })
            .collect();
        on_disk.sort();
        let compiled_in: Vec<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(
            compiled_in, on_disk,
            "list every file of `wit/` in adapter/src/contract.rs, in order"
        );
    }

    /// Functions of filesystems and sockets are refused regardless of their types, because no function returns a handle
    /// to one.
    #[test]
    fn every_bridged_wasi_function_has_a_type() {
        let contract = Contract::load().expect("contract should parse");
        let bridge =
            crate::bridge::Bridge::read(crate::bridge::BYTES).expect("bridge should parse");
        let mapped = ["cli", "clocks", "io", "random"].map(|name| format!("wasi:{name}/"));
        for export in bridge.exports.keys() {
            let Some((interface, function)) = export.split_once('#') else {
                continue;
            };
            if function.starts_with("[resource-drop]")
                || !mapped.iter().any(|package| interface.starts_with(package))
            {
                continue;
            }
            assert!(
                contract
                    .wasi
                    .get(interface)
                    .is_some_and(|functions| functions.contains_key(function)),
                "adapter/src/wasi.wit lacks `{interface}` `{function}`"
            );
        }
    }

    #[test]
    fn contract_matches_the_advertised_world() {
        let contract = Contract::load().expect("contract should parse");
        assert_eq!(
            format!(
                "{}@{}",
                contract.prefix.trim_end_matches('/'),
                contract.version
            ),
            name::WORLD
        );
        assert_eq!(contract.required, ["plugin", "http-filter"]);
        assert!(contract.callbacks().any(|name| name == "on-log"));
        assert!(contract.imports["clock"].contains_key("now"));
    }

    #[test]
    fn version_compatibility_follows_component_runtimes() {
        let compatible = |one: &str, other: &str| {
            let version = |text| Version::parse(text).expect("valid version");
            are_compatible(&version(one), &version(other))
        };
        assert!(compatible("0.1.0", "0.1.9") && compatible("1.2.0", "1.0.3"));
        assert!(!compatible("0.1.0", "0.2.0") && !compatible("0.1.0", "1.1.0"));
        assert!(!compatible("0.0.1", "0.0.2"));
        assert!(!compatible("0.1.0", "0.1.0-draft") && compatible("0.1.0-draft", "0.1.0-draft"));
    }
}
