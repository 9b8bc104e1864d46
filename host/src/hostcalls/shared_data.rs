//! `shared-data`: what the workers of a proxy share.

use bytes::Bytes;

use crate::context::Services;
use crate::hostcalls::Error;
use crate::shared_data::{StoreError, Stored};

/// The most bytes that key and value have together.
const MAX_SIZE: usize = 1 << 20;

/// On which condition a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Always,
    Absent,
    Version(u32),
}

/// What is stored under a key.
pub(crate) fn get(services: &Services, key: &[u8]) -> Option<Stored> {
    services.shared_data.get(key)
}

/// Stores a value.
pub(crate) fn set(
    services: &Services,
    key: &[u8],
    value: Bytes,
    condition: Condition,
) -> Result<(), Error> {
    let version = match condition {
        Condition::Always => 0,
        // A version that nothing has, as in the bridge: Envoy knows no such condition.
        Condition::Absent => u32::MAX,
        Condition::Version(0) => return Err(Error::InvalidArgument),
        Condition::Version(version) => version,
    };
    if key.len().saturating_add(value.len()) > MAX_SIZE {
        return Err(Error::TooLarge);
    }
    store(services, key, value, version)
}

/// The same by Proxy-Wasm's rules: a version of 0 is no condition, and one value may be as large as all may be together.
pub(crate) fn store(
    services: &Services,
    key: &[u8],
    value: Bytes,
    version: u32,
) -> Result<(), Error> {
    services
        .shared_data
        .set(key, value, version)
        .map_err(|error| match error {
            StoreError::Changed => Error::CasMismatch,
            StoreError::Full => Error::TooLarge,
        })
}
