;; The tutorial's plugin written by hand, with the hostcalls that it cannot do without and nothing else: the floor that every
;; compiled plugin stands on. LIMIT is put in its place by the bench, since reading a configuration is no part of a floor.
(module
  (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
  (import "env" "proxy_add_header_map_value"
    (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "who-am-iwasm-extension")
  (data (i32.const 48) "injected-byistio-api!")
  (data (i32.const 80) "rate limited, wait and retry.")
  ;; One pair: how many, two sizes, then name and value, each with a zero.
  (data (i32.const 128) "\01\00\00\00\0a\00\00\00\13\00\00\00powered-by\00proxy-wasm-go-sdk!!\00")
  (global $remaining (mut i64) (i64.const 0))
  (global $refilled (mut i64) (i64.const 0))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  ;; CONTEXTS
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (local $time i64)
    (drop (call $now (i32.const 0)))
    (local.set $time (i64.load (i32.const 0)))
    (if (i64.gt_u (local.get $time) (i64.add (global.get $refilled) (i64.const 1000000000)))
      (then
        (global.set $remaining (i64.const LIMIT))
        (global.set $refilled (local.get $time))))
    (if (i64.eqz (global.get $remaining))
      (then
        (drop (call $respond
          (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 80) (i32.const 29) (i32.const 128) (i32.const 43) (i32.const -1)))
        (return (i32.const 1))))
    (global.set $remaining (i64.sub (global.get $remaining) (i64.const 1)))
    (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (drop (call $add (i32.const 2) (i32.const 16) (i32.const 8) (i32.const 24) (i32.const 14)))
    (drop (call $add (i32.const 2) (i32.const 48) (i32.const 11) (i32.const 59) (i32.const 10)))
    (i32.const 0)))
