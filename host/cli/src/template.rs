//! The templates for plugins in Rust: files in `templates/` with placeholders. `language` contains those for other languages.

use clap::ValueEnum;
use tidegate_testkit::schema;

/// A template for a plugin in Rust.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// Adds a greeting to every response; a minimal plugin
    #[default]
    Http,
    /// Responds with 429 to requests over a limit, using state, the clock and local responses
    RateLimit,
    /// Sets and removes response headers, with a validated configuration
    Headers,
}

/// The values of the placeholders.
pub struct Places<'a> {
    /// The package's name.
    pub name: &'a str,
    /// Where the SDK comes from: a key and a value of a dependency, in TOML.
    pub sdk: &'a str,
    /// Whether the SDK is in `vendor/`.
    pub is_vendored: bool,
}

// === impl Template ===

impl Template {
    /// The plugin's files, with their paths in its directory.
    pub fn files(self, places: &Places<'_>) -> Vec<(&'static str, String)> {
        let own = self.own();
        let has = |path: &str| own.iter().any(|(name, _)| *name == path);
        let config = if has("config.json") {
            " --config @config.json"
        } else {
            ""
        };
        let logic = own
            .iter()
            .filter_map(|(name, _)| name.strip_prefix("src/"))
            .find(|name| !["lib.rs", "tests.rs"].contains(name))
            .map_or_else(String::new, |file| {
                format!("; `src/{file}` contains its logic, which does not depend on a proxy and has a unit test")
            });
        let vendor = if places.is_vendored {
            "\n* `vendor/` is the SDK, which is not on crates.io yet. Keep it under version control."
        } else {
            ""
        };
        let fill = |text: &str| {
            text.replace("{{name}}", places.name)
                .replace("{{about}}", self.about())
                .replace("{{config}}", config)
                .replace("{{logic}}", &logic)
                .replace("{{vendor}}", vendor)
                .replace("{{sdk}}", places.sdk)
                .replace("{{repository}}", env!("CARGO_PKG_REPOSITORY"))
        };
        let all = COMMON.iter().chain(own);
        let mut files: Vec<_> = all.map(|(path, text)| (*path, fill(text))).collect();
        files.push(scenario_schema());
        files
    }

    fn about(self) -> &'static str {
        match self {
            Self::Http => "A proxy plugin that adds a greeting to every response.",
            Self::RateLimit => "A proxy plugin that responds with 429 to requests over a limit.",
            Self::Headers => "A proxy plugin that sets and removes response headers.",
        }
    }

    fn own(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Http => &[
                ("src/lib.rs", include_str!("../templates/http/src/lib.rs")),
                (
                    "src/tests.rs",
                    include_str!("../templates/http/src/tests.rs"),
                ),
                (
                    "scenarios/greeting.yaml",
                    include_str!("../templates/http/scenarios/greeting.yaml"),
                ),
                (
                    "scenarios/configured.yaml",
                    include_str!("../templates/http/scenarios/configured.yaml"),
                ),
            ],
            Self::RateLimit => &[
                (
                    "src/lib.rs",
                    include_str!("../templates/rate-limit/src/lib.rs"),
                ),
                (
                    "src/tests.rs",
                    include_str!("../templates/rate-limit/src/tests.rs"),
                ),
                (
                    "src/bucket.rs",
                    include_str!("../templates/rate-limit/src/bucket.rs"),
                ),
                (
                    "scenarios/limit.yaml",
                    include_str!("../templates/rate-limit/scenarios/limit.yaml"),
                ),
                (
                    "scenarios/misconfigured.yaml",
                    include_str!("../templates/rate-limit/scenarios/misconfigured.yaml"),
                ),
                (
                    "config.json",
                    include_str!("../templates/rate-limit/config.json"),
                ),
            ],
            Self::Headers => &[
                (
                    "src/lib.rs",
                    include_str!("../templates/headers/src/lib.rs"),
                ),
                (
                    "src/tests.rs",
                    include_str!("../templates/headers/src/tests.rs"),
                ),
                (
                    "src/edits.rs",
                    include_str!("../templates/headers/src/edits.rs"),
                ),
                (
                    "scenarios/edits.yaml",
                    include_str!("../templates/headers/scenarios/edits.yaml"),
                ),
                (
                    "scenarios/misconfigured.yaml",
                    include_str!("../templates/headers/scenarios/misconfigured.yaml"),
                ),
                (
                    "config.json",
                    include_str!("../templates/headers/config.json"),
                ),
            ],
        }
    }
}

/// The JSON Schema that the first line of each scenario refers to, for editors, with its path in a plugin's directory.
pub fn scenario_schema() -> (&'static str, String) {
    let text = format!("{:#}\n", schema::scenario());
    ("scenarios/.schema.json", text)
}

/// The files of every plugin.
const COMMON: &[(&str, &str)] = &[
    (
        "Cargo.toml",
        include_str!("../templates/common/manifest.toml"),
    ),
    ("README.md", include_str!("../templates/common/README.md")),
    (".gitignore", include_str!("../templates/common/gitignore")),
    (
        ".github/workflows/test.yml",
        include_str!("../templates/common/.github/workflows/test.yml"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_have_no_unfilled_placeholders() {
        for template in Template::value_variants() {
            let places = Places {
                name: "greeter",
                sdk: "\"0.1.0\"",
                is_vendored: false,
            };
            for (path, text) in template.files(&places) {
                assert!(!text.contains("{{"), "{template:?}: {path}:\n{text}");
                if path.ends_with(".yaml") && path.starts_with("scenarios/") {
                    assert!(text.starts_with("# yaml-language-server: $schema=.schema.json\n"));
                }
            }
        }
    }
}
