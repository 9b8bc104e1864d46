//! No input makes the adapter panic, and every input that it accepts becomes a module that verifies.
//!
//! The inputs are the example plugin built with each of the three toolchains, truncated at every length and changed
//! in five thousand ways that are the same in every run. Its debug information is also changed, and so are the guests
//! of `tests/wat`, as created by two releases of wit-component.
//!
//! `cargo xtask soak fuzz` performs the same checks on a million inputs, including components from other languages.

mod support;

use anyhow::{Context, Result, ensure};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use support::judge::judge;
use support::{Encoder, Recipe, Shape};
use tidegate_adapter::{AdaptError, Options, adapt, inspect, verify};
use wasmparser::{Parser, Payload};

const MUTATIONS: u64 = 5_000;
/// Fewer than for other inputs, because each run processes a large file.
const DEBUG_MUTATIONS: u64 = 2_000;

/// A small random number generator (SplitMix64), which returns the same numbers on all platforms.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

#[test]
fn every_shape_is_adapted() -> Result<()> {
    for shape in Shape::ALL {
        let input = shape.build()?;
        let output = adapt(&input, &Options::default()).with_context(|| format!("{shape:?}"))?;
        verify(&output)?;
        let inspection = inspect(&input)?;
        ensure!(
            inspection.rejection.is_none() && !inspection.callbacks.is_empty(),
            "{inspection:?}"
        );
        let smaller = adapt(
            &input,
            &Options {
                strip_names: true,
                ..Options::default()
            },
        )?;
        ensure!(
            smaller.len() < output.len(),
            "{shape:?} has no names to strip"
        );
        ensure!(inspect(&smaller)?.size.names == 0, "{shape:?} keeps names");
    }
    Ok(())
}

#[test]
fn truncated_component_is_rejected() -> Result<()> {
    for shape in Shape::ALL {
        let input = shape.build()?;
        let whole = adapt(&input, &Options::default())?;
        for len in 0..input.len() {
            let cut = &input[..len];
            let result = catch_unwind(|| adapt(cut, &Options::default()));
            let result =
                result.map_err(|_| anyhow::anyhow!("{shape:?} truncated at {len} panics"))?;
            let error = match result {
                // The sections at the end only describe the tools that created the file.
                Ok(output) if output == whole => continue,
                Ok(_) => anyhow::bail!("{shape:?} truncated at {len} is adapted to another module"),
                Err(error) => error,
            };
            // If the file ends between two sections, it may be a valid component of another world.
            let is_right = matches!(
                error,
                AdaptError::Truncated { .. }
                    | AdaptError::NotAPlugin { .. }
                    | AdaptError::NoCallback { .. }
            );
            ensure!(is_right, "{shape:?} truncated at {len}: {error}");
        }
    }
    Ok(())
}

/// The maximum index, in each position that is read before the module has been validated.
#[test]
fn maximum_indices_are_rejected() {
    const HEADER: &[u8] = b"\0asm\x01\0\0\0";
    const INDEX: &[u8] = b"\xff\xff\xff\xff\x0f";
    let sections: [&[u8]; 3] = [b"\x08\x05", b"\x03\x06\x01", b"\x02\x09\x01\0\0\0"];
    for section in sections {
        let module = [HEADER, section, INDEX].concat();
        assert!(adapt(&module, &Options::default()).is_err());
        assert!(inspect(&module).is_err());
        assert!(!tidegate_adapter::check(&module).is_empty());
        assert!(verify(&module).is_err());
    }
}

#[test]
fn mutated_wasip2_component_does_not_panic() -> Result<()> {
    mutate(&Shape::Wasip2.build()?)
}

#[test]
fn mutated_preview1_component_does_not_panic() -> Result<()> {
    mutate(&Shape::Preview1.build()?)
}

#[test]
fn mutated_bare_component_does_not_panic() -> Result<()> {
    mutate(&Shape::Bare.build()?)
}

/// Small guests with the characteristics of other languages' runtimes. Most changes affect these characteristics.
#[test]
fn mutated_wat_guests_do_not_panic() -> Result<()> {
    let mut inputs = 0;
    for entry in std::fs::read_dir(support::workspace().join("tests/wat"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        for encoder in Encoder::ALL {
            // The earlier adapter lacks a function that one guest imports.
            if let Ok(Some(input)) = tidegate_components::guest(&name, encoder) {
                mutate_times(&input, MUTATIONS.div_ceil(10))?;
                inputs += 1;
            }
        }
    }
    ensure!(inputs > 15, "there are only {inputs} guests");
    Ok(())
}

/// The plugin is small, so most changes affect the component's own sections and not code.
#[test]
fn mutated_synthetic_plugin_does_not_panic() -> Result<()> {
    let wit = "package test:made-up; world plugin { include tidegate:proxy/all@0.1.0; }";
    mutate(
        &Recipe {
            wit,
            ..Recipe::default()
        }
        .make()?,
    )
}

/// Debug information is not validated before it is converted.
#[test]
fn mutated_debug_info_does_not_panic() -> Result<()> {
    let input = Shape::Bare.build_with_debug()?;
    let places = debug_sections(&input)?;
    let keep_debug = Options {
        keep_debug: true,
        ..Options::default()
    };
    in_parallel(DEBUG_MUTATIONS, |seed| {
        let mut random = Random(seed);
        let mut mutant = input.clone();
        for _ in 0..=random.below(6) {
            let (name, place) = &places[random.below(places.len())];
            // Changes in headers and tables at the beginning of a section have the largest effect.
            let len = match random.below(3) {
                0 => place.len(),
                1 => place.len().min(64),
                _ if *name == ".debug_line" => place.len().min(256),
                _ => place.len().min(1024),
            };
            let at = place.start + random.below(len);
            mutant[at] = match random.below(4) {
                0 => mutant[at] ^ 1 << random.below(8),
                1 => 0xff,
                2 => 0,
                _ => random.next() as u8,
            };
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| adapt(&mutant, &keep_debug)));
        match outcome {
            Err(_) => anyhow::bail!("mutation {seed} of debug information panics"),
            Ok(Ok(output)) => verify(&output).with_context(|| format!("mutation {seed}")),
            Ok(Err(AdaptError::DebugInfo { .. })) => Ok(()),
            Ok(Err(error)) => Err(error).with_context(|| format!("mutation {seed}")),
        }
    })
}

/// Returns the positions of the sections with debug information, by name.
fn debug_sections(bytes: &[u8]) -> Result<Vec<(String, Range<usize>)>> {
    let mut places = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::CustomSection(section) = payload?
            && section.name().starts_with(".debug_")
        {
            let end = section.range().end;
            places.push((section.name().to_owned(), end - section.data().len()..end));
        }
    }
    ensure!(places.len() > 4, "{places:?}");
    Ok(places)
}

fn mutate(input: &[u8]) -> Result<()> {
    mutate_times(input, MUTATIONS)
}

fn mutate_times(input: &[u8], times: u64) -> Result<()> {
    in_parallel(times, |seed| try_one(input, seed))
}

fn in_parallel(count: u64, run: impl Fn(u64) -> Result<()> + Sync) -> Result<()> {
    let run = &run;
    let threads = thread::available_parallelism()
        .map_or(1, |threads| threads.get() as u64)
        .min(8);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| {
                scope.spawn(move || (first..count).step_by(threads as usize).try_for_each(run))
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| match worker.join() {
                Ok(result) => result,
                Err(_) => anyhow::bail!("the test itself panicked"),
            })
    })
}

fn try_one(input: &[u8], seed: u64) -> Result<()> {
    let mutant = mutant(input, seed);
    let judged = catch_unwind(AssertUnwindSafe(|| {
        judge(&mutant, &Options::default(), seed.is_multiple_of(8))
    }));
    match judged {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.context(format!("mutation {seed}"))),
        Err(_) => anyhow::bail!("mutation {seed} panics"),
    }
}

/// Returns `input` with one to four changes: bits are flipped, or bytes set, copied, inserted or removed.
fn mutant(input: &[u8], seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(5) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => {
                let from = random.below(bytes.len());
                let len = random.below(16).min(bytes.len() - at.max(from));
                bytes.copy_within(from..from + len, at);
            }
            3 => bytes.insert(at, random.next() as u8),
            _ => {
                bytes.remove(at);
            }
        }
    }
    bytes
}
