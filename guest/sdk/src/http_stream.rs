//! [`HttpStream`]: one request and its response, as passed to a callback.
//!
//! The accessors do not make hostcalls; the methods of [`Fields`] and [`Body`] do.

use std::{net::IpAddr, rc::Rc, time::Duration};

use crate::{
    Action, Body, Error, Fields, LocalResponse,
    bindings::{
        http_calls, http_fields::FieldMap, http_streams, local_responses, properties,
        stream_control,
    },
    cookies,
    duration::milliseconds,
    http_calls::{CallId, Request},
    ip_address, property, query,
};

pub use crate::bindings::types::Direction;

/// An HTTP stream: one request and its response.
///
/// Each callback borrows the stream that it is called for. To use a stream from the callback of another stream,
/// [share](HttpStream::share) it first. After a stream has ended, all operations on it return [`Error::Closed`].
#[derive(Debug)]
pub struct HttpStream(Handle);

/// Most streams are never shared, so the reference-counted form is created on demand.
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

    /// Returns an ID that is unique among the active streams of this worker. Use it in log messages.
    pub fn id(&self) -> u32 {
        self.handle().id()
    }

    /// Returns the method of the request, such as `GET`. The errors of this and the following methods are those of [`Fields::get_str`].
    pub fn method(&self) -> Result<Option<String>, Error> {
        self.request_headers().get_str(":method")
    }

    /// Returns the path of the request with its query, such as `/search?q=a`.
    pub fn path(&self) -> Result<Option<String>, Error> {
        self.request_headers().get_str(":path")
    }

    /// Returns the host that the client asked for, with its port if the client has sent one. HTTP/1.1 calls it `host`.
    pub fn authority(&self) -> Result<Option<String>, Error> {
        self.request_headers().get_str(":authority")
    }

    /// Returns `http` or `https`.
    pub fn scheme(&self) -> Result<Option<String>, Error> {
        self.request_headers().get_str(":scheme")
    }

    /// Returns the status of the response. Returns [`Error::NotAvailable`] before there is a response, and [`Error::Malformed`] if the
    /// status is not a number.
    pub fn status(&self) -> Result<Option<u16>, Error> {
        let status = self.response_headers().get_str(":status")?;
        let status = status.map(|status| status.parse()).transpose();
        status.map_err(|_| Error::Malformed)
    }

    /// Returns the value of the first query parameter with a name: decoded, with `+` as a space. A parameter without `=` has an empty
    /// value. Returns [`Error::Malformed`] if the path or the value is not valid UTF-8.
    pub fn query(&self, name: &str) -> Result<Option<String>, Error> {
        match self.path()? {
            Some(path) => query::parameter(&path, name),
            None => Ok(None),
        }
    }

    /// Returns the value of the first cookie of the request with a name. Quotes around the value are not part of it. Returns
    /// [`Error::Malformed`] if the value is not valid UTF-8.
    pub fn cookie(&self, name: &str) -> Result<Option<String>, Error> {
        cookies::cookie(&self.request_headers().values("cookie")?, name)
    }

    /// Returns the IP address from which the request came: that of the attribute `source.address`, without its port.
    ///
    /// If another proxy has opened the connection, it is the address of that proxy. Envoy can be configured to take the address from
    /// `x-forwarded-for` instead. An IPv4 address that is mapped to IPv6 is returned as IPv4. Returns `None` if there is no IP address, as for a Unix
    /// domain socket.
    pub fn client_address(&self) -> Result<Option<IpAddr>, Error> {
        let address = self.property_str(&["source", "address"])?;
        Ok(address.and_then(|address| ip_address::parse(&address)))
    }

    /// Returns the request headers, including `:method`, `:path`, `:authority` and `:scheme`.
    pub fn request_headers(&self) -> Fields<'_> {
        Fields::new(self, FieldMap::RequestHeaders)
    }

    /// Returns the response headers, including `:status`.
    pub fn response_headers(&self) -> Fields<'_> {
        Fields::new(self, FieldMap::ResponseHeaders)
    }

    /// Returns the request trailers. They are accessible inside
    /// [`on_request_trailers`](crate::Plugin::on_request_trailers). Trailers can be [added](crate#trailers) to a request
    /// that has none.
    pub fn request_trailers(&self) -> Fields<'_> {
        Fields::new(self, FieldMap::RequestTrailers)
    }

    /// Returns the response trailers. They are accessible inside
    /// [`on_response_trailers`](crate::Plugin::on_response_trailers). Trailers can be [added](crate#trailers) to a
    /// response that has none.
    pub fn response_trailers(&self) -> Fields<'_> {
        Fields::new(self, FieldMap::ResponseTrailers)
    }

    /// Returns the request body. It is accessible only inside [`on_request_body`](crate::Plugin::on_request_body).
    pub fn request_body(&self) -> Body<'_> {
        Body::new(self, Direction::Request)
    }

    /// Returns the response body. It is accessible only inside [`on_response_body`](crate::Plugin::on_response_body).
    pub fn response_body(&self) -> Body<'_> {
        Body::new(self, Direction::Response)
    }

    /// Returns the property at a path such as `&["request", "path"]` or `&["source", "address"]`: a proxy attribute, or
    /// a value set by an earlier plugin.
    ///
    /// A string is returned as its bytes, a boolean as one byte, and a number as eight bytes in little-endian order.
    /// Envoy's documentation lists its attributes. Not every attribute is available in every proxy and every phase; an
    /// unavailable attribute yields `None`.
    pub fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, Error> {
        property::get(self.handle(), path)
    }

    /// Returns a string property. Returns [`Error::Malformed`] if it is not valid UTF-8.
    pub fn property_str(&self, path: &[&str]) -> Result<Option<String>, Error> {
        self.property(path)?.map(property::text).transpose()
    }

    /// Returns an integer property such as `&["response", "code"]`. Returns [`Error::Malformed`] if its size is not
    /// eight bytes.
    pub fn property_i64(&self, path: &[&str]) -> Result<Option<i64>, Error> {
        self.property(path)?.map(property::integer).transpose()
    }

    /// Sets a property on the stream. Later plugins in the chain and later callbacks of this plugin can read it at the
    /// path `&[name]`.
    ///
    /// The proxy's own attributes cannot be overridden. Returns [`Error::TooLarge`] if name and value together exceed
    /// 64 KiB.
    pub fn set_property(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        properties::set(self.handle(), name, value.as_ref())
    }

    /// Sends a response to the client without contacting the upstream.
    ///
    /// The response passes through the response callbacks of the chain, including those of this plugin. The current
    /// phase stops here, regardless of the value that the current callback returns.
    ///
    /// Returns [`Error::NotAvailable`] if the stream already has a response. A headers, body or trailers callback can respond
    /// only on its own stream. [`on_http_call_response`](crate::Plugin::on_http_call_response),
    /// [`on_plugin_http_call_response`](crate::Plugin::on_plugin_http_call_response),
    /// [`on_tick`](crate::Plugin::on_tick), [`on_queue_ready`](crate::Plugin::on_queue_ready) and
    /// [`on_plugin_done`](crate::Plugin::on_plugin_done) can respond on any stream.
    pub fn send_response(&self, response: LocalResponse) -> Result<(), Error> {
        local_responses::send(self.handle(), &response.into_inner())
    }

    /// Sends a response, like [`send_response`](HttpStream::send_response), and returns [`Action::Pause`], so that a callback can end
    /// with it:
    ///
    /// ```
    /// use tidegate_guest::prelude::*;
    ///
    /// struct Closed;
    ///
    /// #[plugin]
    /// impl Plugin for Closed {
    ///     type Config = ();
    ///     type Stream = ();
    ///
    ///     fn configure(_: ()) -> Result<Self, ConfigError> {
    ///         Ok(Closed)
    ///     }
    ///
    ///     fn on_request_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Result<Action, Error> {
    ///         http.respond(LocalResponse::new(503).body("closed today"))
    ///     }
    /// }
    /// ```
    pub fn respond(&self, response: LocalResponse) -> Result<Action, Error> {
        self.send_response(response)?;
        Ok(Action::Pause)
    }

    /// Resumes a half of the stream that a callback paused. Does nothing if it is not paused.
    pub fn resume(&self, half: Direction) -> Result<(), Error> {
        stream_control::resume(self.handle(), half)
    }

    /// Resets the stream. The downstream client sees a reset and no response. It has no effect in a callback that has sent a
    /// response to the stream.
    pub fn reset(&self) -> Result<(), Error> {
        stream_control::reset(self.handle())
    }

    /// Sends a request to another service for this stream. The outcome is passed to
    /// [`on_http_call_response`](crate::Plugin::on_http_call_response), and dropped if the stream has ended by then.
    ///
    /// The call does not stop the stream: return [`Action::Pause`](crate::Action::Pause) from a headers callback to wait for
    /// the outcome. If an error is returned, no outcome follows. `cluster`, `timeout` and the errors are those of
    /// [`http_calls::send`](crate::http_calls::send).
    pub fn call(
        &self,
        cluster: &str,
        request: Request,
        timeout: Duration,
    ) -> Result<CallId, Error> {
        let timeout = milliseconds(timeout)?;
        http_calls::send_for_stream(self.handle(), cluster, &request.into_inner(), timeout)
            .map(CallId::new)
    }

    /// Creates a second handle to the same stream, which can be kept after this callback returns.
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

/// The contract's handle of a stream, for tests that bypass the SDK.
#[doc(hidden)]
pub fn handle(http: &mut HttpStream) -> Rc<http_streams::HttpStream> {
    match http.share().0 {
        Handle::Shared(handle) => handle,
        Handle::Own(handle) => Rc::new(handle),
    }
}

/// The SDK's form of the contract's handle: the opposite of [`handle`], and for the same tests.
#[doc(hidden)]
pub fn stream(handle: Rc<http_streams::HttpStream>) -> HttpStream {
    HttpStream(Handle::Shared(handle))
}
