;; Nothing is called through the table by the type of two of its functions, so these go; their slots trap as before.
(module
    (memory (export "memory") 2)
    (global $heap (mut i32) (i32.const 4096))
    (table 8 funcref)
    (elem (i32.const 1) func $first $never $second $never-either $third)

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
        (call_indirect (local.get 0)))
    (func $first )
    (func $second )
    (func $third )
    (func $never (result i32) i32.const 0)
    (func $never-either (param f64)))
