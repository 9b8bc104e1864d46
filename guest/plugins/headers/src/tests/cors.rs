//! CORS: the decisions of Envoy's filter.

use serde_json::{Value, json};

use super::message::{good, request, response};
use crate::cors::Decision;
use crate::stream::State;

/// The decision about a request, and the fields of a response of the upstream.
fn decided(more: Value, fields: &[(&str, &str)]) -> (String, Vec<String>) {
    let mut cors = json!({ "allow_origin_string_match": [{ "exact": "https://a.test" }, { "suffix": ".b.test" }], "allow_methods": "GET,PUT",
        "allow_headers": "x-a", "expose_headers": "x-b", "max_age": "60" });
    let object = cors.as_object_mut().expect("an object");
    object.extend(more.as_object().expect("an object").clone());
    let plan = good(json!({ "cors": cors }));
    let mut state = State::default();
    let decision = match plan.cors(&mut state, &request(fields)) {
        Decision::None => "none".to_owned(),
        Decision::Pass(origin) => format!(
            "pass {}",
            if origin.is_some() { "valid" } else { "invalid" }
        ),
        Decision::Answer(headers, _) => {
            let headers = headers.iter().map(|(name, value)| {
                format!(
                    "{} {}",
                    &name["access-control-".len()..],
                    String::from_utf8_lossy(value)
                )
            });
            format!("answer {}", headers.collect::<Vec<_>>().join(", "))
        }
    };
    let message = response(fields, &[]);
    plan.response(&mut state, &message);
    (decision, message.lines())
}

#[test]
fn decisions_are_those_of_envoy() {
    const PREFLIGHT: [(&str, &str); 2] = [
        (":method", "OPTIONS"),
        ("access-control-request-method", "PUT"),
    ];
    let with = |origin: &'static str, more: &[(&'static str, &'static str)]| {
        let mut fields = vec![("origin", origin)];
        fields.extend(more);
        fields
    };
    let private: Vec<_> = PREFLIGHT
        .into_iter()
        .chain([
            ("access-control-request-private-network", "true"),
            ("access-control-request-headers", "x-q, x-r"),
        ])
        .collect();
    let none = json!({});
    for (more, fields, expected) in [
        (&none, vec![(":method", "GET")], "none"),
        (&none, with("", &PREFLIGHT), "none"),
        (
            &none,
            with("https://a.test", &[(":method", "GET")]),
            "pass valid",
        ),
        (
            &none,
            with("https://x.b.test", &[(":method", "OPTIONS")]),
            "pass valid",
        ),
        (
            &none,
            with("https://c.test", &[(":method", "GET")]),
            "pass invalid",
        ),
        (&none, with("https://c.test", &PREFLIGHT), "pass invalid"),
        (
            &json!({ "forward_not_matching_preflights": false }),
            with("https://c.test", &PREFLIGHT),
            "answer allow-methods GET,PUT, allow-headers x-a, max-age 60",
        ),
        (
            &none,
            with("https://a.test", &PREFLIGHT),
            "answer allow-origin https://a.test, allow-methods GET,PUT, allow-headers x-a, max-age 60",
        ),
        (
            &json!({ "shadow_enabled": true }),
            with("https://a.test", &PREFLIGHT),
            "pass valid",
        ),
        (
            &json!({ "allow_credentials": true, "allow_private_network_access": true, "allow_methods": "*", "allow_headers": "*", "max_age": "" }),
            with("https://a.test", &private),
            "answer allow-origin https://a.test, allow-credentials true, allow-methods PUT, allow-headers x-q, x-r, allow-private-network true",
        ),
        (
            &json!({ "allow_origin_string_match": [{ "exact": "*" }], "allow_methods": "", "allow_headers": "", "max_age": "" }),
            with("https://c.test", &PREFLIGHT),
            "answer allow-origin https://c.test",
        ),
    ] {
        assert_eq!(
            decided(more.clone(), &fields).0,
            expected,
            "{more} {fields:?}"
        );
    }
}

#[test]
fn responses_are_for_allowed_origins() {
    let credentials = json!({ "allow_credentials": true });
    for (more, origin, expected) in [
        (
            json!({}),
            "https://a.test",
            vec![
                "access-control-allow-origin: https://a.test",
                "access-control-expose-headers: x-b",
            ],
        ),
        (
            credentials,
            "https://a.test",
            vec![
                "access-control-allow-origin: https://a.test",
                "access-control-allow-credentials: true",
                "access-control-expose-headers: x-b",
            ],
        ),
        (json!({}), "https://c.test", vec![]),
        (json!({ "shadow_enabled": true }), "https://a.test", vec![]),
    ] {
        assert_eq!(decided(more, &[("origin", origin)]).1, expected, "{origin}");
    }
}
