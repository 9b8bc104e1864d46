//! [`PathMatcher`]: the path of a request, without its query.

use crate::Regex;
use crate::read::{Read, Reason, Shape, Value};

crate::choice! {
/// Matches a path without its query, in one of four ways.
#[derive(Debug)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename_all = "snake_case"))]
pub enum PathMatcher {
    /// The whole path.
    Exact(String) = "exact",
    /// The beginning of the path.
    Prefix(String) = "prefix",
    /// A regular expression, which has to match the whole path.
    SafeRegex(Regex) = "safe_regex",
    /// A template such as `/users/{id}/orders/**`. `{name}` and `*` stand for one segment that is not empty. `**` at the end stands
    /// for the rest of the path.
    Template(Template) = "template",
}
}

/// A path template.
#[derive(Debug, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(with = "String"))]
pub struct Template {
    segments: Vec<Segment>,
    /// Whether any number of segments may follow.
    open: bool,
}

#[derive(Debug)]
enum Segment {
    Literal(String),
    Any,
}

impl Read for Template {
    const SHAPE: &'static Shape = &Shape::Checked(&Shape::Text, |value| {
        Template::parse(value.text())
            .map(drop)
            .map_err(Reason::from)
    });

    fn read(value: &Value) -> Self {
        Template::parse(value.text()).unwrap_or_default()
    }
}

impl Template {
    /// Parses a template. An error says what is wrong.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(text) = text.strip_prefix('/') else {
            return Err("expected a path template that begins with `/`");
        };
        let mut template = Template {
            segments: Vec::new(),
            open: false,
        };
        for part in text.split('/') {
            if template.open {
                return Err("`**` is allowed only at the end of a path template");
            }
            let inner = part
                .strip_prefix('{')
                .and_then(|part| part.strip_suffix('}'));
            let pattern = match inner {
                Some(variable) => variable.split_once('=').map_or("*", |(_, pattern)| pattern),
                None => part,
            };
            match pattern {
                "**" => template.open = true,
                "*" => template.segments.push(Segment::Any),
                _ if part.contains(['{', '}', '*']) => {
                    return Err(
                        "expected segments that are literal, `*`, `**`, `{name}`, `{name=*}` or `{name=**}`",
                    );
                }
                _ => template.segments.push(Segment::Literal(part.to_owned())),
            }
        }
        Ok(template)
    }
}

impl Template {
    fn matches(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else {
            return false;
        };
        let mut parts = path.split('/');
        let begins = self.segments.iter().all(|segment| match segment {
            Segment::Literal(literal) => parts.next() == Some(literal),
            Segment::Any => parts.next().is_some_and(|part| !part.is_empty()),
        });
        // As in Envoy, `/a/**` does not match `/a`.
        begins && parts.next().is_some() == self.open
    }
}

impl PathMatcher {
    /// Returns whether a path, which has no query, matches.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            PathMatcher::Exact(exact) => path == exact,
            PathMatcher::Prefix(prefix) => path.starts_with(prefix.as_str()),
            PathMatcher::SafeRegex(regex) => regex.matches(path),
            PathMatcher::Template(template) => template.matches(path),
        }
    }
}
