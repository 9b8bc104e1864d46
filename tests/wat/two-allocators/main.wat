;; A guest with a second core module, `fields` (`fields.adapter.wat`), which calls the proxy itself and has an allocator of its
;; own for the results. wit-component links such an adapter module to the main module. Each allocator hands out addresses of
;; its own page, and the guest traps if a result is in the other's page.
(module
    (import "tidegate:proxy/logging@0.1.0" "log" (func $log (param i32 i32 i32)))
    (import "tidegate:proxy/http-fields@0.1.0" "get" (func $get (param i32 i32 i32 i32 i32)))
    (import "fields" "get" (func $get-by-adapter (param i32 i32 i32 i32 i32)))
    (import "[export]tidegate:proxy/plugin@0.1.0" "[resource-new]plugin-context" (func $new-plugin (param i32) (result i32)))
    (import "[export]tidegate:proxy/http-filter@0.1.0" "[resource-new]filter" (func $new-filter (param i32) (result i32)))
    (memory (export "memory") 4)
    (global $heap (mut i32) (i32.const 65536))
    (data (i32.const 2048) "x-in")

    (func (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
        (local $start i32)
        (local.set $start (i32.and
            (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.set $heap (i32.add (local.get $start) (local.get $size)))
        (local.get $start))

    ;; Logs the value in the result at 64. Traps if it is an error, is `none`, or is not in this page.
    (func $log-value (param $page i32)
        (if (i32.load8_u (i32.const 64)) (then unreachable))
        (if (i32.ne (i32.load8_u (i32.const 68)) (i32.const 1)) (then unreachable))
        (if (i32.ne (i32.shr_u (i32.load (i32.const 72)) (i32.const 16)) (local.get $page)) (then unreachable))
        (call $log (i32.const 2) (i32.load (i32.const 72)) (i32.load (i32.const 76))))

    (func (export "tidegate:proxy/plugin@0.1.0#[static]plugin-context.configure") (param i32 i32) (result i32)
        (i32.store8 (i32.const 16) (i32.const 0))
        (i32.store (i32.const 20) (call $new-plugin (i32.const 7)))
        (i32.const 16))

    (func (export "tidegate:proxy/http-filter@0.1.0#[constructor]filter") (param i32 i32) (result i32)
        (call $new-filter (local.get 1)))

    (func (export "tidegate:proxy/on-request-headers@0.1.0#handle") (param $http i32) (param i32) (result i32)
        (call $get (local.get $http) (i32.const 0) (i32.const 2048) (i32.const 4) (i32.const 64))
        (call $log-value (i32.const 1))
        (call $get-by-adapter (local.get $http) (i32.const 0) (i32.const 2048) (i32.const 4) (i32.const 64))
        (call $log-value (i32.const 2))
        (call $get (local.get $http) (i32.const 0) (i32.const 2048) (i32.const 4) (i32.const 64))
        (call $log-value (i32.const 1))
        (i32.const 0)))
