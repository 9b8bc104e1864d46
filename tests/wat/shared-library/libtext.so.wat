(module
    (@dylink.0 (mem-info (memory 64 4)))
    (import "env" "memory" (memory 1))
    (import "env" "__memory_base" (global $memory-base i32))
    (data (global.get $memory-base) "hello from a library")
    ;; The address of the number of calls, relative to `__memory_base`.
    (global (export "greetings") i32 (i32.const 32))

    ;; Returns the address of a text, and stores its length.
    (func (export "greeting") (param $length i32) (result i32)
        (i32.store offset=32 (global.get $memory-base)
            (i32.add (i32.load offset=32 (global.get $memory-base)) (i32.const 1)))
        (i32.store (local.get $length) (i32.const 20))
        (global.get $memory-base)))
