//! A summary of a component: its sizes, its callbacks and its capabilities; and the differences between two summaries.

use std::collections::BTreeSet;
use std::fmt;

use tidegate_adapter::{Mapping, Options, inspect};
use tidegate_testkit::report::terminal::escaped;

use crate::plugin::adapt;

/// A summary of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The component's size in bytes.
    pub component: usize,
    /// The size of the Proxy-Wasm module that it is adapted to, in bytes.
    pub module: usize,
    /// The callbacks that it implements.
    pub callbacks: BTreeSet<String>,
    /// Its imports: hostcalls, and interfaces of WASI.
    pub capabilities: BTreeSet<String>,
    /// The WASI functions that it imports and that fail or trap when they are called.
    pub refused: BTreeSet<String>,
}

// === impl Account ===

impl Account {
    /// Summarizes a component. Fails if it cannot be adapted, and therefore cannot run in Envoy.
    pub fn of(component: &[u8]) -> anyhow::Result<Self> {
        let module = adapt(component, &Options::default())?;
        let inspection = inspect(component)?;
        let is_refused = |how: Mapping| matches!(how, Mapping::Fails | Mapping::Traps);
        let (refused, mapped): (Vec<_>, Vec<_>) = inspection
            .wasi
            .into_iter()
            .partition(|wasi| is_refused(wasi.how));
        // `wasi:cli/stdout.get-stdout`: the interfaces are listed, not their functions, because language runtimes import dozens.
        let interface = |function: String| match function.find(".[").or_else(|| function.rfind('.'))
        {
            Some(end) => function[..end].to_owned(),
            None => function,
        };
        let mapped = mapped.into_iter().map(|wasi| interface(wasi.function));
        Ok(Self {
            component: component.len(),
            module: module.len(),
            callbacks: inspection.callbacks.into_iter().collect(),
            capabilities: inspection.hostcalls.into_iter().chain(mapped).collect(),
            refused: refused.into_iter().map(|wasi| wasi.function).collect(),
        })
    }

    /// The differences from an older summary, one per line.
    pub fn since(&self, before: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (what, now, then) in [
            ("component", self.component, before.component),
            ("module", self.module, before.module),
        ] {
            if now != then {
                lines.push(format!(
                    "{what} {then} -> {now} bytes ({:+})",
                    now as i128 - then as i128
                ));
            }
        }
        for (what, now, then) in [
            ("callback", &self.callbacks, &before.callbacks),
            ("capability", &self.capabilities, &before.capabilities),
            ("unavailable WASI function", &self.refused, &before.refused),
        ] {
            lines.extend(
                now.difference(then)
                    .map(|name| format!("{what} + {}", escaped(name))),
            );
            lines.extend(
                then.difference(now)
                    .map(|name| format!("{what} - {}", escaped(name))),
            );
        }
        lines
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &BTreeSet<String>| match names.len() {
            0 => "none".to_owned(),
            _ => names
                .iter()
                .map(|name| escaped(name))
                .collect::<Vec<_>>()
                .join(", "),
        };
        writeln!(
            f,
            "size         {} bytes, adapted {} bytes",
            self.component, self.module
        )?;
        writeln!(f, "callbacks    {}", list(&self.callbacks))?;
        writeln!(f, "capabilities {}", list(&self.capabilities))?;
        if !self.refused.is_empty() {
            writeln!(
                f,
                "unavailable  {}: proxies do not provide it",
                list(&self.refused)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(module: usize, callbacks: &[&str], capabilities: &[&str]) -> Account {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Account {
            component: 100,
            module,
            callbacks: set(callbacks),
            capabilities: set(capabilities),
            refused: set(&[]),
        }
    }

    #[test]
    fn difference_lists_additions_and_removals() {
        let before = account(50, &["on-request-headers"], &["http-fields.get"]);
        let after = account(
            60,
            &["on-request-headers", "on-log"],
            &["http-fields.set\u{1b}"],
        );
        assert_eq!(
            after.since(&before),
            [
                "module 50 -> 60 bytes (+10)",
                "callback + on-log",
                "capability + http-fields.set\\u{1b}",
                "capability - http-fields.get"
            ]
        );
        assert!(after.since(&after).is_empty());
    }
}
