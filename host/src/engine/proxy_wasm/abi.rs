//! The constants of Proxy-Wasm: the three versions of the ABI, status codes and enumerations.

use tidegate_semantics::hostcalls::Error;
use tidegate_semantics::vocabulary::{Action, Direction, FieldMap};

/// A version of the ABI. A module declares it by exporting a marker function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Abi {
    V0_1_0,
    V0_2_0,
    V0_2_1,
}

impl Abi {
    /// Returns the version that an export declares.
    pub(crate) fn from_export(name: &str) -> Option<Abi> {
        match name {
            "proxy_abi_version_0_1_0" => Some(Abi::V0_1_0),
            "proxy_abi_version_0_2_0" => Some(Abi::V0_2_0),
            "proxy_abi_version_0_2_1" => Some(Abi::V0_2_1),
            _ => None,
        }
    }
}

/// The status that a hostcall returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    SerializationFailure = 3,
    ParseFailure = 4,
    InvalidMemoryAccess = 6,
    Empty = 7,
    CasMismatch = 8,
    InternalFailure = 10,
    Unimplemented = 12,
}

impl From<Error> for Status {
    /// Converts an error to Envoy's status. Envoy knows neither closed streams nor phases: for it, the map or the buffer
    /// is simply absent.
    fn from(error: Error) -> Self {
        match error {
            Error::Closed | Error::NotAvailable | Error::InvalidArgument | Error::TooLarge => {
                Status::BadArgument
            }
            Error::NotFound => Status::NotFound,
            Error::CasMismatch => Status::CasMismatch,
            Error::Empty => Status::Empty,
            Error::Malformed => Status::SerializationFailure,
            Error::Internal => Status::InternalFailure,
        }
    }
}

/// A header map that a guest refers to by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Map {
    Stream(FieldMap),
    /// The headers of the response to an HTTP call, in its callback.
    CallHeaders,
    /// The trailers of the response to an HTTP call, in its callback.
    CallTrailers,
    /// A map of a gRPC call, which is always absent here.
    Absent,
}

impl Map {
    pub(crate) fn from_number(number: u32) -> Result<Map, Status> {
        match number {
            0 => Ok(Map::Stream(FieldMap::RequestHeaders)),
            1 => Ok(Map::Stream(FieldMap::RequestTrailers)),
            2 => Ok(Map::Stream(FieldMap::ResponseHeaders)),
            3 => Ok(Map::Stream(FieldMap::ResponseTrailers)),
            4 | 5 => Ok(Map::Absent),
            6 => Ok(Map::CallHeaders),
            7 => Ok(Map::CallTrailers),
            _ => Err(Status::BadArgument),
        }
    }
}

/// A buffer that a guest refers to by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Buffer {
    Body(Direction),
    PluginConfiguration,
    VmConfiguration,
    /// A buffer that exists in Envoy and is always empty here: one that only TCP, gRPC or foreign functions fill.
    Empty,
    /// The body of the response to an HTTP call, in its callback.
    CallBody,
}

impl Buffer {
    pub(crate) fn from_number(number: u32) -> Result<Buffer, Status> {
        match number {
            0 => Ok(Buffer::Body(Direction::Request)),
            1 => Ok(Buffer::Body(Direction::Response)),
            4 => Ok(Buffer::CallBody),
            6 => Ok(Buffer::VmConfiguration),
            7 => Ok(Buffer::PluginConfiguration),
            2 | 3 | 5 | 8 => Ok(Buffer::Empty),
            _ => Err(Status::BadArgument),
        }
    }
}

/// Converts the return value of a headers callback as Envoy does.
pub(crate) fn headers_action(number: u32) -> Action {
    match number {
        0 | 2 => Action::Continue,
        3 => Action::PauseBuffering,
        _ => Action::Pause,
    }
}

/// Converts the return value of a body callback as Envoy does.
pub(crate) fn body_action(number: u32) -> Action {
    match number {
        0 => Action::Continue,
        1 => Action::Pause,
        2 => Action::PauseWatermark,
        _ => Action::PauseDropping,
    }
}

/// Converts the return value of a trailers callback as Envoy does.
pub(crate) fn trailers_action(number: u32) -> Action {
    match number {
        0 => Action::Continue,
        _ => Action::Pause,
    }
}
