(module
    (import "tidegate:proxy/http-fields@0.1.0" "get" (func $get (param i32 i32 i32 i32 i32)))
    (import "env" "memory" (memory 0))
    (global $heap (mut i32) (i32.const 131072))

    (func (export "cabi_import_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
        (local $start i32)
        (local.set $start (i32.and
            (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.set $heap (i32.add (local.get $start) (local.get $size)))
        (local.get $start))

    (func (export "get") (param i32 i32 i32 i32 i32)
        (call $get (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4))))
