//! The proxy for tests: what a plugin does there is what it does in a proxy.

use std::{
    cell::{Cell, RefCell},
    net::IpAddr,
    time::{Duration, SystemTime},
};

use serde::Deserialize;
use tidegate_guest::{
    http_calls::{self, Request},
    metrics::{Counter, Gauge, Histogram},
    plugin_lifecycle,
    prelude::*,
    shared_queues::Queue,
    testing::{Answer, Message, Proxy, Refused},
    timers, vm_configuration,
};

// === A stream ===

/// Does what the request's path says.
struct Scripted;

#[plugin]
impl Plugin for Scripted {
    type Config = ();
    type Stream = String;

    fn configure(_: ()) -> Result<Self, ConfigError> {
        Ok(Scripted)
    }

    fn on_stream(&self, http: &HttpStream) -> String {
        http.path().ok().flatten().unwrap_or_default()
    }

    fn on_request_headers(
        &self,
        script: &mut String,
        http: &mut HttpStream,
        end: EndOfStream,
    ) -> Result<Action, Error> {
        log::debug!("{script} {}", end.is_end());
        match script.as_str() {
            "/respond" => {
                let response = LocalResponse::new(418).header("x-reason", "tea");
                return http.respond(response.body("short and stout"));
            }
            "/wait" => return Ok(Action::Pause),
            "/fail" => return Err(Error::TooLarge),
            "/reset" => http.reset()?,
            "/panic" => panic!("as the test wants"),
            "/late" => {
                let late = http.response_headers().set("x-late", "1");
                log::info!("{}", late.expect_err("no response yet").name());
            }
            _ => http.request_headers().set("x-script", &*script)?,
        }
        Ok(Action::Continue)
    }

    fn on_request_body(
        &self,
        script: &mut String,
        http: &mut HttpStream,
        size: u32,
        end: EndOfStream,
    ) -> Result<Action, Error> {
        log::debug!("{size} {}", end.is_end());
        if script != "/buffer" {
            return Ok(Action::Continue);
        }
        if !end.is_end() {
            return Ok(Action::Pause);
        }
        http.request_body().prepend("<")?;
        http.request_body().append(">")?;
        http.request_trailers().set("x-size", size.to_string())?;
        Ok(Action::Continue)
    }

    fn on_response_headers(
        &self,
        script: &mut String,
        http: &mut HttpStream,
        _: EndOfStream,
    ) -> Result<Action, Error> {
        let status = http.status()?.unwrap_or_default();
        http.response_headers()
            .append("x-seen", status.to_string())?;
        if script == "/properties" {
            let route = http.property_str(&["xds", "route_name"])?;
            let user = http.property_str(&["user"])?;
            let address = http.client_address()?;
            log::info!("{route:?} {user:?} {address:?}");
            http.set_property("answered", "yes")?;
        }
        if script == "/time" {
            log::info!("{:?}", attributes::request_time(http)?);
        }
        Ok(Action::Continue)
    }

    fn on_response_trailers(&self, _: &mut String, http: &mut HttpStream) -> Result<Action, Error> {
        http.response_trailers().set("x-trailer", "2")?;
        Ok(Action::Continue)
    }

    fn on_log(&self, script: &mut String, _: &mut HttpStream) {
        log::info!("{script} ended");
    }
}

#[test]
fn whole_exchange_passes_the_plugin() -> Result<(), Refused> {
    let proxy = Proxy::<Scripted>::new("")?;
    let request = Message::post("/")
        .chunk("one")
        .chunk("two")
        .trailer("x-trailer", "1");
    let stream = proxy.request(request);
    let passed = stream.request().expect("a request");
    assert_eq!(passed.value("X-Script"), Some("/"));
    assert_eq!(passed.chunks(), [b"one", b"two"]);
    assert_eq!(passed.trailer_value("x-trailer"), Some("1"));
    assert!(passed.is_complete());
    assert_eq!(stream.response(), None);

    let response = Message::response(201)
        .header("x-seen", "0")
        .body("three")
        .trailer("x-other", "1");
    stream.respond(response);
    let response = stream.response().expect("a response");
    assert_eq!(response.status(), Some(201));
    assert_eq!(response.values("x-seen"), ["0", "201"]);
    assert_eq!(response.text(), "three");
    assert_eq!(response.trailer_value("x-trailer"), Some("2"));
    assert!(response.is_complete() && !stream.is_reset());
    stream.finish();
    let lines = proxy.take_log();
    assert_eq!(
        lines,
        [
            "debug / false",
            "debug 3 false",
            "debug 3 false",
            "info / ended"
        ]
    );
    Ok(())
}

#[test]
fn paused_body_is_passed_on_at_once() -> Result<(), Refused> {
    let proxy = Proxy::<Scripted>::new("{}")?;
    let stream = proxy.open();
    stream.request_headers(Message::post("/buffer"), EndOfStream::No);
    stream.request_body("one", EndOfStream::No);
    let passed = stream.request().expect("headers");
    assert!(passed.chunks().is_empty() && !passed.is_complete());
    stream.request_body("two", EndOfStream::Yes);
    let passed = stream.request().expect("a request");
    assert_eq!(passed.text(), "<onetwo>");
    assert_eq!(passed.trailer_value("x-size"), Some("6"));
    Ok(())
}

#[test]
fn body_beyond_the_buffer_is_rejected() -> Result<(), Refused> {
    let proxy = Proxy::<Scripted>::builder().buffer(4).build("")?;
    let stream = proxy.request(
        Message::post("/buffer")
            .chunk("one")
            .chunk("two")
            .chunk("three"),
    );
    let response = stream.response().expect("a response");
    assert_eq!(response.status(), Some(413));
    assert_eq!(response.value("x-seen"), Some("413"));
    Ok(())
}

#[test]
fn local_responses_resets_and_errors_end_the_stream() -> Result<(), Refused> {
    let proxy = Proxy::<Scripted>::new("")?;
    let stream = proxy.request(Message::get("/respond"));
    let response = stream.response().expect("a response");
    assert_eq!(
        (response.status(), response.text()),
        (Some(418), "short and stout".to_owned())
    );
    assert_eq!(response.value("x-reason"), Some("tea"));
    assert_eq!(
        response.value("x-seen"),
        Some("418"),
        "it passes the callback"
    );
    assert_eq!(stream.request(), None);
    stream.respond(Message::response(200));
    assert_eq!(stream.response(), Some(response), "the upstream is ignored");

    assert!(proxy.request(Message::get("/reset")).is_reset());
    assert_eq!(proxy.request(Message::get("/wait")).request(), None);
    proxy.take_log();
    let failed = proxy.request(Message::get("/fail"));
    assert_eq!(failed.response().and_then(|it| it.status()), Some(503));
    let lines = proxy.take_log();
    assert_eq!(
        lines,
        [
            "debug /fail true",
            "error on_request_headers failed: too-large"
        ]
    );
    Ok(())
}

#[test]
fn fields_are_accessible_only_in_their_phase() -> Result<(), Refused> {
    let proxy = Proxy::<Scripted>::builder()
        .log_level(log::Level::Info)
        .build("")?;
    let stream = proxy.request(Message::get("/late"));
    assert!(stream.request().is_some_and(|it| it.is_complete()));
    assert_eq!(proxy.take_log(), ["info not-available"]);
    Ok(())
}

#[test]
fn properties_come_from_the_test_and_from_the_plugin() -> Result<(), Refused> {
    let proxy = Proxy::<Scripted>::builder()
        .property(&["xds", "route_name"], "shop")
        .client("203.0.113.7:1234".parse().expect("an address"))
        .log_level(log::Level::Info)
        .build("")?;
    let stream = proxy.request(Message::get("/properties"));
    stream.set_property("user", "ada").expect("a property");
    assert_eq!(stream.property("answered"), None);
    stream.respond(Message::response(200));
    let address: IpAddr = [203, 0, 113, 7].into();
    let line = format!(
        "info {:?} {:?} {:?}",
        Some("shop"),
        Some("ada"),
        Some(address)
    );
    assert_eq!(proxy.take_log(), [&*line]);
    assert_eq!(stream.property("answered").as_deref(), Some(&b"yes"[..]));
    Ok(())
}

#[test]
fn request_time_is_when_the_stream_began() -> Result<(), Refused> {
    let began = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_767_225_600_123_456_789);
    let builder = Proxy::<Scripted>::builder().time(began);
    let proxy = builder.log_level(log::Level::Info).build("")?;
    let first = proxy.request(Message::get("/time"));
    proxy.advance(Duration::from_nanos(1));
    let second = proxy.request(Message::get("/time"));
    proxy.advance(Duration::from_secs(5));
    first.respond(Message::response(200));
    second.respond(Message::response(200));
    let line = |time: SystemTime| format!("info {:?}", Some(time));
    let lines = [began, began + Duration::from_nanos(1)].map(line);
    assert_eq!(proxy.take_log(), lines.each_ref().map(String::as_str));
    Ok(())
}

#[test]
fn upstream_failure_passes_the_response_callbacks() -> Result<(), Refused> {
    let proxy = Proxy::<Scripted>::new("")?;
    let stream = proxy.request(Message::get("/"));
    stream.fail_upstream(503);
    let response = stream.response().expect("a response");
    assert_eq!(
        (response.status(), response.value("x-seen")),
        (Some(503), Some("503"))
    );
    Ok(())
}

#[test]
#[should_panic(expected = "as the test wants")]
fn panic_of_a_callback_fails_the_test() {
    let proxy = Proxy::<Scripted>::new("").expect("a plugin");
    let other = proxy.request(Message::get("/wait"));
    proxy.request(Message::get("/panic"));
    drop(other);
}

#[test]
#[should_panic(expected = "outside of a plugin's callbacks")]
fn hostcall_outside_of_a_callback_is_explained() {
    clock::now();
}

#[test]
fn plugin_without_a_configuration_refuses_one() {
    let refused = Proxy::<Scripted>::new(r#"{"a": 1}"#).expect_err("a refusal");
    assert_eq!(refused.to_string(), "this plugin takes no configuration");
}

// === Events ===

#[derive(Deserialize)]
struct Settings {
    period_ms: u64,
}

/// Asks a service at each tick, and listens to a queue.
struct Background {
    queue: Queue,
    ticks: Counter,
    waiting: Gauge,
    sizes: Histogram,
    last: Cell<u64>,
    calls: RefCell<Vec<CallId>>,
}

#[plugin]
impl Plugin for Background {
    type Config = Settings;
    type Stream = ();

    fn configure(Settings { period_ms }: Settings) -> Result<Self, ConfigError> {
        let defined = |error: Error| ConfigError::at("metrics", error.to_string());
        timers::every(Duration::from_millis(period_ms)).or_log("start the timer");
        let early = http_calls::send("slow", Request::get("slow", "/"), Duration::from_secs(1));
        assert_eq!(early, Err(Error::NotAvailable));
        Ok(Background {
            queue: Queue::register("work").map_err(defined)?,
            ticks: Counter::define("ticks").map_err(defined)?,
            waiting: Gauge::define("waiting").map_err(defined)?,
            sizes: Histogram::define("sizes").map_err(defined)?,
            last: Cell::new(0),
            calls: RefCell::default(),
        })
    }

    fn on_tick(&self) {
        self.ticks.increment();
        self.last.set(clock::now());
        let sent = http_calls::send("slow", Request::get("slow", "/"), Duration::from_secs(1));
        self.calls.borrow_mut().extend(sent.or_log("ask"));
        self.waiting.add(1);
    }

    fn on_plugin_http_call_response(&self, call: CallId, outcome: Outcome) {
        self.calls.borrow_mut().retain(|it| *it != call);
        self.waiting.add(-1);
        match outcome {
            Outcome::Response(response) => log::info!("status {:?}", response.status()),
            Outcome::Reset => log::info!("reset"),
        }
    }

    fn on_queue_ready(&self, queue: QueueId) {
        assert_eq!(queue, self.queue.id());
        while let Ok(Some(value)) = self.queue.dequeue() {
            self.sizes
                .observe(u64::try_from(value.len()).unwrap_or(u64::MAX));
            let count = shared_data::update("values", |count| {
                let count = count.map_or(0, |it| it.len());
                vec![b'x'; count + 1]
            });
            count.or_log("count");
        }
    }

    fn on_plugin_done(&self) -> Completion {
        log::info!("{}", String::from_utf8_lossy(&vm_configuration::get()));
        plugin_lifecycle::done().expect_err("the proxy does not wait yet");
        Completion::Done
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        log::info!("dropped");
    }
}

#[test]
fn time_stands_still_until_it_is_advanced() -> Result<(), Refused> {
    let proxy = Proxy::<Background>::builder()
        .service("slow", |_| Answer::Never)
        .build(r#"{"period_ms": 400}"#)?;
    let beginning = proxy.time();
    proxy.advance(Duration::from_millis(399));
    assert_eq!(proxy.counter("ticks"), Some(0));
    proxy.advance(Duration::from_millis(801));
    assert_eq!(proxy.time(), beginning + Duration::from_millis(1200));
    assert_eq!(
        (proxy.counter("ticks"), proxy.gauge("waiting")),
        (Some(3), Some(3))
    );
    assert!(proxy.take_log().is_empty());
    proxy.advance(Duration::from_millis(200));
    assert_eq!(
        proxy.take_log(),
        ["info status Some(504)"],
        "the first call"
    );
    let later = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    proxy.set_time(later);
    assert_eq!((proxy.time(), proxy.counter("ticks")), (later, Some(3)));
    Ok(())
}

#[test]
fn answers_come_in_order() -> Result<(), Refused> {
    let mut answers = vec![
        Answer::Reset,
        Answer::after(Duration::from_secs(2), Message::response(200)),
        Answer::after(Duration::from_millis(500), Message::response(204)),
    ];
    let proxy = Proxy::<Background>::builder()
        .service("slow", move |_| {
            answers.pop().unwrap_or(Answer::Unreachable)
        })
        .build(r#"{"period_ms": 100}"#)?;
    proxy.advance(Duration::from_millis(400));
    let sent = proxy.take_calls();
    assert_eq!(sent.len(), 4);
    assert_eq!(sent[0].value(":authority"), Some("slow"));
    assert_eq!(proxy.take_log(), ["info reset", "info status Some(503)"]);
    proxy.advance(Duration::from_millis(200));
    let lines = proxy.take_log();
    assert_eq!(
        lines
            .iter()
            .filter(|it| **it == "info status Some(204)")
            .count(),
        1
    );
    Ok(())
}

#[test]
fn queues_and_shared_data_are_those_of_all_workers() -> Result<(), Refused> {
    let proxy = Proxy::<Background>::new(r#"{"period_ms": 1000}"#)?;
    assert!(proxy.set_shared_data("values", "xx"));
    assert!(proxy.enqueue("work", "one") && proxy.enqueue("work", "three"));
    assert_eq!(proxy.histogram("sizes"), Some((2, 8)));
    assert_eq!(proxy.shared_data("values").as_deref(), Some(&b"xxxx"[..]));
    assert_eq!(proxy.dequeue("work"), None);
    assert!(proxy.enqueue("other", "two"));
    assert_eq!(proxy.dequeue("other").as_deref(), Some(&b"two"[..]));
    Ok(())
}

#[test]
fn plugin_ends_with_its_proxy() -> Result<(), Refused> {
    let proxy = Proxy::<Background>::builder()
        .vm_configuration("of the instance")
        .build(r#"{"period_ms": 1000}"#)?;
    assert_eq!(proxy.stop(), ["info of the instance", "info dropped"]);
    Ok(())
}
