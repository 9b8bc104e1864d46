//! `stream-control`: going on with, or breaking off, a stream, once the present callback has returned.

use crate::context::StreamContext;
use crate::hostcalls::{Error, open};
use crate::state::Command;
use crate::vocabulary::{Direction, FieldMap, Phase};

/// Goes on with a half that the plugin paused.
pub(crate) fn resume(of: &StreamContext, half: Direction) -> Result<(), Error> {
    let StreamContext { shared, filter } = of;
    let mut state = shared.state.try_borrow_mut().map_err(|_| Error::Internal)?;
    if state.ended {
        return Err(Error::Closed);
    }
    // As in Envoy: whichever half is resumed, the request's fields are let go of.
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

/// Breaks the stream off.
pub(crate) fn reset(of: &StreamContext) -> Result<(), Error> {
    let mut state = open(of)?;
    if state.filter(of.filter).phase == Some(Phase::Log) {
        return Err(Error::NotAvailable);
    }
    if !state.commands.iter().any(|it| matches!(it, Command::Reset)) {
        state.commands.push(Command::Reset);
    }
    // What is to be broken off can no more be answered.
    state.answered = true;
    drop(state);
    of.shared.call();
    Ok(())
}
