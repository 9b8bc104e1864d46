//! The command-line tool `tidegate`.
//!
//! This file parses and dispatches; each subcommand is a file in `commands/`.
//!
//! Developing plugins: `project` builds a plugin, `dev` watches its files, `template` and `language` contain the templates of new plugins,
//! `carried` the embedded source files. `account` summarizes a component. `testing` runs scenarios. `cache` is the cache directory.
//!
//! Serving: `serve` contains the common options, `descriptors` raises the limit on open file descriptors, `stop` is the graceful shutdown,
//! `dashboard` the web page, `plugin` the syntax of plugins, `place` their location, `upstream` the syntax of upstreams and clusters.
//!
//! Deploying: `registry` contains the options of commands that access a registry, `progress` their progress bar, `manifests` reads
//! manifests.
//!
//! `file` reads and writes whole files, `format` is the option `--format`, `output` contains the global options, `logs` writes to stderr,
//! and `renamed` contains old names of commands and options.
//!
//! No other crate of Tidegate prints, reads arguments or ends the process.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

mod account;
mod cache;
mod carried;
mod commands;
mod dashboard;
mod descriptors;
mod dev;
mod file;
mod format;
mod language;
mod logs;
mod manifests;
mod output;
mod place;
mod plugin;
mod profile;
mod progress;
mod project;
mod registry;
mod renamed;
mod serve;
mod stop;
mod template;
mod testing;
mod upstream;

/// Build, test and run proxy plugins as WebAssembly components, and deploy them to Envoy and Istio.
#[derive(Parser)]
#[command(name = "tidegate", version = VERSION.as_str(), arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    output: output::OutputArgs,
}

#[derive(Subcommand)]
enum Command {
    New(commands::new::New),
    Build(commands::build::Build),
    Dev(commands::dev::Dev),
    Test(commands::test::Test),
    Doctor(commands::doctor::Doctor),
    Run(commands::run::Run),
    Adapt(commands::adapt::Adapt),
    Inspect(commands::inspect::Inspect),
    Manifest(Box<commands::manifest::Manifest>),
    Push(commands::push::Push),
    Pull(commands::pull::Pull),
    Check(commands::check::Check),
    Chain(commands::chain::ChainArgs),
    Wit(commands::wit::Wit),
    Completions(commands::completions::Completions),
    Man(commands::man::Man),
}

const EXAMPLES: &str = "\
Examples:
  tidegate run greeter.wasm --upstream echo
  tidegate adapt greeter.wasm -o greeter.proxy.wasm
  tidegate manifest envoy greeter.wasm --upstream http://127.0.0.1:9000

Exit codes: 0 success, possibly with warnings; 1 errors were found, or the command failed; 2 invalid arguments; 3 a file, the network, \
a registry or a required program is not available.

Run `tidegate help COMMAND` for details and more examples.";

/// The version, with those of wasmtime, which compiles plugins, and of the contract.
static VERSION: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    format!(
        "{} (wasmtime {}, {})",
        env!("CARGO_PKG_VERSION"),
        wasmtime_environ::VERSION,
        tidegate_adapter::WORLD
    )
});

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| renamed::explain(error).exit());
    cli.output.choose();
    logs::detail(|| format!("tidegate {}", *VERSION));
    let done = match cli.command {
        Command::New(new) => new.execute(),
        Command::Build(build) => build.execute(),
        Command::Dev(dev) => dev.execute(),
        Command::Test(test) => test.execute(),
        Command::Doctor(doctor) => doctor.execute(),
        Command::Run(run) => run.execute(),
        Command::Adapt(adapt) => adapt.execute(),
        Command::Inspect(inspect) => inspect.execute(),
        Command::Manifest(manifest) => manifest.execute(),
        Command::Push(push) => push.execute(),
        Command::Pull(pull) => pull.execute(),
        Command::Check(check) => check.execute(),
        Command::Chain(chain) => chain.execute(),
        Command::Wit(wit) => wit.execute(),
        Command::Completions(completions) => completions.execute(Cli::command()),
        Command::Man(man) => man.execute(Cli::command()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Some conflicts between arguments are detected only now. They are usage errors, too.
            if let Some(usage) = error.downcast_ref::<clap::Error>() {
                usage.exit();
            }
            if error.is::<logs::Reported>() {
                return ExitCode::FAILURE;
            }
            logs::complain(&error);
            match is_of_environment(&error) {
                true => ExitCode::from(3),
                false => ExitCode::FAILURE,
            }
        }
    }
}

/// Whether a command failed because of files, the network, a registry or a missing program, and not because of its input.
fn is_of_environment(error: &anyhow::Error) -> bool {
    // `chain` does not give access to the type of a context, but `is` does.
    let is_unavailable = error.is::<logs::Unavailable>();
    is_unavailable
        || error.chain().any(|cause| {
            let io = cause.downcast_ref::<std::io::Error>();
            let oci = cause.downcast_ref::<tidegate_oci::Error>();
            // Invalid contents of a file, and decisions of Istio's agent about a registry, are findings.
            io.is_some_and(|it| it.kind() != std::io::ErrorKind::InvalidData)
                || oci.is_some_and(|it| !is_of_the_agent(it))
                || cause.is::<tidegate_oci::CredentialsError>()
        })
}

/// Whether the error is a decision of Istio's agent about a registry.
fn is_of_the_agent(error: &tidegate_oci::Error) -> bool {
    use tidegate_oci::Error::{InnerRedirect, LinkLocal};
    matches!(error, InnerRedirect { .. } | LinkLocal { .. })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The commands among a help text's examples.
    fn examples(help: &str) -> Vec<Vec<String>> {
        let help = help.replace("\\\n", " ");
        let lines = help.lines().filter(|line| line.starts_with("  "));
        lines.flat_map(|line| calls(&filled(line))).collect()
    }

    /// The commands in a page's blocks of shell. In `console`, they follow a `$`, and their output is there, too.
    fn documented(page: &str) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        for (language, block) in blocks(page) {
            let block = filled(&block.replace("\\\n", " "));
            for line in block.lines() {
                let line = match language {
                    "sh" => Some(line),
                    "console" => line.strip_prefix("$ "),
                    _ => None,
                };
                found.extend(line.into_iter().flat_map(calls));
            }
        }
        found
    }

    /// The blocks of code in a page, each with its language.
    fn blocks(page: &str) -> impl Iterator<Item = (&str, &str)> {
        let blocks = page.split("```").skip(1).step_by(2);
        blocks.map(|block| block.split_once('\n').unwrap_or((block, "")))
    }

    /// The calls of `tidegate` in a line of shell, as their words: alone, in a pipe, in a substitution. A comment ends the line.
    fn calls(line: &str) -> Vec<Vec<String>> {
        let (mut calls, mut words) = (Vec::new(), Vec::<String>::new());
        let (mut word, mut quote) = (None::<String>, None);
        for char in line.chars() {
            match char {
                _ if quote == Some(char) => quote = None,
                '\'' | '"' if quote.is_none() => {
                    quote = Some(char);
                    // Empty quotes are a word, too.
                    word = Some(word.unwrap_or_default());
                }
                '#' if quote.is_none() && word.is_none() => break,
                ' ' if quote.is_none() => words.extend(word.take()),
                '|' | '&' | ';' | '<' | '>' | '(' | ')' if quote.is_none() => {
                    words.extend(word.take());
                    calls.push(std::mem::take(&mut words));
                }
                char => word.get_or_insert_default().push(char),
            }
        }
        words.extend(word);
        calls.push(words);
        calls.retain(|words| words.first().is_some_and(|it| it == "tidegate"));
        calls
    }

    /// A text with values for the variables and placeholders that examples have.
    fn filled(text: &str) -> String {
        let digest = "0".repeat(64);
        let pinned = format!("oci://127.0.0.1:5000/greeter:1.0.0@sha256:{digest}");
        text.replace("$DIGEST", &digest)
            .replace("$PINNED", &pinned)
            .replace("sha256:…", &format!("sha256:{digest}"))
    }

    fn parse(call: &[String], place: &str) {
        // Clap reports help and the version as errors, too, and writes these to stdout.
        if let Err(error) = Cli::try_parse_from(call)
            && error.use_stderr()
        {
            panic!("{place}: {call:?}: {error}");
        }
    }

    /// The pages for users by their names, with their text. They are in the repository only, not in the package.
    fn pages() -> Vec<(String, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let docs = fs::read_dir(root.join("docs")).expect("the directory docs/ of the repository");
        let mut names = vec!["README.md".to_owned(), "host/cli/README.md".to_owned()];
        names.extend(docs.map(|entry| {
            let name = entry.expect("an entry").file_name();
            format!("docs/{}", name.to_str().expect("a name in UTF-8"))
        }));
        names.retain(|name| name.ends_with(".md"));
        let read = |name: String| {
            let text = fs::read_to_string(root.join(&name));
            let text = text.unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, text)
        };
        names.into_iter().map(read).collect()
    }

    #[test]
    fn cli_definition_passes_clap_checks() {
        Cli::command().debug_assert();
    }

    #[test]
    fn command_lines_are_split_as_in_a_shell() {
        let line = r#"A=$(tidegate push a.wasm='{"b": 1}' "c d" '' | jq .e) && tidegate run f#g <(tidegate man) # tidegate h"#;
        let expected: [&[&str]; 3] = [
            &["tidegate", "push", r#"a.wasm={"b": 1}"#, "c d", ""],
            &["tidegate", "run", "f#g"],
            &["tidegate", "man"],
        ];
        assert_eq!(calls(line), expected);
        let page = "a\n```console\n$ tidegate run a \\\n    b\ntidegate\n```\n`tidegate c`\n```sh\nd | tidegate e\n```\n";
        let expected: [&[&str]; 2] = [&["tidegate", "run", "a", "b"], &["tidegate", "e"]];
        assert_eq!(documented(page), expected);
    }

    #[test]
    fn help_has_examples_that_parse() {
        let mut open = vec![Cli::command()];
        while let Some(command) = open.pop() {
            open.extend(command.get_subcommands().cloned());
            let page = command.get_after_help().map(ToString::to_string);
            let page = page.expect("a page with examples");
            let examples = examples(&page);
            assert!(!examples.is_empty(), "no example in:\n{page}");
            for example in examples {
                parse(&example, command.get_name());
            }
        }
    }

    #[test]
    fn documented_commands_parse() {
        let mut count = 0;
        for (name, page) in pages() {
            for call in documented(&page) {
                parse(&call, &name);
                count += 1;
            }
        }
        assert!(count > 40, "only {count} commands were found");
    }

    /// In running text, arguments may be missing.
    #[test]
    fn commands_and_options_mentioned_in_prose_exist() {
        let mut root = Cli::command();
        // This adds the options that all commands have.
        root.build();
        for (name, page) in pages() {
            let text: String = page.split("```").step_by(2).collect();
            let spans = text.split('`').skip(1).step_by(2);
            for span in spans.filter(|span| span.starts_with("tidegate ")) {
                let mut command = &root;
                for word in span.split_whitespace().skip(1) {
                    let option = word.strip_prefix("--");
                    let option = option.map(|it| it.split('=').next().unwrap_or(it));
                    if let Some(option) = option {
                        let mut options = command.get_arguments().filter_map(|it| it.get_long());
                        assert!(options.any(|it| it == option), "{name}: `{span}`");
                    } else if let Some(within) = command.find_subcommand(word) {
                        command = within;
                    } else {
                        let is_known = !command.has_subcommands() || word == "…";
                        assert!(is_known, "{name}: `{span}`: there is no command `{word}`");
                    }
                }
            }
        }
    }

    /// A command is executed by a test, which compares what the tutorial shows, or the page says that it is an example.
    #[test]
    fn docs_mark_untested_commands_as_examples() {
        for (name, page) in pages() {
            let has = |language: &str| blocks(&page).any(|(it, _)| it == language);
            if has("sh") && name != "host/cli/README.md" {
                assert!(
                    page.contains("are examples"),
                    "{name} does not mark its commands as examples"
                );
            }
            assert!(
                !has("console") || name == "docs/tutorial.md",
                "{name}: its `console` blocks are not tested"
            );
        }
    }

    #[test]
    fn docs_index_lists_all_pages() {
        let pages = pages();
        let index = pages.iter().find(|(name, _)| name == "docs/README.md");
        let (_, index) = index.expect("docs/README.md");
        for (name, _) in &pages {
            if let Some(name) = name.strip_prefix("docs/").filter(|it| *it != "README.md") {
                assert!(
                    index.contains(&format!("]({name})")),
                    "docs/README.md lacks {name}"
                );
            }
        }
    }

    #[test]
    fn limits_page_lists_all_unsupported_hostcalls() {
        let pages = pages();
        let limits = pages.iter().find(|(name, _)| name == "docs/limits.md");
        let (_, limits) = limits.expect("docs/limits.md");
        for name in tidegate_host::UNSUPPORTED_HOSTCALLS {
            assert!(
                limits.contains(&format!("`{name}`")),
                "docs/limits.md lacks {name}"
            );
        }
    }
}
