;; What the newest wit-component makes of a module that imports a function twice and has start code.
(module
  (import "tidegate:proxy/logging@0.1.0" "log" (func $line (param i32 i32 i32)))
  (import "[export]tidegate:proxy/plugin@0.1.0" "[resource-new]plugin-context" (func $newp (param i32) (result i32)))
  (import "[export]tidegate:proxy/http-filter@0.1.0" "[resource-new]filter" (func $newf (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $v (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 65536))
  (data (i32.const 1024) "hello")
  (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.set $heap (i32.and (i32.add (global.get $heap) (i32.sub (local.get 2) (i32.const 1))) (i32.sub (i32.const 0) (local.get 2))))
    global.get $heap
    (global.set $heap (i32.add (global.get $heap) (local.get 3))))
  
  (func (export "tidegate:proxy/plugin@0.1.0#[static]plugin-context.configure") (param i32 i32) (result i32)
    (i32.store8 (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (call $newp (i32.const 7))) i32.const 16)
  (func (export "tidegate:proxy/http-filter@0.1.0#[constructor]filter") (param i32 i32) (result i32) (call $newf (i32.const 9)))
  (func (export "tidegate:proxy/on-request-headers@0.1.0#handle") (param i32 i32) (result i32)
    (call $line (i32.const 2) (i32.const 1024) (i32.const 5)) (drop (call $v (i32.const 2) (i32.const 512) (i32.const 0) (i32.const 520))) (i32.const 0)
    drop (drop (call $w (i32.const 2) (i32.const 512) (i32.const 0) (i32.const 520))) (i32.const 0))
  (func $start (export "_initialize") (global.set $heap (i32.const 65536))))
