//! `on-response-trailers`: the trailers of the response have arrived.

use crate::callback::callback;

callback!("proxy_on_response_trailers" => "on-response-trailers#handle", trailers in ResponseTrailers);
