;; Only what the exports reach stays: neither `unused` nor the table that it calls through, its function and its global.
(module
    (memory (export "memory") 2)
    (global $heap (mut i32) (i32.const 4096))
    (global $lonely (mut i32) (i32.const 7))
    (table $lonely-table 1 funcref)
    (elem (table $lonely-table) (i32.const 0) func $called-by-nobody)
    (data (i32.const 1024) "kept")
    (data $passive "dropped")
    (type $plain (func (param i32) (result i32)))

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
        call $used)
    (func $used )
    (func $called-by-nobody (param i32) (result i32) local.get 0)
    (func $unused (param i32) (result i32)
        (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 1))
        (global.set $lonely (local.get 0))
        local.get 0
        i32.const 0
        call_indirect $lonely-table (type $plain)))
