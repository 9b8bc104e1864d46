//! Builds the plugins of `guest/go` as components, in the given directory.

use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use tidegate_components::go;

fn main() -> Result<()> {
    let target = std::env::args_os().nth(1);
    let target = PathBuf::from(target.context("expected the output directory as argument")?);
    ensure!(
        go::is_there(),
        "`go` is not on PATH; install Go 1.25 or later"
    );
    for name in std::env::args()
        .skip(2)
        .chain(["greeter".to_owned(), "tutorial".to_owned()])
    {
        let component = go::build(&name, &target)?;
        let file = target.join(format!("{name}-go.wasm"));
        std::fs::write(&file, &component)?;
        println!("{}, {} bytes", file.display(), component.len());
    }
    Ok(())
}
