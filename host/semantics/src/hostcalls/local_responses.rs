//! `local-responses`: local responses, which a plugin sends instead of the upstream.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::context::StreamContext;
use crate::fields::Name;
use crate::hostcalls::{Error, check_sizes, read_state};
use crate::observe::Origin;
use crate::state::local_response::LocalResponse;
use crate::state::{Command, FilterState};
use crate::vocabulary::Phase;

/// Ends the stream with a local response, after the current callback has returned. `in_event` means that this callback belongs to no phase
/// of a stream.
pub fn send<'a, I>(
    in_event: bool,
    stream: &StreamContext,
    status: u16,
    headers: I,
    body: Bytes,
    grpc_status: Option<u32>,
) -> Result<(), Error>
where
    I: ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone,
{
    {
        let state = read_state(stream)?;
        let FilterState {
            phase,
            response_passed,
            ..
        } = state.filter(stream.filter);
        // Envoy would accept a response from a callback of another stream, and then never finish the stream of that
        // callback.
        let is_allowed = in_event || phase.is_some_and(|phase| phase != Phase::Log);
        // As in an adapted module, a response counts that this plugin has seen. If it has seen none, but one has been sent, the
        // stream is reset.
        if state.rejects_local_response || response_passed || !is_allowed {
            return Err(Error::NotAvailable);
        }
    }
    if !(200..=599).contains(&status) || grpc_status.is_some_and(|it| it > 16) {
        return Err(Error::InvalidArgument);
    }
    check_sizes(
        headers
            .clone()
            .map(|(name, value)| name.len() + value.len()),
    )?;
    let headers = headers
        .map(
            |(name, value)| match (Name::parse(name), HeaderValue::from_bytes(value)) {
                (Some(Name::Header(name)), Ok(value)) => Ok((name, value)),
                _ => Err(Error::InvalidArgument),
            },
        )
        .collect::<Result<_, Error>>()?;
    let status = StatusCode::from_u16(status).map_err(|_| Error::InvalidArgument)?;
    queue_response(stream, status, headers, body, grpc_status)
}

/// Like [`send`], but without the checks of the contract, as in Envoy for Proxy-Wasm modules. Invalid headers and gRPC
/// statuses are ignored, and an invalid status becomes 500. If it is too late for a response, the stream is reset.
pub fn send_unchecked<'a>(
    stream: &StreamContext,
    status: u32,
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    body: Bytes,
    grpc_status: u32,
) -> Result<(), Error> {
    let status = u16::try_from(status)
        .ok()
        .filter(|it| *it >= 200)
        .and_then(|it| StatusCode::from_u16(it).ok())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = headers
        .filter_map(
            |(name, value)| match (Name::parse(name), HeaderValue::from_bytes(value)) {
                (Some(Name::Header(name)), Ok(value)) => Some((name, value)),
                _ => None,
            },
        )
        .collect();
    let grpc_status = Some(grpc_status).filter(|it| *it <= 16);
    {
        let state = stream
            .shared
            .state
            .try_borrow()
            .map_err(|_| Error::Internal)?;
        // Only the first response of a callback is used.
        if state.ended
            || state
                .commands
                .iter()
                .any(|it| matches!(it, Command::SendLocalResponse(_)))
        {
            return Ok(());
        }
    }
    queue_response(stream, status, headers, body, grpc_status)
}

fn queue_response(
    stream: &StreamContext,
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    grpc_status: Option<u32>,
) -> Result<(), Error> {
    let response = LocalResponse {
        status,
        headers,
        body,
        grpc_status,
        origin: Origin::Plugin(stream.filter),
    };
    let mut state = stream
        .shared
        .state
        .try_borrow_mut()
        .map_err(|_| Error::Internal)?;
    state.rejects_local_response = true;
    state.local_response_sent_in = Some(stream.shared.calls.current());
    state
        .commands
        .push(Command::SendLocalResponse(Box::new(response)));
    drop(state);
    stream.shared.notify();
    Ok(())
}
