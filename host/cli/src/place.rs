//! The location of a component or module: a file, stdin, or an image in a registry.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use tidegate_oci::{Component, Reference};

use crate::file;
use crate::registry::{Pulled, RegistryArgs};

/// A file, `-` for stdin, or an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, or stdin.
    File(PathBuf),
    /// An image in a registry.
    Image(Reference),
}

/// A component or module that has been read or pulled.
pub struct Fetched {
    /// The bytes of the component or module.
    pub bytes: Vec<u8>,
    /// The image, with the digest of its manifest.
    pub image: Option<Reference>,
}

/// The scheme of references to images.
const SCHEME: &str = "oci://";

// === impl Place ===

impl Place {
    /// Reads the file, or pulls the image as Istio's agent does.
    pub fn fetch(&self) -> anyhow::Result<Fetched> {
        match self {
            Self::File(path) => Ok(Fetched {
                bytes: file::read(path)?,
                image: None,
            }),
            Self::Image(reference) => {
                let registry = RegistryArgs::default();
                // An image that `push --with-component` pushed contains the component.
                if let Ok(Some(Component { digest, wasm })) = registry.component(reference) {
                    return Ok(Fetched {
                        bytes: wasm,
                        image: Some(reference.pinned(digest)),
                    });
                }
                let pulled = registry.pull(reference, None);
                let Pulled { module, digest } =
                    pulled.map_err(|error| advised(error, reference))?;
                Ok(Fetched {
                    bytes: module,
                    image: Some(reference.pinned(digest)),
                })
            }
        }
    }

    /// Whether it is stdin.
    pub fn is_stdin(&self) -> bool {
        matches!(self, Self::File(path) if file::is_stdio(path))
    }

    /// The file's name without its extension, or the last segment of the repository's name.
    pub fn stem(&self) -> String {
        match self {
            Self::File(path) if file::is_stdio(path) => "plugin".to_owned(),
            Self::File(path) => path
                .file_stem()
                .map_or_else(|| "plugin".into(), |stem| stem.to_string_lossy())
                .into_owned(),
            Self::Image(reference) => last_segment(reference).to_owned(),
        }
    }
}

/// Adds a hint to an error that suggests an option which only `push`, `pull` and `check` have.
fn advised(error: anyhow::Error, reference: &Reference) -> anyhow::Error {
    let said = format!("{error:#}");
    match ["--plain-http", "--username"]
        .iter()
        .find(|it| said.contains(**it))
    {
        None => error,
        Some(option) => error.context(format!(
            "run `tidegate pull {reference}` with `{option}`, and pass the file that it writes"
        )),
    }
}

/// The last segment of the name of an image's repository.
pub fn last_segment(reference: &Reference) -> &str {
    let repository = reference.repository();
    repository.rsplit('/').next().unwrap_or(repository)
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with(SCHEME) {
            let reference = text.parse().map_err(|error| format!("{error}"))?;
            return Ok(Self::Image(reference));
        }
        match text.split_once("://") {
            None => Ok(Self::File(text.into())),
            Some((scheme, _)) => Err(format!(
                "the scheme `{scheme}` is not supported: expected a file or an `oci://` reference"
            )),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(&file::name(path)),
            Self::Image(reference) => write!(f, "{reference}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        text.parse().expect("a place")
    }

    #[test]
    fn only_the_oci_scheme_denotes_an_image() {
        assert_eq!(place("greeter.wasm"), Place::File("greeter.wasm".into()));
        assert_eq!(place("a:b.wasm"), Place::File("a:b.wasm".into()));
        assert!(matches!(
            place("oci://127.0.0.1:5000/team/greeter:1"),
            Place::Image(_)
        ));
        assert!("oci://".parse::<Place>().is_err());
        assert!("https://a/b.wasm".parse::<Place>().is_err());
    }

    #[test]
    fn plugin_name_is_derived_from_path_or_image() {
        assert_eq!(place("a/rate_limit.wasm").stem(), "rate_limit");
        assert_eq!(place("-").stem(), "plugin");
        assert_eq!(
            place("oci://127.0.0.1:5000/team/greeter:1").stem(),
            "greeter"
        );
    }
}
