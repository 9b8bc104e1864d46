//! The graph of a text that is known to be JSON. Its rules are others than YAML's: `\/` is an escape, and a lone half of a pair of
//! surrogates is a character, that which stands for what cannot be read.

use super::cursor::Cursor;
use super::graph::{Content, Graph, Id, too_deep};
use super::scalar::Scalar;
use super::{MOST_DEPTH, Position, YamlError, excerpt};

type Result<T> = std::result::Result<T, YamlError>;

/// Reads the value that a text is, which begins there and has no more than so many nodes.
pub fn compose(text: &str, begin: Position, most: usize) -> Result<Graph> {
    let mut reader = Reader {
        text: Cursor::of_json(text, begin),
        graph: Graph::new(most),
        depth: 0,
    };
    let root = reader.value()?;
    reader.graph.root = Some(root);
    Ok(reader.graph)
}

struct Reader<'a> {
    text: Cursor<'a>,
    graph: Graph,
    /// How many collections are open.
    depth: usize,
}

// === impl Reader ===

impl Reader<'_> {
    fn value(&mut self) -> Result<Id> {
        self.blanks();
        let position = self.text.mark().position;
        let first = self.text.peek(0);
        let content = match first {
            '{' | '[' => {
                if self.depth >= MOST_DEPTH {
                    return Err(too_deep(position));
                }
                self.depth += 1;
                let content = if first == '{' {
                    self.object()?
                } else {
                    self.array()?
                };
                self.depth -= 1;
                content
            }
            '"' => scalar(self.string()?, false),
            _ => {
                let word = self.word();
                if word.parse::<f64>().is_ok_and(f64::is_infinite) {
                    return Err(YamlError::new(
                        position,
                        format!(
                            "`{}` is too large for a number: quote it if it is meant as text",
                            excerpt(&word)
                        ),
                    ));
                }
                scalar(word, true)
            }
        };
        self.graph.add(content, position)
    }

    fn object(&mut self) -> Result<Content> {
        let mut fields = Vec::new();
        while self.goes_on('}') {
            let position = self.text.mark().position;
            let key = scalar(self.string()?, false);
            let key = self.graph.add(key, position)?;
            self.blanks();
            // `:`.
            self.text.skip();
            fields.push((key, self.value()?));
        }
        Ok(Content::Mapping(fields))
    }

    fn array(&mut self) -> Result<Content> {
        let mut items = Vec::new();
        while self.goes_on(']') {
            items.push(self.value()?);
        }
        Ok(Content::Sequence(items))
    }

    /// Passes what is before the next item, or what is behind the last one.
    fn goes_on(&mut self, end: char) -> bool {
        // An opening sign, or that behind an item.
        self.blanks();
        let sign = self.text.peek(0);
        self.text.skip();
        if sign == end || sign == '\0' {
            return false;
        }
        self.blanks();
        let is_over = self.text.peek(0) == end;
        if is_over {
            self.text.skip();
        }
        !is_over
    }

    fn blanks(&mut self) {
        while matches!(self.text.peek(0), ' ' | '\t' | '\n' | '\r') {
            self.text.skip();
        }
    }

    /// A number, or a word.
    fn word(&mut self) -> String {
        let mut word = String::new();
        while matches!(self.text.peek(0), '0'..='9' | 'a'..='z' | 'E' | '+' | '-' | '.') {
            self.text.read(&mut word);
        }
        word
    }

    fn string(&mut self) -> Result<String> {
        let position = self.text.mark().position;
        let mut text = String::new();
        self.text.skip();
        loop {
            match self.text.peek(0) {
                '"' => break,
                '\\' => {
                    self.text.skip();
                    let sign = self.text.peek(0);
                    self.text.skip();
                    text.push(match sign {
                        'b' => '\x08',
                        'f' => '\x0c',
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        'u' => self.unicode(),
                        _ => sign,
                    });
                }
                '\0' if self.text.is_over() => {
                    return Err(YamlError::new(
                        position,
                        "the text ends before this string does",
                    ));
                }
                _ => self.text.read(&mut text),
            }
        }
        self.text.skip();
        Ok(text)
    }

    /// The character whose number comes next, which may be in two halves.
    fn unicode(&mut self) -> char {
        let first = self.digits(0);
        (0..4).for_each(|_| self.text.skip());
        if let Some(char) = char::from_u32(first) {
            return char;
        }
        if (self.text.peek(0), self.text.peek(1)) == ('\\', 'u')
            && let Some(Ok(char)) =
                char::decode_utf16([first, self.digits(2)].map(|half| half as u16)).next()
        {
            (0..6).for_each(|_| self.text.skip());
            return char;
        }
        char::REPLACEMENT_CHARACTER
    }

    /// The number of four digits so far ahead.
    fn digits(&self, ahead: usize) -> u32 {
        (ahead..ahead + 4).fold(0, |number, place| {
            number << 4 | self.text.peek(place).to_digit(16).unwrap_or_default()
        })
    }
}

fn scalar(text: String, is_implicit: bool) -> Content {
    Content::Scalar(Scalar {
        text: text.into(),
        is_implicit,
        tag: None,
    })
}
