//! `wasi:sockets`: no sockets can be created. A plugin reaches the network only through the proxy.

use super::macros::{drops, unreachable_functions};
use crate::memory::RetPtr;

/// The handle of the network, which gives access to nothing.
const NETWORK: u32 = 1;
/// The case `not-supported` of `error-code`.
const NOT_SUPPORTED: u8 = 2;

#[unsafe(export_name = "wasi:sockets/instance-network#instance-network")]
extern "C" fn instance_network() -> u32 {
    NETWORK
}

#[unsafe(export_name = "wasi:sockets/tcp-create-socket#create-tcp-socket")]
extern "C" fn create_tcp_socket(_: u32, ret: *mut u8) {
    refuse(ret);
}

#[unsafe(export_name = "wasi:sockets/udp-create-socket#create-udp-socket")]
extern "C" fn create_udp_socket(_: u32, ret: *mut u8) {
    refuse(ret);
}

#[unsafe(export_name = "wasi:sockets/ip-name-lookup#resolve-addresses")]
extern "C" fn resolve_addresses(_: u32, _: *const u8, _: usize, ret: *mut u8) {
    refuse(ret);
}

/// Stores the error of a `result<R, error-code>` where R is a resource.
fn refuse(ret: *mut u8) {
    // SAFETY: the caller provides space for one.
    let ret = unsafe { RetPtr::new(ret) };
    ret.byte(0, 1);
    ret.byte(4, NOT_SUPPORTED);
}

drops! {
    "wasi:sockets/network#[resource-drop]network";
    "wasi:sockets/tcp#[resource-drop]tcp-socket";
    "wasi:sockets/udp#[resource-drop]udp-socket";
    "wasi:sockets/udp#[resource-drop]incoming-datagram-stream";
    "wasi:sockets/udp#[resource-drop]outgoing-datagram-stream";
    "wasi:sockets/ip-name-lookup#[resource-drop]resolve-address-stream";
}

unreachable_functions! {
    "wasi:sockets/ip-name-lookup#[method]resolve-address-stream.resolve-next-address" (u32, *mut u8);
    "wasi:sockets/ip-name-lookup#[method]resolve-address-stream.subscribe" (u32) -> u32;

    "wasi:sockets/tcp#[method]tcp-socket.start-bind" (u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.finish-bind" (u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.start-connect" (u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.finish-connect" (u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.start-listen" (u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.finish-listen" (u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.accept" (u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.local-address" (u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.remote-address" (u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.is-listening" (u32) -> u32;
    "wasi:sockets/tcp#[method]tcp-socket.address-family" (u32) -> u32;
    "wasi:sockets/tcp#[method]tcp-socket.set-listen-backlog-size" (u32, u64, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.keep-alive-enabled" (u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.set-keep-alive-enabled" (u32, u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.keep-alive-idle-time" (u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.set-keep-alive-idle-time" (u32, u64, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.keep-alive-interval" (u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.set-keep-alive-interval" (u32, u64, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.keep-alive-count" (u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.set-keep-alive-count" (u32, u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.hop-limit" (u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.set-hop-limit" (u32, u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.receive-buffer-size" (u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.set-receive-buffer-size" (u32, u64, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.send-buffer-size" (u32, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.set-send-buffer-size" (u32, u64, *mut u8);
    "wasi:sockets/tcp#[method]tcp-socket.subscribe" (u32) -> u32;
    "wasi:sockets/tcp#[method]tcp-socket.shutdown" (u32, u32, *mut u8);

    "wasi:sockets/udp#[method]udp-socket.start-bind" (u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, *mut u8);
    "wasi:sockets/udp#[method]udp-socket.finish-bind" (u32, *mut u8);
    "wasi:sockets/udp#[method]udp-socket.stream" (u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, *mut u8);
    "wasi:sockets/udp#[method]udp-socket.local-address" (u32, *mut u8);
    "wasi:sockets/udp#[method]udp-socket.remote-address" (u32, *mut u8);
    "wasi:sockets/udp#[method]udp-socket.address-family" (u32) -> u32;
    "wasi:sockets/udp#[method]udp-socket.unicast-hop-limit" (u32, *mut u8);
    "wasi:sockets/udp#[method]udp-socket.set-unicast-hop-limit" (u32, u32, *mut u8);
    "wasi:sockets/udp#[method]udp-socket.receive-buffer-size" (u32, *mut u8);
    "wasi:sockets/udp#[method]udp-socket.set-receive-buffer-size" (u32, u64, *mut u8);
    "wasi:sockets/udp#[method]udp-socket.send-buffer-size" (u32, *mut u8);
    "wasi:sockets/udp#[method]udp-socket.set-send-buffer-size" (u32, u64, *mut u8);
    "wasi:sockets/udp#[method]udp-socket.subscribe" (u32) -> u32;
    "wasi:sockets/udp#[method]incoming-datagram-stream.receive" (u32, u64, *mut u8);
    "wasi:sockets/udp#[method]incoming-datagram-stream.subscribe" (u32) -> u32;
    "wasi:sockets/udp#[method]outgoing-datagram-stream.check-send" (u32, *mut u8);
    "wasi:sockets/udp#[method]outgoing-datagram-stream.send" (u32, *const u8, usize, *mut u8);
    "wasi:sockets/udp#[method]outgoing-datagram-stream.subscribe" (u32) -> u32;
}
