//! Damages components from every toolchain, and checks the adapter with the results.
//!
//! The fuzzer's input is not a component but a list of edits. The fuzzer would otherwise mostly vary the code of a
//! component of several megabytes, which the validator rejects at once. Two bytes select the component and one the
//! options. Each edit consists of one byte for the kind and the region, four bytes for the position, and one for the
//! value.
//!
//! `TIDEGATE_FUZZ_INPUTS` is the directory of the components. Statistics are written to standard error every 100 000
//! runs.

#![no_main]

#[path = "../../tests/support/judge.rs"]
mod judge;

use libfuzzer_sys::fuzz_target;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tidegate_adapter::Options;
use wasmparser::{Parser, Payload};

/// The maximum number of edits of one input, and the number of bytes that describe an edit.
const EDITS: usize = 8;
const EDIT: usize = 6;

/// Inputs with more bytes than this are large. Of the runs that select a large input, only one in `LARGE_SHARE` uses it.
const LARGE: usize = 1_000_000;
const LARGE_SHARE: usize = 64;

/// A component to damage.
struct Input {
    name: String,
    bytes: Vec<u8>,
    /// The ranges that contain neither code nor data.
    structure: Vec<Range<usize>>,
    runs: AtomicU64,
    adapted: AtomicU64,
}

struct Inputs {
    inputs: Vec<Input>,
    runs: AtomicU64,
    begun: Instant,
}

fuzz_target!(|edits: &[u8]| {
    static INPUTS: OnceLock<Inputs> = OnceLock::new();
    let inputs = INPUTS.get_or_init(Inputs::read);
    let [low, high, options, edits @ ..] = edits else {
        return;
    };
    if edits.len() < EDIT {
        return;
    }
    let input = inputs.chosen(u16::from_le_bytes([*low, *high]), edits);
    let options = Options {
        strip_names: options & 1 != 0,
        keep_debug: options & 2 != 0,
        ..Options::default()
    };
    let mutant = input.damaged(edits);
    match judge::judge(&mutant, &options, edits.len() % 8 == 0) {
        Ok(is_adapted) => inputs.count(input, is_adapted),
        Err(error) => panic!("{}: {error:#}", input.name),
    }
});

// === impl Inputs ===

impl Inputs {
    fn read() -> Inputs {
        let folder = std::env::var_os("TIDEGATE_FUZZ_INPUTS")
            .expect("TIDEGATE_FUZZ_INPUTS is not set; `cargo xtask soak fuzz` sets it");
        let folder = Path::new(&folder);
        let entries = fs::read_dir(folder).expect("failed to read the directory of inputs");
        let mut inputs: Vec<Input> = entries
            .map(|entry| {
                entry
                    .expect("failed to read the directory of inputs")
                    .path()
            })
            .filter(|path| path.extension().is_some_and(|end| end == "wasm"))
            .map(|path| Input::read(&path))
            .collect();
        assert!(!inputs.is_empty(), "{} has no components", folder.display());
        inputs.sort_by(|a, b| a.name.cmp(&b.name));
        Inputs {
            inputs,
            runs: AtomicU64::new(0),
            begun: Instant::now(),
        }
    }

    /// Returns the input with the given number. Large inputs reach more code, so the fuzzer would soon select little
    /// else. For this reason, most runs that select a large input use a small one instead.
    fn chosen(&self, number: u16, edits: &[u8]) -> &Input {
        let input = &self.inputs[usize::from(number) % self.inputs.len()];
        let sum = edits.iter().fold(0_usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
        });
        if input.bytes.len() <= LARGE || sum.is_multiple_of(LARGE_SHARE) {
            return input;
        }
        let small = self.inputs.iter().filter(|it| it.bytes.len() <= LARGE);
        let count = small.clone().count().max(1);
        small.clone().nth(sum % count).unwrap_or(input)
    }

    fn count(&self, input: &Input, is_adapted: bool) {
        input.runs.fetch_add(1, Ordering::Relaxed);
        input
            .adapted
            .fetch_add(is_adapted.into(), Ordering::Relaxed);
        let runs = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        if runs.is_multiple_of(100_000) {
            let rate = runs as f64 / self.begun.elapsed().as_secs_f64();
            eprintln!("{runs} damaged inputs judged, {rate:.0} per second:");
            for input in &self.inputs {
                let (runs, adapted) = (&input.runs, &input.adapted);
                eprintln!(
                    "  {:>8} of {}, {} bytes; {} are adapted",
                    runs.load(Ordering::Relaxed),
                    input.name,
                    input.bytes.len(),
                    adapted.load(Ordering::Relaxed)
                );
            }
        }
    }
}

// === impl Input ===

impl Input {
    fn read(path: &Path) -> Input {
        let bytes = fs::read(path).expect("failed to read an input");
        let mut structure = Vec::new();
        let mut end = 0;
        for payload in Parser::new(0).parse_all(&bytes) {
            let skipped = match payload.expect("inputs should be well-formed") {
                Payload::CodeSectionStart { range, .. } => range,
                Payload::DataSection(section) => section.range(),
                Payload::CustomSection(section) if section.data().len() > 4096 => section.range(),
                _ => continue,
            };
            // The first bytes of a section contain the number of items and the first items.
            let first = skipped.end.min(skipped.start + 64);
            if first > end {
                structure.push(end..first);
            }
            end = skipped.end;
        }
        structure.push(end..bytes.len());
        structure.retain(|range| !range.is_empty());
        let name = path.file_stem().unwrap_or_default();
        Input {
            name: name.to_string_lossy().into_owned(),
            bytes,
            structure,
            runs: AtomicU64::new(0),
            adapted: AtomicU64::new(0),
        }
    }

    /// Returns the component after the edits.
    fn damaged(&self, edits: &[u8]) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for edit in edits.chunks_exact(EDIT).take(EDITS) {
            let [kind, place @ .., value] = edit else {
                break;
            };
            let place = place
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            // Most edits are in the structure of the component.
            let at = match kind >> 6 {
                0 => place % bytes.len().max(1),
                _ => self.in_structure(place).min(bytes.len().saturating_sub(1)),
            };
            let Some(byte) = bytes.get_mut(at) else {
                break;
            };
            match kind % 6 {
                0 => *byte ^= 1 << (value % 8),
                1 => *byte = *value,
                2 => *byte = byte.wrapping_add(*value),
                3 => bytes.insert(at, *value),
                4 => {
                    let end = bytes.len().min(at + 1 + usize::from(value % 16));
                    bytes.drain(at..end);
                }
                _ => {
                    let from = self.in_structure(place.rotate_left(16));
                    let len = usize::from(value % 16);
                    if from.max(at) + len <= bytes.len() {
                        bytes.copy_within(from..from + len, at);
                    }
                }
            }
        }
        bytes
    }

    fn in_structure(&self, place: usize) -> usize {
        let total: usize = self.structure.iter().map(Range::len).sum();
        let mut left = place % total.max(1);
        for range in &self.structure {
            if left < range.len() {
                return range.start + left;
            }
            left -= range.len();
        }
        0
    }
}
