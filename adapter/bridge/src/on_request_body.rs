//! `on-request-body`: a chunk of the request body has arrived.

use crate::callback::callback;

callback!("proxy_on_request_body" => "on-request-body#handle", body in RequestBody);
