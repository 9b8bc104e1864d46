//! Reads and writes the recorded outcomes.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;
use tidegate_components::workspace;
use tidegate_host::proxy::profile::Profile;
use tidegate_testkit::envoy::Release;

/// The target of a request, with its outcomes.
pub struct PathCase {
    /// The target.
    pub target: String,
    /// The outcomes in each release, newest first, with each profile.
    outcomes: [[String; Profile::ALL.len()]; Release::ALL.len()],
}

/// A request, with what the upstream and the client receive with each profile.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FieldCase {
    /// The name.
    pub name: String,
    /// The request, as it is sent.
    pub request: String,
    #[serde(default)]
    envoy: String,
    #[serde(default)]
    istio: String,
    #[serde(default)]
    envoy_gateway: String,
}

fn paths_file() -> PathBuf {
    workspace::root().join("host/src/proxy/profile/paths.tsv")
}

fn fields_file() -> PathBuf {
    workspace::root().join("tests/profiles/fields.yaml")
}

/// Returns the cases of `paths.tsv`.
pub fn paths() -> Result<Vec<PathCase>> {
    let file = paths_file();
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let rows = text.lines().filter(|line| line.starts_with('/'));
    Ok(rows.map(PathCase::parse).collect())
}

/// Returns the cases of `fields.yaml`.
pub fn fields() -> Result<Vec<FieldCase>> {
    let file = fields_file();
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    serde_saphyr::from_str(&text).with_context(|| file.display().to_string())
}

/// Writes all cases. The comments at the start of the files are kept.
pub fn write(paths: &[PathCase], fields: &[FieldCase]) -> Result<()> {
    let comments = |text: &str| -> String {
        let lines = text.lines().take_while(|line| line.starts_with('#'));
        lines.map(|line| format!("{line}\n")).collect()
    };
    let mut text = comments(&fs::read_to_string(paths_file())?);
    for case in paths {
        writeln!(text, "{}", case.row())?;
    }
    fs::write(paths_file(), text)?;
    let mut text = comments(&fs::read_to_string(fields_file())?);
    for case in fields {
        text += &case.yaml()?;
    }
    fs::write(fields_file(), text)?;
    Ok(())
}

// === impl PathCase ===

impl PathCase {
    fn parse(row: &str) -> Self {
        let mut cells = row.split('\t').map(str::to_owned);
        let target = cells.next().unwrap_or_default();
        let mut outcomes =
            || -> [String; 3] { std::array::from_fn(|_| cells.next().unwrap_or_default()) };
        let newest = outcomes();
        let oldest = Some(outcomes()).filter(|it| !it[0].is_empty());
        let oldest = oldest.unwrap_or_else(|| newest.clone());
        Self {
            target,
            outcomes: [newest, oldest],
        }
    }

    fn row(&self) -> String {
        let [newest, oldest] = &self.outcomes;
        let mut cells = vec![&self.target];
        cells.extend(newest);
        if oldest != newest {
            cells.extend(oldest);
        }
        let cells: Vec<&str> = cells.into_iter().map(String::as_str).collect();
        cells.join("\t")
    }

    /// Returns the recorded outcome.
    pub fn expected(&self, release: Release, profile: Profile) -> &str {
        &self.outcomes[release as usize][profile as usize]
    }

    /// Records an outcome.
    pub fn record(&mut self, release: Release, profile: Profile, outcome: String) {
        self.outcomes[release as usize][profile as usize] = outcome;
    }
}

// === impl FieldCase ===

impl FieldCase {
    fn yaml(&self) -> Result<String> {
        let mut text = format!("\n- name: {}\n", self.name);
        // The escapes of JSON are those of YAML.
        writeln!(text, "  request: {}", serde_json::to_string(&self.request)?)?;
        for profile in Profile::ALL {
            writeln!(text, "  {profile}: |")?;
            for line in self.expected(profile).lines() {
                writeln!(text, "    {line}")?;
            }
        }
        Ok(text)
    }

    /// Returns the recorded outcome.
    pub fn expected(&self, profile: Profile) -> &str {
        match profile {
            Profile::Envoy => &self.envoy,
            Profile::Istio => &self.istio,
            Profile::EnvoyGateway => &self.envoy_gateway,
        }
    }

    /// Records an outcome.
    pub fn record(&mut self, profile: Profile, outcome: String) {
        *match profile {
            Profile::Envoy => &mut self.envoy,
            Profile::Istio => &mut self.istio,
            Profile::EnvoyGateway => &mut self.envoy_gateway,
        } = outcome;
    }
}
