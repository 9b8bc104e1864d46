//! [`Regex`]: a regular expression that matches in linear time. Without the feature `regex`, there are none.

use serde::Deserialize;

/// A regular expression that has to match a whole text, as Envoy's `safe_regex` does. The syntax is that of the crate
/// `regex-lite`: similar to RE2, without Unicode classes, backreferences and look-around.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(with = "RegexFields"))]
#[serde(try_from = "RegexFields")]
pub struct Regex {
    #[cfg(feature = "regex")]
    compiled: regex_lite::Regex,
}

/// A regular expression.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Regex"))]
#[serde(deny_unknown_fields)]
struct RegexFields {
    /// It has to match the whole text. Syntax as in RE2, without Unicode classes.
    regex: String,
}

impl TryFrom<RegexFields> for Regex {
    type Error = &'static str;

    #[cfg(feature = "regex")]
    fn try_from(RegexFields { regex }: RegexFields) -> Result<Self, Self::Error> {
        let compiled = compile(&regex)?;
        Ok(Regex { compiled })
    }

    #[cfg(not(feature = "regex"))]
    fn try_from(_: RegexFields) -> Result<Self, Self::Error> {
        Err(
            "this plugin was built without regular expressions, its cargo feature `regex` adds them",
        )
    }
}

/// The largest compiled expression, in bytes. A worker keeps each of them.
#[cfg(feature = "regex")]
const LARGEST: usize = 1 << 20;

/// Compiles an expression that has to match the whole text.
#[cfg(feature = "regex")]
fn compile(regex: &str) -> Result<regex_lite::Regex, &'static str> {
    let build = |regex: &str| {
        regex_lite::RegexBuilder::new(regex)
            .size_limit(LARGEST)
            .build()
            .map_err(|_| "expected a regular expression of at most 1 MiB when compiled, with the syntax of RE2")
    };
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
        return self.compiled.is_match(text);
        #[cfg(not(feature = "regex"))]
        {
            let _ = text;
            false
        }
    }
}
