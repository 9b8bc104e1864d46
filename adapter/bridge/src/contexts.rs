//! Which contexts there are: configured plugins by root id, live streams with their root and filter.
//!
//! One module may be deployed several times and a worker then runs it in one instance, so plugins are told apart by
//! root id. Streams are found by open addressing, since a worker can hold tens of thousands. A stream's handle is its
//! context id; one that is not in the table has ended, and the host is not asked about it, because the host answers
//! for a context that is gone with the one that is running.

use core::cell::Cell;

use crate::abi;
use crate::http_filter;
use crate::memory::{Buffer, keep};
use crate::output;
use crate::plugin;
use crate::state::{State, state};
use crate::types::Error;

/// Which callback is running.
#[derive(Clone, Copy, PartialEq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// A callback of a plugin, not of a stream.
    Plugin,
    RequestHeaders,
    ResponseHeaders,
    RequestBody,
    ResponseBody,
    Log,
}

impl Phase {
    /// Whether it belongs to this half of a stream: 0 is the request's, 1 the response's.
    #[inline(always)]
    pub(crate) fn is_of(self, half: u32) -> bool {
        matches!(
            (self, half),
            (Phase::RequestHeaders | Phase::RequestBody, 0)
                | (Phase::ResponseHeaders | Phase::ResponseBody, 1)
        )
    }
}

// What a stream has behind it, as bits of `Stream::marks`. Those of the response half are one bit further left.

/// Its filter has been constructed.
pub(crate) const CONSTRUCTED: u32 = 1;
/// A callback paused the request.
pub(crate) const PAUSED: u32 = 1 << 1;
/// A response was sent, or its headers were handed on: there can be no other.
pub(crate) const ANSWERED: u32 = 1 << 5;
/// Nothing can be changed any more.
pub(crate) const ENDED: u32 = 1 << 7;
/// It was broken off.
pub(crate) const RESET: u32 = 1 << 8;
/// It has ended, but a callback of its filter is still running.
pub(crate) const DELETED: u32 = 1 << 9;
/// How many callbacks of its filter are running is counted from this bit on: the host may call for one within a hostcall
/// of another.
pub(crate) const RUNNING: u32 = 1 << 10;

/// What the host called us for. It may do so within a hostcall: the former call goes on afterwards.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct Call {
    /// The context.
    pub(crate) context: u32,
    /// The stream whose callback is running; 0 if none is, or if it has ended meanwhile.
    pub(crate) stream: u32,
    /// How many bytes the body has, inside a body's callback.
    pub(crate) body_size: u32,
    pub(crate) phase: Phase,
    /// The callback resumed its half itself.
    pub(crate) resumed: bool,
    /// The callback ended its phase by a response of its own or by breaking the stream off.
    pub(crate) stopped: bool,
    /// So that there is no byte that was never written.
    pub(crate) padding: u8,
}

const _: () = assert!(size_of::<Call>() == 2 * size_of::<u64>());

/// A call as two numbers: so it is kept in locals, for which there need be no room on the stack.
#[derive(Clone, Copy)]
pub(crate) struct Former(u64, u64);

impl Former {
    /// What is running now.
    #[inline(always)]
    pub(crate) fn save(state: &State) -> Former {
        let call = state.call.as_ptr().cast::<u64>();
        // SAFETY: a call has the size and the alignment of two such numbers, and all its bytes were written.
        unsafe { Former(call.read(), call.add(1).read()) }
    }

    /// Goes on with it.
    #[inline(always)]
    pub(crate) fn restore(self, state: &State) {
        let call = state.call.as_ptr().cast::<u64>();
        // SAFETY: see above; they were a call's.
        unsafe {
            call.write(self.0);
            call.add(1).write(self.1);
        }
    }
}

/// A live HTTP stream.
#[repr(C, align(8))]
pub(crate) struct Stream {
    /// 0 where the table has a free place.
    id: Cell<u32>,
    root: Cell<u32>,
    pub(crate) filter: Cell<u32>,
    marks: Cell<u32>,
}

impl Stream {
    #[inline(always)]
    pub(crate) fn root(&self) -> u32 {
        self.root.get()
    }

    #[inline(always)]
    pub(crate) fn has(&self, mark: u32) -> bool {
        self.marks.get() & mark != 0
    }

    /// Counts a callback that begins to run.
    #[inline(always)]
    pub(crate) fn enter(&self) {
        self.marks.set(self.marks.get().wrapping_add(RUNNING));
    }

    /// Counts a callback that has returned.
    #[inline(always)]
    pub(crate) fn leave(&self) {
        self.marks.set(self.marks.get().wrapping_sub(RUNNING));
    }

    /// Whether one is running.
    #[inline(always)]
    pub(crate) fn is_running(&self) -> bool {
        self.marks.get() >= RUNNING
    }

    #[inline(always)]
    pub(crate) fn mark(&self, mark: u32) {
        self.marks.set(self.marks.get() | mark);
    }

    #[inline(always)]
    pub(crate) fn clear(&self, mark: u32) {
        self.marks.set(self.marks.get() & !mark);
    }

    fn copy_from(&self, other: &Stream) {
        let (from, to) = (core::ptr::from_ref(other), core::ptr::from_ref(self));
        // SAFETY: these are two places of a table, all of it cells.
        unsafe { core::ptr::copy_nonoverlapping(from, to.cast_mut(), 1) }
    }
}

/// The table of live streams.
///
/// A table that was outgrown stays where it is: the guest's allocator cannot free, all of them together are no larger
/// than the one in use, and a reference into an old one never dangles. But what it refers to moves with every stream that
/// ends, so nobody holds one while the guest runs or the host may call us.
#[repr(C)]
pub(crate) struct Streams {
    places: Cell<*const Stream>,
    /// How far a hash is shifted right to give a place; 32 minus the capacity's logarithm, 0 before the first stream.
    shift: Cell<u32>,
    live: Cell<u32>,
}

impl Streams {
    /// The stream of this id, unless it has ended.
    pub(crate) fn find(&self, id: u32) -> Option<&'static Stream> {
        if self.shift.get() == 0 || id == 0 {
            return None;
        }
        let stream = self.place(self.search(id));
        (stream.id.get() == id && !stream.has(DELETED)).then_some(stream)
    }

    /// The stream of this id, whose callback has just run: it is in the table, whatever became of it.
    #[inline(always)]
    pub(crate) fn running(&self, id: u32) -> &'static Stream {
        self.place(self.search(id))
    }

    fn insert(&self, id: u32, root: u32) {
        if self.shift.get() == 0 {
            self.grow(32 - 6);
        } else if self.live.get() >= self.capacity() / 2 {
            self.grow(self.shift.get() - 1);
        }
        let stream = self.place(self.search(id));
        if stream.id.get() == 0 {
            self.live.set(self.live.get() + 1);
        }
        stream.id.set(id);
        stream.root.set(root);
        stream.marks.set(0);
    }

    /// Forgets a stream of this table.
    fn remove(&self, stream: &Stream) {
        // SAFETY: a stream that was found lies in the table.
        let mut gap = unsafe { core::ptr::from_ref(stream).offset_from(self.places.get()) } as u32;
        // Whatever would not be found across the gap moves into it.
        let last = self.capacity() - 1;
        let mut at = gap;
        loop {
            at = (at + 1) & last;
            let stream = self.place(at);
            if stream.id.get() == 0 {
                break;
            }
            let from_home = at.wrapping_sub(self.home(stream.id.get())) & last;
            if from_home >= at.wrapping_sub(gap) & last {
                self.place(gap).copy_from(stream);
                gap = at;
            }
        }
        self.place(gap).id.set(0);
        self.live.set(self.live.get() - 1);
    }

    /// Where `id` is, or would be put.
    #[inline(never)]
    fn search(&self, id: u32) -> u32 {
        let last = self.capacity() - 1;
        let mut at = self.home(id);
        loop {
            let found = self.place(at).id.get();
            if found == id || found == 0 {
                return at;
            }
            at = (at + 1) & last;
        }
    }

    /// Ids are given in sequence; the golden ratio spreads them, so that long-lived streams make no long runs.
    #[inline(always)]
    fn home(&self, id: u32) -> u32 {
        id.wrapping_mul(0x9e37_79b9) >> self.shift.get()
    }

    #[inline(always)]
    fn capacity(&self) -> u32 {
        1 << (32 - self.shift.get())
    }

    #[inline(always)]
    fn place(&self, at: u32) -> &'static Stream {
        // SAFETY: all callers pass a place below the capacity, as many were allocated, and tables are never freed.
        unsafe { &*self.places.get().add(at as usize) }
    }

    #[cold]
    fn grow(&self, shift: u32) {
        let old = self.places.get();
        let old_capacity = if old.is_null() { 0 } else { self.capacity() };
        self.shift.set(shift);
        let size = self.capacity() as usize * size_of::<Stream>();
        let places = keep(core::ptr::null_mut(), 0, 8, size).cast::<Stream>();
        // SAFETY: as many were just allocated, and zeroes are a free place.
        unsafe { core::ptr::write_bytes(places, 0, self.capacity() as usize) };
        self.places.set(places);
        for at in 0..old_capacity {
            // SAFETY: the old table has as many places and is still there.
            let stream = unsafe { &*old.add(at as usize) };
            if stream.id.get() != 0 {
                self.place(self.search(stream.id.get())).copy_from(stream);
            }
        }
    }
}

/// A configured plugin.
#[repr(C)]
struct Plugin {
    root: Cell<u32>,
    context: Cell<u32>,
}

/// The configured plugins, few of them.
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

    /// Keeps a plugin context; one that the root had before is given back.
    pub(crate) fn put(&self, root: u32, context: u32) -> Option<u32> {
        if let Some(plugin) = self.place_of(root) {
            return Some(plugin.context.replace(context));
        }
        let len = self.len.get();
        self.places.reserve((len + 1) * size_of::<Plugin>());
        self.len.set(len + 1);
        let plugin = self.place(len);
        plugin.root.set(root);
        plugin.context.set(context);
        None
    }

    fn remove(&self, root: u32) -> Option<u32> {
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

/// Begins a call.
#[inline(always)]
pub(crate) fn begin(state: &State, context: u32, stream: u32, phase: Phase) {
    state.call.set(Call {
        context,
        stream,
        body_size: 0,
        phase,
        resumed: false,
        stopped: false,
        padding: 0,
    });
}

/// Makes a stream the one that the next hostcalls are about. After them comes `leave`.
///
/// The running callback's own stream is so already; any other costs a hostcall here and one in `leave`.
#[inline(always)]
pub(crate) fn enter(state: &State, stream: u32) -> Result<(), Error> {
    if stream == state.call.get().stream && stream != 0 {
        return Ok(());
    }
    enter_another(state, stream)
}

#[inline(never)]
fn enter_another(state: &State, stream: u32) -> Result<(), Error> {
    if state.streams.find(stream).is_none() {
        return Err(Error::Closed);
    }
    match abi::proxy_set_effective_context(stream) {
        abi::OK => Ok(()),
        // The deployment's capability restriction leaves it out.
        abi::INTERNAL_FAILURE => Err(Error::NotPermitted),
        _ => Err(Error::Closed),
    }
}

/// Goes back to the running callback's own context.
#[inline(always)]
pub(crate) fn leave(state: &State, stream: u32) {
    let call = state.call.get();
    if stream != call.stream {
        abi::proxy_set_effective_context(call.context);
    }
}

/// A plugin context is known once it is configured, a stream context from here on: its `parent` is its plugin's.
#[unsafe(export_name = "proxy_on_context_create")]
extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
    if parent != 0 && context != 0 {
        state().streams.insert(context, parent);
    }
}

/// The context's last call. Whatever its destructor asks of the stream is answered with `closed`.
///
/// The host may break a stream off within a hostcall of its own filter's callback. That callback finds the stream closed
/// from here on, and when it has returned the filter is dropped.
#[unsafe(export_name = "proxy_on_delete")]
extern "C" fn proxy_on_delete(context: u32) {
    let state = state();
    let former = Former::save(state);
    begin(state, context, 0, Phase::Plugin);
    if let Some(stream) = state.streams.find(context) {
        if stream.is_running() {
            stream.mark(DELETED);
        } else {
            forget(state, stream);
        }
    } else if let Some(plugin) = state.plugins.remove(context) {
        plugin::drop(plugin);
        output::flush(state);
    }
    former.restore(state);
    close(state, context);
}

/// Forgets a stream and drops its filter.
pub(crate) fn forget(state: &State, stream: &Stream) {
    let (is_constructed, filter) = (stream.has(CONSTRUCTED), stream.filter.get());
    state.streams.remove(stream);
    if is_constructed {
        http_filter::drop(filter);
    }
}

/// Lets the running callback find its stream closed, if it is of `stream`.
#[inline(always)]
pub(crate) fn close(state: &State, stream: u32) {
    let mut call = state.call.get();
    if call.stream == stream {
        call.stream = 0;
        state.call.set(call);
    }
}
