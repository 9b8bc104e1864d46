//! `http-calls`: requests to other services.
//!
//! The host ignores headers that it does not accept, and sends others as they are, so all rules of the contract are
//! checked here.

use crate::abi;
use crate::contexts;
use crate::http_call_types::Receiver;
use crate::memory::{RetPtr, bytes, string};
use crate::pairs::{self, Entry, Names};
use crate::running::Phase;
use crate::state::{CallingStream, state};
use crate::syntax::{self, RequestHeader};
use crate::types::{self, Error};

/// The longest timeout in milliseconds. The host takes a signed number.
const MAX_TIMEOUT: u32 = i32::MAX.cast_unsigned();

/// The parameters that both functions have.
struct Request<'a> {
    cluster: &'a [u8],
    headers: &'a [Entry],
    body: &'a [u8],
    trailers: &'a [Entry],
    timeout_ms: u32,
}

impl Request<'_> {
    /// Takes strings and lists that the guest passed, each by address and length. Traps if one violates its type.
    ///
    /// # Safety
    /// They stay there, unchanged, for the lifetime of the request.
    #[inline(always)]
    unsafe fn lift(
        cluster: (*const u8, usize),
        headers: (*const Entry, usize),
        body: (*const u8, usize),
        trailers: (*const Entry, usize),
        timeout_ms: u32,
    ) -> Self {
        // SAFETY: guaranteed by the caller.
        unsafe {
            Request {
                cluster: string(cluster.0, cluster.1),
                headers: pairs::lift(headers.0, headers.1),
                body: bytes(body.0, body.1),
                trailers: pairs::lift(trailers.0, trailers.1),
                timeout_ms,
            }
        }
    }
}

#[unsafe(export_name = "http-calls#send-for-stream")]
extern "C" fn send_for_stream(
    http: u32,
    cluster: *const u8,
    cluster_len: usize,
    headers: *const Entry,
    headers_len: usize,
    body: *const u8,
    body_len: usize,
    trailers: *const Entry,
    trailers_len: usize,
    timeout_ms: u32,
    ret: *mut u8,
) {
    // SAFETY: strings and lists belong to the guest and are valid for the duration of the call.
    let request = unsafe {
        Request::lift(
            (cluster, cluster_len),
            (headers, headers_len),
            (body, body_len),
            (trailers, trailers_len),
            timeout_ms,
        )
    };
    // SAFETY: the caller provides space for a `result<call-id, error>`.
    store(unsafe { RetPtr::new(ret) }, send(Some(http), &request));
}

#[unsafe(export_name = "http-calls#send-for-plugin")]
extern "C" fn send_for_plugin(
    cluster: *const u8,
    cluster_len: usize,
    headers: *const Entry,
    headers_len: usize,
    body: *const u8,
    body_len: usize,
    trailers: *const Entry,
    trailers_len: usize,
    timeout_ms: u32,
    ret: *mut u8,
) {
    // SAFETY: strings and lists belong to the guest and are valid for the duration of the call.
    let request = unsafe {
        Request::lift(
            (cluster, cluster_len),
            (headers, headers_len),
            (body, body_len),
            (trailers, trailers_len),
            timeout_ms,
        )
    };
    // SAFETY: the caller provides space for a `result<call-id, error>`.
    store(unsafe { RetPtr::new(ret) }, send(None, &request));
}

fn store(ret: RetPtr, sent: Result<u32, Error>) {
    match sent {
        Err(error) => types::store_error(ret, 4, error),
        Ok(call) => {
            ret.byte(0, 0);
            ret.word(4, call);
        }
    }
}

/// Sends a request for a stream or, without one, for the plugin.
#[inline(never)]
fn send(stream: Option<u32>, request: &Request<'_>) -> Result<u32, Error> {
    let state = state();
    let calling = match stream {
        None => None,
        Some(id) => match state.streams.find(id) {
            None => return Err(Error::Closed),
            Some(stream) => Some(CallingStream {
                id,
                root: stream.root(),
            }),
        },
    };
    // Envoy may not have its clusters yet when it configures a plugin, and cancels the calls of one that it deletes.
    if state.running.get().phase == Phase::Lifecycle {
        return Err(Error::NotAvailable);
    }
    if !(1..=MAX_TIMEOUT).contains(&request.timeout_ms) {
        return Err(Error::InvalidArgument);
    }
    let headers = pairs::write(state, request.headers, Names::FieldsAndPseudo)?;
    check_request(request.headers)?;
    // The headers stay in the scratch buffer while the trailers are written to another one.
    state.scratch.swap(&state.second_scratch);
    let trailers = pairs::write(state, request.trailers, Names::Fields);
    state.scratch.swap(&state.second_scratch);
    let trailers = trailers?;
    // The host attributes the call to the plugin of the selected context.
    if let Some(stream) = stream {
        contexts::enter(state, stream)?;
    }
    // SAFETY: all of it stays where it is while the host reads it, and the last address points to a cell of the state.
    let status = unsafe {
        abi::proxy_http_call(
            request.cluster.as_ptr(),
            request.cluster.len(),
            headers.start,
            headers.len,
            request.body.as_ptr(),
            request.body.len(),
            trailers.start,
            trailers.len,
            request.timeout_ms,
            state.data.as_ptr(),
        )
    };
    if let Some(stream) = stream {
        contexts::leave(state, stream);
    }
    match status {
        // Everything else has been checked.
        abi::BAD_ARGUMENT => return Err(Error::NotFound),
        // The cluster has no healthy host, or the deployment's capability restriction does not list this hostcall.
        abi::INTERNAL_FAILURE => return Err(Error::Internal),
        status => types::outcome(status)?,
    }
    let id = state.data.get();
    // Without either callback, the host does not report that the call has ended, and the entry would stay forever. With
    // one of them, calls for streams must be distinguished from calls for the plugin.
    if let Some(calling) = calling
        && (Receiver::Filter.exists() || Receiver::Plugin.exists())
    {
        if state.has_cancelled_calls.replace(false) {
            state
                .stream_calls
                .remove_if(|it| state.plugins.find(it.root).is_none());
        }
        state.stream_calls.put(&state.arena, id, calling);
    }
    Ok(id)
}

/// Checks the headers of a request, whose names and values are valid.
#[inline(always)]
fn check_request(headers: &[Entry]) -> Result<(), Error> {
    let (mut methods, mut paths, mut authorities, mut schemes) = (0, 0, 0, 0);
    for header in headers {
        let (name, value) = header.parts();
        let is_good = match syntax::request_header(name) {
            RequestHeader::Method => {
                methods += 1;
                syntax::is_request_method(value)
            }
            RequestHeader::Path => {
                paths += 1;
                syntax::is_request_path(value)
            }
            RequestHeader::Authority => {
                authorities += 1;
                !value.is_empty()
            }
            RequestHeader::Scheme => {
                schemes += 1;
                true
            }
            RequestHeader::Reserved => false,
            RequestHeader::Other => true,
        };
        if !is_good {
            return Err(Error::InvalidArgument);
        }
    }
    if methods == 1 && paths == 1 && authorities == 1 && schemes <= 1 {
        Ok(())
    } else {
        Err(Error::InvalidArgument)
    }
}
