;; Two components in one: the second calls the first, which keeps its memory to itself.
(component
    (component $one
        (core module $m
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "f") (param i32 i32)))
        (core instance $i (instantiate $m))
        (func (export "f") (param "text" string)
            (canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
    (instance $one (instantiate $one))
    (component $two
        (import "f" (func $f (param "text" string)))
        (core module $libc
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
        (core instance $libc (instantiate $libc))
        (core func $f (canon lower (func $f) (memory (core memory $libc "memory"))))
        (core module $m
            (import "" "f" (func (param i32 i32)))
            (func (export "g") (call 0 (i32.const 0) (i32.const 0))))
        (core instance $i (instantiate $m (with "" (instance (export "f" (func $f))))))
        (func (export "g") (canon lift (core func $i "g"))))
    (instance $two (instantiate $two (with "f" (func $one "f"))))
    (export "g" (func $two "g")))
