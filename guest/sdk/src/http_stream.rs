//! [`HttpStream`]: one request and its response, as a callback meets them.
//!
//! The accessors only name a part; [`Fields`] and [`Body`] are where hostcalls are made.

use std::rc::Rc;

use crate::{
    Body, Error, Fields, LocalResponse,
    bindings::{http_fields::FieldMap, http_streams, local_responses, properties, stream_control},
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

    /// What the proxy has at a path, or a plugin before this one left there: `&["request", "path"]`, `&["source", "address"]`.
    ///
    /// Texts are their bytes, a boolean is one byte, a number eight, little endian. Envoy's documentation lists the attributes
    /// that it has; not all of them are in every proxy and every phase, and what is not is none.
    pub fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, Error> {
        // The bindings take strings that are owned.
        let path: Vec<String> = path.iter().map(|segment| (*segment).to_owned()).collect();
        properties::get(self.handle(), &path)
    }

    /// A property that is a text; [`Error::Malformed`] if it is not UTF-8.
    pub fn property_str(&self, path: &[&str]) -> Result<Option<String>, Error> {
        match self.property(path)? {
            Some(value) => String::from_utf8(value)
                .map(Some)
                .map_err(|_| Error::Malformed),
            None => Ok(None),
        }
    }

    /// A property that is an integer, such as `&["response", "code"]`; [`Error::Malformed`] if it has not eight bytes.
    pub fn property_i64(&self, path: &[&str]) -> Result<Option<i64>, Error> {
        match self.property(path)? {
            Some(value) => match <[u8; 8]>::try_from(value) {
                Ok(value) => Ok(Some(i64::from_le_bytes(value))),
                Err(_) => Err(Error::Malformed),
            },
            None => Ok(None),
        }
    }

    /// Leaves a value on the stream: plugins further on find it at the path `&[name]`, as does a later callback of this one.
    ///
    /// The proxy's own attributes stay what they are. Name and value together are at most 64 KiB, else it is
    /// [`Error::TooLarge`].
    pub fn set_property(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        properties::set(self.handle(), name, value.as_ref())
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

/// The contract's handle of a stream, for tests that go past the SDK.
#[doc(hidden)]
pub fn handle(http: &mut HttpStream) -> Rc<http_streams::HttpStream> {
    match http.share().0 {
        Handle::Shared(handle) => handle,
        Handle::Own(handle) => Rc::new(handle),
    }
}
