//! [`Builder`]: makes rules from values that have been read, and checks what depends on more than one of them.

use plugin_matching::read::{Read, Value, push_number};
use plugin_matching::{HeaderName, Rewrite};
use tidegate_guest::ConfigError;

use crate::config::{PathRewrite, Rule};
use crate::cookie;
use crate::edit::{Action, Edit};
use crate::format::Format;
use crate::guard::{Guard, Kind};
use crate::place::Place;

/// Makes rules. It goes on after an error, with values that are not used: returning early would need code to drop what has been made.
#[derive(Debug)]
pub struct Builder {
    guard: Guard,
    refused: Option<ConfigError>,
}

impl Builder {
    /// Makes rules that do not change protected value.
    pub fn new(guard: Guard) -> Self {
        Builder {
            guard,
            refused: None,
        }
    }

    /// Returns the protected fields, or the first error.
    pub fn finish(self) -> Result<Guard, ConfigError> {
        match self.refused {
            Some(error) => Err(error),
            None => Ok(self.guard),
        }
    }

    /// Notes an error, unless there is one.
    #[inline(never)]
    pub fn refuse(&mut self, place: &Place<'_>, reason: &str) {
        if self.refused.is_none() {
            self.refused = Some(place.refuse(reason));
        }
    }

    /// Makes a rule.
    pub fn rule(&mut self, value: &Value, place: &Place<'_>) -> Rule {
        if value.has("match_response") {
            for name in [
                "request",
                "request_trailers",
                "path",
                "query_parameters",
                "host",
            ] {
                if value.has(name) {
                    let reason = "a rule with `match_response` cannot change requests";
                    self.refuse(&place.field(name), reason);
                }
            }
        }
        let mut edits = |name, kind| {
            let place = place.field(name);
            let mut edits = Vec::new();
            for (index, edit) in value.field(name).list().iter().enumerate() {
                edits.extend(self.edit(edit, &place.element(index), kind));
            }
            edits
        };
        Rule {
            request: edits("request", Kind::Request),
            response: edits("response", Kind::Response),
            request_trailers: edits("request_trailers", Kind::Trailers),
            response_trailers: edits("response_trailers", Kind::Trailers),
            path: match value.field("path") {
                Value::Absent => None,
                path => self.path(path, &place.field("path")),
            },
            condition: value.get("match"),
            response_condition: value.get("match_response"),
            parameters: value.get("query_parameters"),
            host: value.get("host"),
        }
    }

    fn edit(&mut self, value: &Value, place: &Place<'_>, kind: Kind) -> Option<Edit> {
        let (name, value) = value.only();
        let place = &place.field(name);
        let action = match name {
            "remove" => {
                let name = HeaderName::read(value);
                self.check(&name, place, kind, false);
                return Some(Edit::Remove(name));
            }
            "remove_cookie" => return Some(Edit::RemoveCookie(String::read(value))),
            "append" => Action::Append,
            "add_if_absent" => Action::AddIfAbsent,
            "overwrite_if_exists" => Action::OverwriteIfExists,
            _ => Action::Set,
        };
        match name {
            "remove_on_match" => return Some(Edit::RemoveOnMatch(value.get("key_matcher"))),
            "rename" | "copy" => {
                let moves = name == "rename";
                let (from, to): (HeaderName, HeaderName) = (value.get("from"), value.get("to"));
                if moves {
                    self.check(&from, &place.field("from"), kind, false);
                }
                self.check(&to, &place.field("to"), kind, false);
                return Some(Edit::Copy { from, to, moves });
            }
            "set_cookie" => {
                return Some(Edit::SetCookie {
                    name: value.get("name"),
                    value: value.get("value"),
                    attributes: attributes(value),
                });
            }
            "cookie_attributes" => {
                let name = value.get("name");
                let attributes = attributes(value);
                if attributes.is_empty() {
                    self.refuse(place, "expected an attribute");
                }
                return Some(Edit::CookieAttributes(name, attributes));
            }
            _ => {}
        }
        let name_place = &place.field("name");
        let rewrites = name == "regex_rewrite";
        let name: HeaderName = value.get("name");
        let can_be_set = rewrites || matches!(action, Action::Set | Action::OverwriteIfExists);
        self.check(&name, name_place, kind, can_be_set);
        if rewrites {
            return Some(Edit::Rewrite(name, self.rewrite(value, place)?));
        }
        let format: Format = value.get("value");
        let keep_empty: bool = value.get("keep_empty_value");
        if format.is_empty() && !keep_empty {
            let reason =
                "an edit with an empty value is never applied, unless `keep_empty_value` is true";
            self.refuse(&place.field("value"), reason);
        }
        if keep_empty && kind.owns(&name) {
            let reason = "this header cannot be empty";
            self.refuse(&place.field("keep_empty_value"), reason);
        }
        Some(Edit::Value {
            action,
            name,
            value: format,
            keep_empty,
        })
    }

    /// Checks whether a header can be changed.
    #[inline(never)]
    fn check(&mut self, name: &HeaderName, place: &Place<'_>, kind: Kind, can_be_set: bool) {
        let reason = if self.guard.protects(name) {
            "the header is protected: see `protected`"
        } else if name.is_pseudo() && !kind.owns(name) {
            "the message has no such pseudo-header"
        } else if kind.owns(name) && !can_be_set {
            "this header can only be set"
        } else {
            return;
        };
        self.refuse(place, reason);
    }

    fn path(&mut self, value: &Value, place: &Place<'_>) -> Option<PathRewrite> {
        let (name, value) = value.only();
        if name == "set" {
            return Some(PathRewrite::Set(Format::read(value)));
        }
        if name == "prefix_rewrite" {
            return Some(PathRewrite::Prefix(
                value.get("prefix"),
                value.get("substitution"),
            ));
        }
        self.rewrite(value, &place.field(name))
            .map(PathRewrite::Regex)
    }

    #[inline(never)]
    fn rewrite(&mut self, value: &Value, place: &Place<'_>) -> Option<Rewrite> {
        let regex: String = value.field("pattern").get("regex");
        let substitution: String = value.get("substitution");
        match Rewrite::new(&regex, &substitution) {
            Ok(rewrite) => Some(rewrite),
            Err(reason) => {
                self.refuse(place, reason);
                None
            }
        }
    }
}

/// The attributes of a cookie: in this order, whatever that of the configuration is.
#[inline(never)]
fn attributes(value: &Value) -> Vec<cookie::Attribute> {
    let mut attributes = Vec::new();
    for (field, name) in [
        ("path", "Path"),
        ("domain", "Domain"),
        ("max_age", "Max-Age"),
        ("secure", "Secure"),
        ("http_only", "HttpOnly"),
        ("same_site", "SameSite"),
        ("partitioned", "Partitioned"),
    ] {
        let value = match value.field(field) {
            Value::Absent => continue,
            Value::Bool(false) => None,
            Value::Number(number) => {
                let mut text = String::new();
                push_number(&mut text, *number);
                Some(text)
            }
            value => Some(String::read(value)),
        };
        attributes.push((name, value));
    }
    attributes
}
