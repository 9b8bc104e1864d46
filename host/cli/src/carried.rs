//! Source that the binary carries along, so that it needs neither a repository nor a network: the contract, the SDK, and the greeter in
//! other languages.

/// The files, by their path below `carried/`, in order. `build.rs` lists them.
///
/// What is there are symbolic links, so that it is in the crate's package; `manifest.toml` is a `Cargo.toml`, whose folder cargo would
/// leave out. Of the greeter each file is linked, since builds write into its folders.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/carried.rs"));

/// The manifest of the workspace that the SDK belongs to.
const WORKSPACE: &str = include_str!("../carried/workspace.toml");

/// The manifest of a crate.
const MANIFEST: &str = "/manifest.toml";

/// The crates among the files.
const CRATES: [&str; 2] = ["guest/macros", "guest/sdk"];

/// The files of the contract, by their names.
pub fn contract() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES
        .iter()
        .filter_map(|&(path, text)| Some((path.strip_prefix("wit/")?, text)))
}

/// The greeter in another language: its files, with its world, by their path in that language's folder.
pub fn greeter(language: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().filter_map(move |&(path, text)| {
        let path = path.strip_prefix("languages/")?.strip_prefix(language)?;
        Some((path.strip_prefix('/')?, text))
    })
}

/// The SDK as a workspace of its own: its files, with the contract, and a manifest that has what they inherit.
pub fn sdk() -> Vec<(String, String)> {
    let mut files = vec![("Cargo.toml".to_owned(), manifest())];
    for folder in CRATES {
        let own = FILES.iter().filter(|(path, _)| path.starts_with(folder));
        files.extend(own.map(|&(path, text)| match path.strip_suffix(MANIFEST) {
            Some(folder) => (format!("{folder}/Cargo.toml"), text.to_owned()),
            None => (path.to_owned(), text.to_owned()),
        }));
        files.extend(
            contract().map(|(name, text)| (format!("{folder}/wit/{name}"), text.to_owned())),
        );
    }
    files
}

/// Where the SDK's crate is in that workspace.
pub const SDK: &str = "guest/sdk";

/// Of the workspace's manifest what the SDK's crates inherit.
fn manifest() -> String {
    let inherited: Vec<&str> = FILES
        .iter()
        .filter(|(path, _)| path.ends_with(MANIFEST))
        .flat_map(|(_, text)| text.lines())
        .filter_map(|line| line.strip_suffix(".workspace = true"))
        .collect();
    let members: Vec<String> = CRATES.iter().map(|path| format!("{path:?}")).collect();
    let mut text = format!(
        "# The SDK of Tidegate, as the command `tidegate` brought it along.\n\
         [workspace]\nresolver = \"3\"\nmembers = [{}]\n",
        members.join(", ")
    );
    let mut table = "";
    for line in WORKSPACE.lines() {
        if line.starts_with('[') {
            table = line;
            if is_inherited(table) {
                text.push_str(&format!("\n{line}\n"));
            }
            continue;
        }
        let key = line.split(" = ").next().filter(|key| *key != line);
        let is_wanted = match (table, key) {
            ("[workspace.dependencies]", Some(key)) => inherited.contains(&key),
            (table, Some(_)) => is_inherited(table),
            (_, None) => false,
        };
        if is_wanted {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn is_inherited(table: &str) -> bool {
    table == "[workspace.package]"
        || table == "[workspace.dependencies]"
        || table.starts_with("[workspace.lints.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_contains_only_what_crates_inherit() {
        let text = manifest();
        for wanted in [
            "members = [\"guest/macros\", \"guest/sdk\"]",
            "edition = ",
            "\nwit-bindgen = ",
            "\ntidegate-guest-macros = { path = \"guest/macros\"",
            "\nproptest = ",
            "missing_docs = ",
        ] {
            assert!(text.contains(wanted), "no `{wanted}` in:\n{text}");
        }
        for other in ["wasmtime", "[profile", "tidegate-host", "default-members"] {
            assert!(!text.contains(other), "`{other}` in:\n{text}");
        }
    }
}
