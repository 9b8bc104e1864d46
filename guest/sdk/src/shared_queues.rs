//! Queues shared between the workers and plugins of a proxy. Wraps the contract's `shared-queues` interface.
//!
//! Each queue has a name and one listener: the plugin that registered it last, in one worker.
//! [`on_queue_ready`](crate::Plugin::on_queue_ready) is called there for each value that is added. A plugin that is loaded in
//! every worker and registers a queue in [`configure`](crate::Plugin::configure) can therefore collect data of all workers
//! in one of them. All workers use the handle that `register` returns to add values.
//!
//! All plugins of the proxy share the names, so prefix each name with the plugin's name. If plugins are deployed with a
//! VM ID, queues belong to the plugins with the same ID, and others [resolve](Queue::resolve) them with that ID.
//!
//! The values are kept until they are removed, in the memory of the proxy. If the listener does not remove them, the queue
//! grows.
//!
//! This plugin reports the requests of all workers that the upstream failed to serve, one line at a time:
//!
//! ```
//! use tidegate_guest::prelude::*;
//! use tidegate_guest::shared_queues::Queue;
//!
//! struct Failures {
//!     queue: Queue,
//! }
//!
//! #[plugin]
//! impl Plugin for Failures {
//!     type Config = ();
//!     type Stream = ();
//!
//!     fn configure(_: ()) -> Result<Self, ConfigError> {
//!         let failed = |error: Error| ConfigError::new(format!("cannot register the queue: {}", error.name()));
//!         let queue = Queue::register("failures.paths").map_err(failed)?;
//!         Ok(Failures { queue })
//!     }
//!
//!     fn on_log(&self, _: &mut (), http: &mut HttpStream) {
//!         if http.status().ok().flatten().is_some_and(|status| status >= 500) {
//!             let path = http.request_headers().get(":path").ok().flatten();
//!             self.queue.enqueue(path.unwrap_or_default()).or_log("report a failure");
//!         }
//!     }
//!
//!     fn on_queue_ready(&self, queue: QueueId) {
//!         if queue == self.queue.id()
//!             && let Some(path) = self.queue.dequeue().or_log("read the queue").flatten()
//!         {
//!             log::warn!("failed: {}", String::from_utf8_lossy(&path));
//!         }
//!     }
//! }
//! ```

use std::fmt;

use crate::Error;
use crate::bindings::shared_queues;

/// Identifies a queue in this worker. It can be stored to tell apart the queues of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(u32);

/// A handle to a queue.
///
/// ```
/// use tidegate_guest::prelude::*;
/// use tidegate_guest::shared_queues::Queue;
///
/// /// Adds an event to the queue of another plugin, if that plugin is deployed.
/// fn publish(event: &str) -> Result<(), Error> {
///     match Queue::find("events.incoming") {
///         Ok(queue) => queue.enqueue(event),
///         Err(Error::NotFound) => Ok(()),
///         Err(error) => Err(error),
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Queue(shared_queues::Queue);

// === impl QueueId ===

impl QueueId {
    pub(crate) fn new(id: u32) -> Self {
        QueueId(id)
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

// === impl Queue ===

impl Queue {
    /// Creates a queue, unless it exists, and makes the plugin its listener:
    /// [`on_queue_ready`](crate::Plugin::on_queue_ready) is called for each value that is added from now on.
    ///
    /// Returns [`Error::TooLarge`] if the name is longer than 1024 bytes or the proxy has too many queues, and
    /// [`Error::NotPermitted`] if the deployment does not allow queues.
    pub fn register(name: &str) -> Result<Self, Error> {
        shared_queues::Queue::register(name).map(Queue)
    }

    /// Finds a queue that a plugin has registered. `vm` is the ID of the virtual machine of that plugin, which the
    /// deployment can set.
    ///
    /// Returns [`Error::NotFound`] if there is no such queue. In [`configure`](crate::Plugin::configure), the queue of
    /// another plugin may not exist yet, because that plugin may be configured later.
    pub fn resolve(vm: &str, name: &str) -> Result<Self, Error> {
        shared_queues::Queue::resolve(vm, name).map(Queue)
    }

    /// Finds a queue that a plugin without a VM ID has registered. This is the usual case. The errors are those of
    /// [`resolve`](Queue::resolve).
    pub fn find(name: &str) -> Result<Self, Error> {
        Queue::resolve("", name)
    }

    /// Adds a value at the end.
    ///
    /// Returns [`Error::TooLarge`] if the queues of the proxy are full.
    pub fn enqueue(&self, data: impl AsRef<[u8]>) -> Result<(), Error> {
        self.0.enqueue(data.as_ref())
    }

    /// Removes and returns the first value, or returns `None` if the queue is empty.
    pub fn dequeue(&self) -> Result<Option<Vec<u8>>, Error> {
        none_if_empty(self.0.dequeue())
    }

    /// Returns the ID that [`on_queue_ready`](crate::Plugin::on_queue_ready) receives for this queue.
    pub fn id(&self) -> QueueId {
        QueueId(self.0.id())
    }
}

/// Maps the error for an empty queue to `None`: plugins usually remove values until the queue is empty.
fn none_if_empty(removed: Result<Vec<u8>, Error>) -> Result<Option<Vec<u8>>, Error> {
    match removed {
        Ok(value) => Ok(Some(value)),
        Err(Error::Empty) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_queue_has_no_value() {
        assert_eq!(none_if_empty(Ok(Vec::new())), Ok(Some(Vec::new())));
        assert_eq!(none_if_empty(Ok(b"a".to_vec())), Ok(Some(b"a".to_vec())));
        assert_eq!(none_if_empty(Err(Error::Empty)), Ok(None));
        let failed = none_if_empty(Err(Error::NotPermitted));
        assert_eq!(failed, Err(Error::NotPermitted));
    }

    #[test]
    fn queue_ids_are_shown_as_numbers() {
        assert_eq!(QueueId::new(7).to_string(), "7");
    }
}
