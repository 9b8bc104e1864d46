//! Profiles: how the proxy changes messages at its edge, before plugins see a request and after they have seen a response.
//!
//! A profile imitates the connection manager that a control plane configures in Envoy, so that plugins see the same paths and fields as
//! in a deployment. [`EdgeSettings`] has a value for each of the connection manager's settings, under the name of its field. `path`
//! normalizes paths, and `request` changes the fields of requests. `docs/profiles.md` lists the values and where they come from, and
//! `deploy/src/envoy/profile.rs` writes the same values for Envoy.
//!
//! These functions are pure: addresses and random numbers are passed to them.

use std::fmt;
use std::str::FromStr;

use http::header::{HeaderValue, SERVER};
use tidegate_semantics::fields::{Fields, Name};

mod path;
mod request;

pub use self::request::{Downstream, Rejection, random_id};

/// The proxy that is imitated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Envoy as `tidegate manifest envoy` configures it. Nothing is added to a message.
    #[default]
    Envoy,
    /// The sidecar of a workload in Istio, for requests to this workload.
    Istio,
    /// A gateway that Envoy Gateway manages.
    EnvoyGateway,
}

/// The error for text that is not the name of a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a profile; the profiles are `envoy`, `istio` and `envoy-gateway`")]
pub struct UnknownProfile(String);

/// What the proxy does at its edge. The fields have the names of the fields of Envoy's connection manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeSettings {
    /// What happens to a path with a fragment. In Envoy, this is the runtime feature `http_reject_path_with_fragment`.
    pub fragment: Fragment,
    /// Whether paths are normalized: dot segments are resolved, and unreserved characters are unescaped.
    pub normalize_path: bool,
    /// Whether adjacent slashes are merged. This happens after the path has been normalized.
    pub merge_slashes: bool,
    /// What happens to `%2F` and `%5C` in a path. This happens before the path is normalized.
    pub path_with_escaped_slashes_action: EscapedSlashes,
    /// Whether a request with an underscore in the name of a field is rejected. In Envoy, this is `REJECT_REQUEST` of
    /// `headers_with_underscores_action`.
    pub rejects_underscores: bool,
    /// How fields that describe the client are handled. `None`: they are passed on, and none is added.
    pub forwarding: Option<Forwarding>,
    /// The value of `server` in each response: `OVERWRITE` of `server_header_transformation`. `None`: it is passed on.
    pub server_name: Option<&'static str>,
}

/// What happens to a path with a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// The response is 400.
    Reject,
    /// The fragment is removed.
    Strip,
}

/// What happens to escaped slashes and backslashes in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EscapedSlashes {
    /// They are passed on.
    KeepUnchanged,
    /// The response is 400.
    RejectRequest,
    /// They are unescaped, and the response is a redirect to the resulting path.
    UnescapeAndRedirect,
    /// They are unescaped.
    UnescapeAndForward,
}

/// Whether the client is the peer of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// The peer is a trusted proxy: its `x-forwarded-for` names the client. In Envoy, `use_remote_address` is false.
    TrustsPeer,
    /// The peer is the client. In Envoy, `use_remote_address` is true, and `xff_num_trusted_hops` is 0.
    PeerIsClient,
}

// === impl Profile ===

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 3] = [Self::Envoy, Self::Istio, Self::EnvoyGateway];

    /// Returns the name, as in the option `--profile`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Envoy => "envoy",
            Self::Istio => "istio",
            Self::EnvoyGateway => "envoy-gateway",
        }
    }

    /// Returns the settings.
    pub fn settings(self) -> EdgeSettings {
        match self {
            Self::Envoy => EdgeSettings {
                fragment: Fragment::Reject,
                normalize_path: false,
                merge_slashes: false,
                path_with_escaped_slashes_action: EscapedSlashes::KeepUnchanged,
                rejects_underscores: false,
                forwarding: None,
                server_name: None,
            },
            Self::Istio => EdgeSettings {
                fragment: Fragment::Strip,
                normalize_path: true,
                merge_slashes: false,
                path_with_escaped_slashes_action: EscapedSlashes::KeepUnchanged,
                rejects_underscores: false,
                forwarding: Some(Forwarding::TrustsPeer),
                server_name: Some("istio-envoy"),
            },
            Self::EnvoyGateway => EdgeSettings {
                fragment: Fragment::Reject,
                normalize_path: true,
                merge_slashes: true,
                path_with_escaped_slashes_action: EscapedSlashes::UnescapeAndRedirect,
                rejects_underscores: true,
                forwarding: Some(Forwarding::PeerIsClient),
                server_name: None,
            },
        }
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        let named = Self::ALL.into_iter().find(|it| it.name() == text);
        named.ok_or_else(|| UnknownProfile(text.to_owned()))
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl EdgeSettings ===

impl EdgeSettings {
    /// Changes the fields of a response that is about to be sent to the client, including responses of the proxy itself.
    pub fn on_response(&self, fields: &mut Fields) {
        if let Some(name) = self.server_name {
            fields.replace(&Name::Header(SERVER), HeaderValue::from_static(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_is_parsed_from_its_name() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        let error = "gateway".parse::<Profile>().expect_err("an unknown name");
        assert_eq!(
            error.to_string(),
            "`gateway` is not a profile; the profiles are `envoy`, `istio` and `envoy-gateway`"
        );
    }

    fn response(fields: &[(&'static [u8], &'static str)]) -> Fields {
        let named = fields.iter().map(|(name, value)| {
            let name = Name::parse(name).expect("a name");
            (name, HeaderValue::from_static(value))
        });
        named.collect()
    }

    #[test]
    fn server_is_overwritten_in_place_or_passed_on() {
        let sent = response(&[(b":status", "200"), (b"server", "nginx"), (b"x-a", "1")]);
        for profile in [Profile::Envoy, Profile::EnvoyGateway] {
            let mut fields = sent.clone();
            profile.settings().on_response(&mut fields);
            assert_eq!(fields, sent, "{profile}");
        }
        let istio = Profile::Istio.settings();
        let mut fields = sent;
        istio.on_response(&mut fields);
        let expected = [
            (&b":status"[..], "200"),
            (b"server", "istio-envoy"),
            (b"x-a", "1"),
        ];
        assert_eq!(fields, response(&expected));
        let mut fields = response(&[(b":status", "503")]);
        istio.on_response(&mut fields);
        assert_eq!(
            fields,
            response(&[(b":status", "503"), (b"server", "istio-envoy")])
        );
    }
}
