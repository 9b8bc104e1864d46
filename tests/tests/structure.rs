//! Modules do not import each other in cycles: data flows in one direction, and a module can be read after the modules that it uses. In the
//! adapter and the bridge this applies to each file; in the host and the semantics, to each module of the crate root together with its
//! submodules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use tidegate_components::workspace;

#[test]
fn adapter_modules_have_no_dependency_cycle() -> Result<()> {
    check("adapter/src", |graph| graph)
}

#[test]
fn bridge_modules_have_no_dependency_cycle() -> Result<()> {
    check("adapter/bridge/src", |graph| graph)
}

#[test]
fn host_modules_have_no_dependency_cycle() -> Result<()> {
    check("host/src", top_level)
}

#[test]
fn semantics_modules_have_no_dependency_cycle() -> Result<()> {
    check("host/semantics/src", top_level)
}

#[test]
fn dependency_cycle_is_detected() {
    let edge = |from: &str, to: &[&str]| {
        let to = to.iter().map(|to| (*to).to_owned()).collect();
        (from.to_owned(), to)
    };
    let graph = Graph::from([edge("a", &["b"]), edge("b", &["c", "d"]), edge("c", &["a"])]);
    assert_eq!(
        cycle(&graph),
        Some(vec!["a".into(), "b".into(), "c".into()])
    );
    let graph = Graph::from([edge("a", &["b", "c"]), edge("b", &["c"])]);
    assert_eq!(cycle(&graph), None);
    let graph = Graph::from([
        edge("a", &["a::b", "c"]),
        edge("a::b", &["a"]),
        edge("c", &[]),
    ]);
    assert_eq!(
        top_level(graph),
        Graph::from([edge("a", &["c"]), edge("c", &[])])
    );
}

#[test]
fn module_dependencies_are_parsed_from_source() {
    let modules = ["link", "link::emit", "error"].map(str::to_owned).into();
    let source = "use crate::error::AdaptError;\nuse crate::{link::emit, error};\nfn f() { crate::link::go() }\nmod emit;\n";
    let uses = uses("link", source, &modules);
    assert_eq!(
        uses.into_iter().collect::<Vec<_>>(),
        ["error", "link::emit"]
    );
    let outside = self::uses("error", "use crate::Options;\n", &modules);
    assert_eq!(outside.into_iter().collect::<Vec<_>>(), [ROOT]);
}

/// The modules that each module uses.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// The crate root, which uses every module.
const ROOT: &str = "(the crate's root)";

fn check(folder: &str, view: impl FnOnce(Graph) -> Graph) -> Result<()> {
    let root = workspace::root().join(folder);
    let mut sources = BTreeMap::new();
    read(&root, "", &mut sources)?;
    ensure!(
        sources.len() > 20,
        "{folder} has only {} modules",
        sources.len()
    );
    let modules: BTreeSet<String> = sources.keys().cloned().collect();
    let mut graph = Graph::new();
    for (module, source) in &sources {
        let source = source
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        graph.insert(module.clone(), uses(module, source, &modules));
    }
    let mut graph = view(graph);
    graph.insert(ROOT.to_owned(), graph.keys().cloned().collect());
    match cycle(&graph) {
        Some(cycle) => bail!(
            "{folder}: modules import each other: {}",
            cycle.join(" -> ")
        ),
        None => Ok(()),
    }
}

/// Merges each module of the crate root with its submodules.
fn top_level(graph: Graph) -> Graph {
    let top = |module: &str| module.split("::").next().unwrap_or_default().to_owned();
    let mut merged = Graph::new();
    for (module, uses) in graph {
        let module = top(&module);
        let uses = uses.iter().map(|it| top(it));
        let others: BTreeSet<String> = uses.filter(|it| *it != module).collect();
        merged.entry(module).or_default().extend(others);
    }
    merged
}

/// Reads the sources of all modules except the crate root, by module path.
fn read(folder: &Path, prefix: &str, sources: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let stem = stem.context("the file has no name")?;
        // Test modules may import any module.
        if stem == "tests" {
            continue;
        }
        let module = match (prefix, stem) {
            ("", stem) => stem.to_owned(),
            (prefix, "mod") => prefix.to_owned(),
            (prefix, stem) => format!("{prefix}::{stem}"),
        };
        if path.is_dir() {
            read(&path, &module, sources)?;
        } else if module != "lib" && path.extension().is_some_and(|it| it == "rs") {
            sources.insert(module, fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// Returns the modules that a source names: by paths from the crate root, and its own children.
fn uses(module: &str, source: &str, modules: &BTreeSet<String>) -> BTreeSet<String> {
    let code = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code: String = code.collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for prefix in ["$crate::", "crate::"] {
        for (at, _) in code.match_indices(prefix) {
            let rest = &code[at + prefix.len()..];
            match rest.strip_prefix('{') {
                Some(group) => {
                    let end = group.find("};").unwrap_or(group.len());
                    let depth_one = group[..end].split(',');
                    found.extend(depth_one.filter_map(|item| target(item.trim(), modules)));
                }
                None => found.extend(target(rest, modules)),
            }
        }
    }
    let parent = module.rsplit_once("::").map(|(parent, _)| parent);
    for (at, _) in code.match_indices("super::") {
        let rest = &code[at + "super::".len()..];
        let path = match parent {
            Some(parent) => format!("{parent}::{rest}"),
            None => rest.to_owned(),
        };
        found.extend(target(&path, modules));
    }
    for line in code.lines() {
        let line = line.trim_start();
        let line = ["pub(crate) ", "pub "]
            .iter()
            .find_map(|visibility| line.strip_prefix(visibility))
            .unwrap_or(line);
        let child = line
            .strip_prefix("mod ")
            .and_then(|line| line.strip_suffix(';'));
        if let Some(child) = child {
            found.insert(format!("{module}::{child}"));
        }
    }
    found.remove(module);
    found
}

/// Returns the module that a path leads to. A path to an item of the crate root leads to the root.
fn target(path: &str, modules: &BTreeSet<String>) -> Option<String> {
    let end = path.find(|it: char| !(it.is_alphanumeric() || it == '_' || it == ':'));
    let mut path = path[..end.unwrap_or(path.len())].trim_end_matches(':');
    if path.is_empty() {
        return None;
    }
    loop {
        if modules.contains(path) {
            return Some(path.to_owned());
        }
        match path.rsplit_once("::") {
            Some((parent, _)) => path = parent,
            None => return Some(ROOT.to_owned()),
        }
    }
}

/// Returns a cycle, if there is one.
fn cycle(graph: &Graph) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    graph
        .keys()
        .find_map(|start| visit(graph, start, &mut Vec::new(), &mut done))
}

fn visit(
    graph: &Graph,
    module: &str,
    path: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    if let Some(at) = path.iter().position(|it| it == module) {
        return Some(path[at..].to_vec());
    }
    if done.contains(module) {
        return None;
    }
    path.push(module.to_owned());
    let uses = graph.get(module).into_iter().flatten();
    let found = uses
        .into_iter()
        .find_map(|used| visit(graph, used, path, done));
    path.pop();
    done.insert(module.to_owned());
    found
}
