//! `shared-data`: data shared by the workers of a proxy.

use bytes::Bytes;

use crate::context::Services;
use crate::hostcalls::Error;
use crate::shared_data::{StoreError, Stored};

/// The maximum size of key and value together, in bytes.
const MAX_SIZE: usize = 1 << 20;

/// The condition under which a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Always,
    Absent,
    Version(u32),
}

/// Returns the value stored under a key.
pub fn get(services: &Services, key: &[u8]) -> Option<Stored> {
    services.shared_data.get(key)
}

/// Stores a value if the condition holds.
pub fn set(
    services: &Services,
    key: &[u8],
    value: Bytes,
    condition: Condition,
) -> Result<(), Error> {
    let version = match condition {
        Condition::Always => 0,
        // A version that no value has. Envoy does not have this condition, and the bridge expresses it in the same way.
        Condition::Absent => u32::MAX,
        Condition::Version(0) => return Err(Error::InvalidArgument),
        Condition::Version(version) => version,
    };
    if key.len().saturating_add(value.len()) > MAX_SIZE {
        return Err(Error::TooLarge);
    }
    set_by_version(services, key, value, version)
}

/// Stores a value by Proxy-Wasm's rules: version 0 means that there is no condition, and one value can be as large as
/// the limit for all shared data.
pub fn set_by_version(
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
