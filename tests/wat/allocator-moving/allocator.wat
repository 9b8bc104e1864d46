    ;; A bump allocator that leaves a gap before each block, so that a block never grows in place.
    (global $heap (mut i32) (i32.const 65536))
    (func $allocate (param $align i32) (param $size i32) (result i32)
        (local $start i32)
        (local.set $start (i32.and
            (i32.add (global.get $heap) (i32.add (i32.const 40) (local.get $align)))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.set $heap (i32.add (local.get $start) (local.get $size)))
        (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
            (then (if (i32.eq (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16)))) (i32.const -1))
                (then unreachable))))
        (local.get $start))
    (func $end-call)
