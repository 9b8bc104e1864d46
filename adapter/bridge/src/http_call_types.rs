//! `http-call-types`: the outcome of an HTTP call, as one of two callbacks receives it.
//!
//! The whole response is read before the component's callback runs, into memory that the guest will own. Nothing is
//! allocated there for a callback that the component does not have, or for a response that it does not get, because nothing
//! would free it.

use crate::abi;
use crate::memory::{List, check_allocation, into_place, into_scratch, received};
use crate::pairs::CheckedPairs;
use crate::state::State;

#[link(wasm_import_module = "guest-exports")]
unsafe extern "C" {
    #[link_name = "on-http-call-response#handle"]
    safe fn has_filter_callback() -> u32;
    #[link_name = "on-plugin-http-call-response#handle"]
    safe fn has_plugin_callback() -> u32;
}

#[link(wasm_import_module = "guest-realloc")]
unsafe extern "C" {
    #[link_name = "on-http-call-response#handle"]
    safe fn filter_realloc(old: usize, old_size: usize, align: usize, size: usize) -> *mut u8;
    #[link_name = "on-plugin-http-call-response#handle"]
    safe fn plugin_realloc(old: usize, old_size: usize, align: usize, size: usize) -> *mut u8;
}

/// The callback that receives an outcome.
#[derive(Clone, Copy)]
pub(crate) enum Receiver {
    /// `on-http-call-response`
    Filter,
    /// `on-plugin-http-call-response`
    Plugin,
}

impl Receiver {
    /// Whether the component has the callback.
    #[inline(always)]
    pub(crate) fn exists(self) -> bool {
        let exists = match self {
            Receiver::Filter => has_filter_callback(),
            Receiver::Plugin => has_plugin_callback(),
        };
        exists != 0
    }

    /// Allocates `size` bytes that the guest will own as an argument of the callback. Null only if `size` is 0.
    fn allocate(self, align: usize, size: usize) -> *mut u8 {
        let start = match self {
            Receiver::Filter => filter_realloc(0, 0, align, size),
            Receiver::Plugin => plugin_realloc(0, 0, align, size),
        };
        check_allocation(start, align, size)
    }
}

/// What the host passes to its callback about a response.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// The number of headers. 0 if there is no response, because each response has `:status`.
    pub(crate) headers: u32,
    /// The size of the body in bytes.
    pub(crate) body: u32,
    /// The number of trailers.
    pub(crate) trailers: u32,
}

/// An `outcome`, flattened.
pub(crate) struct Outcome {
    case: u32,
    headers: List,
    body: List,
    trailers: List,
}

/// A callback of the component that receives an outcome: its own receiver, the call, and the outcome.
pub(crate) type Callback =
    unsafe extern "C" fn(u32, u32, u32, *const u8, usize, *const u8, usize, *const u8, usize);

/// `outcome.response`
const RESPONSE: u32 = 0;
/// `outcome.reset`
const RESET: u32 = 1;

impl Outcome {
    /// Reads the outcome, in the host's callback for it, into memory that the guest will own.
    ///
    /// A response that the host does not let the plugin read, or that violates its type, counts as none.
    #[inline(never)]
    pub(crate) fn read(state: &State, receiver: Receiver, sizes: Sizes) -> Outcome {
        if let Some(response) = response(state, receiver, sizes) {
            return response;
        }
        let none = List {
            start: core::ptr::null(),
            len: 0,
        };
        Outcome {
            case: RESET,
            headers: none,
            body: none,
            trailers: none,
        }
    }

    /// Passes the outcome to a callback, which owns the lists from then on.
    ///
    /// # Safety
    /// The outcome was read for this callback, and `receiver` is a handle of the type that the callback takes.
    #[inline(always)]
    pub(crate) unsafe fn pass(self, callback: Callback, receiver: u32, call: u32) {
        let Outcome {
            case,
            headers,
            body,
            trailers,
        } = self;
        // SAFETY: guaranteed by the caller.
        unsafe {
            callback(
                receiver,
                call,
                case,
                headers.start,
                headers.len,
                body.start,
                body.len,
                trailers.start,
                trailers.len,
            );
        }
    }
}

#[inline(always)]
fn response(state: &State, receiver: Receiver, sizes: Sizes) -> Option<Outcome> {
    if sizes.headers == 0 {
        return None;
    }
    let headers = fields(state, abi::MAP_CALL_RESPONSE_HEADERS, sizes.headers)?;
    // The headers stay in the scratch buffer while the trailers are read into another one.
    state.scratch.swap(&state.second_scratch);
    let trailers = fields(state, abi::MAP_CALL_RESPONSE_TRAILERS, sizes.trailers);
    state.scratch.swap(&state.second_scratch);
    let trailers = trailers?;
    let body = body(state, receiver, sizes.body)?;
    Some(Outcome {
        case: RESPONSE,
        headers: copied(headers, receiver),
        body,
        trailers: copied(trailers, receiver),
    })
}

/// Reads a map of `count` fields into the scratch buffer.
#[inline(never)]
fn fields(state: &State, map: u32, count: u32) -> Option<CheckedPairs<'static>> {
    let mut data: &[u8] = &[];
    if count != 0 {
        let status = into_scratch(state, |data, size| {
            // SAFETY: both addresses point to cells of the state.
            unsafe { abi::proxy_get_header_map_pairs(map, data, size) }
        });
        if status != abi::OK {
            return None;
        }
        data = received(state);
    }
    CheckedPairs::read(data).ok()
}

/// Copies fields into memory that the guest will own.
#[inline(never)]
fn copied(fields: CheckedPairs<'_>, receiver: Receiver) -> List {
    fields.copied(move |align, size| receiver.allocate(align, size))
}

/// Reads the body, which the host writes into the guest's memory itself.
#[inline(always)]
fn body(state: &State, receiver: Receiver, size: u32) -> Option<List> {
    // The last byte is read first. If the host does not let the plugin read it, nothing is allocated. If it does, it has
    // the whole body.
    let last = state.time.as_ptr().cast::<u8>();
    if size != 0 && !read_body(state, size - 1, 1, last) {
        return None;
    }
    let start = receiver.allocate(1, size as usize);
    if size != 0 && !read_body(state, 0, size, start) {
        return None;
    }
    Some(List {
        start,
        len: size as usize,
    })
}

/// Has the host write `len` bytes of the body, from `start` on, to `place`. Returns whether it did.
#[inline(never)]
fn read_body(state: &State, start: u32, len: u32, place: *mut u8) -> bool {
    into_place(state, place, len as usize, |data, size| {
        const BODY: u32 = abi::BUFFER_CALL_RESPONSE_BODY;
        // SAFETY: both addresses point to cells of the state.
        unsafe { abi::proxy_get_buffer_bytes(BODY, start, len, data, size) }
    })
}
