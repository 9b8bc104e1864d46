//! Source files that are embedded in the binary, so that it needs neither the repository nor a network: the contract, the SDK, and the
//! greeter in other languages.

/// The files with their paths in `carried/`, sorted. `build.rs` lists them.
///
/// `carried/` contains symbolic links, so that the files are part of the crate's package. `manifest.toml` is a `Cargo.toml`: cargo would
/// omit its directory under that name. The files of the greeter are linked one by one, because builds write to its directories.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/carried.rs"));

/// The manifest of the workspace that the SDK belongs to.
const WORKSPACE: &str = include_str!("../carried/workspace.toml");

/// The manifest of a crate.
const MANIFEST: &str = "/manifest.toml";

/// The crates among the files.
const CRATES: [&str; 3] = ["guest/macros", "guest/sdk", "host/semantics"];

/// Those of them that contain the contract.
const GUEST: &str = "guest/";

/// The files of the contract, with their names.
pub fn contract() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES
        .iter()
        .filter_map(|&(path, text)| Some((path.strip_prefix("wit/")?, text)))
}

/// The files of the greeter in another language and its world, with their paths in the directory of that language.
pub fn greeter(language: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().filter_map(move |&(path, text)| {
        let path = path.strip_prefix("languages/")?.strip_prefix(language)?;
        Some((path.strip_prefix('/')?, text))
    })
}

/// The SDK as a separate workspace: its files, the contract, and a manifest with the values that its crates inherit.
pub fn sdk() -> Vec<(String, String)> {
    let mut files = vec![("Cargo.toml".to_owned(), manifest())];
    for folder in CRATES {
        let own = FILES.iter().filter(|(path, _)| path.starts_with(folder));
        files.extend(own.map(|&(path, text)| match path.strip_suffix(MANIFEST) {
            Some(folder) => (format!("{folder}/Cargo.toml"), text.to_owned()),
            None => (path.to_owned(), text.to_owned()),
        }));
        if folder.starts_with(GUEST) {
            files.extend(
                contract().map(|(name, text)| (format!("{folder}/wit/{name}"), text.to_owned())),
            );
        }
    }
    files
}

/// The directory of the SDK's crate in that workspace.
pub const SDK: &str = "guest/sdk";

/// The part of the workspace's manifest that the SDK's crates inherit.
fn manifest() -> String {
    let inherited: Vec<&str> = FILES
        .iter()
        .filter(|(path, _)| path.ends_with(MANIFEST))
        .flat_map(|(_, text)| text.lines())
        .filter_map(|line| line.strip_suffix(".workspace = true"))
        .collect();
    let members: Vec<String> = CRATES.iter().map(|path| format!("{path:?}")).collect();
    let mut text = format!(
        "# Tidegate's SDK, copied by `tidegate new`.\n\
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
            "members = [\"guest/macros\", \"guest/sdk\", \"host/semantics\"]",
            "edition = ",
            "\nwit-bindgen = ",
            "\ntidegate-guest-macros = { path = \"guest/macros\"",
            "\ntidegate-semantics = { path = \"host/semantics\"",
            "\nrand_chacha = ",
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
