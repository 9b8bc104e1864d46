    ;; From the end of memory down: the first block ends where memory does. What is left over of a call is never used again.
    (global $top (mut i32) (i32.const 262144))
    (func $allocate (param $align i32) (param $size i32) (result i32)
        (local $grown i32)
        (if (i32.lt_u (i32.sub (global.get $top) (i32.const 65536)) (local.get $size))
            (then
                (local.set $grown (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16))))
                (if (i32.eq (memory.grow (local.get $grown)) (i32.const -1)) (then unreachable))
                (global.set $top (i32.mul (memory.size) (i32.const 65536)))
                (return (call $down (local.get $align) (local.get $size)))))
        (call $down (local.get $align) (local.get $size)))
    (func $down (param $align i32) (param $size i32) (result i32)
        (global.set $top (i32.and
            (i32.sub (global.get $top) (local.get $size))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.get $top))
    (func $end-call)
