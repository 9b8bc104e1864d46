//! Reads and writes whole files; `-` denotes stdin and stdout.
//!
//! Files are replaced atomically: a temporary file in the same directory is written and then renamed.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tempfile::Builder;

use crate::logs;

/// Reads a file, or stdin.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = read_secret(path)?;
    logs::detail(|| format!("read {}: {} bytes", quoted(path), bytes.len()));
    Ok(bytes)
}

/// Reads a file, or stdin. `--verbose` does not print the length.
pub fn read_secret(path: &Path) -> anyhow::Result<Vec<u8>> {
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
    replace(path, bytes)
        .map_err(|error| match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() && !folder.exists() => io::Error::new(
                error.kind(),
                format!("the directory `{}` does not exist", folder.display()),
            ),
            _ => without_temporary_name(error),
        })
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    logs::detail(|| format!("wrote `{}`: {} bytes", path.display(), bytes.len()));
    Ok(())
}

/// Writes a binary. Fails if stdout is a terminal.
pub fn write_binary(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if is_stdio(path) && io::stdout().is_terminal() {
        bail!("refusing to write a binary to a terminal: specify a file, or redirect stdout");
    }
    write(path, bytes)
}

/// The error without the path of the temporary file or directory. The crate `tempfile` appends it to the message, and it means
/// nothing to users. The error inside is not accessible.
pub fn without_temporary_name(error: io::Error) -> io::Error {
    let message = error.to_string();
    match message.split_once(" at path ") {
        Some((message, _)) => io::Error::new(error.kind(), message),
        None => error,
    }
}

/// Whether the path denotes stdin or stdout.
pub fn is_stdio(path: &Path) -> bool {
    path.as_os_str() == OsStr::new("-")
}

/// The name of an input in messages that begin with it: the path, or `stdin`.
pub fn name(path: &Path) -> Cow<'_, str> {
    match is_stdio(path) {
        true => Cow::Borrowed("stdin"),
        false => path.to_string_lossy(),
    }
}

/// The name of an input within a sentence: a path is quoted.
pub fn quoted(path: &Path) -> String {
    match is_stdio(path) {
        true => "stdin".to_owned(),
        false => format!("`{}`", path.display()),
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = match fs::metadata(path) {
        // A device or a pipe is written to. Renaming a file would replace it.
        Ok(there) if !there.is_file() && !there.is_dir() => return fs::write(path, bytes),
        // The target of a symbolic link is replaced, not the link.
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
        // The permissions of the file are determined by the umask, like those of other files.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(target)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_does_not_contain_the_name_of_a_temporary_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = folder.path().join("missing");
        for failed in [
            Builder::new().tempfile_in(&missing).map(drop),
            Builder::new().tempdir_in(&missing).map(drop),
            fs::read(&missing).map(drop),
        ] {
            let error = without_temporary_name(failed.expect_err("the directory is missing"));
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert!(!error.to_string().contains("missing"), "{error}");
        }
    }

    #[test]
    fn missing_directory_is_reported_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = folder.path().join("missing");
        let file = missing.join("out.wasm");
        let error = write(&file, b"").expect_err("the directory is missing");
        assert_eq!(
            format!("{error:#}"),
            format!(
                "cannot write `{}`: the directory `{}` does not exist",
                file.display(),
                missing.display()
            )
        );
    }
}
