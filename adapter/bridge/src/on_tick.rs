//! `on-tick`: the period of the plugin's timer has passed.

use crate::callback::callback;

callback!("proxy_on_tick" => "on-tick#handle", event());
