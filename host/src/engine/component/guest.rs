//! The data of a component instance's store.

use std::rc::Rc;

use tidegate_semantics::context::{Context, Services, StreamContext};
use tidegate_semantics::hostcalls::{Error, http_streams};
use tidegate_semantics::logs::Level;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;

use crate::engine::component::wasi::{self, LineBuffer};
use crate::engine::limiter::Limiter;

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
    /// The index of the plugin that has written to one of them last.
    pub(crate) last_writer: usize,
}

/// However the instance ends, what it has written without a line feed is logged. A guest is not called again when the host stops waiting for
/// its plugins.
impl Drop for Guest {
    fn drop(&mut self) {
        self.flush();
    }
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
            last_writer: 0,
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
        let Self {
            stdout,
            stderr,
            services,
            last_writer,
            ..
        } = self;
        stdout.flush(|level, line| services.log(*last_writer, level, line));
        stderr.flush(|level, line| services.log(*last_writer, level, line));
    }
}
