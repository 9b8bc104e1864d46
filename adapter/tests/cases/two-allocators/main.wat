;; The main module and the adapter module beside it have an allocator each. Each import of the bridge is called through a
;; function that selects the allocator; `values` is called by the adapter module only, and `get` by both.
(module
    (import "tidegate:proxy/http-fields@0.1.0" "get" (func $get (param i32 i32 i32 i32 i32)))
    (import "fields" "values" (func $values (param i32 i32 i32 i32 i32)))
    (memory (export "memory") 2)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096)
    (func (export "tidegate:proxy/plugin@0.1.0#[static]plugin-context.configure") (param i32 i32) (result i32)
        i32.const 16)
    (func (export "tidegate:proxy/http-filter@0.1.0#[constructor]filter") (param i32 i32) (result i32) local.get 1)
    (func (export "tidegate:proxy/on-log@0.1.0#handle") (param i32)
        (call $get (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))
        (call $values (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))))
