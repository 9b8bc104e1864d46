//! `http-fields` for components, linked by hand so that arguments are read in place in the guest's linear memory.
//!
//! The generated trait takes a `String` and a `Vec` for each name and value: two allocations that live only for the
//! call, in the hostcalls that are called most. Only `replace-all` still copies its argument. The other interfaces use
//! their generated traits, in `imports`.

use tidegate_semantics::context::StreamContext;
use tidegate_semantics::hostcalls::{self, Error};
use tidegate_semantics::vocabulary::FieldMap;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, WasmList, WasmStr};

use crate::bindings::HttpStream;
use crate::bindings::tidegate::proxy::{http_fields, types};
use crate::engine::component::guest::Guest;

type Store<'a> = StoreContextMut<'a, Guest>;
type Http = Resource<HttpStream>;
type Map = http_fields::FieldMap;
type HostcallResult<T> = wasmtime::Result<(Result<T, types::Error>,)>;
type Bytes = WasmList<u8>;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut interface = linker.instance("tidegate:proxy/http-fields@0.1.0")?;
    interface.func_wrap("get", get)?;
    interface.func_wrap("values", values)?;
    interface.func_wrap("entries", entries)?;
    interface.func_wrap("set", set)?;
    interface.func_wrap("append", append)?;
    interface.func_wrap("remove", remove)?;
    interface.func_wrap("replace-all", replace_all)
}

/// Calls a function with the stream that a handle refers to.
fn with_stream<R>(
    store: &Store<'_>,
    http: &Http,
    call: impl FnOnce(&StreamContext) -> Result<R, Error>,
) -> HostcallResult<R> {
    let result = store.data().stream(http.rep(), call);
    Ok((result.map_err(types::Error::from),))
}

fn get(
    store: Store<'_>,
    (http, map, name): (Http, Map, WasmStr),
) -> HostcallResult<Option<Vec<u8>>> {
    let name = name.to_str(&store)?;
    with_stream(&store, &http, |stream| {
        let value = hostcalls::http_fields::get(stream, map.into(), name.as_bytes())?;
        Ok(value.map(|it| it.as_bytes().to_vec()))
    })
}

fn values(
    store: Store<'_>,
    (http, map, name): (Http, Map, WasmStr),
) -> HostcallResult<Vec<Vec<u8>>> {
    let name = name.to_str(&store)?;
    with_stream(&store, &http, |stream| {
        let values = hostcalls::http_fields::values(stream, map.into(), name.as_bytes())?;
        Ok(values.iter().map(|it| it.as_bytes().to_vec()).collect())
    })
}

fn entries(store: Store<'_>, (http, map): (Http, Map)) -> HostcallResult<Vec<(String, Vec<u8>)>> {
    with_stream(&store, &http, |stream| {
        hostcalls::http_fields::entries(stream, map.into(), |fields| {
            let entries = fields.iter();
            entries
                .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
                .collect()
        })
    })
}

fn set(
    store: Store<'_>,
    (http, map, name, value): (Http, Map, WasmStr, Bytes),
) -> HostcallResult<()> {
    let (name, value) = (name.to_str(&store)?, value.as_le_slice(&store));
    with_stream(&store, &http, |stream| {
        hostcalls::http_fields::set(stream, map.into(), name.as_bytes(), value)
    })
}

fn append(
    store: Store<'_>,
    (http, map, name, value): (Http, Map, WasmStr, Bytes),
) -> HostcallResult<()> {
    let (name, value) = (name.to_str(&store)?, value.as_le_slice(&store));
    with_stream(&store, &http, |stream| {
        hostcalls::http_fields::append(stream, map.into(), name.as_bytes(), value)
    })
}

fn remove(store: Store<'_>, (http, map, name): (Http, Map, WasmStr)) -> HostcallResult<()> {
    let name = name.to_str(&store)?;
    with_stream(&store, &http, |stream| {
        hostcalls::http_fields::remove(stream, map.into(), name.as_bytes())
    })
}

fn replace_all(
    store: Store<'_>,
    (http, map, entries): (Http, Map, Vec<(String, Vec<u8>)>),
) -> HostcallResult<()> {
    let entries = entries
        .iter()
        .map(|(name, value)| (name.as_bytes(), &value[..]));
    with_stream(&store, &http, |stream| {
        hostcalls::http_fields::replace_all(stream, map.into(), entries)
    })
}

impl From<Map> for FieldMap {
    fn from(map: Map) -> Self {
        match map {
            Map::RequestHeaders => FieldMap::RequestHeaders,
            Map::RequestTrailers => FieldMap::RequestTrailers,
            Map::ResponseHeaders => FieldMap::ResponseHeaders,
            Map::ResponseTrailers => FieldMap::ResponseTrailers,
        }
    }
}
