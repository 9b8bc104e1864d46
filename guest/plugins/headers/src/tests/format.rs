//! Values with operators.

use proptest::prelude::*;
use serde_json::json;

use super::message::{Listed, good, request, response};
use crate::format::Format;
use crate::operators::{ATTRIBUTES, WITH_ARGUMENTS};
use crate::time::TimeFormat;

#[track_caller]
fn rendered(text: &str, source: &Listed) -> String {
    let format = Format::parse(text).expect("a good value");
    String::from_utf8(format.render(source)).expect("text")
}

fn stream() -> Listed {
    request(&[
        (":path", "/a/b?x=1&y=a%20b+c"),
        (":method", "GET"),
        ("x-a", "one"),
        ("x-a", "two"),
        ("x-b", "b"),
    ])
    .with("source.address", "192.0.2.7:4711")
    .with("destination.address", "[2001:db8::1]:80")
    .with("request.protocol", "HTTP/1.1")
    .with("request.time", 1_792_232_430_123_456_789_u64.to_le_bytes())
    .with("response.code", 503_i64.to_le_bytes())
    .with("response.code_details", "via upstream")
    .with("connection.id", 12_i64.to_le_bytes())
    .with("metadata.filter_metadata.ns.user", "alice")
    .with(
        "metadata.filter_metadata.ns.limits.count",
        5.0_f64.to_le_bytes(),
    )
    .with(
        "metadata.filter_metadata.ns.ratio",
        (-0.25_f64).to_le_bytes(),
    )
    .with("metadata.filter_metadata.ns.on", [1])
    .with("metadata.filter_metadata.ns.eight", "12345678")
    .with("xds.route_metadata.filter_metadata.ns.tier", "gold")
    .with("filter_state.wasm.key", "state")
}

#[test]
fn operators_yield_what_envoy_yields() {
    let stream = stream();
    for (text, expected) in [
        ("plain", "plain"),
        ("100%%", "100%"),
        ("%DOWNSTREAM_REMOTE_ADDRESS%", "192.0.2.7:4711"),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "192.0.2.7"),
        ("%DOWNSTREAM_REMOTE_PORT%", "4711"),
        ("%DOWNSTREAM_LOCAL_ADDRESS%", "[2001:db8::1]:80"),
        ("%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "2001:db8::1"),
        ("%REQ(X-A)%", "one"),
        ("%REQUEST_HEADER(x-a)%", "one"),
        ("%REQ(:METHOD)% %REQ(:path)%", "GET /a/b?x=1&y=a%20b+c"),
        ("%REQ(x-none?x-b)%", "b"),
        ("%REQ(x-a?x-b):2%", "on"),
        ("[%REQ(x-none)%]", "[]"),
        ("%PATH%", "/a/b?x=1&y=a%20b+c"),
        ("%PATH(NQ)%", "/a/b"),
        ("%PATH(NQ:ORIG)%", ""),
        ("%PATH(WQ:PATH):4%", "/a/b"),
        ("%QUERY_PARAM(y)%", "a b c"),
        ("%QUERY_PARAM(z)%", ""),
        ("%PROTOCOL%", "HTTP/1.1"),
        ("%RESPONSE_CODE%", "503"),
        ("%RESPONSE_CODE_DETAILS%", "via_upstream"),
        ("%CONNECTION_ID%", "12"),
        ("%UPSTREAM_HOST%", ""),
        ("%DYNAMIC_METADATA(ns:user)%", "alice"),
        ("%DYNAMIC_METADATA(ns:user):2%", "al"),
        ("%DYNAMIC_METADATA(ns:limits:count)%", "5"),
        ("%DYNAMIC_METADATA(ns:ratio)%", "-0.25"),
        ("%DYNAMIC_METADATA(ns:on)%", "true"),
        ("%METADATA(DYNAMIC:ns:eight)%", "12345678"),
        ("%METADATA(ROUTE:ns:tier)%", "gold"),
        ("%FILTER_STATE(wasm.key:PLAIN)%", "state"),
        ("%START_TIME%", "2026-10-17T10:20:30.123Z"),
        ("%START_TIME(%s.%3f)%", "1792232430.123"),
        (
            "%START_TIME(%a, %d %b %Y %T GMT)%",
            "Sat, 17 Oct 2026 10:20:30 GMT",
        ),
    ] {
        assert_eq!(rendered(text, &stream), expected, "{text}");
    }
    let answer = response(
        &[("x-a", "asked")],
        &[(":status", "200"), ("x-a", "answered")],
    );
    assert_eq!(
        rendered("%REQ(x-a)% %RESP(x-a)% %RESP(:status)%", &answer),
        "asked answered 200"
    );
}

#[test]
fn wrong_values_are_refused() {
    for text in [
        "%",
        "a%",
        "50% off",
        "%REQ%",
        "%REQ()%",
        "%REQ(a b)%",
        "%REQ(a",
        "%REQ(a)",
        "%REQ(a):%",
        "%REQ(a):x%",
        "%REQ(a):99999999999%",
        "%REQ(a?b?c)%",
        "%NOPE%",
        "%req(a)%",
        "%PROTOCOL(a)%",
        "%PROTOCOL:3%",
        "%PATH(X)%",
        "%PATH(NQ:X)%",
        "%START_TIME(%Q)%",
        "%START_TIME(%)%",
        "%START_TIME:3%",
        "%QUERY_PARAM%",
        "%FILTER_STATE(a)%",
        "%FILTER_STATE(a:TYPED)%",
        "%DYNAMIC_METADATA(a)%",
        "%METADATA(LISTENER:a:b)%",
        "a\nb",
        "a\n%PROTOCOL%",
    ] {
        assert!(Format::parse(text).is_err(), "{text}");
    }
    let error = Format::parse("%HOSTNAME%").expect_err("unknown");
    let with_arguments = WITH_ARGUMENTS.iter().map(|(name, _)| *name);
    for name in with_arguments.chain(ATTRIBUTES.iter().map(|attribute| attribute.name)) {
        assert!(error.contains(&format!("`{name}`")), "{name}: {error}");
    }
    assert!(
        error.starts_with("the operator `HOSTNAME` is not supported, expected `REQ`"),
        "{error}"
    );
}

#[test]
fn values_cannot_end_a_field() {
    let stream = request(&[(":path", "/?x=a%0d%0aset-cookie:%20b")]);
    assert_eq!(rendered("%QUERY_PARAM(x)%", &stream), "a  set-cookie: b");
}

#[test]
fn times_are_gregorian() {
    let format = TimeFormat::parse("%F %T %j %a %e").expect("a format");
    for (seconds, expected) in [
        (0, "1970-01-01 00:00:00 001 Thu  1"),
        (951_782_400, "2000-02-29 00:00:00 060 Tue 29"),
        (4_107_542_399, "2100-02-28 23:59:59 059 Sun 28"),
        (4_107_542_400, "2100-03-01 00:00:00 060 Mon  1"),
        (1_735_603_200, "2024-12-31 00:00:00 366 Tue 31"),
    ] {
        let mut text = Vec::new();
        format.render(seconds * 1_000_000_000, &mut text);
        assert_eq!(String::from_utf8(text).expect("text"), expected);
    }
}

#[test]
fn edit_without_a_value_is_not_done() {
    let plan = good(json!({ "rules": [{ "request": [
        { "set": { "name": "x-a", "value": "%REQ(x-none)%" } },
        { "set": { "name": "x-b", "value": "%REQ(x-none)%", "keep_empty_value": true } },
    ] }] }));
    let message = request(&[("x-a", "1"), ("x-b", "1")]);
    plan.request(&mut Default::default(), &message);
    assert_eq!(message.lines(), ["x-a: 1", "x-b: "]);
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused(text in "([%()?:A-Z_a-z0-9 ]|REQ|%REQ\\(|PATH|START_TIME\\(%|\\PC){0,40}") {
        if let Ok(format) = Format::parse(&text) {
            let value = format.render(&stream());
            prop_assert!(value.iter().all(|byte| *byte >= b' ' && *byte != 0x7f || *byte == b'\t'));
        }
    }

    #[test]
    fn text_without_percent_signs_is_itself(text in "[^%\\x00-\\x1f\\x7f]{0,30}") {
        prop_assert_eq!(rendered(&text, &stream()), text.clone());
        prop_assert_eq!(rendered(&text.replace('a', "%%"), &stream()), text.replace('a', "%"));
    }

    #[test]
    fn any_metadata_and_time_render(bytes in proptest::collection::vec(any::<u8>(), 0..12), time: u64) {
        let stream = request(&[]).with("metadata.filter_metadata.a.b", &bytes).with("source.address", &bytes)
            .with("response.code", &bytes).with("request.time", time.to_le_bytes());
        for text in ["%DYNAMIC_METADATA(a:b):5%", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "%DOWNSTREAM_REMOTE_PORT%",
            "%RESPONSE_CODE%", "%START_TIME%", "%START_TIME(%Y %m %d %H %M %S %s %f %1f %j %y %e %b %a %F %T %z %Z %%)%"] {
            if let Ok(format) = Format::parse(text) {
                format.render(&stream);
            }
        }
    }
}
