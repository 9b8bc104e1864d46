//! Commands and options that were renamed before 0.1.0. Using an old name is an error that names the new one.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Old and new spellings. CHANGELOG.md has the same table.
pub const RENAMED: &[(&str, &str)] = &[
    ("order", "chain"),
    ("--home", "--runtime"),
    ("--bless", "--update"),
    ("--json", "--format json"),
    ("--format human", "--format text"),
    ("validate", "check"),
    ("verify", "check"),
    ("--fail-policy", "--failure-policy"),
    (
        "--kind",
        "manifest wasm-plugin|traffic-extension|envoy-filter|envoy-extension-policy|envoy",
    ),
];

/// Replaces the error for an old spelling by one that names the new spelling.
pub fn explain(error: clap::Error) -> clap::Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let old = match error.kind() {
        ErrorKind::InvalidSubcommand => text(ContextKind::InvalidSubcommand).map(str::to_owned),
        ErrorKind::UnknownArgument => text(ContextKind::InvalidArg).map(str::to_owned),
        ErrorKind::InvalidValue => {
            let option = text(ContextKind::InvalidArg).and_then(|it| it.split(' ').next());
            let value = text(ContextKind::InvalidValue);
            option
                .zip(value)
                .map(|(option, value)| format!("{option} {value}"))
        }
        _ => None,
    };
    let renamed = RENAMED.iter().find(|(it, _)| Some(*it) == old.as_deref());
    match renamed {
        Some((old, new)) => {
            let message = format!("`{old}` has been replaced by `{new}`\n");
            clap::Error::raw(error.kind(), message)
        }
        None if error.kind() == ErrorKind::InvalidSubcommand && is_manifest() => {
            let kind = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            let message = format!(
                "`{kind}` is not a kind of manifest: write `tidegate manifest KIND PLUGIN`, with one of the kinds wasm-plugin, traffic-extension, envoy-filter, envoy-extension-policy and envoy\n"
            );
            clap::Error::raw(error.kind(), message)
        }
        None => error,
    }
}

/// Whether the command is `manifest`, whose kinds are subcommands.
fn is_manifest() -> bool {
    let mut words = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'));
    words.next().as_deref() == Some("manifest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changelog_lists_every_rename() {
        let changelog = concat!(env!("CARGO_MANIFEST_DIR"), "/../../CHANGELOG.md");
        let changelog = std::fs::read_to_string(changelog).expect("CHANGELOG.md");
        for (old, new) in RENAMED {
            let new = new.replace('|', "\\|");
            let row = format!("| `{old}` | `{new}` |\n");
            assert!(changelog.contains(&row), "{row}");
        }
    }
}
