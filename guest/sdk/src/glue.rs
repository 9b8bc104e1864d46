//! The code between the exports that `#[plugin]` generates and the author's [`Plugin`].
//!
//! It implements the contract's two resources: a [`Context`] for each configuration and a [`Filter`] for each stream.
//! Neither is global, so two configurations in one instance share no state. This code does not panic: if a callback is
//! called while another callback of the same stream is still running, which no current proxy does, the state is already
//! borrowed. The callback is then ignored, and the stream continues.

use std::{cell::RefCell, rc::Rc};

use crate::{
    Action, CallbackResult, Completion, ConfigError, HttpStream, Plugin,
    bindings::{http_call_types, http_streams},
    config, failure,
    http_calls::{CallId, Outcome},
    shared_queues::QueueId,
};

/// A configured plugin: the contract's `plugin-context`.
///
/// The contract lends it to the constructor of a filter, but not to the callbacks of the filter. Filters keep it alive
/// through reference counting.
pub struct Context<P>(Rc<P>);

/// The reason for which a plugin without a configuration refuses one.
pub(crate) const NO_CONFIGURATION: &str = "this plugin takes no configuration";

/// Creates a plugin from the bytes of its configuration.
pub fn configure_from_json<P: Plugin>(configuration: &[u8]) -> Result<Context<P>, String> {
    config::read_config(configuration)
        .and_then(P::configure)
        .map(Context::new)
        .map_err(ConfigError::into_string)
}

/// Creates a plugin that has no configuration. It does not link a deserializer.
pub fn configure_without<P: Plugin<Config = ()>>(
    configuration: &[u8],
) -> Result<Context<P>, String> {
    if !config::is_none(configuration) {
        return Err(String::from(NO_CONFIGURATION));
    }
    P::configure(())
        .map(Context::new)
        .map_err(ConfigError::into_string)
}

/// The state of a stream whose plugin has no constructor for it. `#[plugin]` uses it.
#[diagnostic::on_unimplemented(
    message = "the state of a stream, `{Self}`, has no default",
    label = "derive `Default`, or write `fn on_stream(&self, http: &HttpStream) -> Self::Stream`"
)]
pub trait DefaultStream {
    /// Returns the default.
    fn default_stream() -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Default> DefaultStream for T {
    #[inline(always)]
    fn default_stream() -> T {
        T::default()
    }
}

/// Stands in for the exports on other targets, so that rustc does not report a plugin as dead code in its own tests.
pub const fn exported<P: Plugin>() {}

/// The state of a plugin for one stream: the contract's `filter`.
pub struct Filter<P: Plugin> {
    plugin: Rc<P>,
    stream: RefCell<(P::Stream, HttpStream)>,
}

// === impl Context ===

impl<P> Context<P> {
    pub(crate) fn new(plugin: P) -> Self {
        Context(Rc::new(plugin))
    }
}

impl<P: Plugin> Context<P> {
    /// Calls the author's `on_plugin_http_call_response` callback.
    #[inline]
    pub fn on_plugin_http_call_response(
        &self,
        call: http_call_types::CallId,
        outcome: http_call_types::Outcome,
    ) {
        self.0
            .on_plugin_http_call_response(CallId::new(call), Outcome::new(outcome));
    }

    /// Calls the author's `on_tick` callback.
    #[inline]
    pub fn on_tick(&self) {
        self.0.on_tick();
    }

    /// Calls the author's `on_queue_ready` callback.
    #[inline]
    pub fn on_queue_ready(&self, queue: u32) {
        self.0.on_queue_ready(QueueId::new(queue));
    }

    /// Calls the author's `on_plugin_done` callback.
    #[inline]
    pub fn on_plugin_done(&self) -> Completion {
        self.0.on_plugin_done()
    }
}

// === impl Filter ===

impl<P: Plugin> Filter<P> {
    /// Starts a stream.
    pub fn create(context: &Context<P>, http: http_streams::HttpStream) -> Self {
        let http = HttpStream::new(http);
        let stream = context.0.on_stream(&http);
        Filter {
            plugin: Rc::clone(&context.0),
            stream: RefCell::new((stream, http)),
        }
    }

    /// Calls the author's `on_request_headers` callback.
    #[inline]
    pub fn on_request_headers(&self, end: bool) -> Action {
        self.call(|plugin, stream, http| {
            plugin
                .on_request_headers(stream, http, end.into())
                .or_report("on_request_headers")
        })
    }

    /// Calls the author's `on_request_body` callback.
    #[inline]
    pub fn on_request_body(&self, size: u32, end: bool) -> Action {
        self.call(|plugin, stream, http| {
            plugin
                .on_request_body(stream, http, size, end.into())
                .or_report("on_request_body")
        })
    }

    /// Calls the author's `on_request_trailers` callback.
    #[inline]
    pub fn on_request_trailers(&self) -> Action {
        self.call(|plugin, stream, http| {
            plugin
                .on_request_trailers(stream, http)
                .or_report("on_request_trailers")
        })
    }

    /// Calls the author's `on_response_headers` callback.
    #[inline]
    pub fn on_response_headers(&self, end: bool) -> Action {
        self.call(|plugin, stream, http| {
            plugin
                .on_response_headers(stream, http, end.into())
                .or_report("on_response_headers")
        })
    }

    /// Calls the author's `on_response_body` callback.
    #[inline]
    pub fn on_response_body(&self, size: u32, end: bool) -> Action {
        self.call(|plugin, stream, http| {
            plugin
                .on_response_body(stream, http, size, end.into())
                .or_report("on_response_body")
        })
    }

    /// Calls the author's `on_response_trailers` callback.
    #[inline]
    pub fn on_response_trailers(&self) -> Action {
        self.call(|plugin, stream, http| {
            plugin
                .on_response_trailers(stream, http)
                .or_report("on_response_trailers")
        })
    }

    /// Calls the author's `on_log` callback.
    #[inline]
    pub fn on_log(&self) {
        if let Ok(mut stream) = self.stream.try_borrow_mut() {
            let (stream, http) = &mut *stream;
            self.plugin.on_log(stream, http);
        }
    }

    /// Calls the author's `on_http_call_response` callback.
    #[inline]
    pub fn on_http_call_response(
        &self,
        call: http_call_types::CallId,
        outcome: http_call_types::Outcome,
    ) {
        if let Ok(mut stream) = self.stream.try_borrow_mut() {
            let (stream, http) = &mut *stream;
            let (call, outcome) = (CallId::new(call), Outcome::new(outcome));
            let done = self
                .plugin
                .on_http_call_response(stream, http, call, outcome)
                .or_report("on_http_call_response");
            if done.is_none() {
                failure::call(http, P::CONTINUES_ON_ERROR);
            }
        }
    }

    /// Calls a callback, which returns nothing if it fails.
    #[inline]
    fn call(
        &self,
        callback: impl FnOnce(&P, &mut P::Stream, &mut HttpStream) -> Option<Action>,
    ) -> Action {
        match self.stream.try_borrow_mut() {
            Ok(mut stream) => {
                let (stream, http) = &mut *stream;
                match callback(&self.plugin, stream, http) {
                    Some(action) => action,
                    None => failure::action(http, P::CONTINUES_ON_ERROR),
                }
            }
            Err(_) => Action::Continue,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, fmt, mem};

    use super::*;
    use crate::{EndOfStream, Error, failure::recorder};

    /// Pauses each request, counted in the plugin and in the stream. Counts outcomes and trailers in the stream, and ticks in
    /// the plugin.
    struct Pausing {
        requests: Cell<u32>,
        ticks: Cell<u32>,
        ready: Cell<Option<QueueId>>,
        refreshed: Cell<Option<(CallId, u16)>>,
    }

    #[expect(refining_impl_trait, reason = "`#[plugin]` does this for authors")]
    impl Plugin for Pausing {
        type Config = u32;
        type Stream = u32;

        fn on_stream(&self, _: &HttpStream) -> u32 {
            0
        }

        fn configure(begin: u32) -> Result<Self, ConfigError> {
            if begin > 9 {
                return Err(ConfigError::at("begin", "too much"));
            }
            Ok(Pausing {
                requests: Cell::new(begin),
                ticks: Cell::new(0),
                ready: Cell::new(None),
                refreshed: Cell::new(None),
            })
        }

        fn on_request_headers(
            &self,
            stream: &mut u32,
            _: &mut HttpStream,
            _: EndOfStream,
        ) -> Action {
            *stream += 1;
            self.requests.set(self.requests.get() + 1);
            Action::Pause
        }

        fn on_request_trailers(&self, stream: &mut u32, _: &mut HttpStream) -> Action {
            *stream += 10;
            Action::Pause
        }

        fn on_response_trailers(&self, stream: &mut u32, _: &mut HttpStream) -> Action {
            *stream += 100;
            Action::Continue
        }

        fn on_http_call_response(
            &self,
            stream: &mut u32,
            _: &mut HttpStream,
            _: CallId,
            outcome: Outcome,
        ) {
            *stream += match outcome {
                Outcome::Response(response) => response.status().map_or(0, u32::from),
                Outcome::Reset => 1000,
            };
        }

        fn on_plugin_http_call_response(&self, call: CallId, outcome: Outcome) {
            if let Outcome::Response(response) = outcome {
                self.refreshed
                    .set(response.status().map(|status| (call, status)));
            }
        }

        fn on_tick(&self) {
            self.ticks.set(self.ticks.get() + 1);
        }

        fn on_queue_ready(&self, queue: QueueId) {
            self.ready.set(Some(queue));
        }

        fn on_plugin_done(&self) -> Completion {
            match self.ticks.get() {
                0 => Completion::Done,
                _ => Completion::Pending,
            }
        }
    }

    fn response(status: &str) -> http_call_types::Outcome {
        http_call_types::Outcome::Response(http_call_types::Response {
            headers: vec![(":status".to_owned(), status.as_bytes().to_vec())],
            body: Vec::new(),
            trailers: Vec::new(),
        })
    }

    fn context(configuration: &[u8]) -> Context<Pausing> {
        configure_from_json(configuration).expect("a good configuration")
    }

    fn filter(context: &Context<Pausing>) -> mem::ManuallyDrop<Filter<Pausing>> {
        // SAFETY: there is no host here that the handle could belong to; no hostcall is made on it, and it is not dropped.
        let handle = unsafe { http_streams::HttpStream::from_handle(1) };
        mem::ManuallyDrop::new(Filter::create(context, handle))
    }

    #[test]
    fn contexts_and_streams_do_not_share_state() {
        let (one, other) = (context(b"0"), context(b"5"));
        let filters = [filter(&one), filter(&one), filter(&other)];
        for filter in &filters {
            assert_eq!(filter.on_request_headers(true), Action::Pause);
        }
        assert_eq!((one.0.requests.get(), other.0.requests.get()), (2, 6));
        assert!(
            filters.iter().all(|filter| filter.stream.borrow().0 == 1),
            "a stream's state is its own"
        );
    }

    #[test]
    fn reentrant_callback_continues_the_stream() {
        let context = context(b"0");
        let filter = filter(&context);
        let busy = filter.stream.borrow_mut();
        assert_eq!(filter.on_request_headers(true), Action::Continue);
        assert_eq!(filter.on_request_trailers(), Action::Continue);
        filter.on_log();
        filter.on_http_call_response(1, response("200"));
        drop(busy);
        assert_eq!(filter.on_request_headers(true), Action::Pause);
        assert_eq!(context.0.requests.get(), 1);
        assert_eq!(filter.stream.borrow().0, 1);
    }

    #[test]
    fn trailers_are_passed_to_their_stream() {
        let context = context(b"0");
        let (asked, idle) = (filter(&context), filter(&context));
        assert_eq!(asked.on_request_trailers(), Action::Pause);
        assert_eq!(asked.on_response_trailers(), Action::Continue);
        assert_eq!((asked.stream.borrow().0, idle.stream.borrow().0), (110, 0));
    }

    #[test]
    fn outcomes_are_passed_to_their_receivers() {
        let (one, other) = (context(b"0"), context(b"0"));
        let (asked, idle) = (filter(&one), filter(&one));
        asked.on_http_call_response(1, response("204"));
        asked.on_http_call_response(2, http_call_types::Outcome::Reset);
        assert_eq!(asked.stream.borrow().0, 1204);
        assert_eq!(idle.stream.borrow().0, 0);
        assert_eq!(one.0.refreshed.get(), None);
        one.on_plugin_http_call_response(3, response("200"));
        assert_eq!(one.0.refreshed.get(), Some((CallId::new(3), 200)));
        assert_eq!(other.0.refreshed.get(), None);
    }

    #[test]
    fn ticks_are_passed_to_their_plugin() {
        let (one, other) = (context(b"0"), context(b"0"));
        one.on_tick();
        one.on_tick();
        assert_eq!((one.0.ticks.get(), other.0.ticks.get()), (2, 0));
    }

    #[test]
    fn queue_ids_are_passed_to_their_plugin() {
        let (one, other) = (context(b"0"), context(b"0"));
        one.on_queue_ready(7);
        assert_eq!(one.0.ready.get(), Some(QueueId::new(7)));
        assert_eq!(other.0.ready.get(), None);
    }

    #[test]
    fn plugins_say_whether_they_are_done() {
        let (one, other) = (context(b"0"), context(b"0"));
        one.on_tick();
        assert_eq!(one.on_plugin_done(), Completion::Pending);
        assert_eq!(other.on_plugin_done(), Completion::Done);
    }

    /// Fails in each callback that may. With `CONTINUES`, it lets streams continue.
    struct Failing<const CONTINUES: bool>;

    #[expect(refining_impl_trait, reason = "`#[plugin]` does this for authors")]
    impl<const CONTINUES: bool> Plugin for Failing<CONTINUES> {
        type Config = ();
        type Stream = ();

        const CONTINUES_ON_ERROR: bool = CONTINUES;

        fn configure(_: ()) -> Result<Self, ConfigError> {
            Ok(Failing)
        }

        fn on_stream(&self, _: &HttpStream) {}

        fn on_request_headers(
            &self,
            _: &mut (),
            http: &mut HttpStream,
            end: EndOfStream,
        ) -> Result<Action, Borrowing<'static>> {
            let _ = (http, end);
            Err(Borrowing("a reason"))
        }

        fn on_response_body(
            &self,
            _: &mut (),
            _: &mut HttpStream,
            _: u32,
            end: EndOfStream,
        ) -> Result<Action, Error> {
            match end {
                EndOfStream::No => Ok(Action::Pause),
                EndOfStream::Yes => Err(Error::TooLarge),
            }
        }

        fn on_http_call_response(
            &self,
            _: &mut (),
            _: &mut HttpStream,
            _: CallId,
            _: Outcome,
        ) -> Result<(), Error> {
            Err(Error::NotFound)
        }
    }

    /// An error of the author's.
    struct Borrowing<'a>(&'a str);

    impl fmt::Display for Borrowing<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    fn failing<const CONTINUES: bool>() -> mem::ManuallyDrop<Filter<Failing<CONTINUES>>> {
        let context = configure_without(b"").expect("no configuration");
        // SAFETY: as in `filter`.
        let handle = unsafe { http_streams::HttpStream::from_handle(1) };
        mem::ManuallyDrop::new(Filter::create(&context, handle))
    }

    #[test]
    fn errors_end_the_stream() {
        let filter = failing::<false>();
        assert_eq!(filter.on_response_body(1, false), Action::Pause);
        assert!(recorder::take().is_empty(), "nothing has failed");
        assert_eq!(filter.on_request_headers(true), Action::Pause);
        assert_eq!(
            recorder::take(),
            ["log on_request_headers failed: a reason", "respond"]
        );
        filter.on_http_call_response(1, response("200"));
        assert_eq!(
            recorder::take(),
            ["log on_http_call_response failed: not-found", "respond"]
        );
        recorder::set_has_response(true);
        assert_eq!(filter.on_response_body(1, true), Action::Pause);
        assert_eq!(
            recorder::take(),
            ["log on_response_body failed: too-large", "respond", "reset"]
        );
    }

    #[test]
    fn streams_continue_after_errors_if_asked_for() {
        let filter = failing::<true>();
        assert_eq!(filter.on_request_headers(true), Action::Continue);
        assert_eq!(
            recorder::take(),
            ["log on_request_headers failed: a reason"]
        );
        assert_eq!(filter.on_response_body(1, true), Action::Continue);
        assert_eq!(recorder::take().len(), 1);
        filter.on_http_call_response(1, response("200"));
        assert_eq!(
            recorder::take(),
            [
                "log on_http_call_response failed: not-found",
                "resume Direction::Request",
                "resume Direction::Response"
            ]
        );
    }

    #[test]
    fn configuration_errors_are_returned_as_text() {
        let refused = |configuration: &[u8]| configure_from_json::<Pausing>(configuration).err();
        assert_eq!(refused(b"true").as_deref(), Some("expected u32, got true"));
        assert_eq!(refused(b"10").as_deref(), Some("begin: too much"));
    }
}
