//! `shared-queues`: queues between workers and plugins.

use std::sync::Arc;

use bytes::Bytes;

use crate::context::Services;
use crate::hostcalls::Error;
use crate::shared_queues::QueueError;

/// The maximum length of a name in bytes.
const MAX_NAME: usize = 1024;

/// Creates a queue, unless it exists, and makes the plugin its listener. Returns the ID of the queue.
pub fn register(services: &Services, plugin: usize, name: &[u8]) -> Result<u32, Error> {
    if name.len() > MAX_NAME {
        return Err(Error::TooLarge);
    }
    let queue = services.queues.create(name).ok_or(Error::TooLarge)?;
    let events = services.queue_events.clone();
    let listener = Arc::new(move |queue, permit| events(plugin, queue, permit));
    let registration = services.queues.register(queue, listener);
    // A plugin that registers a queue again gets each event once.
    let mut registrations = services.registrations.borrow_mut();
    let former = registrations.insert((plugin, queue), registration);
    drop(registrations);
    drop(former);
    Ok(queue)
}

/// Returns the ID of a queue. All plugins of this proxy have the empty VM ID.
pub fn resolve(services: &Services, vm_id: &[u8], name: &[u8]) -> Result<u32, Error> {
    let found = match vm_id {
        [] => services.queues.find(name),
        _ => None,
    };
    found.ok_or(Error::NotFound)
}

/// Adds a value at the end of a queue.
pub fn enqueue(services: &Services, queue: u32, value: Bytes) -> Result<(), Error> {
    Ok(services.queues.enqueue(queue, value)?)
}

/// Removes and returns the first value of a queue.
pub fn dequeue(services: &Services, queue: u32) -> Result<Bytes, Error> {
    services.queues.dequeue(queue)?.ok_or(Error::Empty)
}

/// Returns the ID of a queue. The handle is the ID.
pub fn id(handle: u32) -> u32 {
    handle
}

impl From<QueueError> for Error {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Unknown => Error::NotFound,
            QueueError::Full => Error::TooLarge,
        }
    }
}
