//! `shared-queues`: queues between workers and plugins. A handle is the ID of the queue, so there is nothing to release.

use tidegate_semantics::hostcalls;

use super::{current::current, types::Error};

#[derive(Debug)]
pub struct Queue(u32);

impl Queue {
    #[track_caller]
    pub fn register(name: &str) -> Result<Self, Error> {
        let current = current();
        let (services, plugin) = (&current.services, current.plugin());
        let queue = hostcalls::shared_queues::register(services, plugin, name.as_bytes())?;
        Ok(Queue(queue))
    }

    #[track_caller]
    pub fn resolve(vm: &str, name: &str) -> Result<Self, Error> {
        let (vm, name) = (vm.as_bytes(), name.as_bytes());
        let queue = hostcalls::shared_queues::resolve(&current().services, vm, name)?;
        Ok(Queue(queue))
    }

    #[track_caller]
    pub fn enqueue(&self, data: &[u8]) -> Result<(), Error> {
        let data = data.to_vec().into();
        hostcalls::shared_queues::enqueue(&current().services, self.0, data)?;
        Ok(())
    }

    #[track_caller]
    pub fn dequeue(&self) -> Result<Vec<u8>, Error> {
        let value = hostcalls::shared_queues::dequeue(&current().services, self.0)?;
        Ok(value.into())
    }

    pub fn id(&self) -> u32 {
        hostcalls::shared_queues::id(self.0)
    }
}
