//! The hostcalls of Proxy-Wasm for queues.

use bytes::Bytes;
use tidegate_semantics::hostcalls::shared_queues;
use wasmtime::Linker;

use crate::engine::proxy_wasm::abi::Status;
use crate::engine::proxy_wasm::guest::{
    Guest, Host, copy_to_guest, memory, require_running, slice, status, write_u32,
};

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_register_shared_queue", register)?;
    linker.func_wrap("env", "proxy_resolve_shared_queue", resolve)?;
    linker.func_wrap("env", "proxy_enqueue_shared_queue", enqueue)?;
    linker.func_wrap("env", "proxy_dequeue_shared_queue", dequeue)?;
    Ok(())
}

fn register(mut host: Host<'_>, name: u32, name_size: u32, queue_at: u32) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_register_shared_queue")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        let name = slice(memory, name, name_size)?;
        let queue = shared_queues::register(&guest.services, guest.plugin(), name)?;
        write_u32(memory, queue_at, queue)
    })))
}

fn resolve(
    mut host: Host<'_>,
    vm: u32,
    vm_size: u32,
    name: u32,
    name_size: u32,
    queue_at: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_resolve_shared_queue")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        let vm = slice(memory, vm, vm_size)?;
        let name = slice(memory, name, name_size)?;
        let queue = shared_queues::resolve(&guest.services, vm, name)?;
        write_u32(memory, queue_at, queue)
    })))
}

fn enqueue(mut host: Host<'_>, queue: u32, data: u32, data_size: u32) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_enqueue_shared_queue")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        let data = Bytes::copy_from_slice(slice(memory, data, data_size)?);
        Ok(shared_queues::enqueue(&guest.services, queue, data)?)
    })))
}

fn dequeue(mut host: Host<'_>, queue: u32, data_at: u32, size_at: u32) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_dequeue_shared_queue")?;
    match shared_queues::dequeue(&host.data().services, queue) {
        Ok(value) => Ok(status(copy_to_guest(&mut host, &value, data_at, size_at)?)),
        Err(error) => Ok(Status::from(error) as u32),
    }
}
