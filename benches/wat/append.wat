;; `guests/append` written by hand: what an engine costs when the plugin costs nothing.
(module
  (import "env" "proxy_add_header_map_value"
    (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "x-appendedby the bench")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
  ;; Map 2 is the response's headers; a status other than 0 pauses the stream, so that a refusal is seen.
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (i32.ne (call $add (i32.const 2) (i32.const 0) (i32.const 10) (i32.const 10) (i32.const 12)) (i32.const 0))))
