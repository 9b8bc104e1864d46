//! [`Rewrite`]: Envoy's `RegexMatchAndSubstitute`. Without the cargo feature `regex`, configurations that contain one are rejected.

/// Replaces every match of a regular expression, which need not match the whole text.
#[derive(Debug)]
pub struct Rewrite {
    #[cfg(feature = "regex")]
    pattern: regex_lite::Regex,
    #[cfg(feature = "regex")]
    substitution: Vec<Part>,
}

/// A part of a substitution.
#[cfg(feature = "regex")]
#[derive(Debug)]
enum Part {
    Literal(String),
    Group(usize),
}

impl Rewrite {
    /// Compiles an expression and its substitution, in which `\1` stands for the first group, `\0` for the whole match, and `\\` for
    /// a backslash.
    ///
    /// # Errors
    ///
    /// Says what is wrong with one of them.
    #[cfg(feature = "regex")]
    pub fn new(regex: &str, substitution: &str) -> Result<Rewrite, &'static str> {
        let pattern = crate::regex::build(regex)?;
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut characters = substitution.chars();
        while let Some(character) = characters.next() {
            if character != '\\' {
                literal.push(character);
                continue;
            }
            match characters.next() {
                Some('\\') => literal.push('\\'),
                Some(digit @ '0'..='9') => {
                    let group = digit.to_digit(10).map_or(0, |digit| digit as usize);
                    if group >= pattern.captures_len() {
                        return Err(
                            "the substitution refers to a group that the expression does not have",
                        );
                    }
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                    parts.push(Part::Group(group));
                }
                _ => {
                    return Err(
                        "expected a digit or a backslash after each backslash of the substitution",
                    );
                }
            }
        }
        parts.push(Part::Literal(literal));
        Ok(Rewrite {
            pattern,
            substitution: parts,
        })
    }

    /// Without the feature, no expression can be compiled.
    ///
    /// # Errors
    ///
    /// Always.
    #[cfg(not(feature = "regex"))]
    pub fn new(_: &str, _: &str) -> Result<Rewrite, &'static str> {
        Err(crate::regex::ABSENT)
    }

    /// Returns the text with every match replaced, or `None` if there is no match, or if the text is not UTF-8.
    #[cfg(feature = "regex")]
    pub fn apply(&self, text: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(text).ok()?;
        let mut replaced = Vec::new();
        let mut end = 0;
        let mut any = false;
        for groups in self.pattern.captures_iter(text) {
            let Some(whole) = groups.get(0) else { continue };
            any = true;
            replaced.extend_from_slice(text.get(end..whole.start()).unwrap_or_default().as_bytes());
            for part in &self.substitution {
                let part = match part {
                    Part::Literal(literal) => literal.as_str(),
                    Part::Group(group) => groups.get(*group).map_or("", |it| it.as_str()),
                };
                replaced.extend_from_slice(part.as_bytes());
            }
            end = whole.end();
        }
        replaced.extend_from_slice(text.get(end..).unwrap_or_default().as_bytes());
        any.then_some(replaced)
    }

    /// Without the feature, nothing matches.
    #[cfg(not(feature = "regex"))]
    pub fn apply(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

#[cfg(all(test, feature = "regex"))]
mod tests {
    use super::*;

    #[test]
    fn every_match_is_replaced() {
        let rewrite = |regex, substitution, text: &str| {
            let rewrite = Rewrite::new(regex, substitution).expect("an expression");
            rewrite
                .apply(text.as_bytes())
                .map(|text| String::from_utf8(text).expect("text"))
        };
        assert_eq!(
            rewrite("a(.)", r"<\1>", "abacx").as_deref(),
            Some("<b><c>x")
        );
        assert_eq!(
            rewrite("^/v1(/.*)$", r"/v2\1", "/v1/a").as_deref(),
            Some("/v2/a")
        );
        assert_eq!(rewrite("b", r"\\\0$1", "abc").as_deref(), Some(r"a\b$1c"));
        assert_eq!(rewrite("x", "y", "abc"), None);
        assert_eq!(rewrite("", "-", "é").as_deref(), Some("-é-"));
    }

    #[test]
    fn wrong_rewrites_are_refused() {
        for (regex, substitution) in [("(", ""), ("a", r"\1"), ("a", r"\"), ("a", r"\n")] {
            assert!(
                Rewrite::new(regex, substitution).is_err(),
                "{regex} {substitution}"
            );
        }
    }
}
