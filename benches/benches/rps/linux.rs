//! Load on whole servers: the cost of a request in Envoy and in `tidegate run`, for each implementation of the tutorial's work, and in
//! Envoy for the plugin `rate-limit` and its twin.
//!
//! Proxies are compared with the same upstream, as chains of 1, 4, 8 and 16 plugins, with 12 and 60 headers and with bodies of 64 KiB. For
//! them, latency is measured as well, at half of the rate that each one reached.
//!
//! `cargo bench --bench rps [-- --starts N] [--slices N] [--slice MILLISECONDS] [--only TEXT,…] [--million]`
//!
//! Servers share one core and take turns; the load generator uses another core. Slices are taken in rounds, one of each candidate. The
//! server's processor time per request is compared; requests per second show how busy the machine was. Two runs of the same server can
//! differ by more than the differences of interest, so every candidate is started several times, and the median over the starts is shown.
//! Instead, `--million` sends a million requests to `tidegate run` with two workers, and measures its memory.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tidegate_benches::affinity::{self, Cores};
use tidegate_benches::candidate::{self, CHAINS, Candidate, Environment, Family, OUT_OF_REACH};
use tidegate_benches::latency::{self, Latency};
use tidegate_benches::load::{Load, Until};
use tidegate_benches::messages::Messages;
use tidegate_benches::modules::Modules;
use tidegate_benches::process::Server;
use tidegate_benches::statistics::{self, Slice};
use tidegate_benches::table::{Table, figure};
use tidegate_benches::upstream;
use tidegate_benches::verify::verify;
use tidegate_components::workspace;
use tidegate_testkit::envoy::Release;

use crate::tables;

/// Large enough that the server always has another request waiting, and small enough to be cheap.
const CONNECTIONS: usize = 8;

struct Options {
    /// Whether to only check that everything works. Each candidate is then measured briefly.
    smoke: bool,
    /// The number of times each candidate is started.
    starts: usize,
    /// The number of slices of each candidate in each start.
    rounds: usize,
    slice: Duration,
    /// Substrings of the names of the candidates to measure, in addition to the first of their families.
    only: Option<String>,
    million: bool,
}

pub fn main() -> ExitCode {
    match Options::parse(env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rps: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Options> {
        let mut options = Options {
            smoke: true,
            starts: 3,
            rounds: 12,
            slice: Duration::from_secs(1),
            only: None,
            million: false,
        };
        let mut test = false;
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .with_context(|| format!("{argument} takes a value"))
            };
            match argument.as_str() {
                "--bench" => options.smoke = false,
                "--test" => test = true,
                "--starts" => {
                    options.starts = value()?.parse().context("--starts takes a number")?
                }
                "--slices" => {
                    options.rounds = value()?.parse().context("--slices takes a number")?
                }
                "--slice" => {
                    options.slice = Duration::from_millis(
                        value()?.parse().context("--slice takes milliseconds")?,
                    );
                }
                "--only" => options.only = Some(value()?),
                "--million" => options.million = true,
                unknown => {
                    bail!(
                        "rps takes --starts, --slices, --slice, --only and --million, not `{unknown}`"
                    )
                }
            }
        }
        options.smoke |= test;
        if options.smoke {
            options.starts = 1;
            options.rounds = 1;
            options.slice = Duration::from_millis(50);
        }
        Ok(options)
    }
}

fn run(options: &Options) -> Result<()> {
    let cores = Cores::choose()?;
    let modules = Modules::build()?;
    let envoy = match tidegate_tests::envoy(Release::V1_40_0)? {
        Ok(binary) => Some(binary),
        Err(no_wheel) => {
            println!("rps: SKIPPED in Envoy: {no_wheel}");
            None
        }
    };
    // To check that chains work, one is enough.
    let chains = if options.smoke { &[1, 4][..] } else { CHAINS };
    let candidates = selected(
        Candidate::all(&modules, envoy.is_some(), chains)?,
        options.only.as_deref(),
    )?;
    // It takes minutes to build.
    let needs_tool = options.smoke
        || options.million
        || candidates
            .iter()
            .any(|candidate| candidate.family == Family::Proxy);
    let tidegate = needs_tool
        .then(|| command_line_tool(options.smoke))
        .transpose()?;
    // Processes that are started after this, including the upstream, run on the load generator's core.
    affinity::pin(cores.load).context("failed to choose a core")?;
    let environment = Environment {
        cores,
        modules,
        envoy,
        tidegate,
        upstream: upstream::start()?,
        folder: tempfile::tempdir()?,
    };
    if options.smoke {
        million(&environment, 2_000)?;
    } else if options.million {
        return million(&environment, 1_000_000);
    }
    compare(&environment, candidates, options)
}

/// Returns the candidates that `--only` names, and the baselines of their families.
fn selected(all: Vec<Candidate>, only: Option<&str>) -> Result<Vec<Candidate>> {
    let Some(only) = only else { return Ok(all) };
    let is_named =
        |candidate: &Candidate| only.split(',').any(|part| candidate.name.contains(part));
    let named: Vec<Family> = all
        .iter()
        .filter(|candidate| is_named(candidate))
        .map(|candidate| candidate.family)
        .collect();
    ensure!(
        !named.is_empty(),
        "--only: no candidate has a name that contains `{only}`"
    );
    let mut families = Vec::new();
    let wanted = all.into_iter().filter(|candidate| {
        let is_base = !families.contains(&candidate.family);
        if is_base {
            families.push(candidate.family);
        }
        named.contains(&candidate.family) && (is_base || is_named(candidate))
    });
    Ok(wanted.collect())
}

/// Returns the path of `tidegate`, built with the profile of releases or, without `--bench`, with that of the tests.
fn command_line_tool(smoke: bool) -> Result<PathBuf> {
    let profile = if smoke {
        ("dev", "debug")
    } else {
        ("release", "release")
    };
    let status = workspace::cargo()
        .args(["build", "--quiet", "--package", "tidegate", "--profile"])
        .arg(profile.0)
        .status()
        .context("failed to start cargo")?;
    ensure!(status.success(), "failed to build the command line tool");
    Ok(workspace::target()
        .join(profile.1)
        .join(format!("tidegate{}", env::consts::EXE_SUFFIX)))
}

/// The measurements of a candidate with messages of one kind.
pub struct Row {
    pub candidate: Rc<Candidate>,
    pub messages: Messages,
    /// The slices of each start.
    pub starts: Vec<Vec<Slice>>,
    /// The latency in each start.
    pub latencies: Vec<Latency>,
    /// The resident memory at the end, in bytes.
    pub resident: u64,
}

/// A candidate that has been started.
struct Started {
    server: Server,
    /// One for each kind of messages.
    loads: Vec<Measured>,
}

struct Measured {
    load: Load,
    slices: Vec<Slice>,
}

fn compare(environment: &Environment, candidates: Vec<Candidate>, options: &Options) -> Result<()> {
    let candidates: Vec<Rc<Candidate>> = candidates.into_iter().map(Rc::new).collect();
    let mut rows = Vec::new();
    for candidate in &candidates {
        verify(candidate, environment)?;
        rows.extend(messages(candidate).iter().map(|messages| Row {
            candidate: candidate.clone(),
            messages: *messages,
            starts: Vec::new(),
            latencies: Vec::new(),
            resident: 0,
        }));
    }
    for number in 1..=options.starts {
        let mut all = candidates
            .iter()
            .map(|candidate| start(candidate, environment, options.slice))
            .collect::<Result<Vec<_>>>()?;
        let count = all.len();
        for round in 0..options.rounds {
            eprint!(
                "\rstart {number} of {}, round {} of {} ",
                options.starts,
                round + 1,
                options.rounds
            );
            // Each round starts with another candidate, so that none always runs after the same one.
            for turn in 0..count {
                let Some(started) = all.get_mut((round + turn) % count) else {
                    continue;
                };
                for it in &mut started.loads {
                    let slice = measure(&started.server, &mut it.load, options.slice)?;
                    it.slices.push(slice);
                }
            }
        }
        let mut rows = rows.iter_mut();
        for (candidate, started) in candidates.iter().zip(all) {
            for (it, row) in started.loads.into_iter().zip(&mut rows) {
                if candidate.family == Family::Proxy && row.messages == Messages::Small {
                    let rate = statistics::median(it.slices.iter().map(Slice::rate)) / 2.0;
                    let address = started.server.address;
                    let latency = latency::measure(address, rate, 2 * options.slice)?;
                    row.latencies.push(latency);
                }
                row.resident = started.server.resident()?;
                row.starts.push(it.slices);
            }
        }
    }
    eprintln!();
    tables::print(&rows);
    println!(
        "{} starts, {} rounds of {} ms each; cpu: the server's processor time for each request, all threads",
        options.starts,
        options.rounds,
        options.slice.as_millis()
    );
    Ok(())
}

/// Returns the messages with which a candidate is measured.
fn messages(candidate: &Candidate) -> &'static [Messages] {
    match candidate.family {
        Family::Proxy if candidate.plugins <= 1 => &Messages::ALL,
        _ => &[Messages::Small],
    }
}

fn start(candidate: &Candidate, environment: &Environment, slice: Duration) -> Result<Started> {
    let server = candidate.start(environment, OUT_OF_REACH)?;
    let mut loads = Vec::new();
    for messages in messages(candidate) {
        let mut load = Load::connect(server.address, CONNECTIONS, *messages)?;
        load.run(Until::Elapsed(slice))?;
        loads.push(Measured {
            load,
            slices: Vec::new(),
        });
    }
    Ok(Started { server, loads })
}

fn measure(server: &Server, load: &mut Load, slice: Duration) -> Result<Slice> {
    let cpu = server.cpu()?;
    let begun = Instant::now();
    let requests = load.run(Until::Elapsed(slice))?;
    Ok(Slice {
        requests,
        time: begun.elapsed(),
        cpu: server.cpu()?.saturating_sub(cpu),
    })
}

/// How much the memory may grow from the second tenth of the requests to the last one, in bytes. A leak of one byte for each request
/// would be three times as much.
const MAX_GROWTH: u64 = 256 << 10;

/// After this number of requests, memory must not grow.
const WARM_UP: u64 = 100_000;

/// Measures the memory of `tidegate run` with one plugin and two workers, in each engine, while requests are served. Fails if it grows.
fn million(environment: &Environment, requests: u64) -> Result<()> {
    let mut table = Table::new([
        "memory of `tidegate run`, two workers",
        "requests",
        "RSS MB",
    ]);
    let mut growth = Vec::new();
    for (engine, module) in [
        ("component", &environment.modules.component),
        ("proxy-wasm", &environment.modules.adapted),
    ] {
        let configuration = candidate::configuration(OUT_OF_REACH);
        let server = candidate::run(environment, engine, module, 1, Some(&configuration), 2)?;
        let mut load = Load::connect(server.address, CONNECTIONS, Messages::Small)?;
        let mut sent = CONNECTIONS as u64;
        let mut second = None;
        for tenth in 0..=10 {
            let until = requests * tenth / 10;
            if until > sent {
                sent += load.run(Until::Requests(until - sent))?;
            }
            let resident = server.resident()?;
            if tenth == 2 && sent >= WARM_UP {
                second = Some(resident);
            }
            table.row(vec![
                engine.to_owned(),
                sent.to_string(),
                figure(resident as f64 / 1e6, 2),
            ]);
            if tenth == 10
                && let Some(second) = second
            {
                growth.push((engine, resident.saturating_sub(second)));
            }
        }
    }
    println!("{table}");
    for (engine, growth) in growth {
        ensure!(
            growth <= MAX_GROWTH,
            "engine {engine}: the memory has grown by {growth} bytes since the second tenth of the requests, more than {MAX_GROWTH}"
        );
    }
    Ok(())
}
