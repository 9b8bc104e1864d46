    ;; What was allocated in a call is freed when it ends: it is overwritten and given out again. What lives
    ;; longer is allocated elsewhere, by the function that wit-component links to adapters.
    (global $heap (mut i32) (i32.const 131072))
    (global $kept (mut i32) (i32.const 65536))
    (func $allocate (param $align i32) (param $size i32) (result i32)
        (local $start i32)
        (local.set $start (i32.and
            (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.set $heap (i32.add (local.get $start) (local.get $size)))
        (local.get $start))
    (func $end-call
        (memory.fill (i32.const 131072) (i32.const 0xaa) (i32.sub (global.get $heap) (i32.const 131072)))
        (global.set $heap (i32.const 131072)))
    (func (export "cabi_realloc_adapter") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
        (local $start i32)
        (if (i32.or (local.get $old) (local.get $old-size)) (then unreachable))
        (local.set $start (i32.and
            (i32.add (global.get $kept) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.set $kept (i32.add (local.get $start) (local.get $size)))
        (if (i32.gt_u (global.get $kept) (i32.const 131072)) (then unreachable))
        (local.get $start))
