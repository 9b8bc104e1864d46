//! Where Kubernetes' library, which is of YAML 1.1, refuses what is good YAML 1.2, and takes what is not.

use granit_parser::{ErrorKind, Event, Marker, ScalarStyle, ScanError, Span, StructureStyle};

/// Looks at what a parser of YAML 1.2 reads.
pub struct Dialect<'a> {
    text: &'a str,
    /// Where a line may begin with a tab: from the line behind the first to the second.
    allowed: Vec<(usize, usize)>,
    /// The first lines of flow collections that are open.
    flows: Vec<usize>,
    /// The columns of block collections that are open.
    indents: Vec<usize>,
}

/// What is wrong, and from where on.
pub struct Refusal {
    pub marker: Marker,
    pub message: &'static str,
}

const TAB: &str = "a tab stands where only spaces may: replace it";

// === impl Dialect ===

impl<'a> Dialect<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            allowed: Vec::new(),
            flows: Vec::new(),
            indents: Vec::new(),
        }
    }

    /// Looks at an event, which may be a key. An error is where it begins.
    pub fn see(&mut self, event: &Event<'_>, span: &Span, is_key: bool) -> Result<(), Refusal> {
        let refused = match event {
            Event::Scalar(_, style, ..) => self
                .scalar(*style, span, is_key)
                .or_else(|| self.behind_tab(span)),
            Event::Alias(_) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                self.behind_tab(span)
            }
            _ => None,
        };
        self.remember(event, span);
        let refuse = |message| Refusal {
            marker: span.start,
            message,
        };
        refused.map(refuse).map_or(Ok(()), Err)
    }

    fn scalar(&self, style: ScalarStyle, span: &Span, is_key: bool) -> Option<&'static str> {
        let written = span.slice(self.text).unwrap_or_default();
        if style == ScalarStyle::DoubleQuoted && has_escaped_slash(written) {
            // JSON has this escape. Kubernetes reads JSON by itself only if all of the text is JSON.
            return Some("the escape `\\/` is not known in YAML 1.1: write `/`");
        }
        if self.flows.is_empty() {
            return None;
        }
        if style == ScalarStyle::Plain && written.contains('?') {
            return Some("within brackets a `?` begins a key in YAML 1.1: quote the text");
        }
        if style == ScalarStyle::Plain && written.starts_with(':') {
            return Some("within brackets a `:` begins a value in YAML 1.1: quote the text");
        }
        let end = span.end.byte_offset().unwrap_or_default();
        let behind = self.text.get(end..).unwrap_or_default();
        let next = behind.trim_start();
        let gap = behind.strip_suffix(next).unwrap_or_default();
        if style == ScalarStyle::Plain && (self.is_cut_by_tab(written) || self.is_cut_by_tab(gap)) {
            return Some(TAB);
        }
        let is_long = span.start.line() != span.end.line() || gap.contains('\n');
        let is_marked = self.before(span).trim_end().ends_with('?');
        (is_key && is_long && next.starts_with(':') && !is_marked)
            .then_some("a key and its `:` are on one line in YAML 1.1: write it so")
    }

    /// Behind a plain text, a tab may not stand in the columns of the block that all of this is in.
    fn is_cut_by_tab(&self, text: &str) -> bool {
        let columns = self.indents.last().map_or(0, |indent| indent + 1);
        text.split('\n').skip(1).any(|line| {
            let mut begin = line.chars().take(columns);
            begin.find(|char| *char != ' ') == Some('\t')
        })
    }

    /// Where a key could begin, Kubernetes' library takes no tab for a space.
    fn behind_tab(&self, span: &Span) -> Option<&'static str> {
        if !self.flows.is_empty() {
            return None;
        }
        let before = self.before(span);
        let line = before.rsplit('\n').next().unwrap_or_default();
        let blank = line.trim_start_matches(['-', '?', ' ', '\t']).is_empty();
        (blank && line.contains('\t')).then_some(TAB)
    }

    /// The text up to here.
    fn before(&self, span: &Span) -> &'a str {
        let start = span.start.byte_offset().unwrap_or_default();
        self.text.get(..start).unwrap_or_default()
    }

    /// Remembers quoted scalars and flow collections, in which a line may begin with a tab.
    fn remember(&mut self, event: &Event<'_>, span: &Span) {
        let (first, last) = (span.start.line(), span.end.line());
        match event {
            Event::Scalar(_, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted, ..)
                if first < last && self.flows.is_empty() =>
            {
                self.allowed.push((first, last));
            }
            Event::SequenceStart(StructureStyle::Flow, ..)
            | Event::MappingStart(StructureStyle::Flow, ..) => self.flows.push(first),
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                self.indents.push(span.start.col());
            }
            // Block collections hold flow ones and not the other way round.
            Event::SequenceEnd | Event::MappingEnd => match self.flows.pop() {
                Some(first) if self.flows.is_empty() && first < last => {
                    self.allowed.push((first, last));
                }
                Some(_) => {}
                None => _ = self.indents.pop(),
            },
            _ => {}
        }
    }

    /// The line, if any up to the document's end, that begins with a tab elsewhere: there Kubernetes' library refuses it, were the
    /// line empty otherwise.
    pub fn end(&self, end: &Span) -> Result<(), (usize, &'static str)> {
        let mut allowed = self.allowed.iter().peekable();
        for (at, line) in self.text.lines().take(end.end.line()).enumerate() {
            let number = at + 1;
            while allowed.next_if(|(_, last)| *last < number).is_some() {}
            let fits = allowed
                .peek()
                .is_some_and(|(first, last)| (first + 1..=*last).contains(&number));
            if line.starts_with('\t') && !fits {
                return Err((number, TAB));
            }
        }
        Ok(())
    }
}

fn has_escaped_slash(written: &str) -> bool {
    let mut chars = written.chars();
    while let Some(char) = chars.next() {
        // What is escaped is consumed, so that a second backslash escapes nothing.
        if char == '\\' && chars.next() == Some('/') {
            return true;
        }
    }
    false
}

/// The text without what a parser of YAML 1.2 stumbles over and Kubernetes' library does not. What is left stays where it is.
pub fn mend(text: &str, error: &ScanError) -> Option<String> {
    let at = error.marker().byte_offset()?;
    let (before, behind) = text.split_at_checked(at)?;
    match error.kind() {
        // A directive ends the document before it.
        ErrorKind::MissingDocumentEndBeforeDirective => {
            let line = behind.lines().next().unwrap_or_default();
            is_directive(line).then(|| before.to_owned())
        }
        // Behind quotes and brackets a comment needs no space.
        ErrorKind::CommentNotSeparated => {
            let comment = behind.find('\n').unwrap_or(behind.len());
            let behind = behind.get(comment..)?;
            Some(format!("{before}{}{behind}", " ".repeat(comment)))
        }
        // Within brackets a line may begin with a tab. Where one may not, `Dialect` knows.
        ErrorKind::TabInBlockIndentation | ErrorKind::TabNotAllowed => {
            let mut at_begin = true;
            let spaced: String = text
                .chars()
                .map(|char| {
                    at_begin = char == '\n' || (at_begin && matches!(char, ' ' | '\t'));
                    if at_begin && char == '\t' { ' ' } else { char }
                })
                .collect();
            (spaced != text).then_some(spaced)
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
        (1..10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
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
