//! A guest whose allocator returns random addresses, with garbage in the memory, behaves the same in both engines for any requests.
//!
//! Each run has a seed, which is printed and determines both the addresses and the requests. `TIDEGATE_SEED` repeats a run that failed, and
//! `TIDEGATE_SEQUENCES` sets the total number of requests.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use tidegate_components::Encoder;
use tidegate_components::guests;
use tidegate_testkit::{Owned, RuntimeKind, Scenario, compare, verdict};

const GUEST: &str = "allocator-random";

/// The total number of requests, and the number in one run of a proxy. `cargo xtask soak allocator` sends ten thousand.
const SEQUENCES: usize = 400;
const RUN: usize = 200;

/// A small random number generator (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> usize {
        (self.next() % limit) as usize
    }
}

#[test]
fn engines_agree_under_a_random_allocator() -> Result<()> {
    let sequences = number("TIDEGATE_SEQUENCES")?.unwrap_or(SEQUENCES as u64) as usize;
    let first = match number("TIDEGATE_SEED")? {
        Some(seed) => seed,
        None => std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)?
            .as_nanos() as u64,
    };
    for run in 0..sequences.div_ceil(RUN) {
        let seed = first.wrapping_add(run as u64);
        eprintln!("TIDEGATE_SEED={seed}, {RUN} requests");
        agree(seed).with_context(|| format!("TIDEGATE_SEED={seed}"))?;
    }
    Ok(())
}

fn number(name: &str) -> Result<Option<u64>> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(
            text.parse()
                .with_context(|| format!("{name} is not a number"))?,
        )),
        Err(_) => Ok(None),
    }
}

fn agree(seed: u64) -> Result<()> {
    let start = format!("(global $random (mut i32) (i32.const {}))", seed as u32 | 1);
    let component = tidegate_components::guest_with(GUEST, Encoder::Newest, |text| {
        text.replace("(global $random (mut i32) (i32.const 1))", &start)
    })?;
    let built = guests::adapted(GUEST, component.context("no such guest")?)?;
    let runner = tidegate_tests::runner(move |_, _, runtime| {
        Ok(match runtime {
            RuntimeKind::Component => built.component.clone(),
            RuntimeKind::ProxyWasm | RuntimeKind::Envoy(_) => built.module.clone(),
        })
    });
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("random.yaml");
    std::fs::write(&file, requests(&mut Random(seed)))?;
    let scenario = Scenario::read(folder.path(), &file, None)?;
    let component = runner.run(&scenario, RuntimeKind::Component)?;
    let module = runner.run(&scenario, RuntimeKind::ProxyWasm)?;
    verdict::check(&scenario, &component)?;
    verdict::check(&scenario, &module)?;
    ensure!(
        component.received.len() == RUN,
        "not every request reached the upstream"
    );
    let found = compare::differences(&Owned::known()?, &component, &module);
    ensure!(found.is_empty(), "{}", found.join("\n"));
    Ok(())
}

/// Generates requests with zero to six values of `x-in`, most of them short, and some with a body.
fn requests(random: &mut Random) -> String {
    let mut text = format!("about: random\nplugins:\n- {{ guest: {GUEST} }}\nsteps:\n");
    for _ in 0..RUN {
        let mut headers = String::new();
        for _ in 0..random.below(7) {
            let len = match random.below(10) {
                0 => random.below(4000),
                _ => random.below(40),
            };
            let letter = char::from(b'a' + random.below(26) as u8);
            let name = if random.below(3) == 0 {
                "x-into"
            } else {
                "x-in"
            };
            let value = letter.to_string().repeat(len);
            let _ = write!(headers, "[{name}, \"{value}\"], ");
        }
        let body = match random.below(4) {
            0 => format!(
                ", method: POST, body: \"{}\"",
                "b".repeat(random.below(20_000))
            ),
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "- request: {{ path: /, headers: [{headers}]{body}, expect: {{ status: 200 }} }}"
        );
    }
    text
}
