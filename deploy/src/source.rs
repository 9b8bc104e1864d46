//! The location from which a proxy fetches a module, and the digest by which it verifies the module.
//!
//! This module prevents several mistakes that are possible with Istio's `url` and `sha256` fields. Istio admits a URL
//! without a scheme and then silently drops it. A tag can be moved, and proxies that have already fetched it keep the
//! previous version. For an image the checksum is that of the image's manifest, whereas for a download it is that of the
//! module.

/// The location of a module, pinned to a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An image in a registry.
    Image {
        /// The registry and repository, without a scheme.
        repository: String,
        /// The image's tag, for human readers.
        tag: Option<String>,
        /// The SHA-256 digest of the image's manifest, in hexadecimal.
        digest: String,
    },
    /// A file that is downloaded over HTTP or HTTPS.
    Http {
        /// The complete URL.
        url: String,
        /// The SHA-256 digest of the uncompressed module, in hexadecimal.
        sha256: String,
    },
    /// A file that is already present on the proxy's file system.
    File {
        /// The file's absolute path.
        path: String,
    },
}

/// The components of an image reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    /// The registry and repository, without a scheme.
    pub repository: String,
    /// The tag, if any.
    pub tag: Option<String>,
    /// The SHA-256 digest of the image's manifest, in hexadecimal, if any.
    pub digest: Option<String>,
}

/// An error returned for an invalid module location or checksum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The URL has no scheme.
    #[error(
        "`{0}` has no scheme: for an image, write `oci://{0}`. Istio treats a URL without a scheme as an image, but rejects or drops it if it contains a port"
    )]
    NoScheme(String),
    /// Istio does not support the URL's scheme.
    #[error("unsupported scheme in `{0}`: use `oci://`, `https://`, `http://` or `file://`")]
    Scheme(String),
    /// The URL is an image reference. Use [`Source::image`] instead.
    #[error("`{0}` is an image reference")]
    Image(String),
    /// The URL is not valid.
    #[error("`{url}` is not a valid URL: {reason}")]
    Url {
        /// The URL as specified.
        url: String,
        /// Why the URL is not valid.
        reason: &'static str,
    },
    /// The image reference has no digest.
    #[error(
        "`{0}` has no digest, and a tag can move: pass the digest that `tidegate push` printed, as --sha256 or as `@sha256:…` in the URL"
    )]
    Unpinned(String),
    /// Two different digests were specified.
    #[error("the digest in the URL, {in_url}, differs from --sha256 {given}: remove one of them")]
    TwoDigests {
        /// The digest in the URL.
        in_url: String,
        /// The digest that was specified separately.
        given: String,
    },
    /// The module's checksum was specified where the manifest's checksum is required.
    #[error(
        "{0} is the SHA-256 of the module: an image requires the digest of its manifest, which `tidegate push` printed"
    )]
    OfModule(String),
    /// The checksum is not that of the module.
    #[error(
        "{given} is not the SHA-256 of this plugin's module, which is {module}: pass the plugin that the URL refers to, or remove --sha256"
    )]
    OtherModule {
        /// The checksum that was specified.
        given: String,
        /// The module's checksum.
        module: String,
    },
    /// A checksum was specified for a source for which proxies do not verify it.
    #[error(
        "the SHA-256 of a `file://` URL is not checked: remove --sha256, or let the proxy download the module"
    )]
    Unchecked,
}

// === impl Source ===

impl Source {
    /// Creates the source for an image. The image is pinned by the digest in its reference or by the separately specified
    /// digest `given`, in hexadecimal. `module` is the SHA-256 digest of the module that is deployed.
    ///
    /// The components of the reference are not validated; that is the task of the registry client.
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

    /// Parses the URL of a download or a file. `sha256` is the SHA-256 digest of the module in hexadecimal, if specified.
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

    /// Returns the URL in Istio's format. The URL of an image includes the digest, so that moving the tag has no effect.
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

    /// Returns the value of the `sha256` field that accompanies the URL.
    pub fn sha256(&self) -> Option<&str> {
        match self {
            Self::Image { digest, .. } => Some(digest),
            Self::Http { sha256, .. } => Some(sha256),
            Self::File { .. } => None,
        }
    }
}

/// Formats an image reference without a scheme.
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
    fn images_are_pinned_by_digest() {
        for (in_reference, given) in [
            (None, Some(DIGEST)),
            (Some(DIGEST), None),
            (Some(DIGEST), Some(DIGEST)),
        ] {
            let source = image(in_reference, given).expect("valid source");
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
    fn downloads_are_pinned_by_the_module_digest() {
        let source = Source::parse("https://h/p.wasm", None, MODULE).expect("valid source");
        assert_eq!(source.sha256(), Some(MODULE));
        assert_eq!(source.url(), "https://h/p.wasm");
        assert!(Source::parse("http://h:1/p.wasm", Some(MODULE.into()), MODULE).is_ok());
    }

    #[test]
    fn invalid_sources_are_rejected() {
        let cases: [(&str, Option<&str>, &str); 9] = [
            ("oci://h.io/a:v1", None, "is an image reference"),
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
