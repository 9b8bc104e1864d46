//! Masks credentials and cookies, wherever they occur literally, and converts bytes to text.
//!
//! The values of fields that contain secrets are masked completely. So is every other occurrence of such a value, of the credentials in it,
//! or of the value of a cookie: in other fields, paths and log lines. Values that a plugin derived from a secret (decoded, hashed, split)
//! are not recognized, and neither are values with fewer than `LEAST` bytes, because masking these would hide unrelated text.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::{Value, json};
use tidegate_host::Fields;

use tidegate_testkit::report::terminal::escape;

/// The known secrets of a request.
#[derive(Default)]
pub struct Secrets {
    values: BTreeSet<Vec<u8>>,
}

/// Converts bytes to text, with secrets masked if required.
pub struct Masker {
    mask: bool,
    find: Find,
}

/// The search for secrets in a text.
enum Find {
    /// There are no secrets, or they are shown.
    Nothing,
    Secrets(AhoCorasick),
    /// Secrets cannot be searched for, so that every text may contain them.
    Anything,
}

/// The fields whose values are secret.
const FIELDS: [&str; 4] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
];

/// The minimum length of secrets that are searched for in other places.
const LEAST: usize = 6;

/// The maximum number of bytes of a text that are shown.
const MOST: usize = 4096;

const MASK: &str = "[masked]";

// === impl Secrets ===

impl Secrets {
    /// Records the secrets in these fields.
    pub fn learn(&mut self, fields: &Fields) {
        for name in FIELDS {
            for value in fields.values(name) {
                self.learn_value(name, value.as_bytes());
            }
        }
    }

    fn learn_value(&mut self, name: &str, value: &[u8]) {
        self.add(value);
        if name.ends_with("authorization") {
            // The credentials, without the scheme.
            let mut words = value.splitn(2, |byte| *byte == b' ');
            self.add(words.nth(1).unwrap_or_default());
            return;
        }
        let cookies = value.split(|byte| *byte == b';');
        // In `set-cookie`, the first pair is the cookie, and the others are attributes.
        let count = if name == "cookie" { usize::MAX } else { 1 };
        for cookie in cookies.take(count) {
            let mut parts = cookie.splitn(2, |byte| *byte == b'=');
            self.add(parts.nth(1).unwrap_or_default());
        }
    }

    fn add(&mut self, secret: &[u8]) {
        let secret = secret.trim_ascii();
        if secret.len() >= LEAST {
            self.values.insert(secret.to_vec());
        }
    }
}

// === impl Masker ===

impl Masker {
    /// Shows everything.
    pub fn unmasked() -> Self {
        Self {
            mask: false,
            find: Find::Nothing,
        }
    }

    /// Shows everything except these secrets.
    pub fn masking(secrets: &Secrets) -> Self {
        let find = if secrets.values.is_empty() {
            Find::Nothing
        } else {
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(&secrets.values)
                .map_or(Find::Anything, Find::Secrets)
        };
        Self { mask: true, find }
    }

    /// A text: a string, or an object if a part of it is omitted or masked.
    pub fn text(&self, bytes: &[u8]) -> Value {
        let masked;
        let (bytes, is_masked) = match &self.find {
            Find::Secrets(secrets) if secrets.is_match(bytes) => {
                let masks = vec![MASK; secrets.patterns_len()];
                masked = secrets.replace_all_bytes(bytes, &masks);
                (masked.as_slice(), true)
            }
            Find::Anything => (MASK.as_bytes(), true),
            Find::Nothing | Find::Secrets(_) => (bytes, false),
        };
        let (shown, cut) = match bytes.get(..MOST) {
            Some(start) => (start, bytes.len() - MOST),
            None => (bytes, 0),
        };
        let mut text = String::with_capacity(shown.len());
        escape_bytes(shown, &mut text);
        if cut == 0 && !is_masked {
            return Value::String(text);
        }
        json!({ "text": text, "cut": cut, "masked": is_masked })
    }

    /// The value of a field.
    pub fn value(&self, name: &str, bytes: &[u8]) -> Value {
        if self.mask && FIELDS.contains(&name) {
            let text = format!("{} bytes", bytes.len());
            return json!({ "text": text, "cut": 0, "masked": true });
        }
        self.text(bytes)
    }
}

/// Escapes control characters except line breaks, bidirectional formatting characters, and bytes that are not UTF-8.
fn escape_bytes(bytes: &[u8], into: &mut String) {
    for chunk in bytes.utf8_chunks() {
        for line in chunk.valid().split_inclusive('\n') {
            let text = line.strip_suffix('\n');
            escape(text.unwrap_or(line), into);
            into.extend(text.map(|_| '\n'));
        }
        for byte in chunk.invalid() {
            into.push_str(&format!("\\x{byte:02x}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tidegate_host::Name;

    use super::*;

    fn secrets(list: &[(&str, &'static str)]) -> Secrets {
        let field = |(name, value): &(&str, &'static str)| {
            let name = Name::parse(name.as_bytes()).unwrap();
            (name, HeaderValue::from_static(value))
        };
        let mut secrets = Secrets::default();
        secrets.learn(&list.iter().map(field).collect());
        secrets
    }

    fn text(value: &Value) -> &str {
        value["text"].as_str().or(value.as_str()).unwrap()
    }

    #[test]
    fn verbatim_occurrences_of_secrets_are_masked() {
        let secrets = secrets(&[
            ("authorization", "Bearer abc.def.ghi"),
            ("cookie", "short=a; session=0123456789; theme=darkest"),
            ("set-cookie", "id=ABCDEFGH; Path=/somewhere; HttpOnly"),
            ("x-harmless", "Bearer"),
        ]);
        let masker = Masker::masking(&secrets);
        for (given, shown) in [
            ("token abc.def.ghi!", "token [masked]!"),
            ("Bearer abc.def.ghi", "[masked]"),
            ("0123456789/darkest", "[masked]/[masked]"),
            (
                "id=ABCDEFGH, Path=/somewhere",
                "id=[masked], Path=/somewhere",
            ),
            ("Bearer a short", "Bearer a short"),
        ] {
            assert_eq!(text(&masker.text(given.as_bytes())), shown);
        }
        let cookie = masker.value("cookie", b"a=b");
        assert_eq!(
            cookie,
            json!({ "text": "3 bytes", "cut": 0, "masked": true })
        );
        assert_eq!(text(&masker.value("x", b"a=b")), "a=b");
        assert_eq!(Masker::unmasked().value("cookie", b"a=b"), "a=b");
    }

    #[test]
    fn bytes_are_escaped_and_truncated() {
        let masker = Masker::unmasked();
        assert_eq!(
            masker.text(b"<b>\n\n\xff\x1b[31m\n\r \xe2\x80\xae\xc3\xa9"),
            "<b>\n\n\\xff\\u{1b}[31m\n\\r \\u{202e}\u{e9}"
        );
        let long = vec![b'a'; MOST + 3];
        let shown = masker.text(&long);
        assert_eq!(text(&shown).len(), MOST);
        assert_eq!(shown["cut"], 3);
    }

    /// Truncating first would leave the beginning of a secret.
    #[test]
    fn secret_at_the_truncation_point_is_fully_masked() {
        let secrets = secrets(&[("authorization", "secret-secret-secret")]);
        let mut long = vec![b'a'; MOST - 5];
        long.extend(b"secret-secret-secret");
        let shown = Masker::masking(&secrets).text(&long);
        assert!(!text(&shown).contains("secre"), "{shown}");
    }
}
