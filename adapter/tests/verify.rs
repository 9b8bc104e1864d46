//! Tests the errors of `verify`: for each error, a module that is valid except for that error.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use tidegate_adapter::{ALWAYS_EXPORTED, VerifyError, verify};

/// The memory and the exports that every module requires.
const NEEDED: &str = r#"
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "_initialize"))
    (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 8)
    (func (export "proxy_on_context_create") (param i32 i32))
    (func (export "proxy_on_configure") (param i32 i32) (result i32) i32.const 1)
    (func (export "proxy_on_delete") (param i32))"#;
const MEMORY: &str = r#"(memory (export "memory") 1)"#;

fn refusal(imports: &str, rest: &str) -> Result<VerifyError> {
    let module = wat::parse_str(format!("(module {imports} {rest})"))?;
    verify(&module).err().context("the module is accepted")
}

#[test]
fn valid_module_passes() -> Result<()> {
    let module = wat::parse_str(format!(
        r#"(module
            (import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
            (memory (export "memory") 16384)
            {NEEDED}
            (func (export "proxy_on_log") (param i32)))"#
    ))?;
    verify(&module)?;
    Ok(())
}

#[test]
fn each_violation_is_rejected_with_its_error() -> Result<()> {
    let text = |text: &str| text.to_owned();
    let missing = |name: &'static str| {
        let lines = NEEDED.lines().filter(|line| !line.contains(name));
        let rest = lines.collect::<Vec<_>>().join("\n") + MEMORY;
        (String::new(), rest, VerifyError::Missing { name })
    };
    let with = |rest: &str, error| (String::new(), format!("{MEMORY} {NEEDED} {rest}"), error);
    let importing = |import: &str, error| (text(import), format!("{MEMORY} {NEEDED}"), error);
    let memory = |memory: &str, error| (String::new(), format!("{memory} {NEEDED}"), error);
    let cases = [
        memory("", VerifyError::Memories { count: 0 }),
        memory("(memory 1)", VerifyError::MemoryExport),
        memory(r#"(memory (export "mem") 1)"#, VerifyError::MemoryExport),
        memory(
            r#"(memory (export "memory") (export "again") 1)"#,
            VerifyError::MemoryExport,
        ),
        (
            text(r#"(import "env" "memory" (memory 1))"#),
            format!(r#"(export "memory" (memory 0)) {NEEDED}"#),
            VerifyError::MemoryExport,
        ),
        memory(
            r#"(memory (export "memory") 16385)"#,
            VerifyError::MemorySize { pages: 16_385 },
        ),
        with("(func $start) (start $start)", VerifyError::Start),
        importing(
            r#"(import "env" "proxy_fly" (func))"#,
            VerifyError::Import {
                module: text("env"),
                name: text("proxy_fly"),
            },
        ),
        importing(
            r#"(import "env" "proxy_log" (global i32))"#,
            VerifyError::Import {
                module: text("env"),
                name: text("proxy_log"),
            },
        ),
        importing(
            r#"(import "wasi_snapshot_preview1" "fd_sync" (func (param i32) (result i32)))"#,
            VerifyError::Import {
                module: text("wasi_snapshot_preview1"),
                name: text("fd_sync"),
            },
        ),
        importing(
            r#"(import "elsewhere" "proxy_log" (func (param i32 i32 i32) (result i32)))"#,
            VerifyError::Import {
                module: text("elsewhere"),
                name: text("proxy_log"),
            },
        ),
        importing(
            r#"(import "env" "proxy_log" (func (param i32 i32) (result i32)))"#,
            VerifyError::ImportType {
                module: text("env"),
                name: text("proxy_log"),
                found: text("(i32 i32) -> i32"),
                expected: text("(i32 i32 i32) -> i32"),
            },
        ),
        with(
            r#"(func (export "proxy_on_log") (param i32 i32))"#,
            VerifyError::ExportType {
                name: text("proxy_on_log"),
                found: text("(i32 i32)"),
                expected: text("(i32)"),
            },
        ),
        with(
            r#"(func (export "malloc") (param i32) (result i32) i32.const 8)"#,
            VerifyError::Allocators,
        ),
    ];
    let missing = ALWAYS_EXPORTED.iter().map(|name| missing(name));
    for (imports, rest, expected) in cases.into_iter().chain(missing) {
        let found = refusal(&imports, &rest)
            .with_context(|| format!("for {expected:?}: {imports} {rest}"))?;
        ensure!(found == expected, "expected {expected:?}, got {found:?}");
    }
    Ok(())
}

#[test]
fn invalid_code_and_newer_wasm_features_are_rejected() -> Result<()> {
    let invalid = [
        "(func (result i32))",
        // Tail calls, a second memory, exceptions and garbage collection are not supported by the oldest engine.
        "(func $f (return_call $f))",
        "(memory 1)",
        "(tag (param i32))",
        "(type (struct))",
    ];
    let mut messages = BTreeSet::new();
    for rest in invalid {
        match refusal("", &format!("{MEMORY} {NEEDED} {rest}")).context(rest)? {
            VerifyError::Invalid { message, .. } => messages.insert(message),
            other => anyhow::bail!("{rest}: {other}"),
        };
    }
    ensure!(messages.len() == invalid.len(), "{messages:?}");
    Ok(())
}

#[test]
fn truncated_module_is_rejected() -> Result<()> {
    let module = wat::parse_str(format!("(module {MEMORY} {NEEDED})"))?;
    for len in 0..module.len() {
        let cut = module.get(..len).context("module too short")?;
        ensure!(verify(cut).is_err(), "accepted when truncated at {len}");
    }
    Ok(())
}
