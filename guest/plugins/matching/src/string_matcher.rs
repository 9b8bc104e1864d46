//! [`StringMatcher`]: Envoy's matcher of strings.

use crate::Regex;
use crate::read::{Read, Shape, Value};

/// Matches a string, in one of five ways. The fields are those of Envoy's `StringMatcher`.
///
/// Values that are not UTF-8 are compared as bytes. No regular expression matches them.
#[derive(Debug)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(with = "StringMatcherFields"))]
pub struct StringMatcher {
    kind: Kind,
    text: String,
    regex: Regex,
    ignore_case: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Contains,
    SafeRegex,
}

/// The fields of which one must be given.
const KINDS: [(&str, Kind); 5] = [
    ("exact", Kind::Exact),
    ("prefix", Kind::Prefix),
    ("suffix", Kind::Suffix),
    ("contains", Kind::Contains),
    ("safe_regex", Kind::SafeRegex),
];

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
    const SHAPE: &'static Shape = &Shape::Checked(StringMatcherFields::SHAPE, |value| {
        let given = KINDS.iter().filter(|(name, _)| value.has(name));
        match given.count() {
            1 => Ok(()),
            _ => Err(
                "expected exactly one of `exact`, `prefix`, `suffix`, `contains` and `safe_regex`"
                    .into(),
            ),
        }
    });

    #[inline(never)]
    fn read(value: &Value) -> Self {
        let fields = StringMatcherFields::read(value);
        let texts = [fields.exact, fields.prefix, fields.suffix, fields.contains];
        let mut matcher = StringMatcher {
            kind: Kind::SafeRegex,
            text: String::new(),
            regex: fields.safe_regex.unwrap_or_default(),
            ignore_case: fields.ignore_case,
        };
        for ((_, kind), text) in KINDS.into_iter().zip(texts) {
            if let Some(text) = text {
                (matcher.kind, matcher.text) = (kind, text);
            }
        }
        if matcher.ignore_case {
            matcher.text.make_ascii_lowercase();
        }
        matcher
    }
}

impl StringMatcher {
    /// Returns whether a value matches.
    pub fn matches(&self, value: &[u8]) -> bool {
        let text = self.text.as_bytes();
        let lowered;
        let value = if self.ignore_case && !matches!(self.kind, Kind::SafeRegex) {
            lowered = value.to_ascii_lowercase();
            &lowered
        } else {
            value
        };
        match self.kind {
            Kind::Exact => value == text,
            Kind::Prefix => value.starts_with(text),
            Kind::Suffix => value.ends_with(text),
            Kind::Contains => text.is_empty() || value.windows(text.len()).any(|part| part == text),
            Kind::SafeRegex => std::str::from_utf8(value).is_ok_and(|it| self.regex.matches(it)),
        }
    }
}
