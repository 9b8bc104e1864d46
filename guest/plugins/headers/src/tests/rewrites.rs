//! Path, query and host.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::message::{good, request};
use crate::query::{Change, change, first_value};
use crate::stream::State;

/// The path and the host after a rule, if it is told that one of them changed.
#[track_caller]
fn rewritten(rule: Value, path: &str) -> Option<String> {
    let message = request(&[
        (":authority", "a.test"),
        (":path", path),
        ("x-a", "/from header?b c"),
    ]);
    let changed = good(json!({ "rules": [rule] })).request(&mut State::default(), &message);
    let lines = message.lines();
    changed.then(|| {
        format!(
            "{} {}",
            &lines[0][":authority: ".len()..],
            &lines[1][":path: ".len()..]
        )
    })
}

#[test]
fn paths_are_rewritten() {
    let prefix = |prefix: &str, substitution: &str| json!({ "path": { "prefix_rewrite": { "prefix": prefix, "substitution": substitution } } });
    for (rule, path, expected) in [
        (
            prefix("/api/", "/"),
            "/api/a?b=/api/",
            Some("a.test /a?b=/api/"),
        ),
        (prefix("/api", ""), "/api", Some("a.test /")),
        (prefix("/api", "/v2"), "/other", None),
        (prefix("/api", "/api"), "/api/a", None),
        (
            json!({ "path": { "set": "/new" } }),
            "/old?q",
            Some("a.test /new?q"),
        ),
        (
            json!({ "path": { "set": "%REQ(x-a)%" } }),
            "/old",
            Some("a.test /fromheader"),
        ),
        (json!({ "path": { "set": "%REQ(x-none)%" } }), "/old", None),
        (json!({ "host": "b.test" }), "/", Some("b.test /")),
        (json!({ "host": "%REQ(x-none)%" }), "/", None),
    ] {
        assert_eq!(
            rewritten(rule.clone(), path).as_deref(),
            expected,
            "{rule} {path}"
        );
    }
    #[cfg(feature = "regex")]
    {
        let regex = json!({ "path": { "regex_rewrite": { "pattern": { "regex": "^/users/([0-9]+)" }, "substitution": "/u/\\1" } } });
        assert_eq!(
            rewritten(regex.clone(), "/users/12/a?b").as_deref(),
            Some("a.test /u/12/a?b")
        );
        assert_eq!(rewritten(regex, "/users/a"), None);
    }
}

#[test]
fn parameters_are_edited() {
    let parameter = json!({ "name": "a b", "value": "x&%REQ(x-none)%" });
    for (edit, path, expected) in [
        (
            json!({ "set": parameter }),
            "/p?c=1&a%20b=2&d&a+b",
            Some("a.test /p?c=1&a%20b=x%26&d"),
        ),
        (
            json!({ "set": parameter }),
            "/p",
            Some("a.test /p?a%20b=x%26"),
        ),
        (
            json!({ "append": parameter }),
            "/p?a+b=1&",
            Some("a.test /p?a+b=1&a%20b=x%26"),
        ),
        (json!({ "add_if_absent": parameter }), "/p?a%20b", None),
        (
            json!({ "add_if_absent": parameter }),
            "/p?c",
            Some("a.test /p?c&a%20b=x%26"),
        ),
        (json!({ "overwrite_if_exists": parameter }), "/p?c", None),
        (
            json!({ "overwrite_if_exists": parameter }),
            "/p?a+b=1&c",
            Some("a.test /p?a%20b=x%26&c"),
        ),
        (json!({ "remove": "a b" }), "/p?a+b", Some("a.test /p")),
        (
            json!({ "remove": "a b" }),
            "/p?c=%zz&a%20b&d",
            Some("a.test /p?c=%zz&d"),
        ),
    ] {
        assert_eq!(
            rewritten(json!({ "query_parameters": [edit] }), path).as_deref(),
            expected,
            "{edit} {path}"
        );
    }
}

proptest! {
    #[test]
    fn parameter_that_is_set_is_read(path in "/[a-z]{0,3}(\\?[a-z=&%0-9+]{0,20})?", name in "\\PC{1,4}", value in "\\PC{0,6}") {
        let changed = change(path.as_bytes(), Change::Set, name.as_bytes(), value.as_bytes());
        prop_assert_eq!(first_value(&changed, name.as_bytes()), Some(value.as_bytes().to_vec()));
        let removed = change(&changed, Change::Remove, name.as_bytes(), b"");
        prop_assert_eq!(first_value(&removed, name.as_bytes()), None);
    }

    #[test]
    fn any_path_can_be_edited(path in proptest::collection::vec(any::<u8>(), 0..30)) {
        for kind in [Change::Set, Change::Append, Change::AddIfAbsent, Change::OverwriteIfExists, Change::Remove] {
            change(&path, kind, b"a", b"b");
        }
    }
}
