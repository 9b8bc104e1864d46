//! Authentication: with a password, with a token, with Docker's configuration. Credentials are sent to no other server.

use tidegate_oci::{Credentials, Error, Image, Labels, Layout, examine, push};

use crate::registries::{Distribution, PASSWORD, Reply, Request, Scripted, USER, module};
use crate::shelf::Shelf;
use crate::{open_as, reference};

fn image() -> Image {
    Image::plugin(&module(""), Layout::Compat, &Labels::default())
}

fn password(username: &str, password: &str) -> Credentials {
    Credentials::Password {
        username: username.to_owned(),
        password: password.to_owned(),
    }
}

#[test]
#[ignore = "needs docker-registry"]
fn password_authenticates_to_registry_needs_docker_registry() {
    let registry = Distribution::locked();
    let reference = reference(&registry.address, "pp:v1");
    let right = password(USER, PASSWORD);
    push(&mut open_as(&reference, right.clone()), &image(), "v1").expect("a push");
    let examined = examine(&mut open_as(&reference, right), &reference, None).expect("an image");
    assert_eq!(examined.wasm, Some(module("")));
    // Newer agents interpret the realm as the location of a token service.
    assert_eq!(examined.unsafe_realm.as_deref(), Some("a realm, \\"));

    for wrong in [password(USER, "no"), password("nobody", PASSWORD)] {
        let user = format!("{wrong:?}")
            .replace("Password(\"", "")
            .replace("\")", "");
        for error in [
            push(&mut open_as(&reference, wrong.clone()), &image(), "v1").expect_err("wrong"),
            examine(&mut open_as(&reference, wrong.clone()), &reference, None).expect_err("wrong"),
        ] {
            assert!(matches!(error, Error::CredentialsRefused { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(&format!("of `{user}`")), "{text}");
            assert!(!text.contains(PASSWORD), "{text}");
        }
    }
    // A registry that requires a password does not accept an identity token.
    for none in [
        Credentials::Anonymous,
        Credentials::IdentityToken("x".to_owned()),
    ] {
        let error = examine(&mut open_as(&reference, none), &reference, None).expect_err("none");
        assert!(
            matches!(
                error,
                Error::CredentialsMissing { .. } | Error::CredentialsRefused { .. }
            ),
            "{error}"
        );
    }
}

/// A registry that requires a token from another server, and that server. The token is valid for the requested scope.
fn with_tokens(grant: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (Scripted, Scripted) {
    let tokens = Scripted::start(grant);
    let realm = format!("http://{}/token", tokens.address);
    let registry = Shelf::of(&image(), "v1").serve_but(move |request, _| {
        let has_token = request
            .head
            .to_lowercase()
            .contains("authorization: bearer granted");
        (!has_token).then(|| {
            let challenge = format!(
                r#"www-authenticate: Bearer realm="{realm}",service="a service",scope="x""#
            );
            Reply::Whole(401, vec![challenge], Vec::new())
        })
    });
    (registry, tokens)
}

fn granted(_: &Request) -> Reply {
    Reply::ok(&[], r#"{"token":"granted","expires_in":300}"#)
}

#[test]
fn token_is_fetched_once() {
    for credentials in [Credentials::Anonymous, password("mate", "tide")] {
        let (registry, tokens) = with_tokens(granted);
        let reference = reference(&registry.address, "pp:v1");
        let mut open = open_as(&reference, credentials.clone());
        let examined = examine(&mut open, &reference, None).expect("an image");
        assert_eq!(examined.refusals, []);
        assert_eq!(registry.asked().len(), 3);
        assert_eq!(
            tokens.asked(),
            ["GET /token?scope=repository%3App%3Apull&service=a%20service"]
        );
        let head = tokens.requests()[0].head.to_lowercase();
        let is_named = head.contains("authorization: basic bwf0ztp0awrl");
        assert_eq!(is_named, credentials != Credentials::Anonymous, "{head}");
    }
}

#[test]
fn identity_token_is_exchanged_for_an_access_token() {
    let (registry, tokens) = with_tokens(|_| Reply::ok(&[], r#"{"access_token":"granted"}"#));
    let reference = reference(&registry.address, "pp:v1");
    let credentials = Credentials::IdentityToken("long & lived".to_owned());
    examine(&mut open_as(&reference, credentials), &reference, None).expect("an image");
    assert_eq!(tokens.asked(), ["POST /token"]);
    let form = String::from_utf8(tokens.requests()[0].body.clone()).expect("a form");
    assert_eq!(
        form,
        "grant_type=refresh_token&client_id=tidegate&refresh_token=long%20%26%20lived&scope=repository%3App%3Apull&service=a%20service"
    );
}

#[test]
fn push_requests_a_token_with_push_scope() {
    let (registry, tokens) = with_tokens(granted);
    let reference = reference(&registry.address, "pp:v1");
    let mut open = open_as(&reference, Credentials::Anonymous);
    // The registry has every blob, so that nothing is uploaded.
    let error = push(&mut open, &image(), "v2").expect_err("it is read-only");
    assert!(
        matches!(error, Error::Status { status: 404, .. }),
        "{error}"
    );
    let scope = "scope=repository%3App%3Apull%2Cpush";
    assert!(tokens.asked()[0].contains(scope), "{:?}", tokens.asked());
}

#[test]
fn unusable_token_is_an_error() {
    for (answer, part) in [
        ("", "the response is not valid"),
        ("{}", "the response contains no token"),
        (r#"{"token":"two\nlines"}"#, "cannot be sent in a header"),
        ("[]", "the response is not valid"),
    ] {
        let (registry, _tokens) = with_tokens(move |_| Reply::ok(&[], answer));
        let reference = reference(&registry.address, "pp:v1");
        let error = examine(
            &mut open_as(&reference, Credentials::Anonymous),
            &reference,
            None,
        )
        .expect_err(answer);
        assert!(matches!(error, Error::Token { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    let (registry, _tokens) = with_tokens(|_| Reply::status(401));
    let reference = reference(&registry.address, "pp:v1");
    let error = examine(
        &mut open_as(&reference, password("mate", "x")),
        &reference,
        None,
    )
    .expect_err("refused");
    assert!(
        error
            .to_string()
            .contains("rejects the credentials of `mate`"),
        "{error}"
    );
    // A token that is not accepted is not requested repeatedly.
    let (registry, tokens) = with_tokens(|_| Reply::ok(&[], r#"{"token":"another"}"#));
    let reference = self::reference(&registry.address, "pp:v1");
    examine(
        &mut open_as(&reference, Credentials::Anonymous),
        &reference,
        None,
    )
    .expect_err("refused");
    assert_eq!(tokens.asked().len(), 1);
}

#[test]
fn unusable_challenge_is_an_error() {
    for (challenge, part) in [
        (
            r#"Bearer realm="file:///etc/passwd""#,
            "not an http or https URL",
        ),
        (
            r#"Bearer realm="ftp://a.b/token""#,
            "not an http or https URL",
        ),
        (
            r#"Bearer realm="http://example.com/token""#,
            "neither on this machine nor protected by TLS",
        ),
        (r#"Bearer realm="a realm""#, "not an http or https URL"),
        ("Negotiate", "by `Negotiate`"),
        ("", "by ``"),
    ] {
        let registry = Scripted::start(move |_| {
            Reply::Whole(
                401,
                vec![format!("www-authenticate: {challenge}")],
                Vec::new(),
            )
        });
        let reference = reference(&registry.address, "pp:v1");
        let error = examine(
            &mut open_as(&reference, password("mate", "tide")),
            &reference,
            None,
        )
        .expect_err(challenge);
        assert!(error.to_string().contains(part), "{challenge}: {error}");
        assert_eq!(registry.asked().len(), 1);
    }
}

#[test]
fn credentials_are_not_sent_to_another_origin() {
    let elsewhere = Shelf::of(&image(), "v1")
        .serve_but(|request, _| (request.method == "PUT").then(|| Reply::status(201)));
    let place = elsewhere.address.clone();
    let registry = Scripted::start(move |request| {
        if !request.head.to_lowercase().contains("authorization: basic") {
            let challenge = "www-authenticate: Basic realm=x".to_owned();
            return Reply::Whole(401, vec![challenge], Vec::new());
        }
        let location = format!("location: http://{place}{}", request.path);
        match request.method.as_str() {
            "HEAD" => Reply::status(404),
            "POST" => Reply::Whole(202, vec![location], Vec::new()),
            "PUT" => Reply::status(201),
            _ => Reply::Whole(307, vec![location], Vec::new()),
        }
    });
    let reference = reference(&registry.address, "pp:v1");
    let mut open = open_as(&reference, password("mate", "tide"));
    push(&mut open, &image(), "v1").expect("a push");
    examine(&mut open, &reference, None).expect("an image");
    assert_eq!(elsewhere.asked().len(), 2 + 2);
    for request in elsewhere.requests() {
        assert!(
            !request.head.to_lowercase().contains("authorization"),
            "{}",
            request.head
        );
    }
}
