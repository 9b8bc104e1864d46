//! [`Stream`]: a request and its response, from the point of view of the client and of the upstream.

use std::{
    cell::RefCell,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    thread,
};

use bytes::Bytes;
use tidegate_semantics::{
    attributes::Connection,
    context::StreamContext,
    hostcalls::properties,
    stream::{self, Effect},
};

use crate::{
    EndOfStream, Error,
    testing::{Message, proxy::Worker},
};

/// A request and its response, from the point of view of the client and of the upstream.
///
/// Dropping it ends the stream. Then the plugin's [`on_log`](crate::Plugin::on_log) is called.
pub struct Stream {
    exchange: Rc<Exchange>,
    worker: Rc<Worker>,
}

/// The state machine of a stream, and what it has passed on.
pub(super) struct Exchange {
    stream: RefCell<Option<stream::Stream>>,
    received: RefCell<Received>,
}

/// What has passed the plugin.
#[derive(Default)]
struct Received {
    request: Option<Message>,
    response: Option<Message>,
    is_reset: bool,
}

// === impl Stream ===

impl Stream {
    pub(super) fn new(worker: Rc<Worker>) -> Self {
        let stream = worker.chain().map(|chain| {
            // Each step of a test runs all streams, so that none has to be woken.
            let mut stream = stream::Stream::new(chain, Rc::new(|| ()));
            stream.set_connection(connection(&worker, worker.client()));
            stream
        });
        let exchange = Rc::new(Exchange {
            stream: RefCell::new(stream),
            received: RefCell::default(),
        });
        worker.add_stream(&exchange);
        Stream { exchange, worker }
    }

    /// Sets the address of the client. The default is that of [`Builder::client`](super::Builder::client).
    pub fn set_client(&self, address: SocketAddr) {
        let connection = connection(&self.worker, address);
        self.run(|stream| stream.set_connection(connection));
    }

    /// Sets a property, as a plugin before this one in the chain would with
    /// [`HttpStream::set_property`](crate::HttpStream::set_property).
    pub fn set_property(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        let mut result = Err(Error::Closed);
        self.run(|stream| {
            let context = context(stream);
            result = properties::check_segment(name)
                .and_then(|()| properties::set(&context, name.as_bytes(), value.as_ref()))
                .map_err(Error::from);
        });
        result
    }

    /// Returns a property that the plugin has set, as a plugin after it in the chain would read it.
    pub fn property(&self, name: &str) -> Option<Vec<u8>> {
        let mut found = None;
        self.run(|stream| {
            found = stream.shared().read(|state| {
                let mut properties = state.properties.iter();
                let property = properties.find(|(path, _)| **path == *name.as_bytes());
                property.map(|(_, value)| value.to_vec())
            });
        });
        found
    }

    /// Passes the headers of a request to the plugin. The rest of the message is ignored.
    #[track_caller]
    pub fn request_headers(&self, request: Message, end: EndOfStream) {
        let fields = request.header_fields();
        self.run(|stream| stream.request_headers(fields, end.is_end()));
    }

    /// Passes a chunk of the request's body to the plugin.
    #[track_caller]
    pub fn request_body(&self, chunk: impl Into<Vec<u8>>, end: EndOfStream) {
        let chunk = Bytes::from(chunk.into());
        self.run(|stream| stream.request_body(chunk, end.is_end()));
    }

    /// Passes the trailers of a request to the plugin. The rest of the message is ignored.
    #[track_caller]
    pub fn request_trailers(&self, request: Message) {
        let fields = request.trailer_fields();
        self.run(|stream| stream.request_trailers(fields));
    }

    /// Passes the headers of the upstream's response to the plugin. The rest of the message is ignored.
    #[track_caller]
    pub fn response_headers(&self, response: Message, end: EndOfStream) {
        let fields = response.header_fields();
        self.run(|stream| stream.response_headers(fields, end.is_end()));
    }

    /// Passes a chunk of the response's body to the plugin.
    #[track_caller]
    pub fn response_body(&self, chunk: impl Into<Vec<u8>>, end: EndOfStream) {
        let chunk = Bytes::from(chunk.into());
        self.run(|stream| stream.response_body(chunk, end.is_end()));
    }

    /// Passes the trailers of the upstream's response to the plugin. The rest of the message is ignored.
    #[track_caller]
    pub fn response_trailers(&self, response: Message) {
        let fields = response.trailer_fields();
        self.run(|stream| stream.response_trailers(fields));
    }

    /// Passes the upstream's response to the plugin. It is ignored if the client already has a response.
    #[track_caller]
    pub fn respond(&self, response: Message) {
        let has_trailers = !response.trailers().is_empty();
        let end = EndOfStream::from(response.chunks().is_empty() && !has_trailers);
        self.response_headers(response.clone(), end);
        let mut chunks = response.chunks().iter().peekable();
        while let Some(chunk) = chunks.next() {
            let end = EndOfStream::from(chunks.peek().is_none() && !has_trailers);
            self.response_body(chunk.clone(), end);
        }
        if has_trailers {
            self.response_trailers(response);
        }
    }

    /// Reports that the upstream has failed. The proxy generates a response with this status, which passes through the plugin.
    #[track_caller]
    pub fn fail_upstream(&self, status: u16) {
        self.run(|stream| stream.fail_upstream(status, Bytes::new()));
    }

    /// Returns the part of the request that the upstream has received. Returns `None` if the upstream has not received the headers.
    pub fn request(&self) -> Option<Message> {
        self.exchange.received.borrow().request.clone()
    }

    /// Returns the part of the response that the client has received, whether it is from the upstream, the plugin or the proxy.
    pub fn response(&self) -> Option<Message> {
        self.exchange.received.borrow().response.clone()
    }

    /// Returns whether the stream was reset.
    pub fn is_reset(&self) -> bool {
        self.exchange.received.borrow().is_reset
    }

    /// Ends the stream. Dropping it has the same effect.
    pub fn finish(self) {}

    #[track_caller]
    fn run(&self, run: impl FnOnce(&mut stream::Stream)) {
        if let Some(stream) = &mut *self.exchange.stream.borrow_mut() {
            run(stream);
        }
        self.worker.settle();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let stream = self.exchange.stream.take();
        drop(stream);
        if !thread::panicking() {
            self.worker.settle();
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let received = self.exchange.received.borrow();
        f.debug_struct("Stream")
            .field("request", &received.request)
            .field("response", &received.response)
            .field("is_reset", &received.is_reset)
            .finish_non_exhaustive()
    }
}

// === impl Exchange ===

impl Exchange {
    /// Takes what the stream has emitted.
    pub(super) fn take_effects(&self) {
        let mut stream = self.stream.borrow_mut();
        let Some(stream) = &mut *stream else {
            return;
        };
        while let Some(effect) = stream.next_effect() {
            self.received.borrow_mut().receive(effect);
        }
    }
}

// === impl Received ===

impl Received {
    fn receive(&mut self, effect: Effect) {
        match effect {
            Effect::RequestHeaders { fields, end } => {
                self.request = Some(Message::received(&fields, end));
            }
            Effect::ResponseHeaders { fields, end } => {
                self.response = Some(Message::received(&fields, end));
            }
            Effect::RequestBody { data, end } => {
                if let Some(request) = &mut self.request {
                    request.receive(&data, end);
                }
            }
            Effect::ResponseBody { data, end } => {
                if let Some(response) = &mut self.response {
                    response.receive(&data, end);
                }
            }
            Effect::RequestTrailers(trailers) => {
                if let Some(request) = &mut self.request {
                    request.receive_trailers(&trailers);
                }
            }
            Effect::ResponseTrailers(trailers) => {
                if let Some(response) = &mut self.response {
                    response.receive_trailers(&trailers);
                }
            }
            Effect::Reset => self.is_reset = true,
        }
    }
}

/// Returns a connection of a client to port 8080 of this machine.
fn connection(worker: &Worker, client: SocketAddr) -> Connection {
    Connection {
        id: worker.next_connection(),
        source: client,
        destination: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
        version: http::Version::HTTP_11,
    }
}

/// Returns the stream from the point of view of the plugin.
fn context(stream: &stream::Stream) -> StreamContext {
    StreamContext {
        shared: stream.shared().clone(),
        filter: 0,
        slot: 0,
    }
}
