//! Where Kubernetes' library, which is of YAML 1.1, refuses what is good YAML 1.2, and takes what is not.

use std::iter;

use granit_parser::{ErrorKind, Event, ScalarStyle, ScanError, Span, StructureStyle};

use super::gaps::Gaps;
use super::mended::{Mend, Mended};

/// Looks at what a parser of YAML 1.2 reads.
pub struct Dialect<'a> {
    text: &'a str,
    gaps: Gaps<'a>,
    /// How many flow collections are open.
    flows: usize,
    /// The block collections that are open.
    blocks: Vec<Block>,
}

struct Block {
    column: usize,
    is_mapping: bool,
}

/// Why a text is not read further.
pub enum Halt {
    Refused(Refusal),
    /// It is to be read anew with these.
    Mends(Vec<Mend>),
}

/// What is wrong, and at which byte.
pub struct Refusal {
    pub place: usize,
    pub message: &'static str,
}

// === impl Dialect ===

impl<'a> Dialect<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            gaps: Gaps::new(text),
            flows: 0,
            blocks: Vec::new(),
        }
    }

    /// Looks at an event and at what is before it.
    pub fn see(&mut self, event: &Event<'_>, span: &Span) -> Result<(), Halt> {
        match event {
            // Of nothing, nothing is to be seen. A block has a head.
            Event::Scalar(_, style, ..) if !span.is_empty() || is_block(*style) => {
                self.walk()?;
                let end = span.end.byte_offset().unwrap_or_default();
                let columns = self.columns();
                self.gaps
                    .scalar(end, *style, columns)
                    .map_err(Halt::Refused)?;
                self.scalar(*style, span).map_err(Halt::Refused)?;
            }
            Event::SequenceStart(StructureStyle::Flow, ..)
            | Event::MappingStart(StructureStyle::Flow, ..) => self.flows += 1,
            Event::SequenceStart(..) => {
                let column = self.dash(span).unwrap_or(span.start.col());
                self.blocks.push(Block {
                    column,
                    is_mapping: false,
                });
            }
            Event::MappingStart(..) => {
                self.blocks.push(Block {
                    column: span.start.col(),
                    is_mapping: true,
                });
            }
            // Block collections hold flow ones and not the other way round.
            Event::SequenceEnd | Event::MappingEnd => match self.flows.checked_sub(1) {
                Some(flows) => self.flows = flows,
                None => _ = self.blocks.pop(),
            },
            Event::StreamStart => self.printable()?,
            Event::DocumentEnd | Event::StreamEnd => self.walk()?,
            _ => {}
        }
        Ok(())
    }

    /// Looks at what is behind the last event that there was.
    pub fn walk(&mut self) -> Result<(), Halt> {
        let walked = self.gaps.walk(self.columns());
        let mends = self.gaps.mends();
        // What is wrong is wrong whatever else is mended.
        walked.map_err(Halt::Refused)?;
        if mends.is_empty() {
            Ok(())
        } else {
            Err(Halt::Mends(mends))
        }
    }

    /// Some characters stand nowhere, not even in a comment.
    fn printable(&self) -> Result<(), Halt> {
        let is_control = |char: char| {
            let is_blank = matches!(char, '\t' | '\n' | '\r');
            (char.is_control() && !is_blank) || matches!(char, '\u{fffe}' | '\u{ffff}')
        };
        let refuse = |place| {
            Halt::Refused(Refusal {
                place,
                message: "a control character stands here, which YAML takes nowhere: escape it within double quotes, or take it away",
            })
        };
        self.text.find(is_control).map(refuse).map_or(Ok(()), Err)
    }

    /// The columns that the innermost block leaves to those around it.
    fn columns(&self) -> usize {
        self.blocks.last().map_or(0, |block| block.column + 1)
    }

    /// The column of a list's first `-` if that is the column of the key above it. Then the list is said to begin behind the `-`.
    fn dash(&self, span: &Span) -> Option<usize> {
        let key = self.blocks.last().filter(|block| block.is_mapping)?;
        let start = span.start.byte_offset()?;
        let line = self.text.get(..start)?.rsplit(['\n', '\r']).next()?;
        let item = line.trim_start_matches(' ');
        let is_there = item.starts_with('-') && line.len() - item.len() == key.column;
        is_there.then_some(key.column)
    }

    fn scalar(&self, style: ScalarStyle, span: &Span) -> Result<(), Refusal> {
        let written = span.slice(self.text).unwrap_or_default();
        if style == ScalarStyle::DoubleQuoted && escapes(written).any(|(_, escaped)| escaped == '/')
        {
            // JSON has this escape. Kubernetes reads JSON by itself only if all of the text is JSON.
            return Err(Refusal {
                place: span.start.byte_offset().unwrap_or_default(),
                message: "the escape `\\/` is not known in YAML 1.1: write `/`",
            });
        }
        Ok(())
    }
}

/// Whether a scalar is written as a block.
pub fn is_block(style: ScalarStyle) -> bool {
    matches!(style, ScalarStyle::Literal | ScalarStyle::Folded)
}

/// The escapes of a double-quoted text, each with its place and the sign behind the backslash.
fn escapes(written: &str) -> impl Iterator<Item = (usize, char)> {
    // What is escaped is consumed, so that a second backslash escapes nothing, and an escaped quote ends nothing.
    let mut chars = written
        .char_indices()
        .skip_while(|(_, char)| *char != '"')
        .skip(1);
    iter::from_fn(move || {
        loop {
            match chars.next()? {
                (_, '"') => return None,
                (place, '\\') => return Some((place, chars.next()?.1)),
                _ => {}
            }
        }
    })
}

/// Takes away what a parser of YAML 1.2 stumbles over and Kubernetes' library does not. What is left stays where it is.
pub fn mend(text: &mut Mended<'_>, error: &ScanError) -> Option<()> {
    let at = error.marker().byte_offset()?;
    let (before, behind) = text.read().split_at_checked(at)?;
    let line = || behind.split(['\n', '\r']).next().unwrap_or_default();
    match error.kind() {
        // A directive ends the document before it.
        ErrorKind::MissingDocumentEndBeforeDirective => {
            is_directive(line()).then(|| text.apply(&[Mend::End(at)]))?
        }
        // YAML 1.1 in its library has one escape more.
        ErrorKind::UnknownQuotedScalarEscape => {
            let apostrophes: Vec<_> = escapes(behind)
                .filter(|(_, escaped)| *escaped == '\'')
                .map(|(place, _)| Mend::Backslash(at + place))
                .collect();
            (!apostrophes.is_empty()).then(|| text.apply(&apostrophes))?
        }
        // Behind quotes and brackets a comment needs no space.
        ErrorKind::CommentNotSeparated => text.blank(iter::once(at..at + line().len())),
        // Within brackets a line may begin with a tab, and then the next ones do so, too. Where one may not, `Gaps` knows.
        ErrorKind::TabInBlockIndentation | ErrorKind::TabNotAllowed => {
            let mut begin = before.rfind(['\n', '\r']).map_or(0, |at| at + 1);
            let lines = text.read().get(begin..)?.split_inclusive('\n');
            let mut blanks = Vec::new();
            for line in lines {
                let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
                if !line.get(..blank)?.contains('\t') {
                    break;
                }
                blanks.push(begin..begin + blank);
                begin += line.len();
            }
            text.blank(blanks)
        }
        _ => None,
    }
}

/// Whether a line is one of the directives that there are.
fn is_directive(line: &str) -> bool {
    let words: Vec<_> = line
        .split(" #")
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .collect();
    let is_number = |text: &str| {
        (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    match words[..] {
        ["%YAML", version] => version
            .split_once('.')
            .is_some_and(|(major, minor)| is_number(major) && is_number(minor)),
        ["%TAG", handle, _] => {
            handle.starts_with('!') && (handle.len() == 1 || handle.ends_with('!'))
        }
        _ => false,
    }
}
