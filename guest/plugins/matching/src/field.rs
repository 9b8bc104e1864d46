//! [`HeaderName`] and [`HeaderValue`]: checked names and values of headers.

use std::ops::Deref;

use tidegate_guest::{FieldName, FieldValue};

use crate::read::{Read, Shape, Value};

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
    /// Creates a name from a string in any case. Returns `None` if it is invalid.
    pub fn new(name: &str) -> Option<Self> {
        FieldName::new(name).map(|name| HeaderName(name.into()))
    }

    /// Returns whether the name is a pseudo-header.
    pub fn is_pseudo(&self) -> bool {
        self.0.starts_with(':')
    }
}

impl Read for HeaderName {
    const SHAPE: &'static Shape = &Shape::Checked(&Shape::Text, |value| {
        let name = HeaderName::new(value.text()).ok_or("expected a header name")?;
        *value = Value::Text(name.0);
        Ok(())
    });

    fn read(value: &Value) -> Self {
        HeaderName(String::read(value))
    }
}

impl Read for HeaderValue {
    const SHAPE: &'static Shape = &Shape::Checked(&Shape::Text, |value| {
        let reason = "expected a header value without control characters";
        FieldValue::new(value.text()).map(drop).ok_or(reason.into())
    });

    fn read(value: &Value) -> Self {
        HeaderValue(String::read(value))
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
