//! `tidegate test`: scenarios, in our host and in Envoy.

use std::io::{IsTerminal as _, Write as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use tidegate_testkit::envoy::Release;
use tidegate_testkit::{HomeKind, Owned, Runner, Scenario, scenario};

use crate::file;
use crate::project::{How, Project, Which};
use crate::report::human::{self, Colour};
use crate::report::{Outcome, json, junit};
use crate::testing::plugins::{Origin, Plugins};
use crate::testing::{Home, Tested, Testing, envoy};

/// Build the plugin in this folder and run its scenarios: requests in, what must come back
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Test {
    /// Files, folders, or parts of scenarios' names; all in the folder `scenarios` if not given
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,

    /// Where they run; what they show is compared
    #[arg(long, value_name = "HOME", value_delimiter = ',', default_value = "component,proxy-wasm")]
    home: Vec<HomeArg>,

    /// The Envoy of home `envoy`: a release to be fetched, or a binary
    #[arg(long, value_name = "VERSION|PATH")]
    envoy: Option<String>,

    /// A plugin that is built already, in any language: a component or a Proxy-Wasm module
    #[arg(long, value_name = "FILE.wasm", conflicts_with_all = ["manifest_path", "package", "debug", "yes"])]
    plugin: Option<PathBuf>,

    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    how: How,

    /// How many scenarios run at once; one for each core if not given
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,

    /// How results are written; what is not for people goes to stdout, and the lines for people to stderr
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,

    /// Write the results into this file
    #[arg(short, long, value_name = "FILE", requires = "format")]
    output: Option<PathBuf>,

    /// Write what came into the scenarios, where it is not as they state
    #[arg(long)]
    bless: bool,

    /// Say which scenarios there are, and run none
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum HomeArg {
    /// Our host, the component as it is
    Component,
    /// Our host, the adapted module
    ProxyWasm,
    /// A real Envoy, the adapted module
    Envoy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines for people
    Human,
    /// JUnit's XML
    Junit,
    /// JSON
    Json,
}

const EXAMPLES: &str = "\
Examples:
  tidegate test
  tidegate test limit --home component,proxy-wasm,envoy
  tidegate test --plugin greeter.wasm scenarios/greeting.yaml
  tidegate test --format junit -o target/junit.xml
  tidegate test --bless";

/// Where a project has its scenarios.
const FOLDER: &str = "scenarios";

// === impl Test ===

impl Test {
    pub fn execute(self) -> anyhow::Result<()> {
        let project = match &self.plugin {
            Some(_) => None,
            None => Some(Project::find(&self.which)?),
        };
        let own = self.own(project.as_ref())?;
        let folder = project.as_ref().map_or(Path::new(FOLDER).to_owned(), |project| project.folder().join(FOLDER));
        let scenarios = self.select(&folder, &own)?;
        if self.list {
            let names = scenarios.iter().map(|it| format!("{}\t{}\n", it.name, first_line(&it.about)));
            return file::write(Path::new("-"), names.collect::<String>().as_bytes());
        }
        let origin = match (&project, &self.plugin) {
            (Some(project), _) => Origin::Project(project, &self.how),
            (None, Some(path)) => Origin::File(&own, path),
            (None, None) => bail!("neither a project nor a plugin is there"),
        };
        let plugins = std::sync::Arc::new(Plugins::of(&scenarios, &origin)?);
        let tested = self.run(&plugins, &scenarios)?;
        self.end(&scenarios, tested)
    }

    /// What the plugin that is tested is called.
    fn own(&self, project: Option<&Project>) -> anyhow::Result<String> {
        if let Some(project) = project {
            return Ok(project.name().to_owned());
        }
        let Some(path) = &self.plugin else {
            bail!("neither a project nor a plugin is there");
        };
        // What it says of itself, as when it is built here.
        let said = tidegate_adapter::inspect(&file::read(path)?).ok().and_then(|it| it.name);
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        said.or(stem).with_context(|| format!("`{}` has no name", path.display()))
    }

    /// The scenarios that are asked for.
    fn select(&self, folder: &Path, own: &str) -> anyhow::Result<Vec<Scenario>> {
        let (paths, filters): (Vec<_>, Vec<_>) = self.scenarios.iter().partition(|text| Path::new(text).exists());
        let mut scenarios = Vec::new();
        if paths.is_empty() {
            if !folder.is_dir() {
                bail!(
                    "there is no folder `{}`; write a scenario there, as docs/testing.md shows, or name files",
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
                let base = if path.starts_with(folder) { folder } else { parent };
                scenarios.push(Scenario::read(base, path, Some(own))?);
            }
        }
        if !filters.is_empty() {
            scenarios.retain(|scenario| filters.iter().any(|filter| scenario.name.contains(filter.as_str())));
        }
        if scenarios.is_empty() {
            bail!("no scenario is meant by `{}`; `--list` says which there are", self.scenarios.join(" "));
        }
        Ok(scenarios)
    }

    fn homes(&self) -> Vec<Home> {
        let mut homes = Vec::new();
        for home in &self.home {
            let home = match home {
                HomeArg::Component => Home { kind: HomeKind::Component, name: "component" },
                HomeArg::ProxyWasm => Home { kind: HomeKind::ProxyWasm, name: "proxy-wasm" },
                // Which release it is was said; to scenarios it is Envoy.
                HomeArg::Envoy => Home { kind: HomeKind::Envoy(Release::ALL[0]), name: "envoy" },
            };
            if !homes.contains(&home) {
                homes.push(home);
            }
        }
        homes
    }

    fn run(&self, plugins: &std::sync::Arc<Plugins>, scenarios: &[Scenario]) -> anyhow::Result<Vec<Tested>> {
        let homes = self.homes();
        let binary = match self.home.contains(&HomeArg::Envoy) {
            true => Some(envoy::binary(self.envoy.as_deref())?),
            false => None,
        };
        let own = plugins.clone();
        let testing = Testing {
            runner: Runner::new(
                move |scenario, plugin, home| own.bytes(scenario, plugin, home),
                move |_| binary.clone().context("there is no Envoy"),
            ),
            homes: &homes,
            owned: Owned::known()?,
            unfit: &|scenario, home| plugins.unfit(scenario, home),
        };
        let jobs = self.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get), usize::from);
        let colour = self.colour();
        let mut out = self.people();
        Ok(testing.run(scenarios, jobs, |outcome| {
            // Whoever does not read has the exit code.
            let _ = writeln!(out, "{}", human::line(outcome, colour));
        }))
    }

    /// Blesses, reports, and fails if anything failed.
    fn end(&self, scenarios: &[Scenario], tested: Vec<Tested>) -> anyhow::Result<()> {
        let mut blessed = 0;
        let mut outcomes: Vec<Outcome> = Vec::new();
        for (scenario, tested) in scenarios.iter().zip(tested) {
            let mut of_it = tested.outcomes;
            if let Some(transcript) = tested.transcript.filter(|_| self.bless && of_it.iter().any(Outcome::is_mismatch)) {
                let text = std::fs::read_to_string(&scenario.file)
                    .with_context(|| format!("cannot read `{}`", scenario.file.display()))?;
                let text = tidegate_testkit::bless::bless(&text, scenario, &transcript)
                    .with_context(|| format!("cannot bless `{}`", scenario.file.display()))?;
                file::write(&scenario.file, text.as_bytes())?;
                blessed += 1;
                of_it.retain(|outcome| !outcome.is_mismatch());
            }
            outcomes.extend(of_it);
        }
        let took = outcomes.iter().map(|outcome| outcome.took).sum();
        let mut out = self.people();
        let mut text = human::failures(&outcomes, self.colour());
        text.push_str(&format!("\n{}\n", human::summary(&outcomes, took)));
        if blessed > 0 {
            text.push_str(&format!("blessed {blessed} scenarios: look at what changed\n"));
        }
        let _ = out.write_all(text.as_bytes());
        let machine = match self.format {
            Format::Human => None,
            Format::Junit => Some(junit::text(&outcomes)?),
            Format::Json => Some(json::text(&outcomes)?),
        };
        match (machine, &self.output) {
            (Some(machine), output) => {
                file::write(output.as_deref().unwrap_or(Path::new("-")), machine.as_bytes())?;
            }
            (None, Some(output)) => file::write(output, text.as_bytes())?,
            (None, None) => {}
        }
        let failed = outcomes.iter().filter(|outcome| outcome.is_failure()).count();
        match failed {
            0 => Ok(()),
            1 => bail!("1 test failed"),
            failed => bail!("{failed} tests failed"),
        }
    }

    /// Where lines for people go: out of the way of what is for programs.
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
        let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Colour(is_terminal && !is_unwanted)
    }
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}
