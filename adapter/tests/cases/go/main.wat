;; Compiled from Go, with an allocator whose memory the collector leaves alone.
(module
    (@producers (language "Go" "go1.26.8") (processed-by "Go cmd/compile" "go1.26.8"))
    (memory (export "memory") 2)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096)
    (func $keep (export "cabi_realloc_adapter") (param i32 i32 i32 i32) (result i32) i32.const 8192)
    (func (export "tidegate:proxy/plugin@0.1.0#[static]plugin-context.configure") (param i32 i32) (result i32)
        i32.const 16)
    (func (export "tidegate:proxy/http-filter@0.1.0#[constructor]filter") (param i32 i32) (result i32) local.get 1)
    (func (export "tidegate:proxy/on-log@0.1.0#handle") (param i32)))
