//! Functions of the proxy beyond the contract. Wraps the contract's `foreign-functions` interface.
//!
//! Envoy calls them foreign functions. [`call`] calls any of them by name. The other functions here are for those that every
//! Envoy has. Tidegate's own proxy has them as well, except [`set_envoy_filter_state`].
//!
//! ```
//! use tidegate_guest::prelude::*;
//! use tidegate_guest::shared_queues::Queue;
//!
//! /// Adds a report to a queue.
//! fn publish(queue: &Queue, report: &str) -> Result<(), Error> {
//!     queue.enqueue(foreign_functions::compress(report)?)
//! }
//!
//! /// Removes the next report from a queue, if there is one.
//! fn next(queue: &Queue) -> Result<Option<Vec<u8>>, Error> {
//!     queue.dequeue()?.map(foreign_functions::uncompress).transpose()
//! }
//! ```

use crate::Error;
use crate::bindings::foreign_functions;

/// How long an object of the filter state exists. See [`set_envoy_filter_state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LifeSpan {
    /// As long as the filter chain of the stream.
    FilterChain,
    /// As long as the request.
    DownstreamRequest,
    /// As long as the connection of the client.
    DownstreamConnection,
}

/// Calls a function by its name. Its documentation describes the arguments and the result, which are bytes.
///
/// The function applies to the stream whose callback is running, if any.
///
/// Returns [`Error::NotFound`] if the proxy has no such function, and [`Error::InvalidArgument`] if the function does not
/// accept the arguments.
///
/// ```
/// use tidegate_guest::prelude::*;
///
/// /// Parses an expression in Envoy's language for conditions, CEL. The result identifies it.
/// fn parse(expression: &str) -> Result<Vec<u8>, Error> {
///     foreign_functions::call("expr_create", expression)
/// }
/// ```
pub fn call(name: &str, arguments: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
    foreign_functions::call(name, arguments.as_ref())
}

/// Makes the proxy select the route of the request again, the next time that it needs the route.
///
/// Call it in a callback of the request's headers, if something has changed on which routes depend. Envoy does so by itself
/// when a plugin changes request headers. Tidegate's own proxy has no routes, so the function has no effect there.
pub fn clear_route_cache() -> Result<(), Error> {
    call("clear_route_cache", b"").map(drop)
}

/// Sets an object of Envoy's filter state for the stream whose callback is running.
///
/// `path` is the name of a kind of object, and `value` what the object is made of. Envoy's documentation lists both as "well
/// known filter state objects". For example, `envoy.network.upstream_server_name` determines the server name (SNI) of the TLS
/// connection to the upstream.
///
/// Values of the plugin's own are set with [`HttpStream::set_property`](crate::HttpStream::set_property).
///
/// Returns [`Error::NotFound`] if the proxy has no such kind of object, or if no stream's callback is running, and
/// [`Error::InvalidArgument`] if no object can be made of the value. Tidegate's own proxy always returns
/// [`Error::NotFound`].
///
/// ```
/// use tidegate_guest::foreign_functions::{LifeSpan, set_envoy_filter_state};
/// use tidegate_guest::prelude::*;
///
/// /// Chooses the server name of the connection to the upstream.
/// fn choose(name: &str) {
///     let set = set_envoy_filter_state("envoy.network.upstream_server_name", name, LifeSpan::FilterChain);
///     set.or_log("choose the server name");
/// }
/// ```
pub fn set_envoy_filter_state(path: &str, value: &str, span: LifeSpan) -> Result<(), Error> {
    call(
        "set_envoy_filter_state",
        filter_state_arguments(path, value, span),
    )
    .map(drop)
}

/// Compresses data in the zlib format (RFC 1950), which HTTP calls `deflate`.
pub fn compress(data: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
    call("compress", data)
}

/// Uncompresses data in the zlib format (RFC 1950), which HTTP calls `deflate`.
///
/// A few bytes of compressed data can stand for many, and Envoy does not limit the size of the result. Do not pass data that
/// clients can choose, unless it is short: the result is at most about a thousand times as large.
///
/// Returns [`Error::Malformed`] if the data does not have this format.
pub fn uncompress(data: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
    call("uncompress", data)
}

/// Returns the protobuf message `envoy.source.extensions.common.wasm.SetEnvoyFilterStateArguments`. It has three fields:
/// two strings, with numbers 1 and 2, and an enum, with number 3.
fn filter_state_arguments(path: &str, value: &str, span: LifeSpan) -> Vec<u8> {
    let mut message = Vec::new();
    // The key of a field is its number, shifted by three bits, and its type: 2 for a string, and 0 for a number.
    for (key, text) in [(0x0a, path), (0x12, value)] {
        message.push(key);
        push_length(&mut message, text.len());
        message.extend_from_slice(text.as_bytes());
    }
    let span = match span {
        LifeSpan::FilterChain => 0,
        LifeSpan::DownstreamRequest => 1,
        LifeSpan::DownstreamConnection => 2,
    };
    message.extend_from_slice(&[0x18, span]);
    message
}

/// Appends a number in protobuf's variable length: seven bits in each byte, lowest first. The high bit is set if more follow.
fn push_length(message: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        let [low, ..] = length.to_le_bytes();
        message.push(low | 0x80);
        length >>= 7;
    }
    let [low, ..] = length.to_le_bytes();
    message.push(low);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_state_arguments_are_a_message() {
        let message = filter_state_arguments("a.b", "é", LifeSpan::DownstreamRequest);
        assert_eq!(message, b"\x0a\x03a.b\x12\x02\xc3\xa9\x18\x01");
        let message = filter_state_arguments("", "", LifeSpan::FilterChain);
        assert_eq!(message, b"\x0a\x00\x12\x00\x18\x00");
        let message = filter_state_arguments("p", "", LifeSpan::DownstreamConnection);
        assert_eq!(message, b"\x0a\x01p\x12\x00\x18\x02");
    }

    #[test]
    fn long_strings_have_long_lengths() {
        let cases: [(usize, &[u8]); 5] = [
            (127, b"\x7f"),
            (128, b"\x80\x01"),
            (300, b"\xac\x02"),
            (16_383, b"\xff\x7f"),
            (16_384, b"\x80\x80\x01"),
        ];
        for (length, expected) in cases {
            let mut message = Vec::new();
            push_length(&mut message, length);
            assert_eq!(message, expected, "{length}");
        }
        let message = filter_state_arguments(&"a".repeat(300), "b", LifeSpan::FilterChain);
        assert_eq!(message.get(..4), Some(&b"\x0a\xac\x02a"[..]));
        assert_eq!(message.get(303..), Some(&b"\x12\x01b\x18\x00"[..]));
    }
}
