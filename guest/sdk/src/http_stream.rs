//! [`HttpStream`]: one request and its response, as a callback meets them.
//!
//! The accessors only name a part; [`Fields`] and [`Body`] are where hostcalls are made.

use std::rc::Rc;

use crate::{
    Body, Error, Fields, LocalResponse,
    bindings::{http_fields::FieldMap, http_streams, local_responses, stream_control},
};

pub use crate::bindings::types::Direction;

/// One HTTP stream: a request and its response.
///
/// Callbacks are lent the stream that they are called for. One that must be reached from another stream's callback is
/// [shared](HttpStream::share) first; once it has ended, everything that is asked of it answers [`Error::Closed`].
#[derive(Debug)]
pub struct HttpStream(Handle);

/// Most streams are never shared, so the counted form is made only when one is.
#[derive(Debug)]
enum Handle {
    Own(http_streams::HttpStream),
    Shared(Rc<http_streams::HttpStream>),
}

impl HttpStream {
    pub(crate) fn new(handle: http_streams::HttpStream) -> Self {
        HttpStream(Handle::Own(handle))
    }

    pub(crate) fn handle(&self) -> &http_streams::HttpStream {
        match &self.0 {
            Handle::Own(handle) => handle,
            Handle::Shared(handle) => handle,
        }
    }

    /// A number that no other stream of this worker has while this one lives: for lines of a log.
    pub fn id(&self) -> u32 {
        self.handle().id()
    }

    /// The headers of the request, `:method`, `:path`, `:authority` and `:scheme` among them.
    pub fn request_headers(&self) -> Fields<'_> {
        Fields::new(self, FieldMap::RequestHeaders)
    }

    /// The headers of the response, `:status` among them.
    pub fn response_headers(&self) -> Fields<'_> {
        Fields::new(self, FieldMap::ResponseHeaders)
    }

    /// The trailers of the request.
    pub fn request_trailers(&self) -> Fields<'_> {
        Fields::new(self, FieldMap::RequestTrailers)
    }

    /// The trailers of the response.
    pub fn response_trailers(&self) -> Fields<'_> {
        Fields::new(self, FieldMap::ResponseTrailers)
    }

    /// The body of the request, inside [`on_request_body`](crate::Plugin::on_request_body) alone.
    pub fn request_body(&self) -> Body<'_> {
        Body::new(self, Direction::Request)
    }

    /// The body of the response, inside [`on_response_body`](crate::Plugin::on_response_body) alone.
    pub fn response_body(&self) -> Body<'_> {
        Body::new(self, Direction::Response)
    }

    /// Answers the request without asking upstream.
    ///
    /// The answer passes through the response callbacks of the chain, this plugin's own among them. Whatever the
    /// present callback then returns, its phase stops there.
    pub fn send_response(&self, response: LocalResponse) -> Result<(), Error> {
        local_responses::send(self.handle(), &response.into_inner())
    }

    /// Goes on with a half that a callback paused; nothing happens if it is not paused.
    pub fn resume(&self, half: Direction) -> Result<(), Error> {
        stream_control::resume(self.handle(), half)
    }

    /// Breaks the stream off: downstream sees a reset, no response.
    pub fn reset(&self) -> Result<(), Error> {
        stream_control::reset(self.handle())
    }

    /// A second handle on the same stream, to be kept beyond this callback.
    pub fn share(&mut self) -> HttpStream {
        let shared = match &self.0 {
            Handle::Shared(handle) => Rc::clone(handle),
            Handle::Own(handle) => {
                // SAFETY: `take_handle` leaves nothing behind that would drop the handle, so it has one owner again.
                Rc::new(unsafe { http_streams::HttpStream::from_handle(handle.take_handle()) })
            }
        };
        self.0 = Handle::Shared(Rc::clone(&shared));
        HttpStream(Handle::Shared(shared))
    }
}
