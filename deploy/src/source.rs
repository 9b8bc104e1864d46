//! Where a proxy fetches a module from, and the digest by which it knows that it got the right one.
//!
//! The traps of Istio's `url` and `sha256` are closed here: a url without scheme is admitted and then dropped in silence; a
//! tag can be moved, and proxies that have seen it keep what they have; and for an image the checksum is that of the
//! image's manifest, while for a download it is that of the module.

/// A module's place, pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An image in a registry.
    Image {
        /// Registry and repository, without scheme.
        repository: String,
        /// The tag by which people know it.
        tag: Option<String>,
        /// The SHA-256 of the image's manifest, in hexadecimal digits.
        digest: String,
    },
    /// A download.
    Http {
        /// The whole url.
        url: String,
        /// The SHA-256 of the module's bytes, unpacked.
        sha256: String,
    },
    /// A file that is already where the proxy runs.
    File {
        /// Its absolute path.
        path: String,
    },
}

/// An image's reference, in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    /// Registry and repository, without scheme.
    pub repository: String,
    /// The tag, if it has one.
    pub tag: Option<String>,
    /// The SHA-256 of the image's manifest, in hexadecimal digits, if it has one.
    pub digest: Option<String>,
}

/// Why a module has no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No scheme.
    #[error(
        "`{0}` has no scheme: for an image, write `oci://{0}`. Istio treats a URL without a scheme as an image, but rejects or drops it if it contains a port"
    )]
    NoScheme(String),
    /// A scheme that Istio does not support.
    #[error("unsupported scheme in `{0}`: use `oci://`, `https://`, `http://` or `file://`")]
    Scheme(String),
    /// An image, which [`Source::image`] takes.
    #[error("`{0}` is the reference of an image")]
    Image(String),
    /// Not a place that can be fetched from.
    #[error("`{url}` is not a valid URL: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An image without digest.
    #[error(
        "`{0}` has no digest, and a tag can move: pass the digest that `tidegate push` printed, as --sha256 or as `@sha256:…` in the URL"
    )]
    Unpinned(String),
    /// Two digests.
    #[error("the digest in the URL, {in_url}, differs from --sha256 {given}: remove one of them")]
    TwoDigests {
        /// The one in the url.
        in_url: String,
        /// The other.
        given: String,
    },
    /// The module's checksum where the manifest's belongs.
    #[error(
        "{0} is the SHA-256 of the module: an image requires the digest of its manifest, which `tidegate push` printed"
    )]
    OfModule(String),
    /// A checksum of something else.
    #[error(
        "{given} is not the SHA-256 of this plugin's module, which is {module}: pass the plugin that the URL refers to, or remove --sha256"
    )]
    OtherModule {
        /// What was given.
        given: String,
        /// The module's.
        module: String,
    },
    /// A checksum that is not checked.
    #[error(
        "the SHA-256 of a `file://` URL is not checked: remove --sha256, or let the proxy download the module"
    )]
    Unchecked,
}

// === impl Source ===

impl Source {
    /// An image, pinned by the digest in its reference or by the one `given` beside it, in hexadecimal digits. `module` is the SHA-256 of
    /// the module that is deployed.
    ///
    /// The reference's parts are taken as they are: what a registry can have, the registries' client knows.
    pub fn image(
        reference: ImageReference,
        given: Option<String>,
        module: &str,
    ) -> Result<Self, SourceError> {
        let ImageReference {
            repository,
            tag,
            digest,
        } = reference;
        let digest = match (digest, given) {
            (Some(in_url), Some(given)) if in_url != given => {
                return Err(SourceError::TwoDigests { in_url, given });
            }
            (Some(digest), _) | (None, Some(digest)) => digest,
            (None, None) => {
                let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
                return Err(SourceError::Unpinned(format!("oci://{repository}{tag}")));
            }
        };
        if digest == module {
            return Err(SourceError::OfModule(digest));
        }
        Ok(Self::Image {
            repository,
            tag,
            digest,
        })
    }

    /// Reads the url of a download or a file, with the SHA-256 of its bytes if that is given, in hexadecimal digits.
    pub fn parse(url: &str, sha256: Option<String>, module: &str) -> Result<Self, SourceError> {
        let fault = |reason| SourceError::Url {
            url: url.to_owned(),
            reason,
        };
        if url.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(fault(
                "it contains characters that are not allowed in a URL",
            ));
        }
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| SourceError::NoScheme(url.to_owned()))?;
        match scheme {
            "http" | "https" => {
                if rest.split('/').next().unwrap_or_default().is_empty() {
                    return Err(fault("the host is missing"));
                }
                match sha256 {
                    Some(given) if given != module => Err(SourceError::OtherModule {
                        given,
                        module: module.to_owned(),
                    }),
                    _ => Ok(Self::Http {
                        url: url.to_owned(),
                        sha256: module.to_owned(),
                    }),
                }
            }
            "file" => {
                if sha256.is_some() {
                    return Err(SourceError::Unchecked);
                }
                if !rest.starts_with('/') || rest.len() == 1 {
                    return Err(fault("a file URL is `file://` and an absolute path"));
                }
                Ok(Self::File {
                    path: rest.to_owned(),
                })
            }
            "oci" => Err(SourceError::Image(url.to_owned())),
            _ => Err(SourceError::Scheme(url.to_owned())),
        }
    }

    /// The url as Istio takes it. That of an image has the digest, so that the tag may be moved without harm.
    pub fn url(&self) -> String {
        match self {
            Self::Image {
                repository,
                tag,
                digest,
            } => format!("oci://{}", reference(repository, tag.as_deref(), digest)),
            Self::Http { url, .. } => url.clone(),
            Self::File { path } => format!("file://{path}"),
        }
    }

    /// The checksum that belongs beside the url.
    pub fn sha256(&self) -> Option<&str> {
        match self {
            Self::Image { digest, .. } => Some(digest),
            Self::Http { sha256, .. } => Some(sha256),
            Self::File { .. } => None,
        }
    }
}

/// An image's reference without scheme.
pub(crate) fn reference(repository: &str, tag: Option<&str>, digest: &str) -> String {
    match tag {
        Some(tag) => format!("{repository}:{tag}@sha256:{digest}"),
        None => format!("{repository}@sha256:{digest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const MODULE: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

    fn image(in_reference: Option<&str>, given: Option<&str>) -> Result<Source, SourceError> {
        let owned = |digest: Option<&str>| digest.map(str::to_owned);
        let reference = ImageReference {
            repository: "127.0.0.1:5000/a/b".into(),
            tag: Some("v1".into()),
            digest: owned(in_reference),
        };
        Source::image(reference, owned(given), MODULE)
    }

    #[test]
    fn images_are_pinned() {
        for (in_reference, given) in [
            (None, Some(DIGEST)),
            (Some(DIGEST), None),
            (Some(DIGEST), Some(DIGEST)),
        ] {
            let source = image(in_reference, given).expect("a source");
            assert_eq!(
                source.url(),
                format!("oci://127.0.0.1:5000/a/b:v1@sha256:{DIGEST}")
            );
            assert_eq!(source.sha256(), Some(DIGEST));
        }
        for (in_reference, given, message) in [
            (None, None, "has no digest"),
            (None, Some(MODULE), "is the SHA-256 of the module"),
            (Some(MODULE), Some(DIGEST), "the digest in the URL"),
        ] {
            let error = image(in_reference, given).expect_err(message).to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn downloads_are_known_by_the_module() {
        let source = Source::parse("https://h/p.wasm", None, MODULE).expect("a download");
        assert_eq!(source.sha256(), Some(MODULE));
        assert_eq!(source.url(), "https://h/p.wasm");
        assert!(Source::parse("http://h:1/p.wasm", Some(MODULE.into()), MODULE).is_ok());
    }

    #[test]
    fn traps_are_refused() {
        let cases: [(&str, Option<&str>, &str); 9] = [
            ("oci://h.io/a:v1", None, "is the reference of an image"),
            ("ghcr.io/a/b:v1", None, "has no scheme"),
            ("127.0.0.1:5000/p:v1", Some(DIGEST), "has no scheme"),
            ("docker://h/a:1", None, "unsupported scheme"),
            ("https://h/a b", None, "characters that are not allowed"),
            ("https:///p.wasm", None, "the host is missing"),
            (
                "https://h/p.wasm",
                Some(DIGEST),
                "is not the SHA-256 of this plugin's module",
            ),
            ("file://p.wasm", None, "an absolute path"),
            ("file:///p.wasm", Some(DIGEST), "is not checked"),
        ];
        for (url, sha256, message) in cases {
            let error = Source::parse(url, sha256.map(str::to_owned), MODULE)
                .expect_err(url)
                .to_string();
            assert!(error.contains(message), "{url}: {error}");
        }
    }
}
