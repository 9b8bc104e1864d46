//! `cargo xtask e2e istio`: compares Tidegate with Istio's own code.
//!
//! A Go program (`tests/istio/judge`) links the packages of istiod, the API server and the agent. This file runs the parts: `rules` (have
//! the CRDs changed?), `documents` (does `tidegate check` agree?), `releases` (does it agree with `--istio`?), `manifests` (is the output
//! of `tidegate manifest` admitted?), `gateway` (the same for Envoy Gateway's kind), `orders` (do istiod and `tidegate chain` agree on the
//! plugins of each workload?) and `images` (does the agent accept what `tidegate push` pushes, and does `tidegate check` agree about other
//! images?). All differences are listed before the command fails.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use xtask::workspace::Workspace;
use xtask::{guests, setup, shell};

mod documents;
mod gateway;
mod images;
pub mod judge;
mod manifests;
mod orders;
pub mod registry;
mod releases;
mod rules;
mod spoilt;
mod texts;
pub mod tidegate;
pub mod toolchain;
mod variations;

use judge::Judge;
use tidegate::Tidegate;
use toolchain::Readiness;

/// The result of a part.
pub struct Report {
    /// A description of what was compared, with the number.
    pub compared: String,
    /// The differences, as text.
    pub differences: Vec<String>,
}

/// The judge, the command-line tool, and the inputs that both receive.
pub struct Setup {
    /// The running judge.
    pub judge: Judge,
    /// The path of the judge's binary.
    pub judge_binary: PathBuf,
    /// The command-line tool.
    pub tidegate: Tidegate,
    /// A plugin that accepts no configuration.
    pub tutorial: Plugin,
    /// A plugin whose configuration contains numbers and arbitrary strings.
    pub rate_limit: Plugin,
    /// Why the judge has no definition of Envoy Gateway's policy, if it has none.
    pub gateway_missing: Option<String>,
    /// The workspace's root directory.
    pub root: PathBuf,
    /// The directory of the Go module.
    pub module: PathBuf,
    /// A temporary directory for this run.
    pub scratch: TempDir,
}

/// A plugin that is pushed and for which manifests are generated.
pub struct Plugin {
    /// The component.
    pub component: PathBuf,
    /// The adapted module.
    pub module: PathBuf,
}

/// The parts, in the order in which differences are most useful.
const PARTS: [fn(&mut Setup) -> Result<Report>; 12] = [
    rules::compare,
    documents::compare_fixtures,
    releases::compare,
    documents::compare_variations,
    documents::compare_texts,
    documents::compare_spoilt,
    manifests::compare_flags,
    manifests::compare_configurations,
    gateway::compare_flags,
    gateway::compare_refusals,
    orders::compare,
    images::compare,
];

/// Builds the judge and runs all parts. Prints one line with the reason if it cannot be built on this machine.
pub fn run(workspace: &Workspace) -> Result<()> {
    let module = workspace.root.join("tests/istio");
    if let Readiness::Lacking(reason) = toolchain::readiness(&module)? {
        println!("SKIPPED: Istio's own code as judge (`cargo xtask e2e istio`): {reason}");
        return Ok(());
    }
    let mut setup = Setup::make(workspace, module)?;
    let mut differences = Vec::new();
    for part in PARTS {
        let begun = Instant::now();
        let report = part(&mut setup)?;
        shell::say(&report.words(begun.elapsed()));
        differences.extend(report.differences);
    }
    if differences.is_empty() {
        return Ok(());
    }
    bail!(
        "Tidegate and Istio differ:\n\n{}\n",
        differences.join("\n\n")
    )
}

// === impl Setup ===

impl Setup {
    fn make(workspace: &Workspace, module: PathBuf) -> Result<Setup> {
        toolchain::check_format(&module)?;
        toolchain::check_tables(&module)?;
        let scratch = tempfile::tempdir().context("failed to create a temporary directory")?;
        let judge_binary = toolchain::build(&module, &workspace.target.join("istio"))?;
        let mut definitions = vec![toolchain::definitions(&module)?];
        let gateway = toolchain::gateway_definition(scratch.path())?;
        definitions.extend(gateway.as_ref().ok().cloned());
        let judge = Judge::start(&judge_binary, &definitions, scratch.path())?;
        workspace.build_tool()?;
        let tidegate = Tidegate::new(workspace, scratch.path())?;
        setup::targets(workspace)?;
        let [tutorial, rate_limit] = guests::build(workspace, &["istio-tutorial", "rate-limit"])?
            .try_into()
            .ok()
            .context("expected two components")?;
        Ok(Setup {
            judge,
            judge_binary,
            tutorial: Plugin::adapt(tutorial, &tidegate, scratch.path())?,
            rate_limit: Plugin::adapt(rate_limit, &tidegate, scratch.path())?,
            tidegate,
            gateway_missing: gateway.err(),
            root: workspace.root.clone(),
            module,
            scratch,
        })
    }
}

// === impl Plugin ===

impl Plugin {
    /// Adapts a component.
    pub fn adapt(component: PathBuf, tidegate: &Tidegate, folder: &Path) -> Result<Plugin> {
        let name = component
            .file_name()
            .context("the component has no file name")?;
        let module = folder.join(name);
        shell::run(
            tidegate
                .command()
                .arg("adapt")
                .arg(&component)
                .arg("-o")
                .arg(&module),
        )?;
        Ok(Plugin { component, module })
    }
}

// === impl Report ===

impl Report {
    /// Formats the report as one line.
    pub fn words(&self, took: Duration) -> String {
        let differences = match self.differences.len() {
            0 => "no difference".to_owned(),
            1 => "1 difference".to_owned(),
            more => format!("{more} differences"),
        };
        format!(
            "{}: {differences}, {:.1} s",
            self.compared,
            took.as_secs_f32()
        )
    }
}
