//! `tidegate doctor`: checks the build requirements, and prints commands that install what is missing.
//!
//! [`checks`] contains the requirements; [`machine`] runs the tools of this machine.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::bail;
use clap::Args;
use serde_json::json;
use tidegate_testkit::report::terminal;

use crate::file;
use crate::format::FormatArgs;

mod checks;
mod machine;

use checks::{Check, State};

/// Check whether this machine meets the build requirements, and print commands that install what is missing
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Doctor {
    #[command(flatten)]
    format: FormatArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidegate doctor
  tidegate doctor --format json | jq -r '.fix[]'

The command installs nothing. To test the toolchain, it builds two small programs in the cache directory, one for this machine and one \
for WebAssembly. The exit code is 0 if all requirements are met.";

// === impl Doctor ===

impl Doctor {
    pub fn execute(self) -> anyhow::Result<()> {
        let checks = checks::all();
        let text = if self.format.is_json() {
            format!("{:#}\n", json(&checks))
        } else {
            text(&checks)
        };
        file::write(Path::new("-"), text.as_bytes())?;
        let lacking: Vec<&str> = checks
            .iter()
            .filter(|check| check.required && check.lacks())
            .map(|check| check.name.as_str())
            .collect();
        if !lacking.is_empty() {
            bail!("requirements are missing: {}", lacking.join(", "));
        }
        Ok(())
    }
}

fn text(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    // Writing to a String cannot fail.
    for check in checks {
        let (mark, detail) = match &check.state {
            State::Found(what) => ("ok", what),
            State::Lacks { why, .. } if check.required => ("lacking", why),
            State::Lacks { why, .. } => ("optional", why),
        };
        let detail = terminal::escaped(detail);
        let _ = writeln!(text, "{mark:<8}  {:<width$}  {detail}", check.name);
    }
    for (required, heading) in [(true, "Run these commands in order:"), (false, "Optional:")] {
        let fix = fix(checks.iter().filter(|check| check.required == required));
        if !fix.is_empty() {
            let _ = writeln!(text, "\n{heading}");
        }
        for command in fix {
            let _ = writeln!(text, "  {command}");
        }
    }
    text
}

fn json(checks: &[Check]) -> serde_json::Value {
    let each = checks.iter().map(|check| {
        let (detail, fix) = match &check.state {
            State::Found(what) => (what, &[][..]),
            State::Lacks { why, fix } => (why, &fix[..]),
        };
        json!({
            "name": check.name,
            "required": check.required,
            "ok": !check.lacks(),
            "detail": detail,
            "fix": fix,
        })
    });
    json!({
        "ok": !checks.iter().any(|check| check.required && check.lacks()),
        "checks": each.collect::<Vec<_>>(),
        "fix": fix(checks.iter().filter(|check| check.required)),
    })
}

/// The commands that fix these checks, in order. A command that fixes several of them is listed once.
fn fix<'a>(checks: impl Iterator<Item = &'a Check>) -> Vec<&'a str> {
    let mut commands = Vec::new();
    for check in checks {
        let State::Lacks { fix, .. } = &check.state else {
            continue;
        };
        for command in fix {
            if !commands.contains(&command.as_str()) {
                commands.push(command);
            }
        }
    }
    commands
}
