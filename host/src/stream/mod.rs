//! One HTTP stream on its way through the chain.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::fields::Fields;

/// One HTTP stream, without I/O: it is fed what happens and gives what is to be done.
pub struct Stream {
    effects: VecDeque<Effect>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send the head of the request upstream.
    RequestHeaders {
        /// Its fields.
        fields: Fields,
        /// Whether nothing follows.
        end: bool,
    },
    /// Send a piece of the request's body upstream.
    RequestBody {
        /// The piece; empty only at the end.
        data: Bytes,
        /// Whether nothing follows.
        end: bool,
    },
    /// Send the trailers of the request upstream; nothing follows.
    RequestTrailers(Fields),
    /// Send the head of the response downstream.
    ResponseHeaders {
        /// Its fields.
        fields: Fields,
        /// Whether nothing follows.
        end: bool,
    },
    /// Send a piece of the response's body downstream.
    ResponseBody {
        /// The piece; empty only at the end.
        data: Bytes,
        /// Whether nothing follows.
        end: bool,
    },
    /// Send the trailers of the response downstream; nothing follows.
    ResponseTrailers(Fields),
    /// Break off both sides; nothing follows.
    Reset,
}

impl Stream {
    pub(crate) fn new() -> Self {
        Self {
            effects: VecDeque::new(),
        }
    }

    /// The head of the request has come. `end`: neither body nor trailers follow.
    pub fn request_headers(&mut self, fields: Fields, end: bool) {
        self.effects
            .push_back(Effect::RequestHeaders { fields, end });
    }

    /// A piece of the request's body has come.
    pub fn request_body(&mut self, data: Bytes, end: bool) {
        self.effects.push_back(Effect::RequestBody { data, end });
    }

    /// The trailers of the request have come.
    pub fn request_trailers(&mut self, fields: Fields) {
        self.effects.push_back(Effect::RequestTrailers(fields));
    }

    /// The head of the response has come.
    pub fn response_headers(&mut self, fields: Fields, end: bool) {
        self.effects
            .push_back(Effect::ResponseHeaders { fields, end });
    }

    /// A piece of the response's body has come.
    pub fn response_body(&mut self, data: Bytes, end: bool) {
        self.effects.push_back(Effect::ResponseBody { data, end });
    }

    /// The trailers of the response have come.
    pub fn response_trailers(&mut self, fields: Fields) {
        self.effects.push_back(Effect::ResponseTrailers(fields));
    }

    /// What is to be done next, if there is anything. To be asked after every event and after every wake, until none is left.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Whether more of the request's body may be fed now. While it says no, reading from downstream should stop.
    pub fn wants_request_body(&self) -> bool {
        true
    }

    /// Whether more of the response's body may be fed now. While it says no, reading from upstream should stop.
    pub fn wants_response_body(&self) -> bool {
        true
    }

    /// Upstream cannot be had: answers with the proxy's own response, which passes the response callbacks.
    pub fn fail_upstream(&mut self, status: u16, body: Bytes) {
        let _ = (status, body);
        self.effects.push_back(Effect::Reset);
    }

    /// The stream has ended, well or not: the last callbacks, then the filters are dropped. Dropping the stream does the same.
    pub fn finish(self) {}
}
