//! `stream-control`: resuming and resetting a stream, after the current callback has returned.

use crate::context::StreamContext;
use crate::hostcalls::{Error, open};
use crate::state::Command;
use crate::vocabulary::{Direction, FieldMap, Phase};

/// Resumes a direction that the plugin has paused.
pub(crate) fn resume(of: &StreamContext, half: Direction) -> Result<(), Error> {
    let StreamContext { shared, filter } = of;
    let mut state = shared.state.try_borrow_mut().map_err(|_| Error::Internal)?;
    if state.ended {
        return Err(Error::Closed);
    }
    // As in Envoy, resuming either direction ends the access to the fields of the request.
    if let Some(filter) = state.filters.get_mut(*filter) {
        filter.live &= !(FieldMap::RequestHeaders.bit() | FieldMap::RequestTrailers.bit());
    }
    let asked = |it: &Command| matches!(it, Command::Resume { filter: other, half: at } if other == filter && *at == half);
    if !state.commands.iter().any(asked) {
        state.commands.push(Command::Resume {
            filter: *filter,
            half,
        });
    }
    drop(state);
    shared.call();
    Ok(())
}

/// Resets the stream.
pub(crate) fn reset(of: &StreamContext) -> Result<(), Error> {
    let mut state = open(of)?;
    if state.filter(of.filter).phase == Some(Phase::Log) {
        return Err(Error::NotAvailable);
    }
    if !state.commands.iter().any(|it| matches!(it, Command::Reset)) {
        state.commands.push(Command::Reset);
    }
    // A stream that is about to be reset accepts no local response.
    state.answered = true;
    drop(state);
    of.shared.call();
    Ok(())
}
