;; A plugin that is linked with a shared library, `libtext.so`, as languages with modules of their own are (Python): each has
;; a `dylink.0` section and places its data relative to `__memory_base`, functions are found through the global offset table,
;; and the linker makes the module that has the memory. It logs a greeting twice: by a call and through the table.
(module
    (@dylink.0 (mem-info (memory 64 4)) (needed "libtext.so"))
    (type $text (func (param i32) (result i32)))
    (import "env" "memory" (memory 1))
    (import "env" "__memory_base" (global $memory-base i32))
    (import "env" "__indirect_function_table" (table 0 funcref))
    (import "env" "greeting" (func $greeting (type $text)))
    (import "GOT.func" "greeting" (global $greeting-slot (mut i32)))
    (import "GOT.mem" "greetings" (global $greetings (mut i32)))
    (import "tidegate:proxy/logging@0.1.0" "log" (func $log (param i32 i32 i32)))
    (import "[export]tidegate:proxy/plugin@0.1.0" "[resource-new]plugin-context" (func $new-plugin (param i32) (result i32)))
    (import "[export]tidegate:proxy/http-filter@0.1.0" "[resource-new]filter" (func $new-filter (param i32) (result i32)))
    (import "GOT.mem" "__heap_base" (global $heap-base (mut i32)))
    (global $heap (mut i32) (i32.const 0))
    ;; The result of `configure` is at 0, the length of a text at 16.
    (data (global.get $memory-base) "\ff")

    (func (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
        (local $start i32)
        (if (i32.eqz (global.get $heap)) (then (global.set $heap (global.get $heap-base))))
        (local.set $start (i32.and
            (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.set $heap (i32.add (local.get $start) (local.get $size)))
        (if (i32.gt_u (global.get $heap) (i32.shl (memory.size) (i32.const 16)))
            (then (if (i32.lt_s (memory.grow (i32.const 4)) (i32.const 0)) (then unreachable))))
        (local.get $start))

    (func (export "tidegate:proxy/plugin@0.1.0#[static]plugin-context.configure") (param i32 i32) (result i32)
        (i32.store8 (global.get $memory-base) (i32.const 0))
        (i32.store offset=4 (global.get $memory-base) (call $new-plugin (i32.const 7)))
        (global.get $memory-base))

    (func (export "tidegate:proxy/http-filter@0.1.0#[constructor]filter") (param i32 i32) (result i32)
        (call $new-filter (i32.const 9)))

    (func $length (result i32) (i32.add (global.get $memory-base) (i32.const 16)))

    (func (export "tidegate:proxy/on-request-headers@0.1.0#handle") (param i32 i32) (result i32)
        (call $log (i32.const 2) (call $greeting (call $length)) (i32.load (call $length)))
        (call $log (i32.const 2)
            (call_indirect (type $text) (call $length) (global.get $greeting-slot))
            (i32.load (call $length)))
        ;; The library counts its calls in a variable that it exports.
        (if (i32.ne (i32.load (global.get $greetings)) (i32.const 2)) (then unreachable))
        (i32.store (global.get $greetings) (i32.const 0))
        (i32.const 0)))
