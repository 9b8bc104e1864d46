//! The fields of an object of a configuration, of which each is taken once.

use tidegate_guest::{ConfigError, FieldValue};

use crate::place::Place;
use crate::shape::Tree;

/// The fields of an object that have not been taken yet.
pub type Object = Vec<(&'static str, Tree)>;

/// Takes a field of an object.
pub fn take(fields: &mut Object, name: &str) -> Option<Tree> {
    let index = fields.iter().position(|(other, _)| *other == name)?;
    Some(fields.remove(index).1)
}

/// Takes a string.
pub fn text(fields: &mut Object, name: &str) -> Option<String> {
    match take(fields, name) {
        Some(Tree::Text(text)) => Some(text),
        _ => None,
    }
}

/// Takes `true` or `false`.
pub fn flag(fields: &mut Object, name: &str) -> Option<bool> {
    match take(fields, name) {
        Some(Tree::Bool(flag)) => Some(flag),
        _ => None,
    }
}

/// Takes an array.
pub fn list(fields: &mut Object, name: &str) -> Option<Vec<Tree>> {
    match take(fields, name) {
        Some(Tree::List(list)) => Some(list),
        _ => None,
    }
}

/// The fields of an object. Its shape says that it is one.
pub fn object(tree: Tree) -> Object {
    match tree {
        Tree::Object(fields) => fields,
        _ => Vec::new(),
    }
}

/// A header value without operators.
pub fn plain(
    fields: &mut Object,
    name: &'static str,
    place: &Place<'_>,
) -> Result<Option<String>, ConfigError> {
    match text(fields, name) {
        Some(text) if FieldValue::new(&text).is_none() => Err(place
            .field(name)
            .refuse("expected a header value without control characters")),
        text => Ok(text),
    }
}
