//! A plugin that uses Rust's standard library without regard to the platform: output, a `HashMap` with its random seed,
//! the time, the environment, a panic, an exit.
//!
//! The request's path selects one of these. The standard library implements all of them with WASI, which the hosts and
//! the bridge map to the proxy. This plugin exports only two callbacks; `probe` exports all of them.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::time::{Instant, SystemTime};

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package tests:std-guest;
            world std-guest {
                include tidegate:proxy/http-plugin@0.1.0;
                export tidegate:proxy/on-request-headers@0.1.0;
                export tidegate:proxy/on-response-headers@0.1.0;
            }
        ",
        generate_all,
    });
}

use bindings::exports::tidegate::proxy::http_filter::{
    FilterBorrow, GuestFilter, PluginContextBorrow,
};
use bindings::exports::tidegate::proxy::plugin::{GuestPluginContext, PluginContext};
use bindings::exports::tidegate::proxy::{
    http_filter, on_request_headers, on_response_headers, plugin,
};
use bindings::tidegate::proxy::http_fields::{self, FieldMap};
use bindings::tidegate::proxy::http_streams::HttpStream;
use bindings::tidegate::proxy::types::Action;

struct StdGuest;

struct Plugin;

struct Filter {
    http: HttpStream,
    path: String,
}

impl plugin::Guest for StdGuest {
    type PluginContext = Plugin;
}

impl GuestPluginContext for Plugin {
    fn configure(_: Vec<u8>) -> Result<PluginContext, String> {
        println!("configured");
        Ok(PluginContext::new(Plugin))
    }
}

impl http_filter::Guest for StdGuest {
    type Filter = Filter;
}

impl GuestFilter for Filter {
    fn new(_: PluginContextBorrow<'_>, http: HttpStream) -> Self {
        let path = http_fields::get(&http, FieldMap::RequestHeaders, ":path")
            .ok()
            .flatten()
            .unwrap_or_default();
        Filter {
            http,
            path: String::from_utf8_lossy(&path).into_owned(),
        }
    }
}

impl on_request_headers::Guest for StdGuest {
    fn handle(filter: FilterBorrow<'_>, _: bool) -> Action {
        match filter.get::<Filter>().path.as_str() {
            "/print" => print(),
            "/map" => map(),
            "/now" => println!("now {}", since_1970()),
            "/random" => random(),
            "/time" => time(),
            "/environment" => environment(),
            "/panic" => panic!("the plugin's own words"),
            "/exit" => std::process::exit(3),
            other => println!("nothing to do for {other}"),
        }
        Action::Continue
    }
}

impl on_response_headers::Guest for StdGuest {
    fn handle(filter: FilterBorrow<'_>, _: bool) -> Action {
        let http = &filter.get::<Filter>().http;
        match http_fields::append(http, FieldMap::ResponseHeaders, "x-std-guest", b"was here") {
            Ok(()) => {}
            Err(error) => eprintln!("append: {error:?}"),
        }
        Action::Continue
    }
}

/// Prints one line on each stream, a line in two pieces, and two lines in one piece.
fn print() {
    println!("to standard output");
    eprintln!("to standard error");
    let mut out = std::io::stdout().lock();
    let written = out
        .write_all(b"in two ")
        .and_then(|()| out.flush())
        .and_then(|()| out.write_all(b"pieces\n"))
        .and_then(|()| out.write_all(b"first\nsecond\n"))
        .and_then(|()| out.flush());
    if let Err(error) = written {
        eprintln!("write: {error}");
    }
}

/// Hashes a number with the random seed of a `HashMap`. The result differs between instances, unless the host's random
/// numbers are fixed.
fn random() {
    println!("random {:016x}", RandomState::new().hash_one(1));
}

/// Creates a `HashMap`, which requests random bytes.
fn map() {
    let mut map = HashMap::new();
    for (number, word) in ["one", "two", "three"].into_iter().enumerate() {
        map.insert(word, number + 1);
    }
    println!("three is {:?} of {}", map.get("three"), map.len());
}

/// Reads both clocks: the time since the epoch, and the monotonic time.
fn time() {
    // The first second of 2024. Any clock that has been set is later.
    println!("the clock is set: {}", since_1970() > 1_704_067_200);
    let before = Instant::now();
    println!("time runs forward: {}", Instant::now() >= before);
}

fn since_1970() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn environment() {
    println!("GREETING is {:?}", std::env::var("GREETING").ok());
    println!("HOME is {:?}", std::env::var("HOME").ok());
    println!("arguments: {}", std::env::args().count());
}

bindings::export!(StdGuest with_types_in bindings);
