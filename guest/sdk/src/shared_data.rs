//! Data shared between the workers of a proxy. Wraps the contract's `shared-data` interface.
//!
//! Fields of the plugin value hold the state of one worker; shared data is visible to all workers.
//!
//! All plugins of the proxy share one key space, so prefix each key with the plugin's name. Store only data that can be
//! recreated: the proxy may discard all shared data when plugins are redeployed.

use crate::Error;
use crate::bindings::shared_data;

pub use shared_data::{Condition, Stored};

/// The maximum number of attempts of [`update`]. An attempt fails only if another worker has succeeded, so the limit is
/// reached only under heavy contention.
const TRIES: usize = 100;

/// Returns the value stored under a key, and its version.
pub fn get(key: &str) -> Result<Option<Stored>, Error> {
    shared_data::get(key)
}

/// Stores a value. Returns [`Error::CasMismatch`] if the condition does not hold, and [`Error::TooLarge`] if key and
/// value together exceed 1 MiB.
pub fn set(key: &str, value: impl AsRef<[u8]>, condition: Condition) -> Result<(), Error> {
    shared_data::set(key, value.as_ref(), condition)
}

/// Computes a new value from the current one, or from `None` if the key is absent, and stores it atomically: no update
/// by another worker is lost. Returns the stored value.
///
/// `make` is called again if another worker stores a value in the meantime. After one hundred failed attempts in a row,
/// the function returns [`Error::CasMismatch`].
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
