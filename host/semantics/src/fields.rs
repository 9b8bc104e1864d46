//! Headers and trailers: an ordered list of fields, including pseudo-headers.
//!
//! `http::HeaderMap` does not preserve the order of fields with different names and does not support pseudo-headers;
//! plugins need both. Names and values are types of the `http` crate, so that fields are moved without copying their
//! bytes, and fields that the proxy could not send are never stored. `hostcalls/http_fields.rs` defines which changes
//! are allowed in which phase.

mod inline;
mod name;

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderValue;

#[doc(hidden)]
pub use self::name::ParsedName;
pub use self::name::{Name, Pseudo};

/// An ordered list of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    list: Vec<(Name, HeaderValue)>,
}

/// The error for fields that cannot be sent as the head of a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// A required pseudo-header is missing.
    #[error(
        "the headers have no `{0}`; a plugin that replaces all headers must keep the pseudo-headers"
    )]
    Missing(&'static str),
    /// A pseudo-header has an invalid value.
    #[error("{value:?} is not a valid value of `{name}`")]
    Invalid {
        /// The pseudo-header.
        name: &'static str,
        /// The invalid value.
        value: HeaderValue,
    },
}

// === impl Fields ===

impl Fields {
    /// Creates an empty list.
    pub const fn new() -> Self {
        Self { list: Vec::new() }
    }

    /// Creates an empty list with space for `capacity` fields.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            list: Vec::with_capacity(capacity),
        }
    }

    /// Returns the number of fields.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the total size of all names and values in bytes.
    pub fn byte_size(&self) -> usize {
        self.list
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum()
    }

    /// Returns the first value of a field. The name is case-insensitive. Returns `None` for an invalid name.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&HeaderValue> {
        let wanted = name.as_ref();
        self.list
            .iter()
            .find(|(name, _)| name.eq_ignore_case(wanted))
            .map(|(_, value)| value)
    }

    /// Returns the value of a pseudo-header.
    pub fn pseudo(&self, pseudo: Pseudo) -> Option<&HeaderValue> {
        self.list
            .iter()
            .find(|(name, _)| matches!(name, Name::Pseudo(it) if *it == pseudo))
            .map(|(_, value)| value)
    }

    /// Returns all values of a field, in order.
    pub fn values<'a>(
        &'a self,
        name: &'a (impl AsRef<[u8]> + ?Sized),
    ) -> impl Iterator<Item = &'a HeaderValue> {
        let wanted = name.as_ref();
        self.list
            .iter()
            .filter(move |(name, _)| name.eq_ignore_case(wanted))
            .map(|(_, value)| value)
    }

    /// Returns all fields, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Name, &HeaderValue)> {
        self.list.iter().map(|(name, value)| (name, value))
    }

    /// Replaces all values of a field with one value, or adds the field. As in Envoy, the value moves to the end of the
    /// list.
    pub fn set(&mut self, name: Name, value: HeaderValue) {
        self.list.retain(|(it, _)| *it != name);
        self.append(name, value);
    }

    /// Replaces all values of a field with one value, at the place of the first one, or adds the field. Envoy does so when it changes
    /// fields itself.
    #[doc(hidden)]
    pub fn replace(&mut self, name: &Name, value: HeaderValue) {
        let mut value = Some(value);
        self.list.retain_mut(|(it, old)| {
            if it != name {
                return true;
            }
            match value.take() {
                Some(new) => {
                    *old = new;
                    true
                }
                None => false,
            }
        });
        if let Some(value) = value {
            self.append(name.clone(), value);
        }
    }

    /// Adds a value to a field and keeps its existing values. A pseudo-header has only one value, which is replaced.
    pub fn append(&mut self, name: Name, value: HeaderValue) {
        match name {
            Name::Header(_) => self.list.push((name, value)),
            Name::Pseudo(pseudo) => self.set_pseudo(pseudo, value),
        }
    }

    /// Adds a value as Envoy does. With `joins`, which is set for inline headers, the value is joined to an existing
    /// value of the field.
    #[doc(hidden)]
    pub fn append_or_join(&mut self, name: &Name, joins: bool, value: HeaderValue) {
        if joins && let Some((_, old)) = self.list.iter_mut().find(|(it, _)| it == name) {
            return join_values(old, value);
        }
        match name {
            Name::Header(_) => self.list.push((name.clone(), value)),
            Name::Pseudo(pseudo) => self.set_pseudo(*pseudo, value),
        }
    }

    /// Sets a pseudo-header. A new one is inserted after the existing pseudo-headers and before all other fields.
    pub fn set_pseudo(&mut self, pseudo: Pseudo, value: HeaderValue) {
        let name = Name::Pseudo(pseudo);
        if let Some((_, old)) = self.list.iter_mut().find(|(it, _)| *it == name) {
            *old = value;
            return;
        }
        let end = self
            .list
            .iter()
            .take_while(|(it, _)| matches!(it, Name::Pseudo(_)))
            .count();
        self.list.insert(end, (name, value));
    }

    /// Removes a field with all its values.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) {
        let unwanted = name.as_ref();
        self.list.retain(|(name, _)| !name.eq_ignore_case(unwanted));
    }

    /// Removes all fields.
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// Returns the status of a response.
    pub fn status(&self) -> Result<StatusCode, FieldsError> {
        let value = self
            .pseudo(Pseudo::Status)
            .ok_or(FieldsError::Missing(Pseudo::Status.as_str()))?;
        StatusCode::from_bytes(value.as_bytes()).map_err(|_| FieldsError::Invalid {
            name: Pseudo::Status.as_str(),
            value: value.clone(),
        })
    }
}

/// Joins a value to another with a comma, as Envoy does. Empty values are skipped.
fn join_values(old: &mut HeaderValue, value: HeaderValue) {
    if value.is_empty() {
        return;
    }
    if old.is_empty() {
        *old = value;
        return;
    }
    let joined = [old.as_bytes(), b",", value.as_bytes()].concat();
    // Two valid values with a comma between them are a valid value, so the conversion succeeds.
    if let Ok(joined) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
        *old = joined;
    }
}

impl FromIterator<(Name, HeaderValue)> for Fields {
    fn from_iter<I: IntoIterator<Item = (Name, HeaderValue)>>(fields: I) -> Self {
        let mut all = Self::new();
        for (name, value) in fields {
            all.append(name, value);
        }
        all
    }
}

/// Returns the value of `:status` for a status.
#[doc(hidden)]
pub fn status_value(status: StatusCode) -> HeaderValue {
    match status {
        StatusCode::OK => HeaderValue::from_static("200"),
        _ => HeaderValue::from(status.as_u16()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vocabulary::FieldMap;

    fn name(name: &str) -> Name {
        Name::parse(name.as_bytes()).unwrap()
    }

    fn value(value: &str) -> HeaderValue {
        HeaderValue::from_str(value).unwrap()
    }

    /// Creates fields from names and values.
    pub(crate) fn fields(list: &[(&str, &str)]) -> Fields {
        list.iter().map(|(n, v)| (name(n), value(v))).collect()
    }

    fn list(fields: &Fields) -> Vec<(&str, &str)> {
        fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn set_replaces_all_values_and_moves_to_the_end() {
        let mut it = fields(&[("a", "1"), ("b", "2"), ("A", "3"), ("c", "4")]);
        it.set(name("a"), value("5"));
        assert_eq!(list(&it), [("b", "2"), ("c", "4"), ("a", "5")]);
        it.set(name("d"), value("6"));
        assert_eq!(list(&it), [("b", "2"), ("c", "4"), ("a", "5"), ("d", "6")]);
    }

    #[test]
    fn replace_keeps_the_place_of_the_first_value() {
        let mut it = fields(&[("a", "1"), ("b", "2"), ("A", "3")]);
        it.replace(&name("a"), value("5"));
        assert_eq!(list(&it), [("a", "5"), ("b", "2")]);
        it.replace(&name("c"), value("6"));
        assert_eq!(list(&it), [("a", "5"), ("b", "2"), ("c", "6")]);
    }

    #[test]
    fn pseudo_headers_come_first_and_are_unique() {
        let mut it = fields(&[("a", "1")]);
        it.append(name(":status"), value("200"));
        it.append(name(":status"), value("404"));
        assert_eq!(list(&it), [(":status", "404"), ("a", "1")]);
    }

    #[test]
    fn values_added_to_inline_headers_are_joined() {
        let mut it = fields(&[("via", "a"), ("x", "1"), (":path", "/a")]);
        let mut add = |name: &str, value: &'static str| {
            ParsedName::with(name.as_bytes(), |parsed| {
                let joins = parsed.is_inline(FieldMap::RequestHeaders);
                it.append_or_join(parsed.name(), joins, HeaderValue::from_static(value));
            })
            .unwrap();
        };
        for (name, value) in [
            ("VIA", "b"),
            ("via", ""),
            ("x", "2"),
            (":path", "/b"),
            ("cookie", "c"),
            ("cookie", "d"),
            ("te", ""),
            ("te", "gzip"),
        ] {
            add(name, value);
        }
        assert_eq!(
            list(&it),
            [
                (":path", "/a,/b"),
                ("via", "a,b"),
                ("x", "1"),
                ("x", "2"),
                ("cookie", "c"),
                ("cookie", "d"),
                ("te", "gzip")
            ]
        );
    }

    #[test]
    fn missing_or_invalid_status_is_named_in_the_error() {
        let missing = fields(&[("a", "1")]).status().unwrap_err();
        assert_eq!(missing, FieldsError::Missing(":status"));
        let invalid = fields(&[(":status", "two hundred")]).status().unwrap_err();
        assert_eq!(
            invalid.to_string(),
            "\"two hundred\" is not a valid value of `:status`"
        );
    }

    proptest! {
        #[test]
        fn any_edit_sequence_matches_the_model(
            changes in proptest::collection::vec((0..4u8, "[a-c]", "[x-z]{0,3}"), 0..30),
        ) {
            let mut it = Fields::new();
            let mut model: Vec<(String, String)> = Vec::new();
            for (change, n, v) in changes {
                match change {
                    0 => {
                        it.append(name(&n), value(&v));
                        model.push((n, v));
                    }
                    1 => {
                        it.set(name(&n), value(&v));
                        model.retain(|(m, _)| *m != n);
                        model.push((n, v));
                    }
                    2 => {
                        it.remove(&n);
                        model.retain(|(m, _)| *m != n);
                    }
                    _ => {
                        let values: Vec<_> = it.values(&n).map(|v| v.to_str().unwrap().to_owned()).collect();
                        let expected: Vec<_> = model.iter().filter(|(m, _)| *m == n).map(|(_, v)| v.clone()).collect();
                        prop_assert_eq!(values, expected);
                    }
                }
                let expected: Vec<_> = model.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                prop_assert_eq!(list(&it), expected);
                prop_assert_eq!(it.byte_size(), model.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>());
            }
        }
    }
}
