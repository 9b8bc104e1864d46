//! A plugin without the SDK: it uses the bindings that wit-bindgen generates from `wit/`.
//!
//! It shows what `#[plugin]` does for its users, and what an SDK for another language has to do: implement the two
//! resources, export the callbacks that the world names, keep the plugin alive for as long as a stream has it.

use std::rc::Rc;

use bindings::{
    exports::tidegate::proxy::{
        http_filter::{self, FilterBorrow, GuestFilter, HttpStream, PluginContextBorrow},
        on_response_headers::{self, Action},
        plugin::{self, GuestPluginContext, PluginContext},
    },
    tidegate::proxy::{http_fields, logging},
};

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package tidegate:bare;

            /// A plugin that receives only the headers of responses.
            world bare {
                include tidegate:proxy/http-plugin@0.1.0;
                export tidegate:proxy/on-response-headers@0.1.0;
            }
        ",
        generate_all,
    });
}

struct Bare;

/// The state of one configuration. It is reference-counted, because the contract lends it only to the constructor of a filter.
struct Plugin {
    greeting: Vec<u8>,
}

struct Context(Rc<Plugin>);

/// The state of one stream.
struct Filter {
    plugin: Rc<Plugin>,
    http: HttpStream,
}

impl plugin::Guest for Bare {
    type PluginContext = Context;
}

impl GuestPluginContext for Context {
    /// The configuration is the greeting itself.
    fn configure(configuration: Vec<u8>) -> Result<PluginContext, String> {
        if configuration.iter().any(|byte| *byte < b' ') {
            return Err("the greeting must be one line".to_owned());
        }
        let greeting = if configuration.is_empty() {
            b"hello".to_vec()
        } else {
            configuration
        };
        Ok(PluginContext::new(Context(Rc::new(Plugin { greeting }))))
    }
}

impl http_filter::Guest for Bare {
    type Filter = Filter;
}

impl GuestFilter for Filter {
    fn new(plugin: PluginContextBorrow<'_>, http: HttpStream) -> Self {
        Filter {
            plugin: Rc::clone(&plugin.get::<Context>().0),
            http,
        }
    }
}

impl on_response_headers::Guest for Bare {
    fn handle(filter: FilterBorrow<'_>, _: bool) -> Action {
        let Filter { plugin, http } = filter.get::<Filter>();
        let added = http_fields::append(
            http,
            http_fields::FieldMap::ResponseHeaders,
            "x-greeting",
            &plugin.greeting,
        );
        if let Err(error) = added {
            logging::log(logging::Level::Error, error.name());
        }
        Action::Continue
    }
}

bindings::export!(Bare with_types_in bindings);
