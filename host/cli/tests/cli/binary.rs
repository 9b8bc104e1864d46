//! The command line tool that the tests run: a link to it that stays when cargo builds it anew at the same time.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// Its path.
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
        // Of two links to the same file, a rename removes none.
        let _ = fs::remove_file(&new);
        link.to_str().expect("a path in UTF-8").to_owned()
    });
    &LINK
}
