;; As ComponentizeJS builds it: post-returns free whatever `cabi_realloc` gave, so what the bridge keeps comes from the
;; allocator that is meant for adapters.
(module
    (memory (export "memory") 2)
    (global $heap (mut i32) (i32.const 4096))
    (global $kept (mut i32) (i32.const 65536))

    (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        global.get $heap
        global.get $heap
        local.get 3
        i32.add
        global.set $heap)
    (func $keep (export "cabi_realloc_adapter") (param i32 i32 i32 i32) (result i32)
        global.get $kept
        global.get $kept
        local.get 3
        i32.add
        global.set $kept)
    (func $free (param i32)
        (global.set $heap (i32.const 4096)))

    (func $configure (export "tidegate:proxy/plugin@0.1.0#[static]plugin-context.configure")
        (param i32 i32) (result i32)
        i32.const 16)
    (func $configure-post (export "cabi_post_tidegate:proxy/plugin@0.1.0#[static]plugin-context.configure")
        (param i32)
        (call $free (local.get 0)))
    (func $filter (export "tidegate:proxy/http-filter@0.1.0#[constructor]filter")
        (param i32 i32) (result i32)
        local.get 1)
    (func $log (export "tidegate:proxy/on-log@0.1.0#handle") (param i32)))
