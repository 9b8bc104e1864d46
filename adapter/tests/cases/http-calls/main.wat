;; Sends HTTP calls for streams and, when its timer goes off, for the plugin. One callback of the proxy delivers the
;; outcomes of both.
(module
    (import "tidegate:proxy/http-calls@0.1.0" "send-for-stream" (func $send-for-stream
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "tidegate:proxy/http-calls@0.1.0" "send-for-plugin" (func $send-for-plugin
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "tidegate:proxy/timers@0.1.0" "set-period" (func $set-period (param i32 i32)))
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
        (call $set-period (i32.const 1000) (i32.const 32))
        i32.const 16)
    (func $filter (export "tidegate:proxy/http-filter@0.1.0#[constructor]filter")
        (param i32 i32) (result i32)
        local.get 1)

    (func $request (export "tidegate:proxy/on-request-headers@0.1.0#handle") (param i32 i32) (result i32)
        (call $send-for-stream (local.get 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 1000) (i32.const 32))
        i32.const 1)
    (func $tick (export "tidegate:proxy/on-tick@0.1.0#handle") (param i32)
        (call $send-for-plugin
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 1000) (i32.const 32)))
    (func $stream-ended (export "tidegate:proxy/on-http-call-response@0.1.0#handle")
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32))
    (func $plugin-ended (export "tidegate:proxy/on-plugin-http-call-response@0.1.0#handle")
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32))
    (func $plugin-ended-post (export "cabi_post_tidegate:proxy/on-plugin-http-call-response@0.1.0#handle")))
