//! `on-request-body`: a piece of the body of the request has come.

use crate::callback::callback;

callback!("proxy_on_request_body" => "on-request-body#handle", body in RequestBody);
