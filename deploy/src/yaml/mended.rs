//! A document's text with what a parser of YAML 1.2 needs to read it as Kubernetes' library does, and the way back to what was
//! written: where a thing is, and what a text says.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

/// A change. Places are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mend {
    /// A space before this place ends what is before it.
    Space(usize),
    /// The sign here is text: a `-` or a `:`.
    Text(usize),
    /// The backslash here says nothing: what is behind it is itself.
    Backslash(usize),
    /// This is a tag that nobody knows, of signs that not everybody takes.
    Tag(Range<usize>),
    /// The document ends here.
    End(usize),
}

/// A text as it is read.
pub struct Mended<'a> {
    /// With tabs where they were written.
    shown: Cow<'a, str>,
    /// The same, byte by byte, but for tabs and comments that the parser would refuse.
    read: Cow<'a, str>,
    /// The spaces that nobody wrote, by line and place.
    spaces: Vec<(usize, usize)>,
    /// What stands for a `-` and a `:` that are text, and for what says nothing.
    stand_ins: Option<[char; 3]>,
}

// === impl Mended ===

impl<'a> Mended<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            shown: text.into(),
            read: text.into(),
            spaces: Vec::new(),
            stand_ins: None,
        }
    }

    /// For the eye.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// For the parser.
    pub fn read(&self) -> &str {
        &self.read
    }

    /// Has the parser read spaces in these places, or says that it does already.
    pub fn blank(&mut self, places: impl IntoIterator<Item = Range<usize>>) -> Option<()> {
        let mut blanked = None;
        for place in places {
            let spaces = " ".repeat(place.len());
            if *self.read.get(place.clone())? != spaces {
                self.read.to_mut().replace_range(place, &spaces);
                blanked = Some(());
            }
        }
        blanked
    }

    /// Changes the text in places that come one after another.
    pub fn apply(&mut self, mends: &[Mend]) -> Option<()> {
        let [dash, colon, nothing] = match self.stand_ins {
            Some(stand_ins) => stand_ins,
            None => *self.stand_ins.insert(absent(&self.shown)?),
        };
        let mut spaces = Vec::with_capacity(self.spaces.len() + mends.len());
        let mut old = self.spaces.iter().peekable();
        let (mut shown, mut read) = (String::new(), String::new());
        let (mut line, mut at) = (1, 0);
        for mend in mends {
            let (place, end) = match mend {
                Mend::Space(place) => (*place, *place),
                Mend::Text(place) | Mend::Backslash(place) => (*place, place + 1),
                Mend::Tag(range) => (range.start, range.end),
                Mend::End(place) => (*place, self.shown.len()),
            };
            let chunk = self.shown.get(at..place)?;
            while let Some((line, old)) = old.next_if(|(_, old)| *old < place) {
                spaces.push((*line, shown.len() + old - at));
            }
            shown.push_str(chunk);
            read.push_str(self.read.get(at..place)?);
            line += breaks(chunk);
            let put = match mend {
                Mend::Space(_) => {
                    spaces.push((line, shown.len()));
                    " ".into()
                }
                Mend::Text(_) if self.shown.get(place..end)? == "-" => dash.to_string(),
                Mend::Text(_) => colon.to_string(),
                Mend::Backslash(_) => nothing.to_string(),
                Mend::End(_) => String::new(),
                Mend::Tag(_) => format!("!{}", "x".repeat(end - place - 1)),
            };
            shown.push_str(&put);
            read.push_str(&put);
            at = end;
        }
        spaces.extend(old.map(|(line, old)| (*line, shown.len() + old - at)));
        shown.push_str(self.shown.get(at..)?);
        read.push_str(self.read.get(at..)?);
        self.shown = shown.into();
        self.read = read.into();
        self.spaces = spaces;
        Some(())
    }

    /// What was written where this is read.
    pub fn text<'t>(&self, read: &'t str) -> Cow<'t, str> {
        match self.stand_ins {
            Some([dash, colon, nothing]) if read.contains([dash, colon, nothing]) => {
                let said = read.replace(dash, "-").replace(colon, ":");
                said.replace(nothing, "").into()
            }
            _ => read.into(),
        }
    }

    /// The column in which something was written whose line, column and place are these.
    pub fn column(&self, line: usize, column: usize, place: usize) -> usize {
        let first = self.spaces.partition_point(|space| *space < (line, 0));
        let behind = self.spaces.partition_point(|space| *space < (line, place));
        column.saturating_sub(behind - first)
    }

    /// Line and column of a place, counting from 1.
    pub fn place(&self, place: usize) -> (usize, usize) {
        let before = self.shown.get(..place).unwrap_or_default();
        let line = 1 + breaks(before);
        let last = before.rsplit(['\n', '\r']).next().unwrap_or_default();
        (line, self.column(line, 1 + last.chars().count(), place))
    }
}

/// How many lines end in a text.
fn breaks(text: &str) -> usize {
    text.matches(['\n', '\r']).count() - text.matches("\r\n").count()
}

/// Three characters for private use that a text does not use.
fn absent(text: &str) -> Option<[char; 3]> {
    const PRIVATE: std::ops::RangeInclusive<char> = '\u{e000}'..='\u{f8ff}';
    let used: HashSet<char> = text.chars().filter(|char| PRIVATE.contains(char)).collect();
    let mut absent = PRIVATE.filter(|char| !used.contains(char));
    Some([absent.next()?, absent.next()?, absent.next()?])
}
