//! What hostcalls can access besides a stream: the services of the host, and the contexts of an instance by ID.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use crate::attributes::Attributes;
use crate::clock::Clock;
use crate::clusters::Clusters;
use crate::limits::Limits;
use crate::logs::{Level, LogLine, LogSink};
use crate::metrics::{DefinedMetrics, Metrics};
use crate::observe::{LineRecorder, Observer};
use crate::plugin_stats::InstanceStats;
use crate::port::{Outbox, QueueListener};
use crate::random::Random;
use crate::shared_data::SharedData;
use crate::shared_queues::{Registration, SharedQueues};
use crate::state::SharedStream;

/// The services of the host that an instance's hostcalls can access. They do not contain the instance, so that it is
/// never entered twice.
pub struct Services {
    pub worker: usize,
    pub clock: Arc<dyn Clock>,
    pub logs: Arc<dyn LogSink>,
    pub limits: Limits,
    pub environment: Vec<(String, String)>,
    /// The configuration of the instance, which Envoy calls a virtual machine.
    pub vm_configuration: Bytes,
    pub random: Random,
    pub shared_data: Arc<SharedData>,
    pub queues: Arc<SharedQueues>,
    /// What is called for the queues that the instance's plugins have registered.
    pub queue_events: QueueListener,
    /// These registrations, by the plugin's index and the ID of the queue.
    pub registrations: RefCell<HashMap<(usize, u32), Registration>>,
    pub metrics: Arc<Metrics>,
    /// The metrics that the instance has defined.
    pub defined: DefinedMetrics,
    /// The statistics of the instance's plugins, if there are any.
    pub stats: Option<InstanceStats>,
    pub clusters: Arc<Clusters>,
    pub outbox: Outbox,
    pub attributes: Arc<Attributes>,
    /// The names of the instance's plugins. The IDs of their contexts start at 1.
    pub plugins: Vec<String>,
    /// Whether the running callback belongs to no phase of a stream.
    pub in_event: Cell<bool>,
    /// Receives what is not reported with a stream, if there is an observer.
    pub observer: Option<Arc<dyn Observer>>,
    /// Records log lines for the observer, if there is one.
    pub recorder: Option<LineRecorder>,
    pub contexts: Contexts,
    pub ending: Ending,
}

/// The plugins of an instance that are about to be dropped, and that the proxy waits for, by index.
#[derive(Default)]
pub struct Ending {
    waiting: RefCell<BTreeSet<usize>>,
    /// Those that have reported, in the running callback, that they are done.
    done: RefCell<Vec<usize>>,
}

/// The contexts of an instance.
pub struct Contexts {
    by_id: RefCell<HashMap<u32, Context, BuildHasherDefault<ContextIdHasher>>>,
    next_id: Cell<u32>,
}

/// The context of a plugin, or of a plugin on one stream. The guest identifies it by its ID.
#[derive(Clone)]
pub struct Context {
    pub id: u32,
    /// Index of the plugin in [`Services::plugins`].
    pub plugin: usize,
    pub stream: Option<StreamContext>,
}

/// A stream, from the point of view of one plugin.
#[derive(Clone)]
pub struct StreamContext {
    pub shared: Rc<SharedStream>,
    /// The position of the plugin in the chain.
    pub filter: usize,
    /// Where the engine keeps the plugin's state for the stream. The engine assigns it when the stream is opened.
    pub slot: usize,
}

/// A hasher for context IDs. IDs are sequential and not reused until they wrap around, so a multiplication is
/// sufficient.
#[derive(Default)]
pub struct ContextIdHasher(u64);

// === impl Services ===

impl Services {
    /// Writes a line to a plugin's log.
    pub fn log(&self, plugin: usize, level: Level, message: &str) {
        if level < self.logs.level() {
            return;
        }
        if let Some(recorder) = &self.recorder {
            recorder.record(level, message);
        }
        let plugin = self.plugins.get(plugin).map_or("", String::as_str);
        self.logs.line(&LogLine {
            plugin,
            worker: self.worker,
            level,
            message,
        });
    }

    /// Counts a trap in a plugin's code, if there are statistics.
    pub fn count_trap(&self, plugin: usize) {
        if let Some(stats) = &self.stats {
            stats.add_trap(plugin);
        }
    }
}

// === impl Ending ===

impl Ending {
    /// Records that the proxy waits for a plugin.
    pub fn wait_for(&self, plugin: usize) {
        self.waiting.borrow_mut().insert(plugin);
    }

    /// Returns the plugins that the proxy waits for.
    pub fn waiting(&self) -> Vec<usize> {
        self.waiting.borrow().iter().copied().collect()
    }

    /// Records that a plugin is done. Returns `false` if the proxy does not wait for it.
    pub fn report_done(&self, plugin: usize) -> bool {
        let was_waiting = self.waiting.borrow_mut().remove(&plugin);
        if was_waiting {
            self.done.borrow_mut().push(plugin);
        }
        was_waiting
    }

    /// Returns the plugins that have become done since the last time.
    pub fn take_done(&self) -> Vec<usize> {
        self.done.take()
    }

    /// Waits for no plugin any more.
    pub fn clear(&self) {
        self.waiting.take();
        self.done.take();
    }
}

// === impl Contexts ===

impl Contexts {
    /// Creates a context with a new ID.
    pub fn add(&self, plugin: usize, stream: Option<StreamContext>) -> Context {
        let mut contexts = self.by_id.borrow_mut();
        let mut id = self.next_id.get();
        // After 2^32 contexts, IDs wrap around and skip those that are still in use.
        while id == 0 || contexts.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        self.next_id.set(id.wrapping_add(1));
        let context = Context { id, plugin, stream };
        contexts.insert(id, context.clone());
        context
    }

    /// Removes a context.
    pub fn remove(&self, id: u32) {
        let removed = self.by_id.borrow_mut().remove(&id);
        // Dropping a stream may remove further contexts.
        drop(removed);
    }

    /// Returns the context with an ID.
    pub fn find(&self, id: u32) -> Option<Context> {
        self.by_id.borrow().get(&id).cloned()
    }

    /// Returns the ID of the context of a plugin. The plugins of an instance are configured in order before there is any stream, so
    /// it is the plugin's index plus one.
    #[inline]
    pub fn plugin_id(&self, plugin: usize) -> u32 {
        u32::try_from(plugin).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Returns the context of a plugin that has no stream.
    pub fn plugin_context(&self, plugin: usize) -> Option<Context> {
        self.find(self.plugin_id(plugin))
            .filter(|it| it.stream.is_none())
    }

    /// Records the slot that the engine has assigned to the stream of a context.
    pub fn set_slot(&self, context: &mut Context, slot: usize) {
        let Some(stream) = &mut context.stream else {
            return;
        };
        if stream.slot == slot {
            return;
        }
        stream.slot = slot;
        if let Some(known) = self.by_id.borrow_mut().get_mut(&context.id) {
            *known = context.clone();
        }
    }

    /// Removes and returns all contexts.
    pub fn drain(&self) -> impl Iterator<Item = Context> + use<> {
        self.by_id.take().into_values()
    }
}

impl Default for Contexts {
    fn default() -> Self {
        Self {
            by_id: RefCell::default(),
            next_id: Cell::new(1),
        }
    }
}

// === impl ContextIdHasher ===

impl Hasher for ContextIdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u32(&mut self, id: u32) {
        // hashbrown distinguishes entries by the upper bits of the hash, so the ID is spread over all bits.
        self.0 = u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
