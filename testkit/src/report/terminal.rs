//! Escapes untrusted text before it is written to a terminal.

/// Appends text with control characters and bidirectional formatting characters made visible.
pub fn escape(text: &str, into: &mut String) {
    for char in text.chars() {
        let turns = matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if turns || char.is_control() && char != '\t' {
            into.extend(char.escape_default());
        } else {
            into.push(char);
        }
    }
}

/// Returns the escaped text.
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    escape(text, &mut shown);
    shown
}

/// Returns the escaped text and keeps line breaks.
pub fn escaped_lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (line, ""),
        };
        escape(line, &mut shown);
        shown.push_str(end);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_lines_keeps_line_feeds() {
        assert_eq!(escaped_lines("a\u{1b}[2J\nb\r\n"), "a\\u{1b}[2J\nb\\r\n");
    }

    #[test]
    fn escape_shows_control_characters() {
        let mut text = String::new();
        escape("a\tb \u{1b}[31mred é\u{202e}", &mut text);
        assert_eq!(text, "a\tb \\u{1b}[31mred é\\u{202e}");
    }
}
