//! `shared-data`: data that all workers share.

use tidegate_semantics::hostcalls;

use super::{current::current, types::Error};

pub use super::generated::shared_data::{Condition, Stored};

#[track_caller]
pub fn get(key: &str) -> Result<Option<Stored>, Error> {
    let stored = hostcalls::shared_data::get(&current().services, key.as_bytes());
    Ok(stored.map(|stored| Stored {
        value: stored.value.into(),
        version: stored.version,
    }))
}

#[track_caller]
pub fn set(key: &str, value: &[u8], condition: Condition) -> Result<(), Error> {
    let condition = match condition {
        Condition::Always => hostcalls::shared_data::Condition::Always,
        Condition::Absent => hostcalls::shared_data::Condition::Absent,
        Condition::Version(version) => hostcalls::shared_data::Condition::Version(version),
    };
    let (services, value) = (current().services, value.to_vec().into());
    hostcalls::shared_data::set(&services, key.as_bytes(), value, condition)?;
    Ok(())
}
