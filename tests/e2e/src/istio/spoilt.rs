//! Manifests that are randomly damaged: characters with a meaning in YAML are inserted anywhere.
//!
//! These find differences that handwritten texts do not cover. They are the same in every run.

use sha2::{Digest, Sha256};

const COUNT: u32 = 4000;

/// The first lines, which are not damaged. A document of an unknown kind would not be validated.
const KIND: &str = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\n";

/// The manifest to damage. It contains every kind of syntax.
const MANIFEST: &str = "\
metadata: {name: \"plugin\", labels: {a: 'b'}}
spec:
  url: oci://h.example.com/p:v1 # a comment
  phase: AUTHN
  match:
  - ports: [{number: 80}, {\"number\": 81}]
    mode: SERVER
  pluginName: |
    one
    two
  priority: 5
  pluginConfig: &a
    list: [x, y, {z: 1}]
    ? key
    : value
    text: two words, and
      two lines
    folded: >-
      one

        two
    \"quoted\": 'it''s' # a comment
    numbers: [-1, .5, 0x1, ~]
    nested:
    - one
    -
      two: {three: four}
";

const PIECES: [&str; 72] = [
    "\t",
    " ",
    "  ",
    "\n",
    "\n  ",
    "\n    ",
    "\n\t",
    "\r\n",
    "\r",
    ":",
    ": ",
    ":\n",
    "-",
    "- ",
    "\n- ",
    "?",
    "? ",
    "!",
    "! ",
    "!x ",
    "!!str ",
    "!!int ",
    "!!timestamp ",
    "!<x> ",
    "&a ",
    "&",
    "*a",
    "*a: ",
    "*",
    "#",
    " #",
    "'",
    "\"",
    "[",
    "]",
    "{",
    "}",
    "{}",
    "[]",
    ",",
    ", ",
    "|",
    "|\n",
    "|2-\n",
    ">",
    ">+\n",
    "%",
    "@",
    "`",
    "\\",
    "\\x41",
    "\\u00e",
    "<<: ",
    "<<: *a",
    "---",
    "\n---\n",
    "\n---\n# c\n",
    "...",
    "\n...\n",
    "\n%YAML 1.1\n",
    "é",
    "\u{a0}",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\u{7f}",
    "~",
    ".inf",
    "0x",
    "null",
    "\"a\": b",
    "=",
];

/// Returns all damaged manifests.
pub fn all() -> Vec<String> {
    (0..COUNT).map(spoilt).collect()
}

fn spoilt(number: u32) -> String {
    let mut text = MANIFEST.to_owned();
    let bytes = Sha256::digest(number.to_le_bytes());
    let (first, rest) = bytes.split_at(1);
    let changes = rest
        .chunks_exact(6)
        .take(1 + usize::from(first[0] % 3 == 0));
    for change in changes {
        let number = |at: usize| usize::from(u16::from_le_bytes([change[at], change[at + 1]]));
        let at = text.floor_char_boundary(number(0) % (text.len() + 1));
        let piece = PIECES[number(2) % PIECES.len()];
        // Two thirds of the changes are insertions. The others remove characters or replace one.
        let end = match number(4) % 6 {
            0 => at + 1,
            1 => at + 3,
            _ => at,
        };
        let end = text.floor_char_boundary(end.min(text.len())).max(at);
        text.replace_range(at..end, if end > at + 1 { "" } else { piece });
    }
    // The library reads 512 bytes at a time. In every second text, the boundary of the first read is at a different position in the
    // manifest.
    let before = match number % 2 {
        0 => String::new(),
        _ => format!("# {}\n", "x".repeat((number % 509) as usize)),
    };
    format!("{before}{KIND}{text}")
}
