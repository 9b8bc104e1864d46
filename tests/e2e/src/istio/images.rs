//! Images: the agent accepts what `tidegate push` pushes, and `tidegate check` agrees with the agent and Envoy about any image.
//!
//! All images are in a real registry. Istio's own fetcher must get exactly the module that was pushed. Images in all known layouts of other
//! tools are checked by both sides, and the verdicts are compared.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sha2::{Digest as _, Sha256};

use super::judge::{Fetch, Fetched, Judge};
use super::registry::{PASSWORD, Registry, USER};
use super::tidegate::Tidegate;
use super::{Plugin, Report, Setup};
use xtask::shell;

/// The layouts that `push` supports.
const LAYOUTS: [&str; 3] = ["compat", "docker", "artifact"];

/// Authentication realms of registries, and whether the agent accepts them. With Basic authentication, no client contacts the realm.
const REALMS: [(&str, bool); 9] = [
    (REALM, true),
    ("http://registry.example.com", true),
    ("Registry", false),
    ("ftp://registry.example.com", false),
    ("https:///token", false),
    ("https://localhost/token", false),
    ("http://127.0.0.1:5000/token", false),
    ("https://10.1.2.3/token", false),
    ("https://metadata.google.internal/token", false),
];
const REALM: &str = "https://registry.example.com/token";

/// Pushes, fetches and compares all images.
pub fn compare(setup: &mut Setup) -> Result<Report> {
    let scratch = setup.scratch.path();
    let Some(registry) = Registry::start(&scratch.join("registry"), None)? else {
        shell::say(
            "SKIPPED: images: no `docker-registry` on PATH; install it (Debian's package has that name)",
        );
        return Ok(Report {
            compared: "no images".to_owned(),
            differences: Vec::new(),
        });
    };
    let plugin = &setup.tutorial;
    let module = fs::read(&plugin.module).context("failed to read the adapted module")?;
    let mut images = Images {
        judge: &mut setup.judge,
        tidegate: &setup.tidegate,
        plugin,
        scratch,
        module: hex(&module),
        compared: 0,
        differences: Vec::new(),
    };
    for layout in LAYOUTS {
        images.ours(&registry, layout)?;
    }
    images.component(&registry)?;
    images.others(&registry)?;
    drop(registry);
    images.credentials()?;
    for (realm, public) in REALMS {
        images.realm(realm, public)?;
    }
    Ok(Report {
        compared: format!("{} verdicts on images", images.compared),
        differences: images.differences,
    })
}

struct Images<'a> {
    judge: &'a mut Judge,
    tidegate: &'a Tidegate,
    plugin: &'a Plugin,
    scratch: &'a Path,
    /// The SHA-256 digest of the module that Envoy must run.
    module: String,
    compared: usize,
    differences: Vec<String>,
}

impl Images<'_> {
    /// Tests an image in one of `push`'s layouts. It can be fetched by tag, by digest, and with the checksum that `push` prints, but not
    /// with any other checksum.
    fn ours(&mut self, registry: &Registry, layout: &str) -> Result<()> {
        let repository = format!("oci://{}/tidegate/{layout}", registry.address);
        let tagged = format!("{repository}:v1");
        let digest = self.push(&self.plugin.component, &[&tagged, "--layout", layout])?;
        let again = self.push(&self.plugin.component, &[&tagged, "--layout", layout])?;
        ensure!(
            digest == again,
            "the same component was pushed with two digests, {digest} and {again}"
        );
        let pinned = format!("{repository}@sha256:{digest}");
        // The format that `push` prints.
        let both = format!("{tagged}@sha256:{digest}");
        let name = format!("pushed with --layout {layout}");
        for url in [&tagged, &pinned, &both] {
            self.both(&name, url, "", true, true)?;
            self.both(&name, url, &digest, true, true)?;
        }
        let latest = format!("{repository}:latest");
        self.push(&self.plugin.component, &[&latest, "--layout", layout])?;
        self.both(&name, &repository, "", true, true)?;
        let module = self.module.clone();
        let nothing = "0".repeat(64);
        for sha256 in [&module, &nothing] {
            self.both(&name, &tagged, sha256, false, false)?;
        }
        let absent = format!("{repository}@sha256:{nothing}");
        self.both("a digest that was not pushed", &absent, "", false, false)?;
        self.both(
            "a tag that was not pushed",
            &format!("{repository}:v2"),
            "",
            false,
            false,
        )?;
        self.pull(&name, &tagged)?;
        // An adapted module is pushed unchanged.
        let adapted = format!("{repository}:adapted");
        self.push(&self.plugin.module, &[&adapted, "--layout", layout])?;
        self.both(&name, &adapted, "", true, true)
    }

    /// The component that is pushed next to its module is intended for other tools, and the agent rejects it.
    fn component(&mut self, registry: &Registry) -> Result<()> {
        let tagged = format!("oci://{}/tidegate/both:v1", registry.address);
        self.push(&self.plugin.component, &[&tagged, "--with-component"])?;
        self.both("pushed with --with-component", &tagged, "", true, true)?;
        let component = format!("{tagged}-component");
        self.both(
            "the component that was pushed next to it",
            &component,
            "",
            false,
            false,
        )
    }

    /// Tests images as other tools push them. An index can be fetched by its tag, but never by its own digest.
    fn others(&mut self, registry: &Registry) -> Result<()> {
        let images = self.judge.push(
            &registry.address,
            &self.plugin.module,
            &self.plugin.component,
        )?;
        ensure!(!images.is_empty(), "the judge pushed nothing");
        for image in images {
            let tagged = format!("oci://{}", image.reference);
            self.both(&image.name, &tagged, "", image.agent, image.envoy)?;
            let (repository, _) = tagged
                .rsplit_once(':')
                .context("the reference has no tag")?;
            let pinned = format!("{repository}@{}", image.digest);
            let Some(child) = &image.child else {
                self.both(&image.name, &pinned, "", image.agent, image.envoy)?;
                continue;
            };
            let name = format!("{}, by digest", image.name);
            let of_child = format!("{repository}@{child}");
            // Fetched directly, the manifest is not checked for its platform.
            self.both(&name, &of_child, "", true, true)?;
            self.both(&name, &pinned, "", false, false)?;
            self.both(&name, &tagged, bare(child), image.agent, image.envoy)?;
            self.both(&name, &tagged, bare(&image.digest), false, false)?;
        }
        Ok(())
    }

    /// Tests a registry that requires credentials. The agent reads them from a pull secret, Tidegate from options or from Docker's
    /// configuration file.
    fn credentials(&mut self) -> Result<()> {
        let folder = self.scratch.join("closed-registry");
        let registry =
            Registry::start(&folder, Some(REALM))?.context("docker-registry is not installed")?;
        for layout in LAYOUTS {
            let output = folder.join(format!("{layout}.wasm"));
            self.credentials_of(&registry, layout, &output.to_string_lossy())
                .with_context(|| format!("layout {layout}"))?;
        }
        Ok(())
    }

    fn credentials_of(&mut self, registry: &Registry, layout: &str, output: &str) -> Result<()> {
        let tagged = format!("oci://{}/closed/{layout}:v1", registry.address);
        let component = self.plugin.component.to_string_lossy();

        let push = ["push", &component, &tagged, "--layout", layout];
        for (what, who, accepted) in [
            ("without credentials", None, false),
            ("with a wrong password", Some((USER, "tide-out")), false),
            ("with credentials", Some((USER, PASSWORD)), true),
        ] {
            let ours = self.tidegate.run_as(&push, who)?;
            self.expect(
                &format!("push --layout {layout} {what}"),
                ours.succeeded,
                accepted,
                &ours.stderr,
            );
        }
        for (what, who, accepted) in [
            ("without credentials", None, false),
            ("with a wrong password", Some((USER, "tide-out")), false),
            ("as another user", Some(("pilot", PASSWORD)), false),
            ("with credentials", Some((USER, PASSWORD)), true),
        ] {
            let secret = secret(&registry.address, who);
            let agent = self.judge.fetch(&Fetch {
                url: &tagged,
                pull_secret: who.is_some().then_some(secret.as_str()),
                ..Fetch::default()
            })?;
            self.expect(
                &format!("the agent's fetch of layout {layout} {what}"),
                agent.refusal.is_empty(),
                accepted,
                &agent.refusal,
            );
            let pull = ["pull", &tagged, "-o", output];
            let check = ["check", &tagged];
            for command in [&pull[..], &check[..]] {
                let name = command[0];
                let by_options = self.tidegate.run_as(command, who)?;
                self.expect(
                    &format!("{name} of layout {layout} {what}"),
                    by_options.succeeded,
                    accepted,
                    &by_options.stderr,
                );
                let by_file = self.tidegate.run_with_docker_config(command, &secret)?;
                self.expect(
                    &format!("{name} of layout {layout} {what} in docker's file"),
                    by_file.succeeded,
                    accepted,
                    &by_file.stderr,
                );
            }
        }
        Ok(())
    }

    /// Tests a registry with the given realm. The agent rejects some realms, regardless of the credentials.
    fn realm(&mut self, realm: &str, accepted: bool) -> Result<()> {
        let folder =
            tempfile::tempdir_in(self.scratch).context("failed to create a temporary directory")?;
        let registry = Registry::start(folder.path(), Some(realm))?
            .context("docker-registry is not installed")?;
        let tagged = format!("oci://{}/plugin:v1", registry.address);
        let who = Some((USER, PASSWORD));
        let module = self.plugin.module.to_string_lossy();
        let pushed = self.tidegate.run_as(&["push", &module, &tagged], who)?;
        self.expect(
            &format!("push with realm {realm}"),
            pushed.succeeded,
            true,
            &pushed.stderr,
        );
        let agent = self.judge.fetch(&Fetch {
            url: &tagged,
            pull_secret: Some(&secret(&registry.address, who)),
            ..Fetch::default()
        })?;
        self.expect(
            &format!("the agent's fetch with realm {realm}"),
            agent.refusal.is_empty(),
            accepted,
            &agent.refusal,
        );
        let ours = self.tidegate.run_as(&["check", &tagged], who)?;
        self.expect(
            &format!("check with realm {realm}"),
            ours.succeeded,
            accepted,
            &ours.stderr,
        );
        Ok(())
    }

    /// Runs `tidegate push` and returns the digest that it prints.
    fn push(&self, plugin: &Path, arguments: &[&str]) -> Result<String> {
        let mut command = self.tidegate.command();
        command.arg("push").arg(plugin).args(arguments);
        let pushed = self.tidegate.outcome(&mut command)?;
        ensure!(
            pushed.succeeded,
            "`tidegate push … {}` fails: {}",
            arguments.join(" "),
            pushed.stderr
        );
        pushed
            .stdout
            .split(|c: char| !c.is_ascii_hexdigit())
            .find(|word| word.len() == 64)
            .map(str::to_owned)
            .with_context(|| format!("`tidegate push` prints no digest: {}", pushed.stdout))
    }

    /// Checks that `tidegate pull` writes the module that Envoy would receive.
    fn pull(&mut self, name: &str, url: &str) -> Result<()> {
        let output = self.scratch.join("pulled.wasm");
        // Remove the file of the previous layout.
        _ = fs::remove_file(&output);
        let mut command = self.tidegate.command();
        command.args(["pull", url, "-o"]).arg(&output);
        let pulled = self.tidegate.outcome(&mut command)?;
        self.compared += 1;
        let found = fs::read(&output)
            .map(|module| hex(&module))
            .unwrap_or_default();
        if !pulled.succeeded || found != self.module {
            self.differences.push(format!(
                "`tidegate pull` of an image {name} does not write the module: {}",
                pulled.stderr
            ));
        }
        Ok(())
    }

    /// Compares both verdicts on one image with the expected ones. The expected verdict of the agent is based on Istio's source code; if it
    /// differs, Istio has changed.
    fn both(
        &mut self,
        name: &str,
        url: &str,
        sha256: &str,
        agent: bool,
        envoy: bool,
    ) -> Result<()> {
        let place = match sha256 {
            "" => format!("{name} ({url})"),
            some => format!("{name} ({url} with sha256 {some})"),
        };
        let Fetched {
            sha256: found,
            size,
            refusal,
        } = self.judge.fetch(&Fetch {
            url,
            sha256,
            ..Fetch::default()
        })?;
        self.expect(
            &format!("the agent's fetch of {place}"),
            refusal.is_empty(),
            agent,
            &refusal,
        );
        if agent && envoy && refusal.is_empty() && found != self.module {
            self.differences.push(format!(
                "{place}: the agent passes {size} bytes with the SHA-256 digest {found} to Envoy, expected {}",
                self.module
            ));
        }
        let mut arguments = vec!["check", url];
        if !sha256.is_empty() {
            arguments.extend(["--sha256", sha256]);
        }
        let ours = self.tidegate.run(&arguments)?;
        let said = format!("{} {}", ours.stdout.trim(), ours.stderr);
        self.expect(
            &format!("`tidegate check` of {place}"),
            ours.succeeded,
            envoy,
            &said,
        );
        Ok(())
    }

    fn expect(&mut self, what: &str, accepted: bool, expected: bool, said: &str) {
        self.compared += 1;
        if accepted == expected {
            return;
        }
        let outcome = if accepted { "accepted" } else { "refused" };
        self.differences
            .push(format!("{what} is unexpectedly {outcome}: {said}"));
    }
}

/// Returns the content of a `kubernetes.io/dockerconfigjson` secret, which has the format of Docker's configuration file.
fn secret(registry: &str, who: Option<(&str, &str)>) -> String {
    use base64::Engine as _;
    let auths = match who {
        Some((user, password)) => {
            let auth =
                base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            serde_json::json!({ registry: { "auth": auth } })
        }
        None => serde_json::json!({}),
    };
    serde_json::json!({ "auths": auths }).to_string()
}

/// Removes the prefix `sha256:`, which is valid only in references.
fn bare(digest: &str) -> &str {
    digest.trim_start_matches("sha256:")
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
