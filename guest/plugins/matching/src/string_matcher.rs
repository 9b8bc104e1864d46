//! [`StringMatcher`]: Envoy's matcher of strings.

use crate::Regex;
use crate::read::{Read, Shape, Value, Wrong};

/// Matches a string, in one of five ways. The fields are those of Envoy's `StringMatcher`.
///
/// Values that are not UTF-8 are compared as bytes. No regular expression matches them.
#[derive(Debug)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(with = "StringMatcherFields"))]
pub struct StringMatcher {
    kind: Kind,
    ignore_case: bool,
}

#[derive(Debug)]
enum Kind {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    SafeRegex(Regex),
}

crate::readable! {
/// Matches a string in exactly one way.
#[derive(Debug)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "StringMatcher"))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
struct StringMatcherFields {
    /// The whole string.
    exact: Option<String>,
    /// The beginning of the string.
    prefix: Option<String>,
    /// The end of the string.
    suffix: Option<String>,
    /// A part of the string.
    contains: Option<String>,
    /// A regular expression, which has to match the whole string.
    safe_regex: Option<Regex>,
    /// Whether the case of ASCII letters is ignored. It has no effect on `safe_regex`.
    #[cfg_attr(feature = "schema", schemars(default))]
    ignore_case: bool = false,
}
}

impl Read for StringMatcher {
    const SHAPE: &'static Shape = StringMatcherFields::SHAPE;

    fn read(value: Value, wrong: &mut Wrong) -> Self {
        let fields = StringMatcherFields::read(value, wrong);
        StringMatcher::new(fields).unwrap_or_else(|| {
            wrong.note(
                "expected exactly one of `exact`, `prefix`, `suffix`, `contains` and `safe_regex`",
            );
            StringMatcher {
                kind: Kind::Exact(String::new()),
                ignore_case: false,
            }
        })
    }
}

impl StringMatcher {
    /// Returns `None` unless there is exactly one kind.
    fn new(fields: StringMatcherFields) -> Option<Self> {
        let StringMatcherFields {
            exact,
            prefix,
            suffix,
            contains,
            safe_regex,
            ignore_case,
        } = fields;
        let mut kind = match (exact, prefix, suffix, contains, safe_regex) {
            (Some(text), None, None, None, None) => Kind::Exact(text),
            (None, Some(text), None, None, None) => Kind::Prefix(text),
            (None, None, Some(text), None, None) => Kind::Suffix(text),
            (None, None, None, Some(text), None) => Kind::Contains(text),
            (None, None, None, None, Some(regex)) => Kind::SafeRegex(regex),
            _ => return None,
        };
        if ignore_case
            && let Kind::Exact(text)
            | Kind::Prefix(text)
            | Kind::Suffix(text)
            | Kind::Contains(text) = &mut kind
        {
            text.make_ascii_lowercase();
        }
        Some(StringMatcher { kind, ignore_case })
    }
}

impl StringMatcher {
    /// Returns whether a value matches.
    pub fn matches(&self, value: &[u8]) -> bool {
        if !self.ignore_case {
            return self.kind.matches(value);
        }
        match &self.kind {
            Kind::SafeRegex(_) => self.kind.matches(value),
            kind => kind.matches(&value.to_ascii_lowercase()),
        }
    }
}

impl Kind {
    fn matches(&self, value: &[u8]) -> bool {
        match self {
            Kind::Exact(text) => value == text.as_bytes(),
            Kind::Prefix(text) => value.starts_with(text.as_bytes()),
            Kind::Suffix(text) => value.ends_with(text.as_bytes()),
            Kind::Contains(text) => {
                text.is_empty()
                    || value
                        .windows(text.len())
                        .any(|part| part == text.as_bytes())
            }
            Kind::SafeRegex(regex) => {
                std::str::from_utf8(value).is_ok_and(|text| regex.matches(text))
            }
        }
    }
}
