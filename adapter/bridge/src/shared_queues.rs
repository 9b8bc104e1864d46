//! `shared-queues`: a handle is the host's number of the queue, so there is nothing to keep and nothing to free.
//!
//! The listener of a queue is the plugin whose callback is running, which the host knows.

use crate::abi;
use crate::memory::{RetPtr, bytes, string};
use crate::state::{State, state};
use crate::types::{self, Error};

/// The maximum length of a queue's name in bytes.
const MAX_NAME: usize = 1024;

#[unsafe(export_name = "shared-queues#[resource-drop]queue")]
extern "C" fn drop_queue(_: u32) {}

#[unsafe(export_name = "shared-queues#[static]queue.register")]
extern "C" fn register(name: *const u8, name_len: usize, ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<queue, error>`, and the name is valid for the duration of the
    // call.
    let (ret, name) = unsafe { (RetPtr::new(ret), string(name, name_len)) };
    let state = state();
    let outcome = if name.len() > MAX_NAME {
        Err(Error::TooLarge)
    } else {
        // SAFETY: the name stays where it is while the host reads it, and the address points to a cell of the state.
        types::room(unsafe {
            abi::proxy_register_shared_queue(name.as_ptr(), name.len(), state.data.as_ptr())
        })
    };
    store(ret, state, outcome);
}

#[unsafe(export_name = "shared-queues#[static]queue.resolve")]
extern "C" fn resolve(
    vm: *const u8,
    vm_len: usize,
    name: *const u8,
    name_len: usize,
    ret: *mut u8,
) {
    // SAFETY: the caller provides space for a `result<queue, error>`; the ID and the name are valid for the duration of
    // the call.
    let (ret, vm, name) = unsafe { (RetPtr::new(ret), string(vm, vm_len), string(name, name_len)) };
    let state = state();
    // SAFETY: the ID and the name stay where they are while the host reads them, and the last address points to a cell
    // of the state.
    let status = unsafe {
        abi::proxy_resolve_shared_queue(
            vm.as_ptr(),
            vm.len(),
            name.as_ptr(),
            name.len(),
            state.data.as_ptr(),
        )
    };
    store(ret, state, types::found(status));
}

/// Stores a `result<queue, error>` whose queue the host has just returned.
fn store(ret: RetPtr, state: &State, outcome: Result<(), Error>) {
    match outcome {
        Err(error) => types::store_error(ret, 4, error),
        Ok(()) => {
            ret.byte(0, 0);
            ret.word(4, state.data.get());
        }
    }
}

#[unsafe(export_name = "shared-queues#[method]queue.enqueue")]
extern "C" fn enqueue(queue: u32, data: *const u8, data_len: usize, ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<_, error>`, and the bytes are valid for the duration of the call.
    let (ret, data) = unsafe { (RetPtr::new(ret), bytes(data, data_len)) };
    // SAFETY: the bytes stay where they are while the host reads them.
    let status = unsafe { abi::proxy_enqueue_shared_queue(queue, data.as_ptr(), data.len()) };
    let outcome = match status {
        abi::NOT_FOUND => Err(Error::NotFound),
        status => types::room(status),
    };
    types::store(ret, outcome);
}

#[unsafe(export_name = "shared-queues#[method]queue.dequeue")]
extern "C" fn dequeue(queue: u32, ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<list<u8>, error>`.
    let ret = unsafe { RetPtr::new(ret) };
    let state = state();
    // SAFETY: both addresses point to cells of the state.
    let status =
        unsafe { abi::proxy_dequeue_shared_queue(queue, state.data.as_ptr(), state.size.as_ptr()) };
    types::store_received(ret, state, types::found(status));
}

#[unsafe(export_name = "shared-queues#[method]queue.id")]
extern "C" fn id(queue: u32) -> u32 {
    queue
}
