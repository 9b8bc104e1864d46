//! Compares paths with the outcomes in Envoy that `paths.tsv` contains. `tests/tests/profiles` records them.

use proptest::prelude::*;

use super::*;
use crate::proxy::profile::Profile;

const RECORDED: &str = include_str!("../paths.tsv");

/// Returns what happens to a target, as in the table.
fn outcome(profile: Profile, target: &str) -> String {
    let (action, changed) = normalize(&profile.settings(), target.as_bytes());
    let path = changed.unwrap_or_else(|| target.as_bytes().to_vec());
    let path = String::from_utf8(path).expect("ASCII");
    match action {
        Action::Continue => path,
        Action::Redirect => format!("307 {path}"),
        Action::Reject => "400".to_owned(),
    }
}

#[test]
fn outcomes_are_those_of_envoy() {
    let mut rows = 0;
    for line in RECORDED.lines().filter(|line| line.starts_with('/')) {
        let mut cells = line.split('\t');
        let target = cells.next().expect("a target");
        for profile in Profile::ALL {
            let recorded = cells.next().expect("an outcome for each profile");
            assert_eq!(outcome(profile, target), recorded, "{target} in {profile}");
        }
        rows += 1;
    }
    assert!(rows >= 60, "{rows} rows");
}

#[test]
fn escaped_slashes_can_be_rejected_or_unescaped() {
    let with = |action| EdgeSettings {
        path_with_escaped_slashes_action: action,
        ..Profile::Istio.settings()
    };
    let rejecting = with(EscapedSlashes::RejectRequest);
    assert_eq!(normalize(&rejecting, b"/a%2Fb").0, Action::Reject);
    assert_eq!(normalize(&rejecting, b"/a?%2F"), (Action::Continue, None));
    let forwarding = with(EscapedSlashes::UnescapeAndForward);
    assert_eq!(
        normalize(&forwarding, b"/a/b%2F..%5cc?%2F"),
        (Action::Continue, Some(b"/a/c?%2F".to_vec()))
    );
}

#[test]
fn other_bytes_are_escaped() {
    // Envoy rejects a request with such bytes before it normalizes the path.
    let istio = Profile::Istio.settings();
    let escaped = normalize(&istio, b"/a b\x7f\xc3\xa9");
    assert_eq!(
        escaped,
        (Action::Continue, Some(b"/a%20b%7F%C3%A9".to_vec()))
    );
    assert_eq!(normalize(&istio, b"/\0").0, Action::Reject);
}

proptest! {
    #[test]
    fn canonical_path_has_no_dot_segment(path in "/[a./%2eE\\\\;]{0,24}") {
        for profile in [Profile::Istio, Profile::EnvoyGateway] {
            let text = outcome(profile, &path);
            let path = text.strip_prefix("307 ").unwrap_or(&text);
            if path != "400" {
                prop_assert!(path.starts_with('/'), "{}", path);
                let mut segments = path.split('/');
                prop_assert!(!segments.any(|it| it == "." || it == ".."), "{}", path);
            }
        }
    }

    #[test]
    fn paths_that_are_reported_as_normal_are_not_changed(path in "/[ -~]{0,24}") {
        for profile in Profile::ALL {
            let mut changed = path.clone().into_bytes();
            if is_normal(path.as_bytes()) {
                prop_assert_eq!(apply(&profile.settings(), &mut changed), Action::Continue);
                prop_assert_eq!(changed, path.as_bytes());
            }
        }
    }
}
