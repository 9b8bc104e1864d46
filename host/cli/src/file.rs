//! Whole files in and out, `-` for stdin and stdout.
//!
//! What is written appears at once and whole, or not at all: it is written beside its place and then moved there.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tempfile::Builder;

/// Reads a file, or stdin.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    if is_stdio(path) {
        let mut bytes = Vec::new();
        io::stdin()
            .lock()
            .read_to_end(&mut bytes)
            .context("cannot read stdin")?;
        return Ok(bytes);
    }
    fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
}

/// Writes a file, or stdout.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if is_stdio(path) {
        let mut stdout = io::stdout().lock();
        return stdout
            .write_all(bytes)
            .and_then(|()| stdout.flush())
            .context("cannot write to stdout");
    }
    replace(path, bytes).with_context(|| match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.exists() => format!(
            "cannot write `{}`: the directory `{}` does not exist",
            path.display(),
            folder.display()
        ),
        _ => format!("cannot write `{}`", path.display()),
    })
}

/// Writes a binary, but not into a terminal.
pub fn write_binary(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if is_stdio(path) && io::stdout().is_terminal() {
        bail!("refusing to write a binary to a terminal: specify a file, or redirect stdout");
    }
    write(path, bytes)
}

/// Whether the path stands for stdin or stdout.
pub fn is_stdio(path: &Path) -> bool {
    path.as_os_str() == OsStr::new("-")
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = match fs::metadata(path) {
        // A device or a pipe is written to; moving a file there would put the file in its place.
        Ok(there) if !there.is_file() && !there.is_dir() => return fs::write(path, bytes),
        // A link stays one, and what it points to is replaced.
        Ok(_) => fs::canonicalize(path)?,
        Err(_) => path.to_owned(),
    };
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut builder = Builder::new();
    builder.prefix(".tidegate-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // Who may read it is the umask's to say, as with any file that a tool makes.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(target)?;
    Ok(())
}
