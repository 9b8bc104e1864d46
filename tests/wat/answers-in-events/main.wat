;; A guest that sees no responses. It pauses each request, sends a local response in the first period of its timer, and asks for a reset
;; in the first and in the second.
(module
    (import "tidegate:proxy/logging@0.1.0" "log" (func $log (param i32 i32 i32)))
    (import "tidegate:proxy/timers@0.1.0" "set-period" (func $set-period (param i32 i32)))
    (import "tidegate:proxy/local-responses@0.1.0" "send" (func $send
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "tidegate:proxy/stream-control@0.1.0" "reset" (func $reset (param i32 i32)))
    (import "[export]tidegate:proxy/plugin@0.1.0" "[resource-new]plugin-context" (func $new-plugin (param i32) (result i32)))
    (import "[export]tidegate:proxy/http-filter@0.1.0" "[resource-new]filter" (func $new-filter (param i32) (result i32)))
    (memory (export "memory") 2)
    (global $heap (mut i32) (i32.const 65536))
    (global $http (mut i32) (i32.const 0))
    (global $ticks (mut i32) (i32.const 0))
    (data (i32.const 1024) "held")
    (data (i32.const 1032) "sent")
    (data (i32.const 1040) "reset")

    (func (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
        (global.set $heap (i32.and
            (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.get $heap)
        (global.set $heap (i32.add (global.get $heap) (local.get $size))))

    ;; Fails unless the result at 64 is no error.
    (func $check (if (i32.load8_u (i32.const 64)) (then unreachable)))

    (func (export "tidegate:proxy/plugin@0.1.0#[static]plugin-context.configure") (param $at i32) (param $len i32) (result i32)
        (i32.store8 (i32.const 16) (i32.const 0))
        (i32.store (i32.const 20) (call $new-plugin (i32.const 7)))
        (i32.const 16))
    (func (export "tidegate:proxy/http-filter@0.1.0#[constructor]filter") (param $plugin i32) (param $http i32) (result i32)
        (global.set $http (local.get $http))
        (call $new-filter (i32.const 9)))

    (func (export "tidegate:proxy/on-request-headers@0.1.0#handle") (param $filter i32) (param $end i32) (result i32)
        (call $set-period (i32.const 40) (i32.const 64))
        (call $check)
        (call $log (i32.const 2) (i32.const 1024) (i32.const 4))
        (i32.const 1))
    (func (export "tidegate:proxy/on-tick@0.1.0#handle") (param $plugin i32)
        (global.set $ticks (i32.add (global.get $ticks) (i32.const 1)))
        (if (i32.eq (global.get $ticks) (i32.const 1))
            (then
                (call $send (global.get $http) (i32.const 403)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 64))
                (call $check)
                (call $log (i32.const 2) (i32.const 1032) (i32.const 4)))
            (else
                (call $set-period (i32.const 0) (i32.const 64))
                (call $check)))
        (call $reset (global.get $http) (i32.const 64))
        (call $check)
        (call $log (i32.const 2) (i32.const 1040) (i32.const 5))))
