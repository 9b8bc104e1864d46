//! `types`: what several interfaces use.

use tidegate_semantics::{hostcalls, vocabulary};

pub use super::generated::types::*;

impl From<hostcalls::Error> for Error {
    fn from(error: hostcalls::Error) -> Self {
        match error {
            hostcalls::Error::Closed => Error::Closed,
            hostcalls::Error::NotAvailable => Error::NotAvailable,
            hostcalls::Error::NotFound => Error::NotFound,
            hostcalls::Error::InvalidArgument => Error::InvalidArgument,
            hostcalls::Error::TooLarge => Error::TooLarge,
            hostcalls::Error::CasMismatch => Error::CasMismatch,
            hostcalls::Error::Empty => Error::Empty,
            hostcalls::Error::Malformed => Error::Malformed,
            hostcalls::Error::Internal => Error::Internal,
        }
    }
}

impl From<Direction> for vocabulary::Direction {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Request => vocabulary::Direction::Request,
            Direction::Response => vocabulary::Direction::Response,
        }
    }
}
