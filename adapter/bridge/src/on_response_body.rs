//! `on-response-body`: a piece of the body of the response has come.

use crate::callback::callback;

callback!("proxy_on_response_body" => "on-response-body#handle", body in ResponseBody);
