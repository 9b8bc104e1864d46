//! Debug information that is kept contains the new addresses of the code.

mod support;

use anyhow::{Context, Result, ensure};
use gimli::{AttributeValue, Dwarf, EndianSlice, LittleEndian};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use support::{Recipe, Shape, workspace};
use tidegate_adapter::{AdaptError, Options, adapt};
use wasm_encoder::{CustomSection, Section};
use wasmparser::{KnownCustom, Name, Parser, Payload, TypeRef};

const KEEP_DEBUG: Options = Options {
    strip_names: false,
    keep_debug: true,
};

/// The properties of the code that debug information is compared with.
#[derive(Default)]
struct Code {
    /// The offsets of the beginning and end of each function in the code section, by name.
    functions: HashMap<String, (u64, u64)>,
    /// The offsets of everything that an address may point to.
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
fn function_address_ranges_match_the_code() -> Result<()> {
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
                let high = high.udata_value().context("no length")?;
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
fn line_table_addresses_are_instruction_starts() -> Result<()> {
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
fn ranges_and_locations_lie_on_instruction_boundaries() -> Result<()> {
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
fn debug_info_is_kept_only_on_request() -> Result<()> {
    let component = Shape::Wasip2.build_with_debug()?;
    let code = Code::read(&adapt(&component, &Options::default())?)?;
    let kept: Vec<_> = code
        .sections
        .keys()
        .filter(|name| name.starts_with(".debug"))
        .collect();
    ensure!(kept.is_empty(), "{kept:?}");
    // Requesting debug information that does not exist is not an error.
    let code = Code::read(&adapt(&Shape::Bare.build()?, &KEEP_DEBUG)?)?;
    ensure!(
        !code.sections.contains_key(".debug_info"),
        "there is unexpected debug information"
    );
    Ok(())
}

/// Returns a component whose only debug information is one unit with these bytes after its first entry.
fn with_unit(entries: &[u8]) -> Result<Vec<u8>> {
    // A unit and a block, both with children, and a variable that has a location.
    const ABBREVIATIONS: &[u8] = &[
        1, 0x11, 1, 0, 0, 2, 0x0b, 1, 0, 0, 3, 0x34, 0, 0x02, 0x18, 0, 0, 0,
    ];
    // Version 4, abbreviations at offset 0, addresses of four bytes.
    let mut unit = vec![4, 0, 0, 0, 0, 0, 4, 1];
    unit.extend(entries);
    unit.push(0);
    let mut info = u32::try_from(unit.len())?.to_le_bytes().to_vec();
    info.extend(unit);

    let case = workspace().join("adapter/tests/cases/constants");
    let mut module = wat::parse_str(fs::read_to_string(case.join("main.wat"))?)?;
    for (name, data) in [(".debug_abbrev", ABBREVIATIONS), (".debug_info", &info)] {
        let section = CustomSection {
            name: name.into(),
            data: data.into(),
        };
        section.append_to(&mut module);
    }
    let recipe = Recipe {
        wit: &fs::read_to_string(case.join("world.wit"))?,
        module: Some(module),
        ..Recipe::default()
    };
    recipe.make()
}

fn nested_blocks(count: usize) -> Vec<u8> {
    [vec![2; count], vec![0; count]].concat()
}

fn nested_expressions(count: usize) -> Vec<u8> {
    let leb = |mut value: usize| {
        let mut bytes = Vec::new();
        while value > 0x7f {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    };
    // `DW_OP_lit0` nested in `DW_OP_entry_value`, written in reverse order.
    let mut reversed = vec![0x30];
    for _ in 0..count {
        let len = leb(reversed.len());
        reversed.extend(len.iter().rev());
        reversed.push(0xa3);
    }
    reversed.reverse();
    let mut variable = vec![3];
    variable.extend(leb(reversed.len()));
    variable.extend(reversed);
    variable
}

/// Nested entries are written recursively, so a small file could overflow the stack.
#[test]
fn deeply_nested_debug_info_is_rejected() -> Result<()> {
    for of in [nested_blocks, nested_expressions] {
        let module = adapt(&with_unit(&of(5))?, &KEEP_DEBUG)?;
        let kept = Code::read(&module)?.sections.contains_key(".debug_info");
        ensure!(kept, "valid debug information is not kept");
        match adapt(&with_unit(&of(100_000))?, &KEEP_DEBUG) {
            Err(AdaptError::DebugInfo { message, .. }) => {
                ensure!(message.ends_with("nested too deep"), "{message}");
            }
            other => anyhow::bail!("{:?}", other.map(|module| module.len())),
        }
    }
    Ok(())
}
