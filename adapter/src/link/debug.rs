//! Converts debug information (DWARF) so that its addresses are those of the merged module.
//!
//! In WebAssembly an address is an offset in the code section, and linking moves every instruction. Every address is
//! therefore mapped to its new value: those of functions, of the ranges and locations inside them, and of the rows of
//! line tables. Entries for code that was removed are marked as such, in the way that linkers do. Expressions that
//! refer to a global by its index are left out, because the index has changed; a few debuggers would use them to find a
//! frame.
//!
//! Debug information has not been validated, and gimli's writer assumes that some of it is well-formed. What would
//! violate these assumptions is rejected here, or changed to what the writer supports.

use crate::error::AdaptError;
use crate::link::emit::{Emitted, Layout};
use crate::link::graph::{Code, Graph};
use crate::link::ids::{FuncId, InputId};
use crate::link::input::{Callee, LinkInput};
use crate::module::Module;
use cranelift_entity::PrimaryMap;
use gimli::write::{
    Address, AttributeValue, ConvertLineProgram, ConvertLineSequenceEnd, ConvertUnit,
    ConvertUnitEntry, Dwarf, EndianVec, Location, LocationList, Range, RangeList, Sections,
    UnitEntryId,
};
use gimli::{Encoding, EndianSlice, LineEncoding, LittleEndian, Operation, constants, read};
use std::collections::HashMap;
use std::error::Error;

/// The address that linkers give to code that was removed.
const NOWHERE: u64 = u32::MAX as u64;

/// The maximum depth of nested entries, which are written recursively. Compilers nest a few dozen.
const MAX_DEPTH: isize = 256;
/// The maximum depth of nested expressions, which are converted recursively. Compilers nest one.
const MAX_NESTED: usize = 8;

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Converted<T> = Result<T, Box<dyn Error>>;

/// The debug sections for the merged module, by name.
pub fn sections(
    graph: &Graph<'_>,
    inputs: &PrimaryMap<InputId, Option<LinkInput<'_>>>,
    emitted: &Emitted,
    layout: &Layout,
) -> Result<Vec<(&'static str, Vec<u8>)>, AdaptError> {
    let places: HashMap<FuncId, usize> = emitted.bodies.iter().copied().collect();
    let mut dwarf = Dwarf::new();
    for input in inputs
        .values()
        .flatten()
        .filter(|input| has_debug_info(input.module))
    {
        let map = CodeMap::new(graph, input, &places, layout)?;
        convert(input.module, &map, &mut dwarf).map_err(|error| AdaptError::DebugInfo {
            module: input.label.clone(),
            message: error.to_string(),
        })?;
    }
    let mut sections = Sections::new(EndianVec::new(LittleEndian));
    let unwritable = |error: gimli::write::Error| AdaptError::DebugInfo {
        module: "(all)".to_owned(),
        message: error.to_string(),
    };
    dwarf.write(&mut sections).map_err(unwritable)?;
    let mut named = Vec::new();
    let collected = sections.for_each(|id, data| {
        if !data.slice().is_empty() {
            named.push((id.name(), data.slice().to_vec()));
        }
        Ok::<_, gimli::write::Error>(())
    });
    collected.map_err(unwritable)?;
    Ok(named)
}

fn has_debug_info(module: &Module<'_>) -> bool {
    module
        .customs
        .iter()
        .any(|(name, _)| *name == ".debug_info")
}

/// Maps the positions of one module's instructions, as offsets in the old code section, to offsets in the new one.
struct CodeMap {
    /// In the order of the old offsets. Functions may be adjacent but do not overlap.
    functions: Vec<Moved>,
}

/// A function that is kept.
struct Moved {
    old_end: u64,
    new_end: u64,
    /// Old and new offset of the beginning, and of each instruction.
    points: Vec<(u64, u64)>,
}

// === impl CodeMap ===

impl CodeMap {
    fn new(
        graph: &Graph<'_>,
        input: &LinkInput<'_>,
        places: &HashMap<FuncId, usize>,
        layout: &Layout,
    ) -> Result<CodeMap, AdaptError> {
        let module = input.module;
        let old = |position: usize| position.saturating_sub(module.code_start) as u64;
        let mut functions = Vec::new();
        let defined = input.callees.values().skip(module.imported.funcs);
        for (callee, raw) in defined.zip(&module.bodies) {
            let Callee::Func(id) = callee else { continue };
            let Some(place) = places.get(id) else {
                continue;
            };
            let Code::Body(body) = &graph.funcs[*id].code else {
                continue;
            };
            let mut points = vec![(old(raw.range().start), *place as u64)];
            // The total length of the `refs` that have been encoded before an instruction.
            let mut gaps = body.refs.iter();
            let (mut filled, mut passed) = (0, 0);
            for (position, at, before) in &body.offsets {
                for (_, to) in gaps.by_ref().take(before - passed) {
                    filled += layout.width(*to)?;
                }
                passed = *before;
                points.push((old(*position), (place + at + filled) as u64));
            }
            for (_, to) in gaps {
                filled += layout.width(*to)?;
            }
            functions.push(Moved {
                old_end: old(raw.range().end),
                new_end: (place + body.bytes.len() + filled) as u64,
                points,
            });
        }
        Ok(CodeMap { functions })
    }

    /// Returns the new address of the code at `address`. No code is at 0, which means "no base" and stays 0.
    fn get(&self, address: u64) -> Option<u64> {
        if address == 0 {
            return Some(0);
        }
        let index = self
            .functions
            .partition_point(|function| function.old_end < address);
        let function = self.functions.get(index)?;
        if address == function.old_end {
            return Some(function.new_end);
        }
        let point = function.points.partition_point(|(old, _)| *old <= address);
        function
            .points
            .get(point.checked_sub(1)?)
            .map(|(_, new)| *new)
    }

    fn range(&self, range: read::Range) -> Option<(u64, u64)> {
        Some((self.get(range.begin)?, self.get(range.end)?)).filter(|(begin, end)| begin < end)
    }

    fn address(&self, address: u64) -> Option<Address> {
        Some(Address::Constant(self.get(address).unwrap_or(NOWHERE)))
    }
}

fn convert(module: &Module<'_>, map: &CodeMap, into: &mut Dwarf) -> Converted<()> {
    let section = |id: gimli::SectionId| {
        let data = module
            .customs
            .iter()
            .find(|(name, _)| *name == id.name())
            .map(|(_, data)| *data);
        Ok::<_, read::Error>(EndianSlice::new(data.unwrap_or_default(), LittleEndian))
    };
    let from = read::Dwarf::load(section)?;
    let mut units = into.convert(&from)?;
    while let Some((mut unit, root)) = units.read_unit()? {
        // Line tables are written in the default encoding, because the writer may not support the original one.
        let encoding = Some(LineEncoding::default());
        if let Some(mut lines) = unit.read_line_program(None, encoding)? {
            convert_lines(&mut lines, map)?;
            let (program, files) = lines.program();
            unit.set_line_program(program, files);
        }
        let id = unit.unit.root();
        convert_attributes(&mut unit, id, &root, map)?;
        let mut entry = root;
        while let Some(id) = unit.read_entry(&mut entry)? {
            if entry.depth() > MAX_DEPTH {
                return Err("its entries are nested too deep".into());
            }
            let id = unit.add_entry(id, &entry);
            convert_attributes(&mut unit, id, &entry, map)?;
        }
    }
    Ok(())
}

fn convert_lines(lines: &mut ConvertLineProgram<'_, Slice<'_>>, map: &CodeMap) -> Converted<()> {
    while let Some(sequence) = lines.read_sequence()? {
        let Some(start) = sequence.start else {
            continue;
        };
        let end = match sequence.end {
            ConvertLineSequenceEnd::Length(length) => start.checked_add(length),
            ConvertLineSequenceEnd::Address(address) => Some(address),
        };
        let mut base = None;
        let mut last = 0;
        for mut row in sequence.rows {
            let new = start
                .checked_add(row.address_offset)
                .and_then(|address| map.get(address));
            let Some(new) = new.filter(|new| *new > 0) else {
                continue;
            };
            let base = *base.get_or_insert_with(|| {
                lines.begin_sequence(Some(Address::Constant(new)));
                new
            });
            // Addresses increase within a sequence, and the functions of one module keep their order.
            let Some(offset) = new.checked_sub(base).filter(|offset| *offset >= last) else {
                continue;
            };
            last = offset;
            row.address_offset = offset;
            // WebAssembly instructions are not divided into operations, and no file has that many lines.
            row.op_index = 0;
            row.line = row.line.min(u32::MAX.into());
            lines.generate_row(row);
        }
        if let Some(base) = base {
            let end = end
                .and_then(|end| map.get(end))
                .and_then(|end| end.checked_sub(base));
            lines.end_sequence(end.filter(|end| *end >= last).unwrap_or(last));
        }
    }
    Ok(())
}

fn convert_attributes<'a>(
    unit: &mut ConvertUnit<'_, Slice<'a>>,
    id: UnitEntryId,
    entry: &ConvertUnitEntry<'_, Slice<'a>>,
    map: &CodeMap,
) -> Converted<()> {
    for attr in &entry.attrs {
        let value = match (attr.name(), attr.value()) {
            // An extension that no tool for WebAssembly reads.
            (constants::DW_AT_GNU_locviews, _) => continue,
            (constants::DW_AT_high_pc, value) if value.udata_value().is_some() => {
                let length = value.udata_value().unwrap_or_default();
                AttributeValue::Udata(length_after(entry, length, map))
            }
            (_, read::AttributeValue::Exprloc(expression))
                if names_a_global(expression, entry.read_unit.encoding())? =>
            {
                continue;
            }
            (_, value) => match (
                ranges(entry, value, map)?,
                locations(unit, entry, value, map)?,
            ) {
                (Some(list), _) => AttributeValue::RangeListRef(unit.unit.ranges.add(list)),
                (None, Some(list)) => {
                    AttributeValue::LocationListRef(unit.unit.locations.add(list))
                }
                (None, None) => {
                    unit.convert_attribute_value(entry.read_unit, attr, &|address| {
                        map.address(address)
                    })?
                }
            },
        };
        unit.unit.get_mut(id).set(attr.name(), value);
    }
    Ok(())
}

/// The new length of the code of `entry`, whose old length is `length`.
fn length_after(entry: &ConvertUnitEntry<'_, Slice<'_>>, length: u64, map: &CodeMap) -> u64 {
    let low = entry
        .attrs
        .iter()
        .find(|attr| attr.name() == constants::DW_AT_low_pc);
    let begin = match low.map(|attr| attr.value()) {
        Some(read::AttributeValue::Addr(address)) => Some(address),
        Some(read::AttributeValue::DebugAddrIndex(index)) => entry.read_unit.address(index).ok(),
        _ => None,
    };
    let range = begin.and_then(|begin| {
        Some(read::Range {
            begin,
            end: begin.checked_add(length)?,
        })
    });
    range
        .and_then(|range| map.range(range))
        .map_or(0, |(begin, end)| end - begin)
}

/// Whether an expression, or one that is nested in it, refers to a global. Nesting that is too deep is an error.
fn names_a_global(expression: read::Expression<Slice<'_>>, encoding: Encoding) -> Converted<bool> {
    let mut left = vec![(expression, 0)];
    let mut names_one = false;
    while let Some((expression, depth)) = left.pop() {
        if depth > MAX_NESTED {
            return Err("its expressions are nested too deep".into());
        }
        let mut operations = expression.operations(encoding);
        while let Ok(Some(operation)) = operations.next() {
            match operation {
                Operation::WasmGlobal { .. } => names_one = true,
                Operation::EntryValue { expression } => {
                    left.push((read::Expression(expression), depth + 1));
                }
                _ => {}
            }
        }
    }
    Ok(names_one)
}

fn ranges<'a>(
    entry: &ConvertUnitEntry<'_, Slice<'a>>,
    value: read::AttributeValue<Slice<'a>>,
    map: &CodeMap,
) -> Converted<Option<RangeList>> {
    let Some(mut old) = entry.read_unit.attr_ranges(value)? else {
        return Ok(None);
    };
    let mut list = vec![Range::BaseAddress {
        address: Address::Constant(0),
    }];
    while let Some(range) = old.next()? {
        if let Some((begin, end)) = map.range(range) {
            list.push(Range::OffsetPair { begin, end });
        }
    }
    Ok(Some(RangeList(list)))
}

fn locations<'a>(
    unit: &ConvertUnit<'_, Slice<'a>>,
    entry: &ConvertUnitEntry<'_, Slice<'a>>,
    value: read::AttributeValue<Slice<'a>>,
    map: &CodeMap,
) -> Converted<Option<LocationList>> {
    let Some(mut old) = entry.read_unit.attr_locations(value)? else {
        return Ok(None);
    };
    let mut list = vec![Location::BaseAddress {
        address: Address::Constant(0),
    }];
    while let Some(location) = old.next()? {
        let Some((begin, end)) = map.range(location.range) else {
            continue;
        };
        if names_a_global(location.data, entry.read_unit.encoding())? {
            continue;
        }
        let data = unit.convert_expression(entry.read_unit, location.data, &|address| {
            map.address(address)
        })?;
        list.push(Location::OffsetPair { begin, end, data });
    }
    Ok(Some(LocationList(list)))
}
