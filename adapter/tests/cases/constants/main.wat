;; Constants that old engines cannot work out are worked out here; a start function runs from `_initialize`.
(module
    (memory (export "memory") 2)
    (global $heap (mut i32) (i32.add (i32.const 1024) (i32.mul (i32.const 3) (i32.const 1000))))
    (global $wide i64 (i64.sub (i64.const 1) (i64.const 2)))
    (data (i32.add (i32.const 1024) (i32.const 1)) "x")
    (func $begin (global.set $heap (i32.wrap_i64 (global.get $wide))))
    (start $begin)

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

    (func $log (export "tidegate:proxy/on-log@0.1.0#handle") (param i32)))
