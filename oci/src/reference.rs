//! Image references: `oci://REGISTRY/REPOSITORY[:TAG][@DIGEST]`, as in the `url` of a `WasmPlugin`.
//!
//! The scheme is required. Istio admits some references without a scheme and then silently drops them, so Tidegate neither
//! accepts nor writes such references. The grammar is that of the OCI distribution specification.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::digest::Digest;

/// A reference to an image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// An error returned when a reference cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The scheme `oci://` is missing.
    #[error("`{text}` does not start with `oci://`; write `oci://REGISTRY/REPOSITORY:TAG`")]
    Scheme {
        /// The text that was parsed.
        text: String,
    },
    /// The registry is missing.
    #[error(
        "the registry is missing in `{text}`; write `oci://REGISTRY/REPOSITORY:TAG`, with `docker.io` for Docker Hub and `localhost:PORT` for this machine"
    )]
    Registry {
        /// The text that was parsed.
        text: String,
    },
    /// The repository name is not valid.
    #[error(
        "`{repository}` is not a valid repository name: use lowercase letters and digits, separated by `.`, `_`, `-` or `/`, and at least two characters"
    )]
    Repository {
        /// The invalid repository name.
        repository: String,
    },
    /// The tag is not valid.
    #[error(
        "`{tag}` is not a valid tag: use up to 128 letters, digits, `_`, `.` and `-`, not starting with `.` or `-`"
    )]
    Tag {
        /// The invalid tag.
        tag: String,
    },
    /// The text after the `@` is not a valid digest.
    #[error(transparent)]
    Digest(#[from] crate::digest::DigestError),
}

/// The tag that is used if a reference has neither a tag nor a digest.
const DEFAULT_TAG: &str = "latest";

const SCHEME: &str = "oci://";

/// The maximum length of a repository name, including the registry, that the specification asks registries to support.
const MAX_NAME: usize = 255;

/// The minimum length of a repository name in Istio's agent. The rule is specific to the library that the agent uses.
const MIN_REPOSITORY: usize = 2;

// === impl Reference ===

impl Reference {
    /// Returns the registry's host, including the port if specified.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the repository name, such as `plugins/greeter`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the tag, if specified.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest, if specified.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns this reference with a different tag and without a digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        Ok(Self {
            tag: Some(checked_tag(tag)?),
            digest: None,
            ..self.clone()
        })
    }

    /// Returns this reference pinned to a digest, so that it continues to refer to the same image if the tag is moved.
    pub fn pinned(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// Returns whether the registry is on the local machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.registry)
    }

    /// Returns the manifest reference to request: the digest, otherwise the tag, otherwise `latest`.
    pub(crate) fn asked_for(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// Returns the host that serves the registry. For Docker Hub, it differs from the host in references.
    pub(crate) fn host(&self) -> &str {
        match self.registry.as_str() {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            other => other,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or_else(|| ReferenceError::Scheme {
                text: text.to_owned(),
            })?;
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (rest, None),
        };
        let (registry, rest) = rest
            .split_once('/')
            .filter(|(registry, _)| is_registry(registry))
            .ok_or_else(|| ReferenceError::Registry {
                text: text.to_owned(),
            })?;
        let (repository, tag) = match rest.split_once(':') {
            Some((repository, tag)) => (repository, Some(checked_tag(tag)?)),
            None => (rest, None),
        };
        let is_short = registry.len() + repository.len() < MAX_NAME;
        let is_long = repository.len() >= MIN_REPOSITORY;
        if !is_short || !is_long || !repository.split('/').all(is_part) {
            return Err(ReferenceError::Repository {
                repository: repository.to_owned(),
            });
        }
        // Docker Hub stores repositories without an owner under `library`.
        let is_official =
            matches!(registry, "docker.io" | "index.docker.io") && !repository.contains('/');
        Ok(Self {
            registry: registry.to_owned(),
            repository: match is_official {
                true => format!("library/{repository}"),
                false => repository.to_owned(),
            },
            tag,
            digest,
        })
    }
}

/// Returns whether a host, with or without a port, is the local machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost"
        || name
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Returns whether the first component of a reference is a registry host, which is recognized by its dot or port. A plain
/// `localhost` is not an exception: Istio's agent looks it up on Docker Hub.
fn is_registry(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let is_address = address.parse().is_ok_and(|it: IpAddr| it.is_ipv6());
            return is_address && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
        }
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.split('.').all(is_label)
        && port.is_none_or(is_port)
        && (port.is_some() || name.contains('.'))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Returns whether the text is a valid repository component: runs of lowercase letters and digits, separated by `.`, `_`,
/// `__` or any number of `-`.
fn is_part(part: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut separator = String::new();
    for char in part.chars() {
        match char {
            '.' | '_' | '-' => separator.push(char),
            char if u8::try_from(char).is_ok_and(is_plain) => {
                let is_separator = matches!(separator.as_str(), "" | "." | "_" | "__")
                    || separator.chars().all(|char| char == '-');
                if !is_separator {
                    return false;
                }
                separator.clear();
            }
            _ => return false,
        }
    }
    let begins = part.bytes().next().is_some_and(is_plain);
    begins && separator.is_empty()
}

fn checked_tag(tag: &str) -> Result<String, ReferenceError> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_tag = tag.len() <= 128
        && tag.bytes().next().is_some_and(is_word)
        && tag
            .bytes()
            .all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'));
    if is_tag {
        Ok(tag.to_owned())
    } else {
        Err(ReferenceError::Tag {
            tag: tag.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_display_round_trips() {
        let digest = Digest::of(b"");
        for text in [
            "oci://127.0.0.1:5000/greeter:1.0.0",
            "oci://[::1]:5000/greeter:v1",
            "oci://localhost:5000/greeter",
            "oci://ghcr.io/some_one/pl-ug--in/a__b.c:V1_x-y.z",
            &format!("oci://ghcr.io/a/b:v1@{digest}"),
            &format!("oci://ghcr.io/a/b@{digest}"),
        ] {
            let reference: Reference = text.parse().expect("a reference");
            assert_eq!(reference.to_string(), text);
        }
    }

    #[test]
    fn docker_hub_repository_defaults_to_library() {
        for text in ["oci://docker.io/greeter", "oci://index.docker.io/greeter"] {
            let reference: Reference = text.parse().expect("a reference");
            assert_eq!(reference.repository(), "library/greeter");
            assert_eq!(reference.host(), "registry-1.docker.io");
            assert_eq!(reference.asked_for(), "latest");
        }
    }

    #[test]
    fn invalid_reference_error_names_the_cause() {
        for (text, part) in [
            ("127.0.0.1:5000/greeter:v1", "does not start with `oci://`"),
            (
                "http://127.0.0.1:5000/greeter:v1",
                "does not start with `oci://`",
            ),
            ("oci://greeter:v1", "the registry is missing"),
            ("oci://someone/greeter:v1", "the registry is missing"),
            ("oci://localhost/greeter:v1", "the registry is missing"),
            ("oci://a.b/g:v1", "not a valid repository name"),
            ("oci:///greeter:v1", "the registry is missing"),
            ("oci://a.b:99999/greeter:v1", "the registry is missing"),
            ("oci://a.b:/greeter:v1", "the registry is missing"),
            ("oci://a.b\r\nx/greeter:v1", "the registry is missing"),
            ("oci://user:pw@a.b/greeter:v1", "not a valid digest"),
            ("oci://[::g]/greeter:v1", "the registry is missing"),
            ("oci://a.b/Greeter:v1", "not a valid repository name"),
            ("oci://a.b/../greeter:v1", "not a valid repository name"),
            ("oci://a.b/x//y:v1", "not a valid repository name"),
            ("oci://a.b/x/:v1", "not a valid repository name"),
            ("oci://a.b/x._y:v1", "not a valid repository name"),
            ("oci://a.b/:v1", "not a valid repository name"),
            ("oci://a.b/x?y=z", "not a valid repository name"),
            ("oci://a.b/xy:", "not a valid tag"),
            ("oci://a.b/xy:.v1", "not a valid tag"),
            ("oci://a.b/xy:v1/../y", "not a valid tag"),
            ("oci://a.b/xy:v1@sha256:abc", "not a valid digest"),
            ("oci://a.b/xy@sha512:abc", "not a valid digest"),
        ] {
            let error = text.parse::<Reference>().expect_err(text).to_string();
            assert!(error.contains(part), "expected `{part}` in: {error}");
        }
    }

    #[test]
    fn only_local_hosts_are_loopback() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "10.0.0.1:5000",
            "localhost.evil.com",
            "127.0.0.1.evil.com",
            "[::2]",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
