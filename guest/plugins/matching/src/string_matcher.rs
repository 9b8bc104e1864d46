//! [`StringMatcher`]: Envoy's matcher of strings.

use serde::Deserialize;

use crate::Regex;

/// Matches a string, in one of five ways. The fields are those of Envoy's `StringMatcher`.
///
/// Values that are not UTF-8 match by their bytes, except that no regular expression matches them.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(with = "StringMatcherFields"))]
#[serde(try_from = "StringMatcherFields")]
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

/// Matches a string in exactly one way.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "StringMatcher"))]
#[serde(deny_unknown_fields)]
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
    #[serde(default)]
    ignore_case: bool,
}

impl TryFrom<StringMatcherFields> for StringMatcher {
    type Error = &'static str;

    fn try_from(fields: StringMatcherFields) -> Result<Self, Self::Error> {
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
            _ => {
                return Err(
                    "expected exactly one of `exact`, `prefix`, `suffix`, `contains` and `safe_regex`",
                );
            }
        };
        if ignore_case
            && let Kind::Exact(text)
            | Kind::Prefix(text)
            | Kind::Suffix(text)
            | Kind::Contains(text) = &mut kind
        {
            text.make_ascii_lowercase();
        }
        Ok(StringMatcher { kind, ignore_case })
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
