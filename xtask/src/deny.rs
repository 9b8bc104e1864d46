//! The licence and source check: every dependency, for every platform, against `deny.toml`.
//!
//! cargo-deny reads the same file, and checks more; it takes minutes to build and a network for its advisories, so
//! what must hold on every machine is checked here. It is offline: set-up has fetched what the lock file names.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

use crate::shell;
use crate::workspace::Workspace;

/// What cargo-deny allows too unless told otherwise.
const DEFAULT_REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Reports every dependency that breaks a rule, and fails if there is one.
pub fn run(workspace: &Workspace) -> Result<()> {
    let path = workspace.root.join("deny.toml");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    let rules = Rules::parse(&text)?;
    let metadata = shell::read(workspace.cargo().args([
        "metadata",
        "--locked",
        "--offline",
        "--all-features",
        "--format-version",
        "1",
    ]))
    .context("the dependencies' manifests cannot be read; `cargo xtask setup` fetches them")?;
    let metadata: Metadata =
        serde_json::from_str(&metadata).context("`cargo metadata` gave something unexpected")?;
    let complaints: Vec<String> = metadata
        .packages
        .iter()
        .flat_map(|package| rules.complaints(package))
        .collect();
    for complaint in &complaints {
        eprintln!("deny: {complaint}");
    }
    if !complaints.is_empty() {
        bail!(
            "{} dependencies break a rule of deny.toml",
            complaints.len()
        );
    }
    shell::say(&format!(
        "deny: {} packages, licences and sources ok",
        metadata.packages.len()
    ));
    Ok(())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// None for members of the workspace.
    source: Option<String>,
}

/// The tables of `deny.toml` that are checked here.
struct Rules {
    licenses: Vec<Licensee>,
    exceptions: Vec<(String, Vec<Licensee>)>,
    registries: Vec<String>,
    git: Vec<String>,
}

impl Rules {
    fn parse(text: &str) -> Result<Rules> {
        #[derive(Deserialize)]
        struct File {
            licenses: Licenses,
            sources: Sources,
        }
        #[derive(Deserialize)]
        struct Licenses {
            allow: Vec<String>,
            #[serde(default)]
            exceptions: Vec<Exception>,
        }
        #[derive(Deserialize)]
        struct Exception {
            #[serde(rename = "crate")]
            name: String,
            allow: Vec<String>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Sources {
            #[serde(default)]
            allow_registry: Vec<String>,
            #[serde(default)]
            allow_git: Vec<String>,
        }
        let file: File = toml::from_str(text).context("failed to read deny.toml")?;
        let licensees = |names: &[String]| -> Result<Vec<Licensee>> {
            names
                .iter()
                .map(|name| Licensee::parse(name).with_context(|| format!("no licence `{name}`")))
                .collect()
        };
        Ok(Rules {
            licenses: licensees(&file.licenses.allow)?,
            exceptions: file
                .licenses
                .exceptions
                .into_iter()
                .map(|exception| Ok((exception.name, licensees(&exception.allow)?)))
                .collect::<Result<_>>()?,
            registries: file
                .sources
                .allow_registry
                .iter()
                .map(|url| format!("registry+{url}"))
                .collect(),
            git: file
                .sources
                .allow_git
                .iter()
                .map(|url| format!("git+{url}"))
                .collect(),
        })
    }

    fn complaints(&self, package: &Package) -> Vec<String> {
        let title = format!("{} {}", package.name, package.version);
        let mut complaints = Vec::new();
        match package.license.as_deref() {
            None => complaints.push(format!("{title}: no licence in its manifest")),
            Some(text) => match Expression::parse_mode(text, ParseMode::LAX) {
                Err(error) => complaints.push(format!(
                    "{title}: the licence `{text}` cannot be read: {}",
                    error.reason
                )),
                Ok(expression) if !self.allows(&package.name, &expression) => {
                    complaints.push(format!("{title}: the licence `{text}` is not allowed"));
                }
                Ok(_) => {}
            },
        }
        if let Some(source) = package.source.as_deref()
            && !self.allows_source(source)
        {
            complaints.push(format!("{title}: the source `{source}` is not allowed"));
        }
        complaints
    }

    fn allows(&self, name: &str, expression: &Expression) -> bool {
        let excepted = self
            .exceptions
            .iter()
            .filter(|(of, _)| of == name)
            .flat_map(|(_, allow)| allow);
        let allowed: Vec<&Licensee> = self.licenses.iter().chain(excepted).collect();
        expression.evaluate(|required| allowed.iter().any(|licensee| licensee.satisfies(required)))
    }

    fn allows_source(&self, source: &str) -> bool {
        if source.starts_with("git+") {
            // What follows `?` and `#` is the branch and the commit.
            let url = source.split(['?', '#']).next().unwrap_or(source);
            return self.git.iter().any(|allowed| allowed == url);
        }
        match self.registries.as_slice() {
            [] => source == DEFAULT_REGISTRY,
            allowed => allowed.iter().any(|url| url == source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
        [licenses]
        allow = ["MIT", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"]
        exceptions = [{ crate = "odd", allow = ["MPL-2.0"] }]
        [sources]
        allow-git = ["https://example.com/allowed"]
    "#;

    fn complaints(name: &str, license: Option<&str>, source: Option<&str>) -> Vec<String> {
        let package = Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: license.map(str::to_owned),
            source: source.map(str::to_owned),
        };
        Rules::parse(RULES)
            .expect("the rules are well-formed")
            .complaints(&package)
    }

    #[test]
    fn licences_are_evaluated_as_expressions() {
        assert_eq!(complaints("a", Some("MIT OR GPL-3.0-only"), None), [""; 0]);
        assert_eq!(complaints("a", Some("MIT/Apache-2.0"), None), [""; 0]);
        assert_eq!(
            complaints("a", Some("(GPL-2.0-only OR MIT) AND Unicode-3.0"), None),
            [""; 0]
        );
        assert_eq!(
            complaints("a", Some("MIT AND GPL-3.0-only"), None),
            ["a 1.0.0: the licence `MIT AND GPL-3.0-only` is not allowed"]
        );
        assert_eq!(
            complaints("a", Some("Apache-2.0"), None),
            ["a 1.0.0: the licence `Apache-2.0` is not allowed"]
        );
        assert_eq!(
            complaints("a", None, None),
            ["a 1.0.0: no licence in its manifest"]
        );
    }

    #[test]
    fn exceptions_hold_for_their_crate_alone() {
        assert_eq!(complaints("odd", Some("MPL-2.0"), None), [""; 0]);
        assert_eq!(complaints("even", Some("MPL-2.0"), None).len(), 1);
    }

    #[test]
    fn sources_other_than_the_default_registry_are_refused() {
        assert_eq!(
            complaints("a", Some("MIT"), Some(DEFAULT_REGISTRY)),
            [""; 0]
        );
        assert_eq!(
            complaints(
                "a",
                Some("MIT"),
                Some("git+https://example.com/allowed?branch=main#0a1b")
            ),
            [""; 0]
        );
        assert_eq!(
            complaints("a", Some("MIT"), Some("git+https://example.com/other#0a1b")).len(),
            1
        );
        assert_eq!(
            complaints("a", Some("MIT"), Some("registry+https://example.com/index")).len(),
            1
        );
    }
}
