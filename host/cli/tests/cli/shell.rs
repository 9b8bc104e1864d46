//! `tidegate completions` and `tidegate man`: tested with shells and `man`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::tool::{Folder, commands, names, text, tidegate};

/// The output of a program that the test needs.
fn output(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    output
        .unwrap_or_else(|error| panic!("cannot run `{}`: {error}", command.get_program().display()))
}

#[test]
fn completion_scripts_contain_every_command() {
    let commands = commands();
    assert!(commands.len() > 10, "{commands:?}");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let done = tidegate(["completions", shell]);
        let script = String::from_utf8(done.succeeds().to_vec()).expect("UTF-8");
        for command in commands.iter().flat_map(|name| name.split(' ')) {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
        assert!(script.contains("upstream"), "{shell} knows no options");
    }
    tidegate(["completions", "tcsh"]).misses("[possible values: bash,");
}

#[test]
#[ignore = "needs bash"]
fn bash_completes_commands_options_and_values_needs_bash() {
    let folder = Folder::new();
    let script = folder.file(
        "tidegate.bash",
        tidegate(["completions", "bash"]).succeeds(),
    );
    for (typed, completed) in [
        ("tidegate che", "check"),
        ("tidegate adapt --out", "--output"),
        ("tidegate completions z", "zsh"),
    ] {
        // What bash does when the tab key is pressed at the end of the line.
        let complete = r#"
            source "$1"
            COMP_WORDS=($2)
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            registered=$(complete -p tidegate)
            [[ $registered == *"-F _tidegate "* ]] || exit 1
            _tidegate tidegate "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            echo "${COMPREPLY[*]}""#;
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", complete, "bash", &script, typed]);
        let output = output(&mut bash);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim_end(),
            completed,
            "{error}"
        );
        assert!(output.status.success() && error.is_empty(), "{error}");
    }
}

#[test]
#[ignore = "needs fish"]
fn fish_completes_commands_and_options_needs_fish() {
    let folder = Folder::new();
    let script = folder.file(
        "tidegate.fish",
        tidegate(["completions", "fish"]).succeeds(),
    );
    for (typed, completed) in [
        ("tidegate che", "check\t"),
        ("tidegate adapt --out", "--output\t"),
    ] {
        let complete = "source $argv[1]; complete -C $argv[2]";
        let mut fish = Command::new("fish");
        fish.args(["--no-config", "-c", complete, &script, typed]);
        let output = output(&mut fish);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && error.is_empty(), "{error}");
        let found = String::from_utf8_lossy(&output.stdout);
        assert!(
            found.starts_with(completed) && found.lines().count() == 1,
            "{found}"
        );
    }
}

#[test]
#[ignore = "needs zsh"]
fn zsh_loads_the_completion_script_from_fpath_needs_zsh() {
    let folder = Folder::new();
    folder.file("_tidegate", tidegate(["completions", "zsh"]).succeeds());
    let load = "fpath=($1 $fpath); autoload -Uz compinit && compinit -u -D && \
        autoload +X _tidegate && print -r -- $_comps[tidegate] $+functions[_tidegate]";
    let mut zsh = Command::new("zsh");
    zsh.args(["-f", "-c", load, "zsh", &text(&folder.path(""))]);
    let output = output(&mut zsh);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{error}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim_end(),
        "_tidegate 1"
    );
}

/// Writes the pages, and returns their names without `.1`, sorted.
fn pages(folder: &Path) -> Vec<String> {
    tidegate(["man", "-o", &text(folder)]).succeeds();
    let found = names(folder);
    let found = found.iter().map(|name| name.trim_end_matches(".1"));
    let mut found: Vec<_> = found.map(str::to_owned).collect();
    found.sort();
    found
}

#[test]
fn every_command_has_a_man_page_with_examples() {
    let folder = Folder::new();
    let folder = folder.path("share/man1");
    let found = pages(&folder);
    let mut expected: Vec<String> = commands()
        .iter()
        .map(|name| format!("tidegate-{}", name.replace(' ', "-")))
        .chain(["tidegate".to_owned()])
        .collect();
    expected.sort();
    assert_eq!(found, expected);
    for name in &found {
        let page = fs::read_to_string(folder.join(format!("{name}.1"))).expect("a page");
        assert!(page.contains(".SH EXAMPLES\n.nf\n"), "{name}: {page}");
    }
}

#[test]
#[ignore = "needs groff"]
fn every_man_page_renders_needs_groff() {
    let folder = Folder::new();
    let folder = folder.path("share/man1");
    pages(&folder);
    let commands = commands().into_iter();
    let commands = commands.map(|name| format!("tidegate {name}"));
    for command in commands.chain(["tidegate".to_owned()]) {
        let name = command.replace(' ', "-");
        let mut groff = Command::new("groff");
        groff.args([
            "-man",
            "-Kutf8",
            "-Tutf8",
            "-ww",
            "-P-cbou",
            &text(&folder.join(format!("{name}.1"))),
        ]);
        let output = output(&mut groff);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && error.is_empty(),
            "{name}: {error}"
        );
        let shown = String::from_utf8_lossy(&output.stdout);
        // An example keeps its line breaks.
        let example = shown
            .lines()
            .find(|line| line.trim_start().starts_with(&command) && line.starts_with("         "));
        assert!(example.is_some(), "{name}: {shown}");
    }
}

#[test]
fn man_reports_unwritable_output_directory() {
    let folder = Folder::new();
    let file = folder.file("file", "");
    tidegate(["man", "-o", &format!("{file}/man")])
        .lacks(&["cannot create the directory", "file/man"]);
}
