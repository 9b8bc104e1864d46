//! Runs other programs and shows their commands.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Prints the current activity.
pub fn say(line: &str) {
    eprintln!("xtask: {line}");
}

/// Shows the command, and runs it with inherited standard streams. Fails unless it succeeds.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    eprintln!("$ {shown}");
    let status = command
        .status()
        .with_context(|| format!("failed to start `{shown}`"))?;
    if status.success() {
        Ok(())
    } else {
        bail!("`{shown}` ended with {status}")
    }
}

/// Runs a command silently, and returns its standard output.
pub fn read(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command
        .output()
        .with_context(|| format!("failed to start `{shown}`"))?;
    if !output.status.success() {
        bail!(
            "`{shown}` ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("the output of `{shown}` is not UTF-8"))
}

/// Formats a command as it would be typed.
pub fn show(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let name = program.rsplit('/').next().unwrap_or(&program).to_owned();
    command.get_args().fold(name, |mut line, argument| {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
        line
    })
}
