//! Tests the fields of requests. `tests/tests/profiles` compares them with those in Envoy.

use tidegate_semantics::fields::Name;

use super::*;
use crate::proxy::profile::Profile;

const PEER: &str = "192.0.2.7:4711";
const ID: &str = "01234567-89ab-4def-8123-456789abcdef";

fn fields(list: &[(&str, &'static str)]) -> Fields {
    let named = list.iter().map(|(name, value)| {
        let name = Name::parse(name.as_bytes()).expect("a name");
        (name, HeaderValue::from_static(value))
    });
    named.collect()
}

/// Returns a request with these fields.
fn request(path: &'static str, list: &[(&str, &'static str)]) -> Fields {
    let pseudo = [
        (":authority", "a.test"),
        (":path", path),
        (":method", "GET"),
        (":scheme", "http"),
    ];
    fields(&[&pseudo, list].concat())
}

fn receive(profile: Profile, fields: &mut Fields) -> Result<SocketAddr, Rejection> {
    let downstream = Downstream {
        peer: PEER.parse().expect("an address"),
        has_absolute_target: false,
    };
    let random = || Some(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    profile.settings().on_request(fields, &downstream, random)
}

#[track_caller]
fn assert_received(
    profile: Profile,
    list: &[(&str, &'static str)],
    expected: &[(&str, &'static str)],
    source: &str,
) {
    let mut received = request("/", list);
    let address = receive(profile, &mut received).expect("a request that is accepted");
    assert_eq!(received, request("/", expected));
    assert_eq!(address.to_string(), source);
}

#[test]
fn envoy_changes_nothing() {
    let list = [
        ("x-forwarded-for", "192.0.2.9"),
        ("x-envoy-retry-on", "5xx"),
        ("a_b", "1"),
    ];
    for path in ["/x/../a%2f//b?c", "*", "/%00"] {
        let mut received = request(path, &list);
        let source = receive(Profile::Envoy, &mut received);
        assert_eq!(
            source.expect("a request that is accepted").to_string(),
            PEER
        );
        assert_eq!(received, request(path, &list));
    }
}

#[test]
fn sidecar_trusts_its_peer() {
    let (proto, id) = (("x-forwarded-proto", "http"), ("x-request-id", ID));
    assert_received(Profile::Istio, &[], &[proto, id], PEER);
    assert_received(
        Profile::Istio,
        &[
            ("x-forwarded-for", "192.0.2.8, 192.0.2.9"),
            ("x-request-id", "a"),
            ("x-envoy-downstream-service-node", "b"),
            ("x-envoy-max-retries", "3"),
            ("x-envoy-upstream-stream-duration-ms", "5"),
            ("x-envoy-attempt-count", "1"),
        ],
        &[
            ("x-forwarded-for", "192.0.2.8, 192.0.2.9"),
            ("x-request-id", "a"),
            ("x-envoy-downstream-service-node", "b"),
            ("x-envoy-attempt-count", "1"),
            proto,
        ],
        "192.0.2.9:0",
    );
    // No address, and an address with a port.
    for forwarded in ["unknown", "192.0.2.9:80", ""] {
        let list = [("x-forwarded-for", forwarded)];
        assert_received(Profile::Istio, &list, &[list[0], proto, id], PEER);
    }
}

#[test]
fn gateway_does_not_trust_its_peer() {
    assert_received(
        Profile::EnvoyGateway,
        &[
            ("x-forwarded-proto", "https"),
            ("x-request-id", "a"),
            ("x-envoy-downstream-service-node", "b"),
            ("x-envoy-external-address", "192.0.2.1"),
            ("x-forwarded-for", "192.0.2.9"),
            ("x-forwarded-client-cert", "By=a"),
            ("x-envoy-internal", "true"),
        ],
        &[
            ("x-forwarded-proto", "http"),
            ("x-request-id", ID),
            ("x-envoy-external-address", "192.0.2.7"),
            ("x-forwarded-for", "192.0.2.9,192.0.2.7"),
        ],
        PEER,
    );
}

#[test]
fn scheme_is_that_of_the_first_proxy() {
    let scheme = |proto, has_absolute_target| {
        let mut received = request("/", &[("x-forwarded-proto", proto)]);
        let downstream = Downstream {
            peer: PEER.parse().expect("an address"),
            has_absolute_target,
        };
        let settings = Profile::Istio.settings();
        let accepted = settings.on_request(&mut received, &downstream, || None);
        accepted.expect("a request that is accepted");
        let scheme = received.pseudo(Pseudo::Scheme).cloned();
        scheme.expect("a scheme")
    };
    assert_eq!(scheme("https", false), "https");
    assert_eq!(scheme("HTTPS", false), "https");
    assert_eq!(scheme("ftp", false), "http");
    assert_eq!(scheme("https", true), "http");
}

#[test]
fn path_is_normalized_before_plugins_see_it() {
    let mut received = request("/x/../%61dmin?a=/../b", &[]);
    receive(Profile::Istio, &mut received).expect("a request that is accepted");
    let path = received.pseudo(Pseudo::Path).expect("a path");
    assert_eq!(path, "/admin?a=/../b");
}

#[test]
fn rejected_requests_get_the_responses_of_envoy() {
    let rejected = |path, list: &[(&str, &'static str)]| {
        let mut received = request(path, list);
        let rejection = receive(Profile::EnvoyGateway, &mut received);
        let rejection = rejection.expect_err("a request that is rejected");
        let (response, _) = rejection.response(&received);
        let value = |name: &str| {
            let value = response.get(name);
            value.map(|value| value.to_str().expect("ASCII").to_owned())
        };
        let status = response.status().expect("a status").as_u16();
        (status, value("location"), value("grpc-status"))
    };
    let location = Some("/a/b?%2F".to_owned());
    assert_eq!(rejected("/a%2Fb?%2F", &[]), (307, location, None));
    assert_eq!(rejected("/a#b", &[]), (400, None, None));
    assert_eq!(rejected("/%00", &[]), (400, None, None));
    assert_eq!(rejected("/", &[("a_b", "1")]), (400, None, None));
    assert_eq!(rejected("/", &[(":scheme", "https")]), (403, None, None));
    let grpc = [("content-type", "application/grpc")];
    assert_eq!(rejected("/a%2Fb", &grpc), (200, None, Some("13".into())));
}

#[test]
fn id_is_a_random_uuid() {
    assert_eq!(
        request_id(0).expect("an ID"),
        "00000000-0000-4000-8000-000000000000"
    );
    assert_eq!(
        request_id(u128::MAX).expect("an ID"),
        "ffffffff-ffff-4fff-bfff-ffffffffffff"
    );
    assert_ne!(random_id(), random_id());
}
