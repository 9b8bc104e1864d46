//! What the workers of a proxy share, the contract's `shared-data`: what a plugin's own state is for one worker, this is for all.
//!
//! Every plugin of the proxy sees the same keys, so begin yours with the plugin's name. Keep nothing here that cannot be made
//! again: the proxy may forget all of it whenever plugins are deployed anew.

use crate::Error;
use crate::bindings::shared_data;

pub use shared_data::{Condition, Stored};

/// How often [`update`] tries. Whenever it fails another worker has succeeded, so that only a crowd gets so far.
const TRIES: usize = 100;

/// What is stored under a key, and the version that it has there.
pub fn get(key: &str) -> Result<Option<Stored>, Error> {
    shared_data::get(key)
}

/// Stores a value, or answers [`Error::CasMismatch`] if the condition does not hold. Key and value together are at most 1 MiB, else
/// it is [`Error::TooLarge`].
pub fn set(key: &str, value: impl AsRef<[u8]>, condition: Condition) -> Result<(), Error> {
    shared_data::set(key, value.as_ref(), condition)
}

/// Makes a new value of the one that is there, or of none, and stores it, so that no other worker's is lost. Gives what was stored.
///
/// The value is made anew if another worker stored one meanwhile. A hundred times in a row is [`Error::CasMismatch`].
///
/// ```
/// use tidegate_guest::prelude::*;
///
/// /// Counts a request for all workers together.
/// fn count() -> Result<u64, Error> {
///     let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
///     let stored = shared_data::update("greeter.requests", |count| {
///         let count = count.map_or(0, number);
///         count.wrapping_add(1).to_le_bytes().to_vec()
///     })?;
///     Ok(number(&stored))
/// }
/// ```
pub fn update(key: &str, mut make: impl FnMut(Option<&[u8]>) -> Vec<u8>) -> Result<Vec<u8>, Error> {
    for _ in 0..TRIES {
        let (value, condition) = match get(key)? {
            Some(Stored { value, version }) => (make(Some(&value)), Condition::Version(version)),
            None => (make(None), Condition::Absent),
        };
        match set(key, &value, condition) {
            Err(Error::CasMismatch) => {}
            outcome => return outcome.map(|()| value),
        }
    }
    Err(Error::CasMismatch)
}
