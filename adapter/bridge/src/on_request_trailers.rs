//! `on-request-trailers`: the trailers of the request have arrived.

use crate::callback::callback;

callback!("proxy_on_request_trailers" => "on-request-trailers#handle", trailers in RequestTrailers);
