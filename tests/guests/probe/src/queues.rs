//! The probe's operations on queues. Like the handles of metrics, the handles of queues are kept by name.
//!
//! This file is also part of `tests/guests/sdk-probe`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::bindings::QueueId;
use crate::bindings::tidegate::proxy::shared_queues::Queue;
use crate::bindings::tidegate::proxy::types::Error;
use crate::operations::{bytes, done, result, short, value_of};
use crate::receiver::Event;
use crate::script::{Operation, Step};

/// The queues that a plugin context has registered or resolved, by name.
#[derive(Default)]
pub struct Queues(RefCell<BTreeMap<String, Queue>>);

/// Executes an operation on a queue.
pub fn run(queues: &Queues, step: &Step, event: Event<'_>) -> String {
    let name = &step.name;
    let line = match step.operation {
        Operation::QueueRegister => {
            let name = &name.repeat(step.times);
            let kept = queues.keep(name, Queue::register(name));
            Some(format!("queue.register {} = {kept}", short(name)))
        }
        Operation::QueueResolve => {
            let name = &name.repeat(step.times);
            let kept = queues.keep(name, Queue::resolve(&step.vm, name));
            let place = match step.vm.as_str() {
                "" => String::new(),
                vm => format!(" in {vm}"),
            };
            Some(format!("queue.resolve {}{place} = {kept}", short(name)))
        }
        Operation::QueueEnqueue => queues.with(name, |queue| {
            let data = bytes(&step.data).repeat(step.times);
            format!("queue.enqueue {name} = {}", done(queue.enqueue(&data)))
        }),
        Operation::QueueDequeue => queues.with(name, |queue| {
            let removed = result(queue.dequeue(), |data| value_of(step, &data));
            format!("queue.dequeue {name} = {removed}")
        }),
        Operation::QueueId => queues.with(name, |queue| {
            let id = match event {
                Event::Queue(ready) if ready == queue.id() => "the ready queue's",
                Event::Queue(_) => "another than the ready queue's",
                _ => "no queue is ready",
            };
            format!("queue.id {name} = {id}")
        }),
        // The other operations do not use queues. `operations::run` handles them.
        _ => Some(String::new()),
    };
    line.unwrap_or_else(|| "no queue".to_owned())
}

// === impl Queues ===

impl Queues {
    /// Returns the name of a queue by its ID, because proxies may use different IDs.
    pub fn name_of(&self, id: QueueId) -> Option<String> {
        let queues = self.0.borrow();
        let mut queues = queues.iter();
        let found = queues.find(|(_, queue)| queue.id() == id);
        found.map(|(name, _)| name.clone())
    }

    /// Keeps the handle of a queue, and drops a handle that was kept under the same name.
    fn keep(&self, name: &str, found: Result<Queue, Error>) -> String {
        result(found, |queue| {
            drop(self.0.borrow_mut().insert(name.to_owned(), queue));
            "ok".to_owned()
        })
    }

    /// Calls a function with a queue whose handle is kept.
    fn with(&self, name: &str, call: impl FnOnce(&Queue) -> String) -> Option<String> {
        self.0.borrow().get(name).map(call)
    }
}
