//! `on-queue-ready`: a value was added to a queue that the plugin has registered.

use crate::callback::callback;

callback!("proxy_on_queue_ready" => "on-queue-ready#handle", event(queue));
