//! `http-fields`: headers and trailers.

use tidegate_semantics::{hostcalls, vocabulary};

use super::{
    current::with_stream, http_call_types::entries as to_entries, http_streams::HttpStream,
    types::Error,
};

pub use super::generated::http_fields::FieldMap;

#[track_caller]
pub fn get(of: &HttpStream, fields: FieldMap, name: &str) -> Result<Option<Vec<u8>>, Error> {
    with_stream(of.handle(), |_, stream| {
        let value = hostcalls::http_fields::get(stream, fields.into(), name.as_bytes())?;
        Ok(value.map(|it| it.as_bytes().to_vec()))
    })
}

#[track_caller]
pub fn values(of: &HttpStream, fields: FieldMap, name: &str) -> Result<Vec<Vec<u8>>, Error> {
    with_stream(of.handle(), |_, stream| {
        let values = hostcalls::http_fields::values(stream, fields.into(), name.as_bytes())?;
        Ok(values.iter().map(|it| it.as_bytes().to_vec()).collect())
    })
}

#[track_caller]
pub fn entries(of: &HttpStream, fields: FieldMap) -> Result<Vec<(String, Vec<u8>)>, Error> {
    with_stream(of.handle(), |_, stream| {
        hostcalls::http_fields::entries(stream, fields.into(), to_entries)
    })
}

#[track_caller]
pub fn set(of: &HttpStream, fields: FieldMap, name: &str, value: &[u8]) -> Result<(), Error> {
    with_stream(of.handle(), |_, stream| {
        hostcalls::http_fields::set(stream, fields.into(), name.as_bytes(), value)
    })
}

#[track_caller]
pub fn append(of: &HttpStream, fields: FieldMap, name: &str, value: &[u8]) -> Result<(), Error> {
    with_stream(of.handle(), |_, stream| {
        hostcalls::http_fields::append(stream, fields.into(), name.as_bytes(), value)
    })
}

#[track_caller]
pub fn remove(of: &HttpStream, fields: FieldMap, name: &str) -> Result<(), Error> {
    with_stream(of.handle(), |_, stream| {
        hostcalls::http_fields::remove(stream, fields.into(), name.as_bytes())
    })
}

#[track_caller]
pub fn replace_all(
    of: &HttpStream,
    fields: FieldMap,
    entries: &[(String, Vec<u8>)],
) -> Result<(), Error> {
    let entries = entries
        .iter()
        .map(|(name, value)| (name.as_bytes(), &value[..]));
    with_stream(of.handle(), |_, stream| {
        hostcalls::http_fields::replace_all(stream, fields.into(), entries)
    })
}

impl From<FieldMap> for vocabulary::FieldMap {
    fn from(map: FieldMap) -> Self {
        match map {
            FieldMap::RequestHeaders => vocabulary::FieldMap::RequestHeaders,
            FieldMap::RequestTrailers => vocabulary::FieldMap::RequestTrailers,
            FieldMap::ResponseHeaders => vocabulary::FieldMap::ResponseHeaders,
            FieldMap::ResponseTrailers => vocabulary::FieldMap::ResponseTrailers,
        }
    }
}
