;; Changes trailers in the callbacks for them. One of the two has a post-return.
(module
    (import "tidegate:proxy/http-fields@0.1.0" "remove" (func $remove (param i32 i32 i32 i32 i32)))
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

    (func $request (export "tidegate:proxy/on-request-trailers@0.1.0#handle") (param i32) (result i32)
        (call $remove (local.get 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 32))
        i32.const 0)
    (func $response (export "tidegate:proxy/on-response-trailers@0.1.0#handle") (param i32) (result i32)
        (call $remove (local.get 0) (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 32))
        i32.const 0)
    (func $response-post (export "cabi_post_tidegate:proxy/on-response-trailers@0.1.0#handle") (param i32)))
