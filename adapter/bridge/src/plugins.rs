//! The configured plugins, by the id of their root context.
//!
//! One module may be deployed several times, and a worker then runs all of them in one instance.

use core::cell::Cell;

use crate::arena::{Arena, Buffer};

/// A configured plugin.
#[repr(C)]
struct Plugin {
    root: Cell<u32>,
    context: Cell<u32>,
}

/// The configured plugins. There are only a few.
#[repr(C)]
pub(crate) struct Plugins {
    places: Buffer,
    len: Cell<usize>,
}

impl Plugins {
    /// The plugin context that was configured for this root.
    pub(crate) fn find(&self, root: u32) -> Option<u32> {
        self.place_of(root).map(|plugin| plugin.context.get())
    }

    /// Stores a plugin context, and returns the one that the root had before.
    pub(crate) fn put(&self, arena: &Arena, root: u32, context: u32) -> Option<u32> {
        if let Some(plugin) = self.place_of(root) {
            return Some(plugin.context.replace(context));
        }
        let len = self.len.get();
        self.places.reserve(arena, (len + 1) * size_of::<Plugin>());
        self.len.set(len + 1);
        let plugin = self.place(len);
        plugin.root.set(root);
        plugin.context.set(context);
        None
    }

    /// Removes the plugin context of this root.
    pub(crate) fn remove(&self, root: u32) -> Option<u32> {
        let plugin = self.place_of(root)?;
        let context = plugin.context.get();
        let last = self.len.get() - 1;
        plugin.root.set(self.place(last).root.get());
        plugin.context.set(self.place(last).context.get());
        self.len.set(last);
        Some(context)
    }

    fn place_of(&self, root: u32) -> Option<&Plugin> {
        (0..self.len.get())
            .map(|at| self.place(at))
            .find(|plugin| plugin.root.get() == root)
    }

    #[inline(always)]
    fn place(&self, at: usize) -> &Plugin {
        // SAFETY: all callers pass a place below `len`, for which there is room in the buffer.
        unsafe { &*self.places.start().cast::<Plugin>().add(at) }
    }
}
