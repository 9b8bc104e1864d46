;; Receives the outcomes of calls that were sent for streams, and lacks the other callback that the same callback of the
;; proxy delivers.
(module
    (import "tidegate:proxy/http-calls@0.1.0" "send-for-stream" (func $send
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
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

    (func $request (export "tidegate:proxy/on-request-headers@0.1.0#handle") (param i32 i32) (result i32)
        (call $send (local.get 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 1000) (i32.const 32))
        i32.const 1)
    (func $ended (export "tidegate:proxy/on-http-call-response@0.1.0#handle")
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))
