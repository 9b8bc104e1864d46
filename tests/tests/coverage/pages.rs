//! Scenarios and pages: each function has a scenario, and the pages that list functions list all of them.

use std::fs;

use tidegate_components::workspace;

use crate::contract::parts;
use crate::sources::{lacks, shown};

#[test]
fn every_function_has_a_scenario() {
    let lacking: Vec<String> = parts()
        .iter()
        .map(|part| {
            workspace::scenarios()
                .join(&part.interface)
                .join(format!("{}.yaml", part.name))
        })
        .filter(|file| !file.is_file())
        .map(|file| format!("write {}", shown(&file)))
        .collect();
    assert!(
        lacking.is_empty(),
        "functions of the world without a scenario:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn every_callback_is_on_the_pages_that_list_them() {
    let root = workspace::root();
    let exports = fs::read_to_string(root.join("host/src/engine/component/exports.rs"));
    let exports = exports.expect("exports.rs");
    let mut lacking = Vec::new();
    for part in parts().iter().filter(|part| part.name == "handle") {
        let interface = &part.interface;
        // The host declares which callbacks belong to no phase of a stream.
        let declaration = format!(" \"{interface}\": ");
        let is_event = exports
            .lines()
            .any(|line| line.contains(&declaration) && line.contains(" event "));
        let pages: &[&str] = match is_event {
            true => &[
                "docs/limits.md",
                "docs/events.md",
                "wit/local-responses.wit",
            ],
            false => &["docs/limits.md"],
        };
        for page in pages {
            let what = format!("add `{interface}` to the list of callbacks");
            lacking.extend(lacks(&root.join(page), &[format!("`{interface}`")], &what));
        }
    }
    assert!(
        lacking.is_empty(),
        "callbacks that are not documented:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn every_hostcall_on_a_stream_is_in_the_table_of_events() {
    let page = workspace::root().join("docs/events.md");
    let text = fs::read_to_string(&page).expect("docs/events.md");
    let table: String = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let lacking: Vec<String> = parts()
        .iter()
        .filter(|part| part.imported && part.takes_stream)
        .map(|part| (&part.interface, format!("{}.{}", part.interface, part.name)))
        .filter(|(interface, function)| {
            !table.contains(&format!("`{interface}`")) && !table.contains(&format!("`{function}`"))
        })
        .map(|(_, function)| format!("{}: add a row for `{function}`", shown(&page)))
        .collect();
    assert!(
        lacking.is_empty(),
        "hostcalls of which the page does not say when they can be called:\n{}",
        lacking.join("\n")
    );
}
