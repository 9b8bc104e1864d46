//! The value of the field `date`, which is formatted once in a second.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

thread_local! {
    static CACHED: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Calls `call` with the current date.
pub(super) fn with(call: impl FnOnce(&[u8])) {
    let now = SystemTime::now();
    let second = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    CACHED.with_borrow_mut(|(cached, text)| {
        if *cached != second || text.is_empty() {
            *cached = second;
            text.clear();
            // Writing to a string cannot fail.
            _ = write!(text, "{}", httpdate::HttpDate::from(now));
        }
        call(text.as_bytes());
    });
}
