//! The command line tool `tidegate`.
//!
//! This file parses and dispatches; each subcommand is a file in `commands/`.
//!
//! For authors: `project` is a plugin's source and its build, `dev` watches it, `template` is what new ones are made of, `carried` the
//! source that the binary brings along. `account` is what a component is in a few lines. `testing` runs scenarios, `report` shows
//! what came of them. `cache` is the folder for what is fetched.
//!
//! For serving: `serve` is how, `stop` how that ends, `dashboard` the page beside it, `plugin` the one syntax for plugins, `place`
//! where they are read from, `upstream` the one syntax for upstreams.
//!
//! For shipping: `registry` is what the commands that speak to one have in common, `progress` their bar, `manifests` the files of
//! those that look at manifests.
//!
//! `file` reads and writes whole files, `format` is the option of that name, `output` those that all commands have, `logs` writes plugins' lines to stderr. `renamed` knows what
//! commands and options were called before.
//! Nothing else in Tidegate prints, reads arguments or ends the process.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

mod account;
mod cache;
mod carried;
mod commands;
mod dashboard;
mod dev;
mod file;
mod format;
mod logs;
mod manifests;
mod output;
mod place;
mod plugin;
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

Exit codes: 0 success; 1 findings or failures; 2 usage error; 3 a file, the network, a registry or a required program is not available.

Run `tidegate help COMMAND` for details and more examples.";

/// Every plugin is compiled by this wasmtime and written against this contract, so both are part of what a version is.
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
            // Arguments that do not go together are found late, and are a matter of usage all the same.
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

/// Whether a command failed because of files, the network, a registry or a missing program, and not because of what it was given.
fn is_of_environment(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<std::io::Error>()
            || cause.is::<tidegate_oci::Error>()
            || cause.is::<tidegate_oci::CredentialsError>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands among a help text's examples, as a shell would split them, up to a pipe or the like.
    fn examples(help: &str) -> Vec<Vec<String>> {
        let lines = help.lines().filter(|line| line.starts_with("  "));
        let commands = lines.filter_map(|line| line.find("tidegate ").map(|at| &line[at..]));
        commands.map(words).collect()
    }

    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
        for char in line.chars() {
            match char {
                '\'' => quoted = !quoted,
                '|' | '>' | '<' | ')' | '&' if !quoted => break,
                ' ' if !quoted => words.push(std::mem::take(&mut word)),
                char => word.push(char),
            }
        }
        words.push(word);
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn help_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_has_examples_that_parse() {
        let mut open = vec![Cli::command()];
        while let Some(command) = open.pop() {
            open.extend(command.get_subcommands().cloned());
            let page = command.get_after_help().map(ToString::to_string);
            let page = page.expect("a page with examples");
            // What is a variable on the page has to be a value here.
            let examples = examples(&page.replace("\"$DIGEST\"", &"0".repeat(64)));
            assert!(!examples.is_empty(), "no example in:\n{page}");
            for example in examples {
                if let Err(error) = Cli::try_parse_from(&example) {
                    panic!("{example:?}: {error}");
                }
            }
        }
    }
}
