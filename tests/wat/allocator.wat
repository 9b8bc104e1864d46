;; A guest that receives results of every shape, in memory from the allocator of its folder (`allocator.wat`), which takes
;; the place of the line below that says so. An allocator has
;;
;;   (func $allocate (param $align i32) (param $size i32) (result i32))   for `cabi_realloc`
;;   (func $end-call)                                                     called as each export ends
;;
;; and whatever else it needs; the heap is from 65536 on, memory has four pages.
;;
;; For each request it appends to the request's headers `x-get`, the first value of `x-in`; `x-values`, the values of `x-in`
;; one after another; and `x-sum`, a checksum over the entries whose names begin with `x-i`. For `x-fail: 3` its allocator
;; traps at the third allocation from there on. A request's body is read and logged, and so is its checksum.
(module
    (import "tidegate:proxy/logging@0.1.0" "log" (func $log (param i32 i32 i32)))
    (import "tidegate:proxy/http-fields@0.1.0" "get" (func $get (param i32 i32 i32 i32 i32)))
    (import "tidegate:proxy/http-fields@0.1.0" "values" (func $values (param i32 i32 i32 i32 i32)))
    (import "tidegate:proxy/http-fields@0.1.0" "entries" (func $entries (param i32 i32 i32)))
    (import "tidegate:proxy/http-fields@0.1.0" "append" (func $append (param i32 i32 i32 i32 i32 i32 i32)))
    (import "tidegate:proxy/http-bodies@0.1.0" "read" (func $read (param i32 i32 i32 i32 i32)))
    (import "[export]tidegate:proxy/plugin@0.1.0" "[resource-new]plugin-context" (func $new-plugin (param i32) (result i32)))
    (import "[export]tidegate:proxy/http-filter@0.1.0" "[resource-new]filter" (func $new-filter (param i32) (result i32)))
    (memory (export "memory") 4)

    ;; How many allocations are left before one traps; negative for no end.
    (global $left (mut i32) (i32.const -1))

    ;; Results at 64, an answer at 1024, names from 2048 on.
    (data (i32.const 2048) "x-in")
    (data (i32.const 2056) "x-fail")
    (data (i32.const 2064) "x-get")
    (data (i32.const 2072) "x-values")
    (data (i32.const 2080) "x-sum")
    (data (i32.const 2088) "body of ")
    (data (i32.const 2096) "configured with ")

    ;; the allocator

    (func (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
        (if (i32.eqz (global.get $left)) (then unreachable))
        (if (i32.gt_s (global.get $left) (i32.const 0))
            (then (global.set $left (i32.sub (global.get $left) (i32.const 1)))))
        ;; Only a new block is ever asked for.
        (if (i32.or (local.get $old) (local.get $old-size)) (then unreachable))
        (call $allocate (local.get $align) (local.get $size)))

    ;; Adds the bytes to a checksum (FNV-1a).
    (func $sum (param $sum i32) (param $at i32) (param $len i32) (result i32)
        (local $end i32)
        (local.set $end (i32.add (local.get $at) (local.get $len)))
        (block $done
            (loop $next
                (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
                (local.set $sum (i32.mul (i32.xor (local.get $sum) (i32.load8_u (local.get $at))) (i32.const 16777619)))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (br $next)))
        (local.get $sum))

    ;; Writes a number as eight digits.
    (func $hex (param $number i32) (param $to i32)
        (local $digit i32)
        (local $end i32)
        (local.set $end (i32.add (local.get $to) (i32.const 8)))
        (loop $next
            (local.set $digit (i32.shr_u (local.get $number) (i32.const 28)))
            (i32.store8 (local.get $to) (i32.add (local.get $digit)
                (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $digit) (i32.const 10)))))
            (local.set $number (i32.shl (local.get $number) (i32.const 4)))
            (local.set $to (i32.add (local.get $to) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $to) (local.get $end)))))

    ;; Fails unless the result at 64 is no error.
    (func $check (if (i32.load8_u (i32.const 64)) (then unreachable)))

    (func (export "tidegate:proxy/plugin@0.1.0#[static]plugin-context.configure") (param $at i32) (param $len i32) (result i32)
        (memory.copy (i32.const 2112) (local.get $at) (local.get $len))
        (call $log (i32.const 2) (i32.const 2096) (i32.add (i32.const 16) (local.get $len)))
        (i32.store8 (i32.const 16) (i32.const 0))
        (i32.store (i32.const 20) (call $new-plugin (i32.const 7)))
        (call $end-call)
        (i32.const 16))

    (func (export "tidegate:proxy/http-filter@0.1.0#[constructor]filter") (param $plugin i32) (param $http i32) (result i32)
        (call $end-call)
        (call $new-filter (local.get $http)))

    (func (export "tidegate:proxy/on-request-headers@0.1.0#handle") (param $http i32) (param $end i32) (result i32)
        (local $at i32)
        (local $count i32)
        (local $sum i32)
        (local $to i32)
        (call $get (local.get $http) (i32.const 0) (i32.const 2056) (i32.const 6) (i32.const 64))
        (call $check)
        (if (i32.load8_u (i32.const 68))
            (then (global.set $left (i32.sub (i32.load8_u (i32.load (i32.const 72))) (i32.const 49)))))

        (call $get (local.get $http) (i32.const 0) (i32.const 2048) (i32.const 4) (i32.const 64))
        (call $check)
        (if (i32.load8_u (i32.const 68))
            (then
                (call $append (local.get $http) (i32.const 0) (i32.const 2064) (i32.const 5)
                    (i32.load (i32.const 72)) (i32.load (i32.const 76)) (i32.const 64))
                (call $check)))

        (call $values (local.get $http) (i32.const 0) (i32.const 2048) (i32.const 4) (i32.const 64))
        (call $check)
        (local.set $at (i32.load (i32.const 68)))
        (local.set $count (i32.load (i32.const 72)))
        (local.set $to (i32.const 1024))
        (block $done
            (loop $next
                (br_if $done (i32.eqz (local.get $count)))
                ;; A long value is in the checksum alone.
                (if (i32.lt_u (i32.load offset=4 (local.get $at)) (i32.const 64))
                    (then
                        (memory.copy (local.get $to) (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))
                        (local.set $to (i32.add (local.get $to) (i32.load offset=4 (local.get $at))))))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                (br $next)))
        (call $append (local.get $http) (i32.const 0) (i32.const 2072) (i32.const 8)
            (i32.const 1024) (i32.sub (local.get $to) (i32.const 1024)) (i32.const 64))
        (call $check)

        (call $entries (local.get $http) (i32.const 0) (i32.const 64))
        (call $check)
        (local.set $at (i32.load (i32.const 68)))
        (local.set $count (i32.load (i32.const 72)))
        (local.set $sum (i32.const 0))
        (block $done
            (loop $next
                (br_if $done (i32.eqz (local.get $count)))
                (if (i32.eq (i32.and (i32.load align=1 (i32.load (local.get $at))) (i32.const 0xffffff)) (i32.const 0x692d78))
                    (then
                        ;; The order of the entries is the proxy's.
                        (local.set $sum (i32.add (local.get $sum) (call $sum
                            (call $sum (i32.const 0x811c9dc5) (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))
                            (i32.load offset=8 (local.get $at)) (i32.load offset=12 (local.get $at)))))))
                (local.set $at (i32.add (local.get $at) (i32.const 16)))
                (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                (br $next)))
        (call $hex (local.get $sum) (i32.const 1024))
        (call $append (local.get $http) (i32.const 0) (i32.const 2080) (i32.const 5) (i32.const 1024) (i32.const 8) (i32.const 64))
        (call $check)
        (call $end-call)
        (i32.const 0))

    (func (export "tidegate:proxy/on-request-body@0.1.0#handle") (param $http i32) (param $size i32) (param $end i32) (result i32)
        ;; Bodies are looked at whole.
        (if (i32.eqz (local.get $end)) (then (return (i32.const 1))))
        (call $read (local.get $http) (i32.const 0) (i32.const 0) (local.get $size) (i32.const 64))
        (call $check)
        (call $hex (call $sum (i32.const 0x811c9dc5) (i32.load (i32.const 68)) (i32.load (i32.const 72))) (i32.const 1032))
        (i64.store (i32.const 1024) (i64.load (i32.const 2088)))
        (call $log (i32.const 2) (i32.const 1024) (i32.const 16))
        (call $end-call)
        (i32.const 0))

    (func (export "tidegate:proxy/on-log@0.1.0#handle") (param $http i32)
        (call $end-call)))
