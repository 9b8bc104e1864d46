//! `tidegate test`: runs scenarios in Tidegate's proxy and in Envoy.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use tidegate_testkit::envoy::Release;
use tidegate_testkit::report::human::{self, Colour};
use tidegate_testkit::report::terminal;
use tidegate_testkit::report::{Outcome, json, junit};
use tidegate_testkit::{Owned, Runner, RuntimeKind, Scenario, scenario, schema, update};

use crate::place::Place;
use crate::profile::ProfileArg;
use crate::project::{How, Project, Which};
use crate::testing::plugins::{Given, Origin, Plugins};
use crate::testing::{Runtime, Tested, Testing, envoy};
use crate::{cache, file, logs, output};

/// Build the plugin in this directory and run its test scenarios
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Test {
    /// Files, directories, or substrings of scenario names. Default: all scenarios in the `scenarios` directory
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,

    /// Runtimes to run the scenarios in, separated by commas. Their results are compared with each other
    #[arg(
        long,
        value_name = "RUNTIME",
        value_delimiter = ',',
        default_value = "component,proxy-wasm"
    )]
    runtime: Vec<RuntimeArg>,

    /// Envoy for the `envoy` runtime: a release to download, or the path of a binary. Default: the newest release that Tidegate is tested with
    #[arg(long, value_name = "VERSION|PATH")]
    envoy: Option<String>,

    /// Imitate this proxy, in all runtimes, in scenarios without a `profile`
    #[arg(long, default_value = "envoy")]
    profile: ProfileArg,

    /// Test this component or Proxy-Wasm module (a file, or an `oci://` reference), written in any language, instead of building one
    #[arg(long, value_name = "PLUGIN", conflicts_with_all = ["manifest_path", "package", "debug", "yes", "tool"])]
    plugin: Option<Place>,

    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    how: How,

    /// Number of scenarios that run in parallel. Default: the number of cores
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,

    /// Output format. With `junit` or `json` and without `--output`, the report is written to stdout, and human-readable text to stderr
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    /// Write the results to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Rewrite expectations that do not match, and fill in empty ones (`expect: {}`), with the actual results
    #[arg(long)]
    update: bool,

    /// List the scenarios without running them
    #[arg(long, conflicts_with = "update")]
    list: bool,

    /// Write the JSON Schema of scenario files, for editors, and exit
    #[arg(long, conflicts_with_all = ["scenarios", "update", "list", "plugin"])]
    schema: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RuntimeArg {
    /// Tidegate's proxy, running the component
    Component,
    /// Tidegate's proxy, running the adapted module
    ProxyWasm,
    /// Envoy, running the adapted module
    Envoy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Human-readable text
    Text,
    /// JUnit XML
    Junit,
    /// JSON
    Json,
}

const EXAMPLES: &str = "\
Examples:
  tidegate test
  tidegate test limit --runtime component,proxy-wasm,envoy
  tidegate test --plugin greeter.wasm scenarios/greeting.yaml
  tidegate test --profile istio --runtime component,proxy-wasm,envoy
  tidegate test --format junit -o junit.xml
  tidegate test --update
  tidegate test --schema -o scenarios/.schema.json";

/// Whether an argument that does not exist is meant as a file or a directory. The names of scenarios contain `/` too.
fn is_path(argument: &str) -> bool {
    argument.ends_with(".yaml") || argument.starts_with('.') || Path::new(argument).is_absolute()
}

/// The directory of a project's scenarios.
const FOLDER: &str = "scenarios";

// === impl Test ===

impl Test {
    pub fn execute(self) -> anyhow::Result<()> {
        if self.schema {
            let schema = format!("{:#}\n", schema::scenario());
            return file::write(or_stdout(&self.output), schema.as_bytes());
        }
        if self.envoy.is_some() && !self.runtime.contains(&RuntimeArg::Envoy) {
            let message = "`--envoy` has no effect without the `envoy` runtime: add `--runtime component,proxy-wasm,envoy`\n";
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message).into());
        }
        let project = match &self.plugin {
            Some(_) => None,
            None => Some(Project::find(&self.which)?),
        };
        let given = self.plugin.as_ref().map(Given::fetch).transpose()?;
        let own = match (&project, &given) {
            (Some(project), _) => project.name(),
            (None, Some(given)) => &given.name,
            (None, None) => bail!("there is neither a project nor a plugin"),
        };
        let folder = match &project {
            Some(project) => from_here(&project.folder().join(FOLDER)),
            None => FOLDER.into(),
        };
        let mut scenarios = self.select(&folder, own)?;
        for scenario in &mut scenarios {
            scenario.profile.get_or_insert(self.profile.into());
        }
        logs::detail(|| {
            let files: Vec<_> = scenarios
                .iter()
                .map(|it| it.file.display().to_string())
                .collect();
            format!("{} scenarios: {}", files.len(), files.join(", "))
        });
        if self.list {
            let names = scenarios
                .iter()
                .map(|it| format!("{}\t{}\n", it.name, first_line(&it.about)));
            return file::write(Path::new("-"), names.collect::<String>().as_bytes());
        }
        let origin = match (&project, &given) {
            (Some(project), _) => Origin::Project(project, &self.how),
            (None, Some(given)) => Origin::Given(given),
            (None, None) => bail!("there is neither a project nor a plugin"),
        };
        let plugins = std::sync::Arc::new(Plugins::of(&scenarios, &origin)?);
        let begun = Instant::now();
        let mut tested = self.run(&plugins, &scenarios)?;
        let took = begun.elapsed();
        let notes = match self.update {
            true => Self::write_what_came(&scenarios, &mut tested),
            false => String::new(),
        };
        let outcomes: Vec<Outcome> = tested.into_iter().flat_map(|it| it.outcomes).collect();
        self.end(&outcomes, took, &notes)
    }

    /// The scenarios that the arguments select.
    fn select(&self, folder: &Path, own: &str) -> anyhow::Result<Vec<Scenario>> {
        let (paths, filters): (Vec<_>, Vec<_>) = self
            .scenarios
            .iter()
            .partition(|text| Path::new(text).exists() || is_path(text));
        let mut scenarios = Vec::new();
        if paths.is_empty() {
            if !folder.is_dir() {
                bail!(
                    "the directory `{}` does not exist; create a scenario there (`tidegate test --schema` prints the JSON Schema of scenarios), or pass files",
                    folder.display()
                );
            }
            scenarios = scenario::walk(folder, Some(own))?;
        }
        for path in paths.into_iter().map(Path::new) {
            if path.is_dir() {
                scenarios.extend(scenario::walk(path, Some(own))?);
            } else {
                let parent = path.parent().unwrap_or(Path::new(""));
                let base = if path.starts_with(folder) {
                    folder
                } else {
                    parent
                };
                scenarios.push(Scenario::read(base, path, Some(own))?);
            }
        }
        if !filters.is_empty() {
            scenarios.retain(|scenario| {
                filters
                    .iter()
                    .any(|filter| scenario.name.contains(filter.as_str()))
            });
        }
        if scenarios.is_empty() && self.scenarios.is_empty() {
            bail!(
                "the directory `{}` contains no scenario; create one there (`tidegate test --schema` prints the JSON Schema of scenarios)",
                folder.display()
            );
        }
        if scenarios.is_empty() {
            bail!(
                "no scenario matches `{}`; run with `--list` to list them",
                self.scenarios.join(" ")
            );
        }
        Ok(scenarios)
    }

    fn runtimes(&self) -> Vec<Runtime> {
        let mut runtimes = Vec::new();
        for runtime in &self.runtime {
            let runtime = match runtime {
                RuntimeArg::Component => Runtime {
                    kind: RuntimeKind::Component,
                    name: "component",
                },
                RuntimeArg::ProxyWasm => Runtime {
                    kind: RuntimeKind::ProxyWasm,
                    name: "proxy-wasm",
                },
                // The binary may be another release. Scenarios do not depend on the release.
                RuntimeArg::Envoy => Runtime {
                    kind: RuntimeKind::Envoy(Release::ALL[0]),
                    name: "envoy",
                },
            };
            if !runtimes.contains(&runtime) {
                runtimes.push(runtime);
            }
        }
        runtimes
    }

    fn run(
        &self,
        plugins: &std::sync::Arc<Plugins>,
        scenarios: &[Scenario],
    ) -> anyhow::Result<Vec<Tested>> {
        let runtimes = self.runtimes();
        let binary = match self.runtime.contains(&RuntimeArg::Envoy) {
            true => Some(envoy::binary(self.envoy.as_deref())?),
            false => None,
        };
        if let Some(binary) = &binary {
            logs::detail(|| format!("Envoy: `{}`", binary.display()));
        }
        let own = plugins.clone();
        let runner = Runner::new(
            move |scenario, plugin, runtime| own.bytes(scenario, plugin, runtime),
            move |_| binary.clone().context("Envoy is not available"),
        );
        let testing = Testing {
            runner: runner.code_cache_dir(cache::code()),
            runtimes: &runtimes,
            owned: Owned::known()?,
            unfit: &|scenario, runtime| plugins.unfit(scenario, runtime),
        };
        let jobs = self.jobs.map_or_else(
            || std::thread::available_parallelism().map_or(1, NonZero::get),
            usize::from,
        );
        let colour = self.colour();
        let mut out = self.people();
        logs::detail(|| format!("running up to {jobs} scenarios in parallel"));
        let tested = testing.run(scenarios, jobs, |outcome| {
            // If the output cannot be written, the exit code still reports the result.
            let _ = writeln!(out, "{}", human::line(outcome, colour));
            logs::detail(|| {
                let took = outcome.took.as_millis();
                format!("{} in {}: {took} ms", outcome.scenario, outcome.runtime)
            });
        });
        logs::detail(|| {
            let stats = testing.runner.code_cache_stats();
            cache::usage(cache::code().as_deref(), stats)
        });
        Ok(tested)
    }

    /// Updates the scenarios with the results of the first runtime. Returns the number of updated scenarios and errors as text.
    fn write_what_came(scenarios: &[Scenario], tested: &mut [Tested]) -> String {
        let mut notes = String::new();
        let mut updated = 0;
        for (scenario, tested) in scenarios.iter().zip(tested) {
            match update_one(scenario, tested) {
                Ok(changed) => updated += usize::from(changed),
                Err(error) => {
                    let error = terminal::escaped_lines(&format!("{error:#}"));
                    let _ = writeln!(notes, "{}: not updated: {error}", scenario.file.display());
                }
            }
        }
        let _ = match updated {
            0 => Ok(()),
            1 => writeln!(notes, "updated 1 scenario: review the changes"),
            _ => writeln!(notes, "updated {updated} scenarios: review the changes"),
        };
        notes
    }

    /// Reports the results. Fails if a test failed.
    fn end(&self, outcomes: &[Outcome], took: Duration, notes: &str) -> anyhow::Result<()> {
        let text = |colour| {
            format!(
                "{}\n{}\n{notes}",
                human::failures(outcomes, colour),
                human::summary(outcomes, took)
            )
        };
        // If the output cannot be written, the exit code still reports the result.
        let _ = self.people().write_all(text(self.colour()).as_bytes());
        let (machine, output) = match (self.format, &self.output) {
            (Format::Text, None) => (None, Path::new("-")),
            (Format::Text, Some(output)) => (Some(text(Colour(false))), output.as_path()),
            (Format::Junit, output) => (Some(junit::text(outcomes)?), or_stdout(output)),
            (Format::Json, output) => (Some(json::text(outcomes)?), or_stdout(output)),
        };
        if let Some(machine) = machine {
            file::write(output, machine.as_bytes())?;
        }
        let failed = outcomes
            .iter()
            .filter(|outcome| outcome.is_failure())
            .count();
        match failed {
            0 => Ok(()),
            1 => bail!("1 test failed"),
            failed => bail!("{failed} tests failed"),
        }
    }

    /// The stream for human-readable text: stderr if a report is written to stdout.
    fn people(&self) -> Box<dyn std::io::Write> {
        match (self.format, &self.output) {
            (Format::Junit | Format::Json, None) => Box::new(std::io::stderr()),
            _ => Box::new(std::io::stdout()),
        }
    }

    fn colour(&self) -> Colour {
        let is_terminal = match (self.format, &self.output) {
            (Format::Junit | Format::Json, None) => std::io::stderr().is_terminal(),
            _ => std::io::stdout().is_terminal(),
        };
        Colour(output::has_color(is_terminal))
    }
}

/// Updates the file of a scenario. Returns whether it has changed.
fn update_one(scenario: &Scenario, tested: &mut Tested) -> anyhow::Result<bool> {
    let Some((_, transcript)) = tested.seen.first() else {
        return Ok(false);
    };
    let before = std::fs::read_to_string(&scenario.file).context("cannot read it")?;
    let (text, scenario) = update::update(&before, scenario, transcript)?;
    if text == before {
        return Ok(false);
    }
    file::write(&scenario.file, text.as_bytes())?;
    tested.judge_again(&scenario);
    Ok(true)
}

fn or_stdout(output: &Option<PathBuf>) -> &Path {
    output.as_deref().unwrap_or(Path::new("-"))
}

/// The path relative to the current directory, if it is inside.
fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).to_owned()
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}
