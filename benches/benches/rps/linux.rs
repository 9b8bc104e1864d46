//! Load on whole servers: the cost of a request in Envoy and in `tidegate run`, for each implementation of the tutorial's work, and in
//! Envoy for the plugin `rate-limit` and its twin.
//!
//! `cargo bench --bench rps [-- --starts N] [--slices N] [--slice MILLISECONDS] [--only TEXT,…] [--million]`
//!
//! Servers share one core and take turns; the load generator uses another core. Slices are taken in rounds, one of each candidate. The
//! server's processor time per request is compared; requests per second show how busy the machine was. Two runs of the same server can
//! differ by more than the differences of interest, so every candidate is started several times, and the median over the starts is shown.
//! Instead, `--million` sends a million requests to `tidegate run` with two workers, and measures its memory.

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tidegate_benches::affinity::{self, Cores};
use tidegate_benches::candidate::{self, Candidate, Environment, Family, OUT_OF_REACH};
use tidegate_benches::load::{Load, Until};
use tidegate_benches::modules::Modules;
use tidegate_benches::process::Server;
use tidegate_benches::statistics::{self, Slice};
use tidegate_benches::table::{Table, figure};
use tidegate_benches::verify::verify;
use tidegate_components::workspace;
use tidegate_host::EchoServer;
use tidegate_testkit::envoy::Release;

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
    let candidates = selected(
        Candidate::all(&modules, envoy.is_some())?,
        options.only.as_deref(),
    )?;
    // It takes minutes to build.
    let needs_tool = options.smoke
        || options.million
        || candidates
            .iter()
            .any(|candidate| candidate.family == Family::Host);
    let tidegate = needs_tool
        .then(|| command_line_tool(options.smoke))
        .transpose()?;
    // Processes that are started after this, including the upstream, run on the load generator's core.
    affinity::pin(cores.load).context("failed to choose a core")?;
    let upstream = EchoServer::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let environment = Environment {
        cores,
        modules,
        envoy,
        tidegate,
        upstream: upstream.local_addr(),
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
        families.push(candidate.family);
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

struct Row {
    candidate: Candidate,
    /// The slices of each start.
    starts: Vec<Vec<Slice>>,
    /// The resident memory at the end, in bytes.
    resident: u64,
}

/// A candidate that has been started.
struct Started {
    server: Server,
    load: Load,
    slices: Vec<Slice>,
}

fn compare(environment: &Environment, candidates: Vec<Candidate>, options: &Options) -> Result<()> {
    let mut rows = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        verify(&candidate, environment)?;
        rows.push(Row {
            candidate,
            starts: Vec::with_capacity(options.starts),
            resident: 0,
        });
    }
    for _ in 0..options.starts {
        let mut all = rows
            .iter()
            .map(|row| start(&row.candidate, environment, options.slice))
            .collect::<Result<Vec<_>>>()?;
        let count = all.len();
        for round in 0..options.rounds {
            // Each round starts with another candidate, so that none always runs after the same one.
            for turn in 0..count {
                let Some(started) = all.get_mut((round + turn) % count) else {
                    continue;
                };
                let slice = measure(&started.server, &mut started.load, options.slice)?;
                started.slices.push(slice);
            }
        }
        for (row, started) in rows.iter_mut().zip(all) {
            row.resident = started.server.resident()?;
            row.starts.push(started.slices);
        }
    }
    println!("{}", table(&rows));
    println!(
        "{} starts, {} rounds of {} ms each; cpu: the server's processor time for each request, all threads; over: paired \
         median over the family's first row, median of the starts; ratio: of these, to the Rust SDK twin, to the floor and to \
         the floor with contexts",
        options.starts,
        options.rounds,
        options.slice.as_millis()
    );
    Ok(())
}

fn start(candidate: &Candidate, environment: &Environment, slice: Duration) -> Result<Started> {
    let server = candidate.start(environment, OUT_OF_REACH)?;
    let mut load = Load::connect(server.address, CONNECTIONS)?;
    load.run(Until::Elapsed(slice))?;
    Ok(Started {
        server,
        load,
        slices: Vec::new(),
    })
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

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new([
        "candidate",
        "req/s",
        "cpu min",
        "cpu median",
        "over",
        "over/twin",
        "over/floor",
        "over/contexts",
        "RSS MB",
        "module B",
    ]);
    let over = |family: Family, part: &str| {
        let base = rows.iter().find(|row| row.candidate.family == family)?;
        let row = rows
            .iter()
            .find(|row| row.candidate.family == family && row.candidate.name.contains(part))?;
        let starts = row.starts.iter().zip(&base.starts);
        Some(statistics::median(
            starts.map(|(slices, base)| statistics::overhead(slices, base)),
        ))
    };
    for row in rows {
        let family = row.candidate.family;
        let own = over(family, row.candidate.name)
            .filter(|_| row.candidate.works)
            .unwrap_or(f64::NAN);
        let slices = || row.starts.iter().flatten();
        let ratio = |part: &str| figure(own / over(family, part).unwrap_or(f64::NAN), 2);
        table.row(vec![
            row.candidate.name.to_owned(),
            figure(statistics::median(slices().map(Slice::rate)), 0),
            figure(statistics::minimum(slices().map(Slice::cost)), 2),
            figure(statistics::median(slices().map(Slice::cost)), 2),
            figure(over(family, row.candidate.name).unwrap_or(f64::NAN), 2),
            ratio("twin"),
            ratio("floor"),
            ratio("with contexts"),
            figure(row.resident as f64 / 1e6, 1),
            row.candidate
                .module
                .as_ref()
                .map_or_else(|| "-".to_owned(), |module| module.len().to_string()),
        ]);
    }
    table
}

/// Measures the memory of `tidegate run` with one plugin and two workers, in each engine, while requests are served.
fn million(environment: &Environment, requests: u64) -> Result<()> {
    let mut table = Table::new([
        "memory of `tidegate run`, two workers",
        "requests",
        "RSS MB",
    ]);
    for (engine, module) in [
        ("component", &environment.modules.component),
        ("proxy-wasm", &environment.modules.adapted),
    ] {
        let configuration = candidate::configuration(OUT_OF_REACH);
        let server = candidate::run(environment, engine, module, Some(&configuration), 2)?;
        let mut load = Load::connect(server.address, CONNECTIONS)?;
        let mut sent = CONNECTIONS as u64;
        for tenth in 0..=10 {
            let until = requests * tenth / 10;
            if until > sent {
                sent += load.run(Until::Requests(until - sent))?;
            }
            table.row(vec![
                engine.to_owned(),
                sent.to_string(),
                figure(server.resident()? as f64 / 1e6, 1),
            ]);
        }
    }
    println!("{table}");
    Ok(())
}
