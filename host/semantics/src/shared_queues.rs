//! Queues shared between the workers and the plugins of a proxy, as in Envoy.
//!
//! A queue has one listener, the plugin that registered it last. Each value that is added calls the listener, which passes the
//! event to the listener's worker. The queues are protected by a lock, which is not held during that call.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// The maximum total size of the values in all queues, in bytes. Envoy has no limit.
pub const MAX_QUEUED: usize = 64 << 20;

/// The maximum number of queues.
const MAX_QUEUES: usize = 10_000;

/// The maximum number of events that listeners have not got yet. A value can be removed before its event has arrived.
const MAX_EVENTS: usize = 100_000;

/// The number of values for which an empty queue keeps memory.
const MIN_CAPACITY: usize = 64;

/// The approximate overhead of a value in a queue, in bytes.
const VALUE_OVERHEAD: usize = 64;

/// Queues by name, shared by all plugins and all workers of a proxy.
#[derive(Default)]
pub struct SharedQueues {
    queues: Mutex<Queues>,
    /// The number of events that listeners have not got yet.
    events: Arc<AtomicUsize>,
}

/// What is called when a value has been added to a queue, with the ID of the queue.
#[doc(hidden)]
pub type Listener = Arc<dyn Fn(u32, EventPermit) + Send + Sync>;

/// The right to pass on one event. The number of events that listeners have not got yet is limited by it.
#[doc(hidden)]
pub struct EventPermit {
    events: Arc<AtomicUsize>,
}

/// The registration of a listener. Dropping it ends the registration, and the listener before it is called again.
#[doc(hidden)]
pub struct Registration {
    queues: Arc<SharedQueues>,
    queue: u32,
    number: u64,
}

#[derive(Default)]
struct Queues {
    ids: HashMap<Box<[u8]>, u32>,
    /// The queue with ID 1 is the first.
    list: Vec<Queue>,
    size: usize,
    last_registration: u64,
}

#[derive(Default)]
struct Queue {
    values: VecDeque<Bytes>,
    /// The last one is called.
    listeners: Vec<(u64, Listener)>,
}

/// The error of an operation on a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum QueueError {
    /// There is no queue with this ID.
    Unknown,
    /// The value would exceed the size limit.
    Full,
}

// === impl SharedQueues ===

impl SharedQueues {
    /// Creates a queue, unless it exists, and returns its ID. Returns `None` if there are too many queues.
    #[doc(hidden)]
    pub fn create(&self, name: &[u8]) -> Option<u32> {
        let mut queues = self.lock();
        if let Some(id) = queues.ids.get(name) {
            return Some(*id);
        }
        if queues.list.len() >= MAX_QUEUES {
            return None;
        }
        queues.list.push(Queue::default());
        let id = u32::try_from(queues.list.len()).ok()?;
        queues.ids.insert(name.into(), id);
        Some(id)
    }

    /// Returns the ID of the queue with a name.
    #[doc(hidden)]
    pub fn find(&self, name: &[u8]) -> Option<u32> {
        self.lock().ids.get(name).copied()
    }

    /// Makes `listener` the listener of a queue.
    #[doc(hidden)]
    pub fn register(self: &Arc<Self>, queue: u32, listener: Listener) -> Registration {
        let mut queues = self.lock();
        queues.last_registration += 1;
        let number = queues.last_registration;
        if let Some(queue) = queues.queue(queue) {
            queue.listeners.push((number, listener));
        }
        Registration {
            queues: self.clone(),
            queue,
            number,
        }
    }

    /// Adds a value at the end of a queue.
    #[doc(hidden)]
    pub fn enqueue(&self, queue: u32, value: Bytes) -> Result<(), QueueError> {
        let mut queues = self.lock();
        let size = queues
            .size
            .saturating_add(VALUE_OVERHEAD)
            .saturating_add(value.len());
        let found = queues.queue(queue).ok_or(QueueError::Unknown)?;
        if size > MAX_QUEUED {
            return Err(QueueError::Full);
        }
        let listener = found.listeners.last().map(|(_, listener)| listener.clone());
        let event = match listener {
            Some(listener) => Some((listener, self.permit().ok_or(QueueError::Full)?)),
            None => None,
        };
        found.values.push_back(value);
        queues.size = size;
        drop(queues);
        if let Some((listener, permit)) = event {
            listener(queue, permit);
        }
        Ok(())
    }

    /// Removes the first value of a queue, if there is one.
    #[doc(hidden)]
    pub fn dequeue(&self, queue: u32) -> Result<Option<Bytes>, QueueError> {
        let mut queues = self.lock();
        let values = &mut queues.queue(queue).ok_or(QueueError::Unknown)?.values;
        let value = values.pop_front();
        // A queue that was long does not keep its memory.
        if values.capacity() > MIN_CAPACITY && values.len() < values.capacity() / 4 {
            values.shrink_to(MIN_CAPACITY.max(values.len() * 2));
        }
        if let Some(value) = &value {
            queues.size -= VALUE_OVERHEAD + value.len();
        }
        Ok(value)
    }

    fn permit(&self) -> Option<EventPermit> {
        let events = self.events.fetch_add(1, Ordering::Relaxed);
        // If it is one too many, dropping the permit takes it back.
        let permit = EventPermit {
            events: self.events.clone(),
        };
        (events < MAX_EVENTS).then_some(permit)
    }

    /// Locks the queues. A poisoned lock can be used, because a panic here leaves no update incomplete.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for SharedQueues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.lock().list.len();
        f.debug_struct("SharedQueues")
            .field("queues", &count)
            .finish_non_exhaustive()
    }
}

// === impl Queues ===

impl Queues {
    fn queue(&mut self, id: u32) -> Option<&mut Queue> {
        let index = usize::try_from(id.checked_sub(1)?).ok()?;
        self.list.get_mut(index)
    }
}

impl Drop for EventPermit {
    fn drop(&mut self) {
        self.events.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut queues = self.queues.lock();
        if let Some(queue) = queues.queue(self.queue) {
            queue.listeners.retain(|(number, _)| *number != self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn values_are_removed_in_order() {
        let queues = SharedQueues::default();
        assert_eq!(queues.find(b"a"), None);
        let a = queues.create(b"a").expect("a queue");
        assert_eq!(queues.create(b"a"), Some(a));
        assert_eq!(queues.find(b"a"), Some(a));
        assert_eq!(queues.dequeue(a), Ok(None));
        queues.enqueue(a, "1".into()).expect("room");
        queues.enqueue(a, "2".into()).expect("room");
        assert_eq!(queues.dequeue(a), Ok(Some("1".into())));
        assert_eq!(queues.dequeue(a), Ok(Some("2".into())));
        assert_eq!(queues.dequeue(a), Ok(None));
        for unknown in [0, a + 1, u32::MAX] {
            assert_eq!(queues.dequeue(unknown), Err(QueueError::Unknown));
            let added = queues.enqueue(unknown, "".into());
            assert_eq!(added, Err(QueueError::Unknown));
        }
    }

    #[test]
    fn size_is_bounded_and_removed_values_free_space() {
        let queues = SharedQueues::default();
        let a = queues.create(b"a").expect("a queue");
        let large = Bytes::from(vec![0; MAX_QUEUED - VALUE_OVERHEAD]);
        queues.enqueue(a, large).expect("room");
        assert_eq!(queues.enqueue(a, "".into()), Err(QueueError::Full));
        queues.dequeue(a).expect("a queue").expect("a value");
        queues.enqueue(a, "".into()).expect("room");
        for number in 1..MAX_QUEUES {
            let name = number.to_string();
            assert!(queues.create(name.as_bytes()).is_some());
        }
        assert_eq!(queues.create(b"one more"), None);
    }

    #[test]
    fn last_registered_listener_is_called() {
        let queues = Arc::new(SharedQueues::default());
        let a = queues.create(b"a").expect("a queue");
        let listener = || {
            let called = Arc::new(AtomicU32::new(0));
            let count = called.clone();
            let listener: Listener = Arc::new(move |queue, _| {
                assert_eq!(queue, 1);
                count.fetch_add(1, Ordering::Relaxed);
            });
            (called, listener)
        };
        let ((one, first), (two, second)) = (listener(), listener());
        let _first = queues.register(a, first);
        queues.enqueue(a, "".into()).expect("room");
        let second = queues.register(a, second);
        queues.enqueue(a, "".into()).expect("room");
        let calls = || (one.load(Ordering::Relaxed), two.load(Ordering::Relaxed));
        assert_eq!(calls(), (1, 1));
        drop(second);
        queues.enqueue(a, "".into()).expect("room");
        assert_eq!(calls(), (2, 1));
    }

    #[test]
    fn events_that_have_not_arrived_are_limited() {
        let queues = Arc::new(SharedQueues::default());
        let a = queues.create(b"a").expect("a queue");
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let kept = arrived.clone();
        let listener: Listener =
            Arc::new(move |_, permit| kept.lock().expect("a lock").push(permit));
        let _registration = queues.register(a, listener);
        for _ in 0..MAX_EVENTS {
            queues.enqueue(a, "".into()).expect("room");
            queues.dequeue(a).expect("a queue").expect("a value");
        }
        assert_eq!(queues.enqueue(a, "".into()), Err(QueueError::Full));
        arrived.lock().expect("a lock").clear();
        queues.enqueue(a, "".into()).expect("room");
    }

    #[test]
    fn empty_queue_does_not_keep_the_memory_of_a_long_one() {
        let queues = SharedQueues::default();
        let a = queues.create(b"a").expect("a queue");
        for _ in 0..100_000 {
            queues.enqueue(a, "".into()).expect("room");
        }
        for _ in 0..100_000 {
            queues.dequeue(a).expect("a queue").expect("a value");
        }
        let mut queues = queues.lock();
        let values = &queues.queue(a).expect("a queue").values;
        assert!(
            values.capacity() <= 2 * MIN_CAPACITY,
            "{}",
            values.capacity()
        );
    }
}
