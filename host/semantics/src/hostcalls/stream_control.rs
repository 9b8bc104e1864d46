//! `stream-control`: resuming and resetting a stream, after the current callback has returned.

use crate::context::StreamContext;
use crate::hostcalls::{Error, borrow_state};
use crate::state::Command;
use crate::vocabulary::{Direction, FieldMap, Phase};

/// Resumes a direction that the plugin has paused.
pub fn resume(stream: &StreamContext, direction: Direction) -> Result<(), Error> {
    let StreamContext { shared, filter, .. } = stream;
    let mut state = shared.state.try_borrow_mut().map_err(|_| Error::Internal)?;
    if state.ended {
        return Err(Error::Closed);
    }
    // As in Envoy, resuming either direction ends the access to the fields of the request.
    if let Some(filter) = state.filters.get_mut(*filter) {
        filter.accessible_maps &=
            !(FieldMap::RequestHeaders.bit() | FieldMap::RequestTrailers.bit());
    }
    let is_duplicate = |it: &Command| matches!(it, Command::Resume { filter: other, direction: at } if other == filter && *at == direction);
    if !state.commands.iter().any(is_duplicate) {
        state.commands.push(Command::Resume {
            filter: *filter,
            direction,
        });
    }
    drop(state);
    shared.notify();
    Ok(())
}

/// Resets the stream. It has no effect if the stream is about to be reset, or if the running callback or event has sent a local response to
/// it: Envoy would end it twice, and an adapted module does not ask for it. After a local response of an earlier event, the stream is reset,
/// even if it has not run since then. It sends the response first, and is reset only if a plugin has paused the response.
pub fn reset(stream: &StreamContext) -> Result<(), Error> {
    let mut state = borrow_state(stream)?;
    if state.filter(stream.filter).phase == Some(Phase::Log) {
        return Err(Error::NotAvailable);
    }
    let has_responded = state.local_response_sent_in == Some(stream.shared.calls.current());
    let is_reset = |it: &Command| matches!(it, Command::Reset);
    if has_responded || state.commands.iter().any(is_reset) {
        return Ok(());
    }
    state.commands.push(Command::Reset);
    // A stream that is about to be reset accepts no local response.
    state.rejects_local_response = true;
    drop(state);
    stream.shared.notify();
    Ok(())
}
