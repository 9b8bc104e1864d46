//! Debug information that is kept says where the code is now, not where it was.

mod support;

use anyhow::{Context, Result, ensure};
use gimli::{AttributeValue, Dwarf, EndianSlice, LittleEndian};
use std::collections::{BTreeSet, HashMap};
use support::Shape;
use tidegate_adapter::{Options, adapt};
use wasmparser::{KnownCustom, Name, Parser, Payload, TypeRef};

const KEEP_DEBUG: Options = Options {
    strip_names: false,
    keep_debug: true,
};

/// What the tests compare debug information with.
#[derive(Default)]
struct Code {
    /// Offsets in the code section, of the beginning and end of each function by name.
    functions: HashMap<String, (u64, u64)>,
    /// Offsets of everything that an address may point to.
    points: BTreeSet<u64>,
    sections: HashMap<String, Vec<u8>>,
}

impl Code {
    fn read(module: &[u8]) -> Result<Code> {
        let mut code = Code::default();
        let (mut start, mut imported, mut bodies) = (0, 0, Vec::new());
        let mut names = HashMap::new();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                    }
                }
                Payload::CodeSectionStart { range, .. } => start = range.start,
                Payload::CodeSectionEntry(body) => {
                    let range = body.range();
                    let (begin, end) = ((range.start - start) as u64, (range.end - start) as u64);
                    bodies.push((begin, end));
                    code.points.extend([begin, end]);
                    for operator in body.get_operators_reader()?.into_iter_with_offsets() {
                        code.points.insert((operator?.1 - start) as u64);
                    }
                }
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(subsections) = section.as_known() {
                        for subsection in subsections {
                            let Name::Function(functions) = subsection? else {
                                continue;
                            };
                            for naming in functions {
                                let naming = naming?;
                                names.insert(naming.index, naming.name.to_owned());
                            }
                        }
                    }
                    code.sections
                        .insert(section.name().to_owned(), section.data().to_vec());
                }
                _ => {}
            }
        }
        for (index, range) in (imported..).zip(bodies) {
            if let Some(name) = names.get(&index) {
                code.functions.insert(name.clone(), range);
            }
        }
        Ok(code)
    }

    fn dwarf(&self) -> Result<Dwarf<EndianSlice<'_, LittleEndian>>> {
        let load = |id: gimli::SectionId| {
            let data = self.sections.get(id.name()).map(Vec::as_slice);
            Ok::<_, gimli::Error>(EndianSlice::new(data.unwrap_or_default(), LittleEndian))
        };
        Ok(Dwarf::load(load)?)
    }
}

#[test]
fn functions_are_where_they_are_said_to_be() -> Result<()> {
    for shape in Shape::ALL {
        let module = adapt(&shape.build_with_debug()?, &KEEP_DEBUG)?;
        let code = Code::read(&module)?;
        let dwarf = code.dwarf()?;
        let mut compared = 0;
        let mut units = dwarf.units();
        while let Some(header) = units.next()? {
            let unit = dwarf.unit(header)?;
            let mut entries = unit.entries();
            while let Some(entry) = entries.next_dfs()? {
                let Some(name) = entry.attr_value(gimli::DW_AT_linkage_name) else {
                    continue;
                };
                let name = dwarf.attr_string(&unit, name)?.to_string()?.to_owned();
                let (Some(AttributeValue::Addr(low)), Some(high)) = (
                    entry.attr_value(gimli::DW_AT_low_pc),
                    entry.attr_value(gimli::DW_AT_high_pc),
                ) else {
                    continue;
                };
                let Some((begin, end)) = code.functions.get(&name) else {
                    continue;
                };
                let high = high.udata_value().context("a length")?;
                ensure!(
                    (low, low + high) == (*begin, *end),
                    "{shape:?}: {name} is at {begin}..{end}, not {low}+{high}"
                );
                compared += 1;
            }
        }
        ensure!(
            compared > 10,
            "{shape:?}: only {compared} functions have debug information"
        );
    }
    Ok(())
}

#[test]
fn lines_are_those_of_instructions() -> Result<()> {
    let module = adapt(&Shape::Wasip2.build_with_debug()?, &KEEP_DEBUG)?;
    let code = Code::read(&module)?;
    let dwarf = code.dwarf()?;
    let (mut rows_seen, mut ours) = (0, false);
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        let unit = dwarf.unit(header)?;
        let Some(program) = unit.line_program.clone() else {
            continue;
        };
        let mut rows = program.rows();
        while let Some((header, row)) = rows.next_row()? {
            ensure!(
                code.points.contains(&row.address()),
                "no instruction begins at {:#x}",
                row.address()
            );
            rows_seen += 1;
            if let Some(file) = row.file(header) {
                let name = dwarf.attr_string(&unit, file.path_name())?;
                ours |= name.to_string_lossy().ends_with("lib.rs");
            }
        }
    }
    ensure!(rows_seen > 1000 && ours, "{rows_seen} rows");
    Ok(())
}

#[test]
fn ranges_and_locations_are_inside_of_the_code() -> Result<()> {
    let module = adapt(&Shape::Wasip2.build_with_debug()?, &KEEP_DEBUG)?;
    let code = Code::read(&module)?;
    let dwarf = code.dwarf()?;
    let mut seen = 0;
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        let unit = dwarf.unit(header)?;
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs()? {
            for attr in entry.attrs() {
                let mut found = Vec::new();
                if let Some(mut ranges) = dwarf.attr_ranges(&unit, attr.value())? {
                    while let Some(range) = ranges.next()? {
                        found.push(range);
                    }
                } else if let Some(mut locations) = dwarf.attr_locations(&unit, attr.value())? {
                    while let Some(location) = locations.next()? {
                        found.push(location.range);
                    }
                }
                for range in found {
                    let is_inside =
                        code.points.contains(&range.begin) && code.points.contains(&range.end);
                    ensure!(is_inside, "{range:?} of {}", attr.name());
                    seen += 1;
                }
            }
        }
    }
    ensure!(seen > 100, "only {seen} ranges and locations");
    Ok(())
}

#[test]
fn nothing_is_kept_that_was_not_asked_for() -> Result<()> {
    let component = Shape::Wasip2.build_with_debug()?;
    let code = Code::read(&adapt(&component, &Options::default())?)?;
    let kept: Vec<_> = code
        .sections
        .keys()
        .filter(|name| name.starts_with(".debug"))
        .collect();
    ensure!(kept.is_empty(), "{kept:?}");
    // Asking for it where there is none is no mistake.
    let code = Code::read(&adapt(&Shape::Bare.build()?, &KEEP_DEBUG)?)?;
    ensure!(
        !code.sections.contains_key(".debug_info"),
        "there is debug information from nowhere"
    );
    Ok(())
}
