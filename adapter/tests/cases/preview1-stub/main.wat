;; Something else than an adapter goes by the name of the first preview: what it does is what the plugin is to get.
(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "tidegate:proxy/logging@0.1.0" "log" (func $line (param i32 i32 i32)))
    (memory (export "memory") 2)
    (global $heap (mut i32) (i32.const 4096))

    (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        global.get $heap
        global.get $heap
        local.get 3
        i32.add
        global.set $heap)
    (func $configure (export "tidegate:proxy/plugin@0.1.0#[static]plugin-context.configure")
        (param i32 i32) (result i32)
        i32.const 16)
    (func $filter (export "tidegate:proxy/http-filter@0.1.0#[constructor]filter")
        (param i32 i32) (result i32)
        local.get 1)

    (func $log (export "tidegate:proxy/on-log@0.1.0#handle") (param i32)
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
        (call $line (i32.const 0) (i32.const 0) (i32.const 0))))
