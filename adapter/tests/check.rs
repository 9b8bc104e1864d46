//! Tests which problems `check` finds in modules from other tools. The tests of the command-line tool show that stock
//! Envoys load and reject the same modules.

use anyhow::{Result, ensure};
use tidegate_adapter::{VerifyError, check};

const MEMORY: &str = r#"(memory (export "memory") 1)"#;
const ALLOCATOR: &str = r#"(func (export "malloc") (param i32) (result i32) i32.const 8)"#;
const MARKER: &str = r#"(func (export "proxy_abi_version_0_2_1"))"#;

fn found(parts: &[&str]) -> Result<Vec<VerifyError>> {
    Ok(check(&wat::parse_str(format!(
        "(module {})",
        parts.join(" ")
    ))?))
}

#[test]
fn module_that_envoy_loads_passes() -> Result<()> {
    for parts in [
        [MEMORY, ALLOCATOR, MARKER, ""].as_slice(),
        &[r#"(memory (export "mem") 1)"#, ALLOCATOR, MARKER],
        &[r#"(import "env" "memory" (memory 1))"#, ALLOCATOR, MARKER],
        &[
            r#"(import "env" "memory" (memory 1)) (export "memory" (memory 0))"#,
            ALLOCATOR,
            MARKER,
        ],
        &[
            r#"(import "env" "t" (table 1 funcref))"#,
            MEMORY,
            ALLOCATOR,
            MARKER,
        ],
        &[MEMORY, "(memory 1)", ALLOCATOR, MARKER],
        &[
            MEMORY,
            MARKER,
            r#"(func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 8)"#,
        ],
        &[
            MEMORY,
            ALLOCATOR,
            MARKER,
            "(func $s) (start $s)",
            "(func $t (result i32) return_call $t)",
        ],
        // No export that Envoy calls.
        &[MEMORY, ALLOCATOR, MARKER, r#"(func (export "main"))"#],
        &[
            MEMORY,
            ALLOCATOR,
            MARKER,
            r#"(func (export "_initialize")) (func (export "_start") (param i32))"#,
        ],
    ] {
        let errors = found(parts)?;
        ensure!(errors.is_empty(), "{parts:?}: {errors:?}");
    }
    Ok(())
}

#[test]
fn all_errors_are_reported_at_once() -> Result<()> {
    let errors = found(&[
        r#"(import "env" "proxy_unheard_of" (func))"#,
        r#"(import "env" "proxy_log" (func (param i32)))"#,
        r#"(import "wasi_snapshot_preview1" "clock_res_get" (func (param i32 i32) (result i32)))"#,
        r#"(import "wasi_unstable" "sched_yield" (func (result i32)))"#,
        r#"(import "env" "g" (global i32))"#,
        r#"(func (export "proxy_on_tick"))"#,
    ])?;
    let messages: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let expected = [
        "it declares no supported Proxy-Wasm ABI version",
        "it exports neither `malloc` nor `proxy_on_memory_allocate`",
        "its memory is not exported",
        "it imports `env` `proxy_unheard_of`, which not every proxy provides",
        "it imports `env` `proxy_log` as (i32)",
        "it imports `wasi_snapshot_preview1` `clock_res_get`, which Envoy 1.36 does not provide; 1.39 and newer do",
        "it imports `env` `g`, which not every proxy provides",
        "it exports `proxy_on_tick` as ",
    ];
    ensure!(messages.len() == expected.len(), "{messages:#?}");
    for (message, begin) in messages.iter().zip(expected) {
        ensure!(message.starts_with(begin), "expected `{begin}`: {message}");
    }
    Ok(())
}

#[test]
fn abi_version_determines_the_valid_signatures() -> Result<()> {
    let old =
        r#"(func (export "proxy_on_request_headers") (param i32 i32) (result i32) i32.const 0)"#;
    let new = r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) i32.const 0)"#;
    let import = |name: &str, ty: &str| format!(r#"(import "env" "{name}" (func {ty}))"#);
    let level = import("proxy_get_log_level", "(param i32) (result i32)");
    let stream = import("proxy_continue_stream", "(param i32) (result i32)");
    let request = import("proxy_continue_request", "(result i32)");
    for (version, good, bad) in [
        ("0_1_0", [old, &request], [new, &level, &stream].as_slice()),
        ("0_2_0", [new, &stream], &[old, &request, &level]),
        ("0_2_1", [new, &level], &[old, &request]),
    ] {
        let marker = format!(r#"(func (export "proxy_abi_version_{version}"))"#);
        for (parts, count) in good
            .iter()
            .map(|part| (part, 0))
            .chain(bad.iter().map(|part| (part, 1)))
        {
            let errors = found(&[parts, MEMORY, ALLOCATOR, &marker])?;
            ensure!(errors.len() == count, "{version} {parts}: {errors:?}");
        }
    }
    // The first version that Envoy knows determines the ABI.
    let unknown = r#"(func (export "proxy_abi_version_0_3_0"))"#;
    ensure!(found(&[MEMORY, ALLOCATOR, unknown])? == [VerifyError::NoAbi]);
    ensure!(found(&[MEMORY, ALLOCATOR, unknown, MARKER])?.is_empty());
    Ok(())
}

#[test]
fn unusable_memory_is_rejected() -> Result<()> {
    for (memory, error) in [
        ("", VerifyError::MemoryExport),
        ("(memory 1)", VerifyError::MemoryExport),
        (
            r#"(memory (export "memory") 1) (memory (export "again") 1)"#,
            VerifyError::Memories { count: 2 },
        ),
        (
            r#"(memory (export "memory") 16385)"#,
            VerifyError::MemorySize { pages: 16_385 },
        ),
    ] {
        ensure!(found(&[memory, ALLOCATOR, MARKER])? == [error]);
    }
    Ok(())
}

#[test]
fn non_module_yields_a_single_error() {
    assert_eq!(check(b""), [VerifyError::NotWasm]);
    assert_eq!(check(b"#!/bin/sh"), [VerifyError::NotWasm]);
    assert_eq!(check(b"\0asm\x0d\0\x01\0"), [VerifyError::Component]);
    for bytes in [
        b"\0asm".as_slice(),
        b"\0asm\x01\0\0",
        b"\0asm\x01\0\0\0\x01",
        b"\0asm\x07\0\0\0",
    ] {
        let errors = check(bytes);
        assert!(
            matches!(errors.as_slice(), [VerifyError::Invalid { .. }]),
            "{errors:?}"
        );
    }
}

/// Changes every byte in several ways, and truncates the module at every length.
#[test]
fn corrupted_module_does_not_panic() -> Result<()> {
    let good = wat::parse_str(format!(
        r#"(module
            (import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
            (import "env" "t" (table 1 funcref))
            (import "wasi_unstable" "fd_seek" (func (param i32 i64 i32 i32) (result i32)))
            {MEMORY} {ALLOCATOR} {MARKER} (global i32 i32.const 1)
            (func (export "proxy_on_tick") (param i32) (drop (call 0 (i32.const 0) (i32.const 0) (i32.const 0)))))"#
    ))?;
    ensure!(check(&good).is_empty());
    for at in 0..good.len() {
        let cut = check(&good[..at]);
        ensure!(
            !cut.is_empty(),
            "the first {at} bytes are accepted as a module"
        );
        for turned in (0..8)
            .map(|bit| good[at] ^ (1 << bit))
            .chain([0, 0x7f, 0x80, 0xff])
        {
            let mut mutant = good.clone();
            mutant[at] = turned;
            check(&mutant);
        }
    }
    Ok(())
}
