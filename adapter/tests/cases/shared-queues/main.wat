;; Listens to a queue, and passes each value on to another queue. A handle to a queue is its number, so nothing is kept.
(module
    (import "tidegate:proxy/shared-queues@0.1.0" "[static]queue.register" (func $register (param i32 i32 i32)))
    (import "tidegate:proxy/shared-queues@0.1.0" "[static]queue.resolve" (func $resolve
        (param i32 i32 i32 i32 i32)))
    (import "tidegate:proxy/shared-queues@0.1.0" "[method]queue.enqueue" (func $enqueue
        (param i32 i32 i32 i32)))
    (import "tidegate:proxy/shared-queues@0.1.0" "[method]queue.dequeue" (func $dequeue (param i32 i32)))
    (import "tidegate:proxy/shared-queues@0.1.0" "[method]queue.id" (func $id (param i32) (result i32)))
    (import "tidegate:proxy/shared-queues@0.1.0" "[resource-drop]queue" (func $drop (param i32)))
    (memory (export "memory") 2)
    (global $heap (mut i32) (i32.const 4096))

    (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        global.get $heap
        global.get $heap
        local.get 3
        i32.add
        global.set $heap)
    (func $configure (export "tidegate:proxy/plugin@0.1.0#[static]plugin-context.configure")
        (param i32 i32) (result i32)
        (call $register (i32.const 0) (i32.const 0) (i32.const 32))
        i32.const 16)
    (func $filter (export "tidegate:proxy/http-filter@0.1.0#[constructor]filter")
        (param i32 i32) (result i32)
        local.get 1)

    (func $ready (export "tidegate:proxy/on-queue-ready@0.1.0#handle") (param i32 i32)
        (call $dequeue (local.get 1) (i32.const 32))
        (call $resolve (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 48))
        (call $enqueue (i32.load (i32.const 52)) (i32.load (i32.const 36)) (i32.load (i32.const 40)) (i32.const 64))
        (drop (call $id (i32.load (i32.const 52))))
        (call $drop (i32.load (i32.const 52))))
    (func $ready-post (export "cabi_post_tidegate:proxy/on-queue-ready@0.1.0#handle")))
