//! `on-request-headers`: the headers of the request have arrived.

use crate::callback::callback;

callback!("proxy_on_request_headers" => "on-request-headers#handle", headers in RequestHeaders);
