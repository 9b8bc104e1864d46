//! What belongs to a component instance's store.

use std::rc::Rc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;

use crate::context::{Context, Services, StreamContext};
use crate::engine::component::wasi::{self, Lines};
use crate::engine::limiter::Limiter;
use crate::hostcalls::{Error, http_streams};
use crate::logs::Level;

/// The data of an instance's store.
pub(crate) struct Guest {
    pub(crate) services: Rc<Services>,
    /// The context whose callback runs.
    pub(crate) current: Option<Context>,
    pub(crate) limits: Limiter,
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
}

impl Guest {
    pub(crate) fn new(services: &Rc<Services>) -> Self {
        let limits = Limiter::new(services.limits.memory);
        Self {
            services: services.clone(),
            current: None,
            limits,
            wasi: wasi::context(services),
            table: ResourceTable::new(),
            stdout: Lines::new(Level::Info),
            stderr: Lines::new(Level::Error),
        }
    }

    /// The plugin that runs; while an instance starts, its first.
    pub(crate) fn plugin(&self) -> usize {
        self.current.as_ref().map_or(0, |it| it.plugin)
    }

    /// Uses the stream that a handle stands for.
    pub(crate) fn stream<R>(
        &self,
        id: u32,
        call: impl FnOnce(&StreamContext) -> Result<R, Error>,
    ) -> Result<R, Error> {
        http_streams::with(&self.services, self.current.as_ref(), id, call)
    }

    /// Logs what was printed without a line's end: the guest will print no more.
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
