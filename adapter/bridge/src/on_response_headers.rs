//! `on-response-headers`: the headers of the response have arrived.

use crate::callback::callback;

callback!("proxy_on_response_headers" => "on-response-headers#handle", headers in ResponseHeaders);
