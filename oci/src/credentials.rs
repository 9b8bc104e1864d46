//! Whose name a registry is asked in: what the caller says, else what docker's configuration keeps.

use std::path::{Path, PathBuf};
use std::{env, fmt, fs};

use docker_credential::{CredentialRetrievalError, DockerCredential};
use serde_json::Value;

/// Who asks.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// A user.
    Password {
        /// The name.
        username: String,
        /// The password, or a token that stands for one.
        password: String,
    },
    /// Whoever has this token; it is exchanged for others that live shorter.
    IdentityToken(String),
}

/// Why there may be credentials, and they cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot get the credentials for `{registry}` from Docker's configuration: {message}")]
pub struct CredentialsError {
    registry: String,
    message: String,
}

/// Under this name docker keeps what belongs to Docker Hub.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

// === impl Credentials ===

impl Credentials {
    /// What docker's configuration (`DOCKER_CONFIG`, else `~/.docker`) or a credential helper named there keeps for a
    /// registry. Nothing there means nobody in particular.
    pub fn from_docker(registry: &str) -> Result<Self, CredentialsError> {
        let server = match registry {
            "docker.io" | "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
            other => other,
        };
        let message = match docker_credential::get_credential(server) {
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
            // No file is as good as an empty one; the library does not tell it from one that cannot be read.
            Err(CredentialRetrievalError::ConfigReadError)
                if !configuration().is_some_and(|file| file.exists()) =>
            {
                return Ok(Self::Anonymous);
            }
            Err(CredentialRetrievalError::ConfigReadError) => {
                "cannot read `config.json`".to_owned()
            }
            // Helpers have one way to say that they have nothing: to fail with these words.
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
            Err(CredentialRetrievalError::HelperCommunicationError) => match helper(server) {
                Some(helper) => format!("cannot run the credential helper `{helper}`"),
                None => "cannot run the configured credential helper".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        Err(CredentialsError {
            registry: registry.to_owned(),
            message,
        })
    }

    /// The user's name, if it has one.
    pub(crate) fn user(&self) -> Option<String> {
        match self {
            Self::Password { username, .. } => Some(username.clone()),
            Self::Anonymous | Self::IdentityToken(_) => None,
        }
    }
}

/// Secrets are not for logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Password { username, .. } => write!(f, "Password({username:?})"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
        }
    }
}

/// Where docker keeps what it is told.
fn configuration() -> Option<PathBuf> {
    let folder = match env::var_os("DOCKER_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(&env::var_os("HOME")?).join(".docker"),
    };
    Some(folder.join("config.json"))
}

/// The program that has a registry's credentials. The library does not say which one it could not run.
fn helper(server: &str) -> Option<String> {
    let config: Value = serde_json::from_slice(&fs::read(configuration()?).ok()?).ok()?;
    let own = config.get("credHelpers").and_then(|all| all.get(server));
    let own = own.and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = own.or_else(|| config.get("credsStore")?.as_str())?;
    Some(format!("docker-credential-{name}"))
}
