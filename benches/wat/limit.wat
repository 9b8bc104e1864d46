;; The hostcalls of a rate limit by client address, by hand and without a limit: for each request, the time; then, unless MORE is
;; replaced by 0, the address of the client and two counters. What a rate limit costs at least.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $now (param i32 i64 i32) (result i32)))
  (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_record_metric" (func $record (param i32 i64) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "source\00address")
  (data (i32.const 16) "bench.enabledbench.ok")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (i32.eqz (i32.or
      (call $define (i32.const 0) (i32.const 16) (i32.const 13) (i32.const 64))
      (call $define (i32.const 0) (i32.const 29) (i32.const 8) (i32.const 68)))))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (if (call $now (i32.const 0) (i64.const 1) (i32.const 72)) (then (unreachable)))
    (if (i32.const MORE)
      (then
        (if (call $property (i32.const 0) (i32.const 14) (i32.const 80) (i32.const 84)) (then (unreachable)))
        (if (call $record (i32.load (i32.const 64)) (i64.const 1)) (then (unreachable)))
        (if (call $record (i32.load (i32.const 68)) (i64.const 1)) (then (unreachable)))))
    (i32.const 0)))
