//! Checks of values, which are parts of the shapes in [`fields`](crate::fields).

use plugin_matching::read::{Reason, Value};
use tidegate_guest::FieldName;

/// A header name, which can end with `*`. It becomes lowercase.
pub fn name_or_start(value: &mut Value) -> Result<(), Reason> {
    let name = value.text().to_ascii_lowercase();
    let start = name.strip_suffix('*').unwrap_or(&name);
    if !start.is_empty() && FieldName::new(start).is_none() {
        return Err("expected a header name, which can end with `*`".into());
    }
    *value = Value::Text(name);
    Ok(())
}

/// The name of a cookie, which has the syntax of a header name, but not its case.
pub fn cookie_name(value: &mut Value) -> Result<(), Reason> {
    match FieldName::new(value.text()) {
        Some(field) if !field.is_pseudo() => Ok(()),
        _ => Err("expected the name of a cookie".into()),
    }
}

/// The value of an attribute of a cookie.
pub fn attribute(value: &mut Value) -> Result<(), Reason> {
    let is_good = |byte: u8| !byte.is_ascii_control() && byte != b';';
    match value.text() {
        text if !text.is_empty() && text.bytes().all(is_good) => Ok(()),
        _ => Err("expected the value of an attribute".into()),
    }
}

/// A number of seconds that is a string, as in Envoy.
pub fn seconds(value: &mut Value) -> Result<(), Reason> {
    if value.text().bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err("expected a number of seconds, in quotes".into())
}

/// A status.
pub fn status(value: &mut Value) -> Result<(), Reason> {
    match value {
        Value::Number(100..=599) => Ok(()),
        _ => Err("expected a status from 100 to 599".into()),
    }
}
