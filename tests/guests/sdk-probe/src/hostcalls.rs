//! Logging, queues, foreign functions and the plugin's properties for the probe's operations, implemented with the SDK.
//!
//! As in `calls.rs`, the functions in this file replace those that wit-bindgen generates, and have the same parameters.

use tidegate_guest::foreign_functions::LifeSpan;

/// Functions that write to the log.
pub mod logging {
    pub use tidegate_guest::log::{Level, lowest, write as log};
}

/// Queues, with the SDK's IDs.
pub mod shared_queues {
    use tidegate_guest::Error;
    use tidegate_guest::shared_queues::{self, QueueId};

    pub struct Queue(shared_queues::Queue);

    impl Queue {
        pub fn register(name: &str) -> Result<Self, Error> {
            shared_queues::Queue::register(name).map(Queue)
        }

        pub fn resolve(vm: &str, name: &str) -> Result<Self, Error> {
            let found = match vm {
                "" => shared_queues::Queue::find(name),
                _ => shared_queues::Queue::resolve(vm, name),
            };
            found.map(Queue)
        }

        pub fn enqueue(&self, data: &[u8]) -> Result<(), Error> {
            self.0.enqueue(data)
        }

        pub fn dequeue(&self) -> Result<Vec<u8>, Error> {
            self.0.dequeue()?.ok_or(Error::Empty)
        }

        pub fn id(&self) -> QueueId {
            self.0.id()
        }
    }
}

/// Calls foreign functions. For those that have a function in the SDK, that function is used.
pub mod foreign_functions {
    use tidegate_guest::{Error, foreign_functions};

    pub fn call(name: &str, arguments: &[u8]) -> Result<Vec<u8>, Error> {
        match (name, super::filter_state(arguments)) {
            ("clear_route_cache", _) => {
                foreign_functions::clear_route_cache()?;
                Ok(Vec::new())
            }
            ("compress", _) => foreign_functions::compress(arguments),
            ("uncompress", _) => foreign_functions::uncompress(arguments),
            ("set_envoy_filter_state", Some((path, value, span))) => {
                foreign_functions::set_envoy_filter_state(path, value, span)?;
                Ok(Vec::new())
            }
            _ => foreign_functions::call(name, arguments),
        }
    }
}

/// Functions that read properties of the plugin and of the proxy.
pub mod plugin_properties {
    use tidegate_guest::{Error, plugin_properties};

    pub fn get(path: &[String]) -> Result<Option<Vec<u8>>, Error> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match plugin_properties::get_str(&path) {
            Ok(value) => Ok(value.map(String::into_bytes)),
            // The value is not a string, or is a group of attributes.
            Err(Error::Malformed) => plugin_properties::get(&path),
            Err(error) => Err(error),
        }
    }
}

/// Reads the arguments of `set_envoy_filter_state`, if the strings are as short as those of scenarios.
fn filter_state(arguments: &[u8]) -> Option<(&str, &str, LifeSpan)> {
    let (path, rest) = string(0x0a, arguments)?;
    let (value, rest) = string(0x12, rest)?;
    let span = match rest {
        [] | [0x18, 0] => LifeSpan::FilterChain,
        [0x18, 1] => LifeSpan::DownstreamRequest,
        [0x18, 2] => LifeSpan::DownstreamConnection,
        _ => return None,
    };
    Some((path, value, span))
}

/// Reads a string of less than 128 bytes at the beginning of a protobuf message. Returns it and the rest.
fn string(key: u8, message: &[u8]) -> Option<(&str, &[u8])> {
    let [first, length @ 0..0x80, rest @ ..] = message else {
        return None;
    };
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    let text = str::from_utf8(text).ok()?;
    (*first == key).then_some((text, rest))
}
