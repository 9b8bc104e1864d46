//! Lists what a component imports and exports, by full name, as component registries do.
//!
//! This is the bare list, for any component. `inspect` describes what it means for a plugin.

use wasmparser::{Parser, Payload};

/// The imports and exports of a component, in its own order. What cannot be read is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// The names of its imports.
    pub imports: Vec<String>,
    /// The names of its exports.
    pub exports: Vec<String>,
}

/// Lists the imports and exports of a component.
pub fn interfaces(component: &[u8]) -> Interfaces {
    let mut interfaces = Interfaces::default();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component).map_while(Result::ok) {
        match payload {
            // The parser also visits nested modules and components. Their imports and exports are not the component's
            // own.
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                let names = section.into_iter().map_while(Result::ok);
                let names = names.map(|import| import.name.name.to_owned());
                interfaces.imports.extend(names);
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                let names = section.into_iter().map_while(Result::ok);
                let names = names.map(|export| export.name.name.to_owned());
                interfaces.exports.extend(names);
            }
            _ => {}
        }
    }
    interfaces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_top_level_interfaces_are_listed() {
        let text = r#"(component
            (import "a:b/c@1.0.0" (instance))
            (component (import "inner" (func)) (export "inner-too" (func 0)))
            (core module (func (export "core")))
            (import "f" (func))
            (export "d:e/f" (func 0)))"#;
        let component = wat::parse_str(text).expect("valid component");
        let Interfaces { imports, exports } = interfaces(&component);
        assert_eq!(imports, ["a:b/c@1.0.0", "f"]);
        assert_eq!(exports, ["d:e/f"]);
        assert_eq!(interfaces(b"\0asm"), Interfaces::default());
    }
}
