;; The plugin takes references to an imported function, to a drop that the bridge has and to `resource.new`, which is
;; nothing at all: each must be a function in the end.
(module
    (import "tidegate:proxy/clock@0.1.0" "now" (func $now (result i64)))
    (import "tidegate:proxy/http-streams@0.1.0" "[resource-drop]http-stream" (func $drop (param i32)))
    (import "[export]tidegate:proxy/http-filter@0.1.0" "[resource-new]filter" (func $new (param i32) (result i32)))
    (memory (export "memory") 2)
    (global $heap (mut i32) (i32.const 4096))
    (table 3 funcref)
    (elem (i32.const 0) func $now $drop $new)
    (type $now-type (func (result i64)))
    (type $drop-type (func (param i32)))
    (type $new-type (func (param i32) (result i32)))

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
        (drop (call_indirect (type $now-type) (i32.const 0)))
        (call_indirect (type $drop-type) (local.get 0) (i32.const 1))
        (drop (call_indirect (type $new-type) (local.get 0) (i32.const 2)))
        (drop (ref.func $own)))
    (elem declare func $own)
    (func $own ))
