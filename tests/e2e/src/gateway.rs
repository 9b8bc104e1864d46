//! `cargo xtask e2e gateway`: compares the output of `tidegate manifest envoy-extension-policy` with Envoy Gateway's own translator.
//!
//! A Go program (`tests/gateway/judge`) links the translator. It receives policies with the resources that they are attached to
//! (`tests/gateway/resources.yaml`), fetches the plugins from a registry, and returns the configuration that Envoy would receive.
//! `tests/gateway/cases.json` contains the policies and the expected results. `e2e istio` tests whether the API server admits the policies.
//! This is not part of CI, because the first build takes six minutes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use xtask::workspace::Workspace;
use xtask::{guests, setup, shell};

use crate::istio::judge::Judge;
use crate::istio::registry::Registry;
use crate::istio::tidegate::Tidegate;
use crate::istio::toolchain::{self, Readiness};
use crate::istio::{Plugin, Report};

/// Plugins, and how they are pushed. All except the tutorial accept any configuration.
const PLUGINS: [(&str, &str); 3] = [
    ("istio-tutorial", "compat"),
    ("hello", "docker"),
    ("visitors", "artifact"),
];

/// A policy, and the expected configuration of Envoy.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// A description.
    what: String,
    /// One of [`PLUGINS`].
    plugin: String,
    configuration: Option<Value>,
    /// The arguments with which the policy `child` is printed.
    flags: String,
    /// The arguments with which another policy, `parent`, is printed.
    parent: Option<String>,
    /// Replacements in the documents. `DIGEST` is that of the image.
    #[serde(default)]
    replaced: Vec<(String, String)>,
    /// The conditions of each policy.
    policies: Value,
    /// The extensions of each route that has some, or the status of the direct response.
    routes: Value,
    /// The configuration of each plugin that is not the default.
    plugins: BTreeMap<String, Map<String, Value>>,
    /// How the result must differ, in a case that shows that differences are detected.
    #[serde(default)]
    differs: Vec<String>,
}

/// A plugin in the registry.
struct Image {
    reference: String,
    /// The digest of the manifest.
    digest: String,
    /// The SHA-256 digest of the module.
    module: String,
}

/// Builds the judge and runs every case. Prints one line with the reason if the judge cannot be built on this machine.
pub fn run(workspace: &Workspace) -> Result<()> {
    let skipped = |reason: &str| {
        println!(
            "SKIPPED: Envoy Gateway's own code as judge (`cargo xtask e2e gateway`): {reason}"
        );
        Ok(())
    };
    let module = workspace.root.join("tests/gateway");
    if let Readiness::Lacking(reason) = toolchain::readiness(&module)? {
        return skipped(&reason);
    }
    let scratch = tempfile::tempdir().context("failed to create a temporary directory")?;
    let Some(registry) = Registry::start(&scratch.path().join("registry"), None)? else {
        return skipped(
            "no `docker-registry` on PATH; install it (Debian's package has that name)",
        );
    };
    toolchain::check_format(&module)?;
    let binary = toolchain::build(&module, &workspace.target.join("gateway"))?;
    workspace.build_tool()?;
    setup::targets(workspace)?;
    let tidegate = Tidegate::new(workspace, scratch.path())?;
    let mut images = BTreeMap::new();
    let components = guests::build(workspace, &PLUGINS.map(|(name, _)| name))?;
    for ((name, layout), component) in PLUGINS.into_iter().zip(components) {
        let plugin = Plugin::adapt(component, &tidegate, scratch.path())?;
        let reference = format!("oci://{}/tidegate/{name}:v1", registry.address);
        images.insert(name, Image::push(reference, layout, &plugin, &tidegate)?);
    }
    let resources = read(&module.join("resources.yaml"))?;
    let cases: Vec<Case> = serde_json::from_str(&read(&module.join("cases.json"))?)
        .context("failed to read tests/gateway/cases.json")?;
    let begun = Instant::now();
    let mut judge = Judge::start(&binary, &[], scratch.path())?;
    let mut differences = Vec::new();
    for case in &cases {
        let image = images.get(&*case.plugin);
        let image = image.with_context(|| format!("there is no plugin `{}`", case.plugin))?;
        let policies = case.print(image, &tidegate)?;
        let documents = format!("{resources}---\n{policies}");
        let answer: Value = judge.ask(json!({ "translate": { "documents": documents } }))?;
        if let Some(difference) = case.difference(image, &answer) {
            differences.push(format!("{difference}\n{policies}"));
        }
    }
    let report = Report {
        compared: format!("{} policies before Envoy Gateway's translator", cases.len()),
        differences,
    };
    shell::say(&report.words(begun.elapsed()));
    let differences = report.differences.join("\n\n");
    ensure!(
        differences.is_empty(),
        "Tidegate and Envoy Gateway differ:\n\n{differences}\n"
    );
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}

// === impl Case ===

impl Case {
    /// Prints the policies and applies the replacements.
    fn print(&self, image: &Image, tidegate: &Tidegate) -> Result<String> {
        let plugin = match &self.configuration {
            Some(configuration) => format!("{}={configuration}", image.reference),
            None => image.reference.clone(),
        };
        let mut policies = self.printed("child", &self.flags, &plugin, tidegate)?;
        if let Some(flags) = &self.parent {
            let parent = self.printed("parent", flags, &image.reference, tidegate)?;
            policies = format!("{parent}---\n{policies}");
        }
        for (found, put) in &self.replaced {
            let found = found.replace("DIGEST", &image.digest);
            let what = &self.what;
            ensure!(
                policies.contains(&found),
                "{what}: there is no `{found}` in\n{policies}"
            );
            policies = policies.replace(&found, put);
        }
        Ok(policies)
    }

    fn printed(
        &self,
        name: &str,
        flags: &str,
        plugin: &str,
        tidegate: &Tidegate,
    ) -> Result<String> {
        let mut command = tidegate.command();
        command
            .args(["manifest", "envoy-extension-policy", plugin, "--name", name])
            .args(flags.split_whitespace());
        let printed = tidegate.outcome(&mut command)?;
        let (what, said) = (&self.what, &printed.stderr);
        ensure!(
            printed.succeeded,
            "{what}: `tidegate manifest` fails: {said}"
        );
        Ok(printed.stdout)
    }

    /// Returns the differences from the expected result.
    fn difference(&self, image: &Image, answer: &Value) -> Option<String> {
        let mut plugins = Map::new();
        for (filter, unusual) in &self.plugins {
            let mut plugin = json!({
                "name": filter.trim_end_matches("/wasm"),
                "rootId": "",
                "configuration": self.configuration,
                "environment": [],
                "failOpen": false,
                // Determined by `failOpen`.
                "failurePolicy": "UNSPECIFIED",
                "sha256": image.module,
            });
            for (field, value) in unusual {
                plugin[field] = value.clone();
            }
            plugins.insert(filter.clone(), plugin);
        }
        let expected = json!({
            "policies": self.policies,
            "routes": self.routes,
            "plugins": plugins,
        });
        let mut differs = vec!["policies", "routes", "plugins"];
        differs.retain(|part| answer[part] != expected[part]);
        if differs == self.differs {
            return None;
        }
        Some(format!(
            "{}: {differs:?} differ, expected {:?}; Envoy Gateway says\n{answer}\nexpected is\n{expected}",
            self.what, self.differs
        ))
    }
}

// === impl Image ===

impl Image {
    fn push(reference: String, layout: &str, plugin: &Plugin, tidegate: &Tidegate) -> Result<Self> {
        let mut command = tidegate.command();
        command.arg("push").arg(&plugin.component).args([
            &*reference,
            "--layout",
            layout,
            "--format",
            "json",
        ]);
        let pushed = tidegate.outcome(&mut command)?;
        let report: Value = serde_json::from_str(&pushed.stdout)
            .with_context(|| format!("`tidegate push` reports nothing: {}", pushed.stderr))?;
        let digest = report["sha256"].as_str();
        let module = fs::read(&plugin.module).context("failed to read an adapted module")?;
        Ok(Self {
            reference,
            digest: digest
                .context("`tidegate push` prints no digest")?
                .to_owned(),
            module: format!("{:x}", Sha256::digest(module)),
        })
    }
}
