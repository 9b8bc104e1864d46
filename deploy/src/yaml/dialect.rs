//! What Kubernetes refuses of a text that is good YAML 1.2: its library is of 1.1, and `kubectl` cuts the text into documents before
//! it reads any YAML.
//!
//! Known and left out: U+0085, U+2028 and U+2029 are line breaks in 1.1.

use granit_parser::{Event, ScalarStyle, Span, StructureStyle};

use super::{Position, YamlError};

/// Where a line may begin with a tab.
#[derive(Default)]
pub struct Tabs {
    /// From the line behind the first to the second.
    allowed: Vec<(usize, usize)>,
    /// The first lines of flow collections that are open.
    flows: Vec<usize>,
}

/// A document's separator stands alone: `kubectl` cuts the text there before it reads any YAML.
pub fn bare_separators(text: &str) -> Result<(), YamlError> {
    for (at, line) in text.lines().enumerate() {
        let Some(rest) = line.strip_prefix("---") else {
            continue;
        };
        let rest = rest.trim();
        if !rest.is_empty() && !rest.starts_with('#') {
            return Err(YamlError::new(
                Position {
                    line: at + 1,
                    column: 4,
                },
                "kubectl takes nothing but a comment behind `---`: put the document on the lines below",
            ));
        }
    }
    Ok(())
}

/// JSON escapes slashes, and so does YAML 1.2. Kubernetes' library is of 1.1, and reads JSON by itself only if all of the text is.
pub fn no_escaped_slashes(written: &str, position: Position) -> Result<(), YamlError> {
    let mut chars = written.chars();
    while let Some(char) = chars.next() {
        // What is escaped is consumed, so that a second backslash escapes nothing.
        if char == '\\' && chars.next() == Some('/') {
            return Err(YamlError::new(
                position,
                "the escape `\\/` is not known in YAML 1.1: write `/`",
            ));
        }
    }
    Ok(())
}

// === impl Tabs ===

impl Tabs {
    /// Remembers quoted scalars and flow collections, in which a line may begin with a tab.
    pub fn see(&mut self, event: &Event<'_>, span: &Span) {
        let (first, last) = (span.start.line(), span.end.line());
        match event {
            Event::Scalar(_, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted, ..)
                if first < last && self.flows.is_empty() =>
            {
                self.allowed.push((first, last));
            }
            Event::SequenceStart(StructureStyle::Flow, ..)
            | Event::MappingStart(StructureStyle::Flow, ..) => self.flows.push(first),
            Event::SequenceEnd | Event::MappingEnd => {
                // Block collections hold flow ones and not the other way round.
                if let Some(first) = self.flows.pop()
                    && self.flows.is_empty()
                    && first < last
                {
                    self.allowed.push((first, last));
                }
            }
            _ => {}
        }
    }

    /// Everywhere else Kubernetes' library refuses a tab at a line's start, were the line empty otherwise.
    pub fn check(&self, text: &str) -> Result<(), YamlError> {
        let mut allowed = self.allowed.iter().peekable();
        for (at, line) in text.lines().enumerate() {
            let number = at + 1;
            while allowed.next_if(|(_, last)| *last < number).is_some() {}
            let fits = allowed
                .peek()
                .is_some_and(|(first, last)| (first + 1..=*last).contains(&number));
            if line.starts_with('\t') && !fits {
                return Err(YamlError::new(
                    Position {
                        line: number,
                        column: 1,
                    },
                    "a tab stands where only spaces may: replace it",
                ));
            }
        }
        Ok(())
    }
}
