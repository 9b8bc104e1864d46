//! Credentials for a registry, either supplied by the caller or read from the configuration of Docker or Podman.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::{env, fmt, fs};

use docker_credential::{CredentialRetrievalError, DockerCredential};
use serde_json::Value;

/// Credentials for a registry.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// No credentials.
    #[default]
    Anonymous,
    /// A user name and a password.
    Password {
        /// The user name.
        username: String,
        /// The password, or a token used as a password.
        password: String,
    },
    /// An identity token, which is exchanged for short-lived tokens.
    IdentityToken(String),
}

/// An error returned when credentials may exist but cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot get the credentials for `{registry}` from {origin}: {message}")]
pub struct CredentialsError {
    registry: String,
    origin: String,
    message: String,
}

/// The key under which Docker stores the credentials for Docker Hub.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

// === impl Credentials ===

impl Credentials {
    /// Reads the credentials from Docker's configuration (`DOCKER_CONFIG`, or `~/.docker`) or from Podman's
    /// (`REGISTRY_AUTH_FILE`, or `containers/auth.json` in `XDG_RUNTIME_DIR` or `XDG_CONFIG_HOME`). Runs the credential
    /// helpers that the configuration specifies. If there are no credentials for the registry, access is anonymous.
    pub fn from_configuration(registry: &str) -> Result<Self, CredentialsError> {
        match Self::from_docker(registry)? {
            Self::Anonymous => Self::from_podman(registry),
            found => Ok(found),
        }
    }

    fn from_docker(registry: &str) -> Result<Self, CredentialsError> {
        let server = match registry {
            "docker.io" | "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
            other => other,
        };
        let file = docker_file();
        let found = match docker_credential::get_credential(server) {
            // A missing file is equivalent to an empty one. The library does not distinguish it from an unreadable file.
            Err(CredentialRetrievalError::ConfigReadError)
                if !file.as_ref().is_some_and(|file| file.exists()) =>
            {
                return Ok(Self::Anonymous);
            }
            found => found,
        };
        Self::of(found, server, file.as_deref()).map_err(|message| CredentialsError {
            registry: registry.to_owned(),
            origin: "Docker's configuration".to_owned(),
            message,
        })
    }

    fn from_podman(registry: &str) -> Result<Self, CredentialsError> {
        let Some(path) = podman_file() else {
            return Ok(Self::Anonymous);
        };
        let found = File::open(&path)
            .map_err(|error| format!("cannot read it: {error}"))
            .and_then(|file| {
                let found =
                    docker_credential::get_credential_from_reader(BufReader::new(file), registry);
                Self::of(found, registry, Some(&path))
            });
        found.map_err(|message| CredentialsError {
            registry: registry.to_owned(),
            origin: format!("`{}`", path.display()),
            message,
        })
    }

    /// Converts the library's result: the credentials that it found, or the reason why it could not read them.
    fn of(
        found: Result<DockerCredential, CredentialRetrievalError>,
        server: &str,
        configuration: Option<&Path>,
    ) -> Result<Self, String> {
        Err(match found {
            Ok(DockerCredential::UsernamePassword(username, password))
                if username.is_empty() && password.is_empty() =>
            {
                return Ok(Self::Anonymous);
            }
            Ok(DockerCredential::UsernamePassword(username, password)) => {
                return Ok(Self::Password { username, password });
            }
            Ok(DockerCredential::IdentityToken(token)) => return Ok(Self::IdentityToken(token)),
            Err(
                CredentialRetrievalError::NoCredentialConfigured
                | CredentialRetrievalError::ConfigNotFound,
            ) => return Ok(Self::Anonymous),
            Err(CredentialRetrievalError::ConfigReadError) => {
                let name = configuration.and_then(Path::file_name).unwrap_or_default();
                format!("cannot read `{}`", name.display())
            }
            // Helpers report that they have no credentials by failing with this message.
            Err(CredentialRetrievalError::HelperFailure { stdout, .. })
                if stdout.trim() == "credentials not found in native keychain" =>
            {
                return Ok(Self::Anonymous);
            }
            Err(CredentialRetrievalError::HelperFailure {
                helper,
                stdout,
                stderr,
            }) => {
                let said = [stdout.trim(), stderr.trim()].join(" ");
                format!("`{helper}` fails: {}", said.trim())
            }
            Err(CredentialRetrievalError::HelperCommunicationError) => {
                match configuration.and_then(|file| helper(file, server)) {
                    Some(helper) => format!("cannot run the credential helper `{helper}`"),
                    None => "cannot run the configured credential helper".to_owned(),
                }
            }
            Err(error) => error.to_string(),
        })
    }

    /// Returns the user name, if any.
    pub(crate) fn user(&self) -> Option<String> {
        match self {
            Self::Password { username, .. } => Some(username.clone()),
            Self::Anonymous | Self::IdentityToken(_) => None,
        }
    }
}

/// Secrets must not be logged.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Password { username, .. } => write!(f, "Password({username:?})"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
        }
    }
}

/// Returns the path of Docker's configuration file.
fn docker_file() -> Option<PathBuf> {
    let folder = match env::var_os("DOCKER_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(&env::var_os("HOME")?).join(".docker"),
    };
    Some(folder.join("config.json"))
}

/// Returns the path of Podman's credentials file: the file that the environment specifies, or the first one that exists.
fn podman_file() -> Option<PathBuf> {
    let named = |name| {
        env::var_os(name)
            .filter(|it| !it.is_empty())
            .map(PathBuf::from)
    };
    if let Some(file) = named("REGISTRY_AUTH_FILE") {
        return Some(file);
    }
    let home = || named("HOME").map(|home| home.join(".config"));
    [
        named("XDG_RUNTIME_DIR"),
        named("XDG_CONFIG_HOME").or_else(home),
    ]
    .into_iter()
    .flatten()
    .map(|folder| folder.join("containers/auth.json"))
    .find(|file| file.is_file())
}

/// Returns the program that provides a registry's credentials. The library does not report which program it could not run.
fn helper(configuration: &Path, server: &str) -> Option<String> {
    let config: Value = serde_json::from_slice(&fs::read(configuration).ok()?).ok()?;
    let own = config.get("credHelpers").and_then(|all| all.get(server));
    let own = own.and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = own.or_else(|| config.get("credsStore")?.as_str())?;
    Some(format!("docker-credential-{name}"))
}
