//! `on-response-body`: a chunk of the response body has arrived.

use crate::callback::callback;

callback!("proxy_on_response_body" => "on-response-body#handle", body in ResponseBody);
