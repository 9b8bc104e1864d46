//! Golden tests: each directory in `cases/` contains a component and the expected output of the adapter.
//!
//! The component consists of these files:
//!
//! - `world.wit`, a package with one world, which may contain nested packages. A first line `// with: …` enables
//!   `preview1` (the WASI adapter), `utf16` (strings), `async` (lifts and lowers) or `newest` (the newest release of
//!   wit-component).
//! - `main.wat`, its main module. If absent, a module is generated from the world.
//! - `adapter.wat`, another adapter for WASI preview 1, if present.
//! - `NAME.adapter.wat`, and `NAME.adapter.wit` with its world: another adapter module.
//! - instead of all of these, `input.wat` or `input.txt`: the file itself.
//!
//! The expected output, which `BLESS=1 cargo test -p tidegate-adapter --test cases` writes, consists of these files:
//!
//! - `plan.txt`: the bindings of imports. `module.txt`, if there is a `main.wat`: the contents of the module.
//! - `error.txt`, in directories whose names begin with `error-`: the error. In all other directories, an error fails
//!   the test.

mod support;

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::{Arguments, Trial};
use std::borrow::Cow;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use support::{Encoder, Recipe};
use tidegate_adapter::{Kind, Options, adapt, explain, inspect, verify};
use tidegate_components::{Strings, beside};
use wasmparser::{Parser, Payload};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .expect("failed to read `tests/cases`")
        .map(|entry| {
            entry
                .expect("failed to read an entry of `tests/cases`")
                .path()
        })
        .collect();
    cases.sort();
    let trials = cases.into_iter().map(|case| {
        let name = case
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        Trial::test(name.unwrap_or_default(), move || {
            run(&case).map_err(|error| format!("{error:#}").into())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn run(case: &Path) -> Result<()> {
    let must_fail = case
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("error-"));
    let input = input(case)?;
    match adapt(&input, &Options::default()) {
        Ok(_) if must_fail => bail!("it was adapted, but an error is expected because of its name"),
        Ok(output) => {
            verify(&output)?;
            ensure!(
                inspect(&input)?.rejection.is_none(),
                "`inspect` reports an error"
            );
            compare(&case.join("plan.txt"), &explain(&input)?)?;
            if case.join("main.wat").exists() {
                compare(&case.join("module.txt"), &summary(&output, case)?)?;
            }
            Ok(())
        }
        Err(error) if must_fail => {
            // `inspect` must report the same error.
            match inspect(&input) {
                Ok(inspection) if inspection.kind != Kind::Component => {}
                Ok(inspection) => ensure!(
                    inspection.rejection == Some(error.to_string()),
                    "`inspect` reports another error"
                ),
                Err(inspected) => ensure!(
                    inspected.to_string() == error.to_string(),
                    "`inspect` reports another error"
                ),
            }
            compare(&case.join("error.txt"), &format!("{error}\n"))
        }
        Err(error) => Err(error).context("it was rejected"),
    }
}

fn input(case: &Path) -> Result<Vec<u8>> {
    let read = |name: &str| fs::read_to_string(case.join(name)).ok();
    if let Some(text) = read("input.txt") {
        return Ok(text.into_bytes());
    }
    if let Some(text) = read("input.wat") {
        return Ok(wat::parse_str(text)?);
    }
    let wit = read("world.wit").context("there is no `world.wit`, `input.wat` or `input.txt`")?;
    let with = wit
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("// with: "))
        .unwrap_or_default();
    let has = |word: &str| with.split(", ").any(|with| with == word);
    let encoder = match has("newest") {
        true => Encoder::Newest,
        false => Encoder::Wasmtime,
    };
    let recipe = Recipe {
        wit: &wit,
        module: read("main.wat").map(wat::parse_str).transpose()?,
        preview1: match read("adapter.wat") {
            Some(text) => Some(Cow::Owned(wat::parse_str(text)?)),
            None => has("preview1").then_some(Cow::Borrowed(encoder.adapter())),
        },
        strings: match has("utf16") {
            true => Strings::Utf16,
            false => Strings::Utf8,
        },
        is_async: has("async"),
        adapters: beside(case, ".adapter.wat")?,
        libraries: Vec::new(),
        encoder,
    };
    recipe.make()
}

fn compare(file: &Path, actual: &str) -> Result<()> {
    if std::env::var_os("BLESS").is_some() {
        return fs::write(file, actual)
            .with_context(|| format!("failed to write {}", file.display()));
    }
    let expected = fs::read_to_string(file)
        .unwrap_or_default()
        .replace("\r\n", "\n");
    ensure!(
        expected == actual,
        "{} differs; `BLESS=1 cargo test -p tidegate-adapter --test cases` updates the file.\nexpected:\n{expected}\nactual:\n{actual}",
        file.display()
    );
    Ok(())
}

/// Summarizes the contents of a module, without those that change with every change of the bridge.
fn summary(module: &[u8], case: &Path) -> Result<String> {
    let mut source = fs::read_to_string(case.join("main.wat"))?;
    source += &fs::read_to_string(case.join("adapter.wat")).unwrap_or_default();
    let mut out = String::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    writeln!(out, "import {} {}", import.module, import.name)?;
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    let ty = table?.ty;
                    writeln!(
                        out,
                        "table of {}, {} to {:?}",
                        ty.element_type, ty.initial, ty.maximum
                    )?;
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    writeln!(out, "memory of {} pages", memory?.initial)?;
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let global = global?;
                    let first = global.init_expr.get_operators_reader().read()?;
                    let mutable = if global.ty.mutable { "mutable " } else { "" };
                    writeln!(out, "global {mutable}{} {first:?}", global.ty.content_type)?;
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    writeln!(out, "export {}", export?.name)?;
                }
            }
            Payload::ElementSection(section) => {
                for element in section {
                    let (kind, items) = (
                        element.as_ref().map(|e| kind(&e.kind)),
                        element.as_ref().map(|e| len(&e.items)),
                    );
                    if let (Ok(kind), Ok(items)) = (kind, items) {
                        writeln!(out, "elements {kind}, {items} of them")?;
                    }
                }
            }
            Payload::DataSection(section) => {
                for data in section {
                    let data = data?;
                    let place = match data.kind {
                        wasmparser::DataKind::Passive => "passive".to_owned(),
                        wasmparser::DataKind::Active { offset_expr, .. } => {
                            format!("at {:?}", offset_expr.get_operators_reader().read()?)
                        }
                    };
                    writeln!(out, "data {place}, {} bytes", data.data.len())?;
                }
            }
            Payload::CustomSection(section) if section.name() == "name" => {
                let wasmparser::KnownCustom::Name(names) = section.as_known() else {
                    bail!("the name section is malformed")
                };
                for name in names {
                    let wasmparser::Name::Function(functions) = name? else {
                        continue;
                    };
                    for naming in functions {
                        let name = naming?.name;
                        if source.contains(&format!("(func ${name} ")) {
                            writeln!(out, "function {name}")?;
                        }
                    }
                }
            }
            Payload::CustomSection(section) => writeln!(out, "section {}", section.name())?,
            _ => {}
        }
    }
    Ok(out)
}

fn kind(kind: &wasmparser::ElementKind<'_>) -> &'static str {
    match kind {
        wasmparser::ElementKind::Passive => "passive",
        wasmparser::ElementKind::Active { .. } => "active",
        wasmparser::ElementKind::Declared => "declared",
    }
}

fn len(items: &wasmparser::ElementItems<'_>) -> u32 {
    match items {
        wasmparser::ElementItems::Functions(items) => items.count(),
        wasmparser::ElementItems::Expressions(_, items) => items.count(),
    }
}
