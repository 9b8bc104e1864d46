;; A guest that counts what its allocator is asked for. `tests/tests/bridge.rs` runs it with a host that fails, and reads its memory:
;; the number of allocations is at 128, the discriminant of the last result of `entries` at 132, the case of the last outcome, plus
;; one, at 136, and the discriminant of the last result of `send-for-stream` at 140.
(module
    (import "tidegate:proxy/http-fields@0.1.0" "entries" (func $entries (param i32 i32 i32)))
    (import "tidegate:proxy/http-calls@0.1.0" "send-for-stream" (func $send
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "[export]tidegate:proxy/plugin@0.1.0" "[resource-new]plugin-context" (func $new-plugin (param i32) (result i32)))
    (import "[export]tidegate:proxy/http-filter@0.1.0" "[resource-new]filter" (func $new-filter (param i32) (result i32)))
    (memory (export "memory") 2)
    (global $heap (mut i32) (i32.const 65536))
    ;; The names and values of the call's headers, and their list.
    (data (i32.const 1024) ":method") (data (i32.const 1032) "GET")
    (data (i32.const 1040) ":path") (data (i32.const 1048) "/")
    (data (i32.const 1056) ":authority") (data (i32.const 1072) "cluster")
    (data (i32.const 2048)
        "\00\04\00\00\07\00\00\00\08\04\00\00\03\00\00\00"
        "\10\04\00\00\05\00\00\00\18\04\00\00\01\00\00\00"
        "\20\04\00\00\0a\00\00\00\30\04\00\00\07\00\00\00")

    (func (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
        (i32.store (i32.const 128) (i32.add (i32.load (i32.const 128)) (i32.const 1)))
        (global.set $heap (i32.and
            (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.get $heap)
        (global.set $heap (i32.add (global.get $heap) (local.get $size))))

    (func (export "tidegate:proxy/plugin@0.1.0#[static]plugin-context.configure") (param $at i32) (param $len i32) (result i32)
        (i32.store8 (i32.const 16) (i32.const 0))
        (i32.store (i32.const 20) (call $new-plugin (i32.const 7)))
        (i32.const 16))
    (func (export "tidegate:proxy/http-filter@0.1.0#[constructor]filter") (param $plugin i32) (param $http i32) (result i32)
        (call $new-filter (local.get $http)))

    (func (export "tidegate:proxy/on-request-headers@0.1.0#handle") (param $http i32) (param $end i32) (result i32)
        (call $entries (local.get $http) (i32.const 0) (i32.const 64))
        (i32.store (i32.const 132) (i32.load8_u (i32.const 64)))
        (call $send (local.get $http)
            (i32.const 1072) (i32.const 7) (i32.const 2048) (i32.const 3)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 1000) (i32.const 64))
        (i32.store (i32.const 140) (i32.load8_u (i32.const 64)))
        (i32.const 0))
    (func (export "tidegate:proxy/on-plugin-http-call-response@0.1.0#handle")
        (param $plugin i32) (param $call i32) (param $case i32) (param i32 i32 i32 i32 i32 i32)
        (i32.store (i32.const 136) (i32.add (local.get $case) (i32.const 1)))))
