//! Durations as the contract has them: whole milliseconds in 32 bits.

use std::time::Duration;

use crate::Error;

/// Returns a duration in milliseconds, rounded up, and at least 1, since 0 has a meaning of its own in the contract. Returns
/// [`Error::InvalidArgument`] if the number does not fit.
pub(crate) fn milliseconds(duration: Duration) -> Result<u32, Error> {
    // `Duration::as_millis` computes with 128 bits, for which WebAssembly has no instructions.
    let whole = duration.as_secs().saturating_mul(1000);
    let rest = duration.subsec_nanos().div_ceil(1_000_000);
    match u32::try_from(whole.saturating_add(rest.into())) {
        Ok(milliseconds) => Ok(milliseconds.max(1)),
        Err(_) => Err(Error::InvalidArgument),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_up_to_whole_milliseconds() {
        for (duration, expected) in [
            (Duration::ZERO, 1),
            (Duration::from_nanos(1), 1),
            (Duration::from_millis(1), 1),
            (Duration::from_nanos(1_000_001), 2),
            (Duration::from_millis(250), 250),
            (Duration::new(1, 999_000_001), 2000),
            (Duration::from_secs(30), 30_000),
        ] {
            assert_eq!(milliseconds(duration), Ok(expected), "{duration:?}");
        }
    }

    #[test]
    fn too_long_durations_are_rejected() {
        let longest = Duration::from_millis(u32::MAX.into());
        assert_eq!(milliseconds(longest), Ok(u32::MAX));
        for duration in [
            longest + Duration::from_nanos(1),
            Duration::from_secs(u64::from(u32::MAX)),
            Duration::MAX,
        ] {
            assert_eq!(
                milliseconds(duration),
                Err(Error::InvalidArgument),
                "{duration:?}"
            );
        }
    }
}
