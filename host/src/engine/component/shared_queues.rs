//! `shared-queues` for components. A handle is the ID of the queue, so there is nothing to release.

use tidegate_semantics::hostcalls;
use wasmtime::component::Resource;

use crate::bindings::Queue;
use crate::bindings::tidegate::proxy::{shared_queues, types};
use crate::engine::component::guest::Guest;

impl shared_queues::Host for Guest {}

impl shared_queues::HostQueue for Guest {
    fn register(&mut self, name: String) -> Result<Resource<Queue>, types::Error> {
        let (services, plugin) = (&self.services, self.plugin());
        let queue = hostcalls::shared_queues::register(services, plugin, name.as_bytes())?;
        Ok(Resource::new_own(queue))
    }

    fn resolve(&mut self, vm: String, name: String) -> Result<Resource<Queue>, types::Error> {
        let (vm, name) = (vm.as_bytes(), name.as_bytes());
        let queue = hostcalls::shared_queues::resolve(&self.services, vm, name)?;
        Ok(Resource::new_own(queue))
    }

    fn enqueue(&mut self, queue: Resource<Queue>, data: Vec<u8>) -> Result<(), types::Error> {
        let queue = queue.rep();
        Ok(hostcalls::shared_queues::enqueue(
            &self.services,
            queue,
            data.into(),
        )?)
    }

    fn dequeue(&mut self, queue: Resource<Queue>) -> Result<Vec<u8>, types::Error> {
        let value = hostcalls::shared_queues::dequeue(&self.services, queue.rep())?;
        Ok(value.into())
    }

    fn id(&mut self, queue: Resource<Queue>) -> u32 {
        hostcalls::shared_queues::id(queue.rep())
    }

    fn drop(&mut self, _: Resource<Queue>) -> wasmtime::Result<()> {
        Ok(())
    }
}
