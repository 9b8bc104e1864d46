//! `cargo xtask e2e mesh`: runs the tutorial in a real mesh, and checks every fixture with a real API server.
//!
//! Kubernetes' API server and store, Istio's control plane, Istio's agent with Envoy as a gateway and as a sidecar, and a registry: all of
//! them are real, and run on loopback in separate namespaces. `parts` builds, `namespaces` isolates, `control_plane` and `proxies` start
//! processes, `story` runs the steps of `tutorial` and `symptoms`, `verdicts` checks the fixtures, and `quotes` compares docs/ with the
//! transcript. This is not part of CI.

use std::env;
use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use xtask::shell;
use xtask::workspace::Workspace;

mod control_plane;
mod events;
mod namespaces;
mod parts;
mod process;
mod proxies;
mod quotes;
mod story;
mod symptoms;
mod transcript;
mod tutorial;
mod verdicts;

use control_plane::ControlPlane;
use parts::Parts;
use story::Story;

/// The command with which this program is called inside the namespaces.
const INSIDE: &str = "--inside";

/// `[--bless]`: writes the verdicts instead of comparing them.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let parts = Parts::of(workspace);
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => outside(workspace, &parts, &["mesh", INSIDE]),
        ["--bless"] => outside(workspace, &parts, &["mesh", INSIDE, "--bless"]),
        [INSIDE] => inside(workspace, &parts, false),
        [INSIDE, "--bless"] => inside(workspace, &parts, true),
        _ => bail!("e2e mesh takes `--bless` or nothing"),
    }
}

/// Runs outside the namespaces, where there is a network: builds everything, then continues inside.
fn outside(workspace: &Workspace, parts: &Parts, again: &[&str]) -> Result<()> {
    parts::require_tools()?;
    namespaces::require()?;
    // The program copies itself before the builds, which take minutes, because it may be rebuilt in the meantime.
    let us = parts.bin.join("e2e");
    fs::create_dir_all(&parts.bin)
        .with_context(|| format!("failed to create {}", parts.bin.display()))?;
    parts::copy(
        &env::current_exe().context("failed to find our own binary")?,
        &us,
    )?;
    parts.build(workspace)?;
    // Remove the logs of the previous run.
    for folder in [parts.run(), parts.logs()] {
        _ = fs::remove_dir_all(folder);
    }
    for folder in [parts.story(), parts.logs()] {
        fs::create_dir_all(&folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
    }
    namespaces::run_inside(&us, again, &parts.story())
}

fn inside(workspace: &Workspace, parts: &Parts, bless: bool) -> Result<()> {
    let begun = Instant::now();
    let plane = ControlPlane::start(parts)?;
    shell::say(&format!(
        "the control plane is up after {:.1} s",
        begun.elapsed().as_secs_f32()
    ));
    // Run the tutorial even if a verdict is wrong.
    let verdicts = verdicts::check(parts, &plane, bless);
    let mut story = Story::begin(parts, &plane)?;
    shell::say(&format!(
        "the proxies are up after {:.1} s",
        begun.elapsed().as_secs_f32()
    ));
    story.tell(tutorial::STEPS)?;
    story.tell(symptoms::STEPS)?;
    story.tell(events::STEPS)?;
    let told = story.end()?;
    quotes::check(workspace, &told)?;
    verdicts?;
    shell::say(&format!(
        "the mesh did as it was told, in {:.1} s",
        begun.elapsed().as_secs_f32()
    ));
    Ok(())
}
