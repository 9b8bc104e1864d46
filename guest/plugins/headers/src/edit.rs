//! Edits of the fields of a message.

use plugin_matching::{HeaderName, Rewrite, StringMatcher};

use crate::cookie;
use crate::format::Format;
use crate::guard::Guard;
use crate::source::Source;

/// What has fields that can be edited.
pub trait Target {
    /// All values of a field, in order.
    fn values(&self, name: &str) -> Vec<Vec<u8>>;
    /// The names of all fields, some perhaps several times.
    fn names(&self) -> Vec<String>;
    /// Replaces all values by one.
    fn set(&self, name: &str, value: &[u8]);
    /// Adds a value.
    fn append(&self, name: &str, value: &[u8]);
    /// Removes all values.
    fn remove(&self, name: &str);
}

/// An edit.
#[derive(Debug)]
pub enum Edit {
    /// Gives a field a value.
    Value {
        /// When, and what becomes of other values.
        action: Action,
        /// The field.
        name: HeaderName,
        /// The value.
        value: Format,
        /// Whether it is done if the value is empty.
        keep_empty: bool,
    },
    /// Removes a field.
    Remove(HeaderName),
    /// Removes all fields whose names match.
    RemoveOnMatch(StringMatcher),
    /// Copies values.
    Copy {
        /// The field that has them.
        from: HeaderName,
        /// The field that gets them.
        to: HeaderName,
        /// Whether they are removed from the first.
        moves: bool,
    },
    /// Rewrites each value of a field.
    Rewrite(HeaderName, Rewrite),
    /// Sets a cookie.
    SetCookie {
        /// Its name.
        name: String,
        /// Its value.
        value: Format,
        /// Its attributes.
        attributes: Vec<cookie::Attribute>,
    },
    /// Removes a cookie from those that a response sets.
    RemoveCookie(String),
    /// Changes the attributes of one cookie, or of all.
    CookieAttributes(Option<String>, Vec<cookie::Attribute>),
}

/// What is done with a value, by its name in Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `OVERWRITE_IF_EXISTS_OR_ADD`
    Set,
    /// `APPEND_IF_EXISTS_OR_ADD`
    Append,
    /// `ADD_IF_ABSENT`
    AddIfAbsent,
    /// `OVERWRITE_IF_EXISTS`
    OverwriteIfExists,
}

const SET_COOKIE: &str = "set-cookie";

impl Edit {
    /// Does it.
    pub fn apply(&self, target: &impl Target, source: &impl Source, guard: &Guard) {
        match self {
            Edit::Value {
                action,
                name,
                value,
                keep_empty,
            } => {
                let value = value.render(source);
                if value.is_empty() && !keep_empty {
                    return;
                }
                let wanted = match action {
                    Action::Set | Action::Append => true,
                    Action::AddIfAbsent => target.values(name).is_empty(),
                    Action::OverwriteIfExists => !target.values(name).is_empty(),
                };
                match action {
                    _ if !wanted => {}
                    Action::Append | Action::AddIfAbsent => target.append(name, &value),
                    Action::Set | Action::OverwriteIfExists => target.set(name, &value),
                }
            }
            Edit::Remove(name) => target.remove(name),
            Edit::RemoveOnMatch(matcher) => {
                for name in target.names() {
                    // Removing a name again, if it occurs more than once, has no effect.
                    let is_removed = matcher.matches(name.as_bytes());
                    if is_removed
                        && !name.starts_with(':')
                        && name != "host"
                        && !guard.protects(&name)
                    {
                        target.remove(&name);
                    }
                }
            }
            Edit::Copy { from, to, moves } => {
                let values = target.values(from);
                if !values.is_empty() {
                    if *moves {
                        target.remove(from);
                    }
                    replace(target, to, &values);
                }
            }
            Edit::Rewrite(name, rewrite) => {
                rewrite_values(target, name, &|value| {
                    rewrite.apply(&value).map_or(Some(value), Some)
                });
            }
            Edit::SetCookie {
                name,
                value,
                attributes,
            } => {
                let mut cookie = name.as_bytes().to_vec();
                cookie.push(b'=');
                // A semicolon would end the value, and the rest would be attributes.
                cookie.extend(
                    value
                        .render(source)
                        .into_iter()
                        .filter(|byte| *byte != b';'),
                );
                remove_cookie(target, name);
                target.append(SET_COOKIE, &cookie::with_attributes(&cookie, attributes));
            }
            Edit::RemoveCookie(name) => remove_cookie(target, name),
            Edit::CookieAttributes(name, attributes) => {
                rewrite_values(target, SET_COOKIE, &|value| {
                    let is_it = name
                        .as_ref()
                        .is_none_or(|name| cookie::name_of(&value) == name.as_bytes());
                    Some(if is_it {
                        cookie::with_attributes(&value, attributes)
                    } else {
                        value
                    })
                })
            }
        }
    }
}

fn remove_cookie(target: &impl Target, name: &str) {
    rewrite_values(target, SET_COOKIE, &|value| {
        (cookie::name_of(&value) != name.as_bytes()).then_some(value)
    });
}

/// Replaces each value of a field by another one, or removes it. A field that stays as it is is not touched.
fn rewrite_values(target: &impl Target, name: &str, rewrite: &dyn Fn(Vec<u8>) -> Option<Vec<u8>>) {
    let values = target.values(name);
    let rewritten: Vec<Vec<u8>> = values.iter().cloned().filter_map(rewrite).collect();
    if rewritten != values {
        replace(target, name, &rewritten);
    }
}

/// Replaces all values of a field by others.
fn replace(target: &impl Target, name: &str, values: &[Vec<u8>]) {
    match values {
        [] => target.remove(name),
        // Pseudo-headers cannot be removed.
        [first, rest @ ..] => {
            target.set(name, first);
            for value in rest {
                target.append(name, value);
            }
        }
    }
}
