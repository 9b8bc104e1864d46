(module
    (import "tidegate:proxy/http-fields@0.1.0" "get" (func $get (param i32 i32 i32 i32 i32)))
    (import "tidegate:proxy/http-fields@0.1.0" "values" (func $values (param i32 i32 i32 i32 i32)))
    (import "env" "memory" (memory 0))
    (func (export "cabi_import_realloc") (param i32 i32 i32 i32) (result i32) i32.const 8192)
    (func (export "values") (param i32 i32 i32 i32 i32)
        (call $get (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4))
        (call $values (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4))))
