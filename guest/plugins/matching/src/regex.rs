//! [`Regex`]: a regular expression that matches in linear time. Without the cargo feature `regex`, configurations that contain one are rejected.

use crate::read::{Read, Shape, Value};

/// A regular expression that has to match a whole text, as Envoy's `safe_regex` does. The syntax is that of the crate
/// `regex-lite`: similar to RE2, without Unicode classes, backreferences and look-around.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(with = "RegexFields"))]
pub struct Regex {
    #[cfg(feature = "regex")]
    /// `None` matches nothing.
    compiled: Option<regex_lite::Regex>,
}

crate::readable! {
/// A regular expression.
#[derive(Debug)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Regex"))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
struct RegexFields {
    /// It has to match the whole text. Syntax as in RE2, without Unicode classes.
    regex: String,
}
}

impl Read for Regex {
    const SHAPE: &'static Shape = &Shape::Checked(RegexFields::SHAPE, |value| {
        let regex = Regex::new(RegexFields::read(value))?;
        *value = Value::made(regex);
        Ok(())
    });

    fn read(value: &Value) -> Self {
        value.unmade().unwrap_or_default()
    }
}

impl Regex {
    #[cfg(feature = "regex")]
    fn new(RegexFields { regex }: RegexFields) -> Result<Self, &'static str> {
        let compiled = Some(compile(&regex)?);
        Ok(Regex { compiled })
    }

    #[cfg(not(feature = "regex"))]
    fn new(RegexFields { regex }: RegexFields) -> Result<Self, &'static str> {
        drop(regex);
        Err(ABSENT)
    }
}

/// Why there are no regular expressions.
#[cfg(not(feature = "regex"))]
pub(crate) const ABSENT: &str =
    "this plugin was built without regular expressions: build it with the cargo feature `regex`";

/// The largest compiled expression, in bytes. A worker keeps each of them.
#[cfg(feature = "regex")]
const LARGEST: usize = 1 << 20;

/// Compiles an expression.
#[cfg(feature = "regex")]
pub(crate) fn build(regex: &str) -> Result<regex_lite::Regex, &'static str> {
    regex_lite::RegexBuilder::new(regex)
        .size_limit(LARGEST)
        .build()
        .map_err(|_| "expected a regular expression of at most 1 MiB when compiled, with the syntax of RE2")
}

/// Compiles an expression that has to match the whole text.
#[cfg(feature = "regex")]
fn compile(regex: &str) -> Result<regex_lite::Regex, &'static str> {
    // Alone first, so that `a)|(b` is refused.
    build(regex)?;
    let mut anchored = String::from("^(?:");
    anchored.push_str(regex);
    anchored.push_str(")$");
    build(&anchored)
}

impl Regex {
    /// Returns whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        #[cfg(feature = "regex")]
        return self.compiled.as_ref().is_some_and(|it| it.is_match(text));
        #[cfg(not(feature = "regex"))]
        {
            let _ = text;
            false
        }
    }
}
