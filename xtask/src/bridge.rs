//! Building the bridge, reproducibly, into the adapter.

use anyhow::Result;

use crate::workspace::Workspace;

pub fn run(_workspace: &Workspace, _check: bool) -> Result<()> {
    Ok(())
}
