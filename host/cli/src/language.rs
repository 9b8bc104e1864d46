//! The languages in which `tidegate new` creates plugins. For Rust, the templates are in `template`. For another language, the plugin is
//! the greeter in `carried`, with its world, the contract, a scenario, and the files in `templates/languages/`.

use clap::ValueEnum;

use crate::{carried, template};

/// The language that a new plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// With Tidegate's SDK, built with cargo
    Rust,
    /// Built with Go, wit-bindgen and wasm-tools
    Go,
    /// Built with componentize-js, which needs Node.js
    #[value(name = "javascript")]
    JavaScript,
    /// Built with componentize-py
    Python,
    /// Built with zig or another C compiler, wit-bindgen and wasm-tools
    C,
}

/// The greeter in one language.
pub struct Greeter {
    /// The directory of its source among the embedded files.
    folder: &'static str,
    readme: &'static str,
    ignored: &'static str,
}

/// The scenario. The greeter behaves in the same way in every language.
const SCENARIO: &str = include_str!("../templates/http/scenarios/greeting.yaml");

// === impl Language ===

impl Language {
    /// The greeter in this language; `None` for Rust, which has templates instead.
    pub fn greeter(self) -> Option<Greeter> {
        match self {
            Self::Rust => None,
            Self::Go => Some(Greeter {
                folder: "go",
                readme: include_str!("../templates/languages/go/README.md"),
                ignored: include_str!("../templates/languages/go/gitignore"),
            }),
            Self::JavaScript => Some(Greeter {
                folder: "javascript",
                readme: include_str!("../templates/languages/javascript/README.md"),
                ignored: include_str!("../templates/languages/javascript/gitignore"),
            }),
            Self::Python => Some(Greeter {
                folder: "python",
                readme: include_str!("../templates/languages/python/README.md"),
                ignored: include_str!("../templates/languages/python/gitignore"),
            }),
            Self::C => Some(Greeter {
                folder: "c",
                readme: include_str!("../templates/languages/c/README.md"),
                ignored: include_str!("../templates/languages/c/gitignore"),
            }),
        }
    }
}

// === impl Greeter ===

impl Greeter {
    /// The plugin's files, with their paths in its directory.
    pub fn files(&self, name: &str) -> Vec<(String, String)> {
        let wasm = format!("{name}.wasm");
        let package = format!("\"name\": \"{name}\"");
        // In the repository, JavaScript and Python share a world, in a directory next to theirs.
        let source = carried::greeter(self.folder).map(|(path, text)| {
            let text = text
                .replace("../wit", "wit")
                .replace("greeter.wasm", &wasm)
                .replace("\"name\": \"greeter\"", &package);
            (path.to_owned(), text)
        });
        let contract = carried::contract()
            .map(|(file, text)| (format!("wit/deps/tidegate/{file}"), text.to_owned()));
        let others = [
            ("README.md", self.readme(name)),
            (".gitignore", self.ignored.to_owned()),
            ("scenarios/greeting.yaml", SCENARIO.to_owned()),
            template::scenario_schema(),
        ];
        let others = others.map(|(path, text)| (path.to_owned(), text));
        source.chain(contract).chain(others).collect()
    }

    /// The commands at the start of its README, which build, test and run it.
    pub fn commands(&self, name: &str) -> Vec<String> {
        let readme = self.readme(name);
        let block = readme
            .split_once("```sh\n")
            .and_then(|(_, rest)| rest.split_once("```"))
            .map_or("", |(block, _)| block);
        let command = |line: &str| match line.split_once(" # ") {
            Some((command, _)) => command.trim_end().to_owned(),
            None => line.to_owned(),
        };
        block.lines().map(command).collect()
    }

    fn readme(&self, name: &str) -> String {
        self.readme.replace("{{name}}", name)
    }
}
