//! [`HeaderName`] and [`HeaderValue`]: checked names and values of headers.

use std::ops::Deref;

use tidegate_guest::{FieldName, FieldValue};

use crate::read::{Read, Shape, Value, Wrong};

/// A lowercase header name, or a pseudo-header.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(with = "String"))]
pub struct HeaderName(String);

/// A header value: text without control characters other than tab.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(with = "String"))]
pub struct HeaderValue(String);

impl HeaderName {
    /// Returns whether the name is a pseudo-header.
    pub fn is_pseudo(&self) -> bool {
        self.0.starts_with(':')
    }
}

impl Read for HeaderName {
    const SHAPE: &'static Shape = &Shape::Text;

    #[inline(never)]
    fn read(value: Value, wrong: &mut Wrong) -> Self {
        let name = FieldName::new(&String::read(value, wrong));
        if name.is_none() {
            wrong.note("expected a header name");
        }
        HeaderName(name.map(String::from).unwrap_or_default())
    }
}

impl Read for HeaderValue {
    const SHAPE: &'static Shape = &Shape::Text;

    #[inline(never)]
    fn read(value: Value, wrong: &mut Wrong) -> Self {
        let text = String::read(value, wrong);
        if FieldValue::new(&text).is_none() {
            wrong.note("expected a header value without control characters");
        }
        HeaderValue(text)
    }
}

impl Deref for HeaderName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Deref for HeaderValue {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}
