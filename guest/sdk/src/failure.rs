//! What happens to a stream when a callback returns an error.
//!
//! The error is logged. Then the stream ends with status 503, or continues if the plugin has `on_error = "continue"`. A response that
//! has begun cannot be replaced, so the stream is reset.

use crate::{Action, Direction, HttpStream};

#[cfg(not(test))]
use hostcalls::{log, reset, respond, resume};
#[cfg(test)]
use recorder::{log, reset, respond, resume};

/// Logs the error of a callback.
#[cold]
pub(crate) fn report(callback: &str, error: &str) {
    let mut line = String::from(callback);
    for part in [" failed: ", error] {
        line.push_str(part);
    }
    log(&line);
}

/// Decides about a stream whose callback was asked for an action and failed.
#[cold]
pub(crate) fn action(http: &HttpStream, continues: bool) -> Action {
    if continues {
        return Action::Continue;
    }
    end(http);
    Action::Pause
}

/// Decides about a stream whose callback for an HTTP call failed. The stream may be waiting for it.
#[cold]
pub(crate) fn call(http: &HttpStream, continues: bool) {
    if !continues {
        return end(http);
    }
    for half in [Direction::Request, Direction::Response] {
        resume(http, half);
    }
}

fn end(http: &HttpStream) {
    if !respond(http) {
        // It has no effect if the callback has sent a response before it failed.
        reset(http);
    }
}

/// The hostcalls. There is nothing else to do about their errors: the stream has ended.
#[cfg(not(test))]
mod hostcalls {
    use crate::{Direction, HttpStream, LocalResponse, log as levels};

    pub fn log(line: &str) {
        levels::write(levels::Level::Error, line);
    }

    /// Returns whether the stream ends with this response.
    pub fn respond(http: &HttpStream) -> bool {
        let response = LocalResponse::new(503).details("plugin_error");
        http.send_response(response).is_ok()
    }

    pub fn reset(http: &HttpStream) {
        let _ = http.reset();
    }

    pub fn resume(http: &HttpStream, half: Direction) {
        let _ = http.resume(half);
    }
}

/// Stands in for the hostcalls in unit tests, where there is no proxy.
#[cfg(test)]
pub(crate) mod recorder {
    use std::cell::{Cell, RefCell};

    use crate::{Direction, HttpStream};

    thread_local! {
        static DONE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
        static HAS_RESPONSE: Cell<bool> = const { Cell::new(false) };
    }

    /// Returns what was done since the last call.
    pub fn take() -> Vec<String> {
        DONE.take()
    }

    /// Sets whether the stream has a response already.
    pub fn set_has_response(has_response: bool) {
        HAS_RESPONSE.set(has_response);
    }

    fn record(what: String) {
        DONE.with_borrow_mut(|done| done.push(what));
    }

    pub fn log(line: &str) {
        record(format!("log {line}"));
    }

    pub fn respond(_: &HttpStream) -> bool {
        record("respond".to_owned());
        !HAS_RESPONSE.get()
    }

    pub fn reset(_: &HttpStream) {
        record("reset".to_owned());
    }

    pub fn resume(_: &HttpStream, half: Direction) {
        record(format!("resume {half:?}"));
    }
}
