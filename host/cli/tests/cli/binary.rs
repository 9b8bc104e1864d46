//! The command-line tool under test: a hard link, which remains valid if cargo rebuilds the tool.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// The path of the tool.
pub fn path() -> &'static str {
    static LINK: LazyLock<String> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let name = format!("tidegate-under-test{}", std::env::consts::EXE_SUFFIX);
        let new = folder.join(format!("{}-{name}", std::process::id()));
        let built = env!("CARGO_BIN_EXE_tidegate");
        if fs::hard_link(built, &new).is_err() {
            fs::copy(built, &new).expect("a copy of the tool");
        }
        let link = folder.join(name);
        fs::rename(&new, &link).expect("a place for the tool");
        // If both are links to the same file, `rename` does nothing.
        let _ = fs::remove_file(&new);
        link.to_str().expect("a path in UTF-8").to_owned()
    });
    &LINK
}
