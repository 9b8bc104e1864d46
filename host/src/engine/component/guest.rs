//! The data of a component instance's store.

use std::rc::Rc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;

use crate::context::{Context, Services, StreamContext};
use crate::engine::component::wasi::{self, LineBuffer};
use crate::engine::limiter::Limiter;
use crate::hostcalls::{Error, http_streams};
use crate::logs::Level;

/// The data of an instance's store.
pub(crate) struct Guest {
    pub(crate) services: Rc<Services>,
    /// The context whose callback is running.
    pub(crate) current: Option<Context>,
    /// Whether the running function creates or ends something.
    pub(crate) is_in_lifecycle: bool,
    pub(crate) limiter: Limiter,
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) stdout: LineBuffer,
    pub(crate) stderr: LineBuffer,
}

impl Guest {
    pub(crate) fn new(services: &Rc<Services>) -> Self {
        let limiter = Limiter::new(services);
        Self {
            services: services.clone(),
            current: None,
            is_in_lifecycle: false,
            limiter,
            wasi: wasi::context(services),
            table: ResourceTable::new(),
            stdout: LineBuffer::new(Level::Info),
            stderr: LineBuffer::new(Level::Error),
        }
    }

    /// Returns the index of the running plugin. While the instance starts, this is its first plugin.
    pub(crate) fn plugin(&self) -> usize {
        self.current.as_ref().map_or(0, |it| it.plugin)
    }

    /// Calls a function with the stream that a handle refers to.
    pub(crate) fn stream<R>(
        &self,
        id: u32,
        call: impl FnOnce(&StreamContext) -> Result<R, Error>,
    ) -> Result<R, Error> {
        http_streams::with(&self.services, self.current.as_ref(), id, call)
    }

    /// Logs output that does not end with a line feed. It is called when the guest will write no more.
    pub(crate) fn flush(&mut self) {
        let plugin = self.plugin();
        let Self {
            stdout,
            stderr,
            services,
            ..
        } = self;
        stdout.flush(|level, line| services.log(plugin, level, line));
        stderr.flush(|level, line| services.log(plugin, level, line));
    }
}
