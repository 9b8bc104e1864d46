//! The control plane: a registry, Kubernetes' store and API server, and istiod.
//!
//! There is no kubelet, and there are no controllers of Kubernetes, which are not needed. `proxies` contains what they would start.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::parts::{self, Parts};
use super::process::Process;
use xtask::{http, shell};

/// The address of the registry, which `tests/mesh/registry.yaml` also contains.
pub const REGISTRY: &str = "127.0.0.1:5000";

const ETCD: &str = "http://127.0.0.1:2379";
const API: &str = "https://127.0.0.1:6443";
const TOKEN: &str = "admin-token";

/// Long enough for a busy machine. The first start takes five seconds.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// A running control plane that is ready for workloads.
pub struct ControlPlane {
    /// The address of the API server on loopback, without TLS and with administrator rights.
    pub api: SocketAddr,
    /// The directory of its files.
    run: PathBuf,
    kubectl: PathBuf,
}

impl ControlPlane {
    /// Starts all processes and waits until they are ready.
    pub fn start(parts: &Parts) -> Result<ControlPlane> {
        let plane = ControlPlane {
            api: SocketAddr::from(([127, 0, 0, 1], 8001)),
            run: parts.run(),
            kubectl: parts.bin.join("kubectl"),
        };
        plane.start_registry(parts)?;
        plane.start_api(parts)?;
        plane.start_istiod(parts)?;
        Ok(plane)
    }

    /// Runs `kubectl` as administrator.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        shell::read(self.environment(Command::new(&self.kubectl).args(arguments)))
    }

    /// Sets the variables with which `kubectl` connects to this API server.
    pub fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("KUBECONFIG", self.run.join("kubeconfig"))
            .env("KUBECACHEDIR", self.run.join("kubectl"))
    }

    fn start_registry(&self, parts: &Parts) -> Result<()> {
        let mut registry = Process::start(
            "registry",
            Command::new("docker-registry")
                .arg("serve")
                .arg(parts.configuration.join("registry.yaml"))
                .env(
                    "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY",
                    self.run.join("registry"),
                ),
            &parts.logs(),
        )?;
        registry.ready(READY_WITHIN, || answers(REGISTRY, "/v2/"))?;
        Ok(())
    }

    /// Starts etcd and the API server, and creates Istio's CRDs and its webhook configuration.
    fn start_api(&self, parts: &Parts) -> Result<()> {
        let peer = "http://127.0.0.1:2380";
        Process::start(
            "etcd",
            Command::new(parts.bin.join("etcd"))
                .arg("--data-dir")
                .arg(self.run.join("etcd"))
                .args(["--unsafe-no-fsync", "--log-level=error"])
                .args([
                    "--listen-client-urls",
                    ETCD,
                    "--advertise-client-urls",
                    ETCD,
                ])
                .args([
                    "--listen-peer-urls",
                    peer,
                    "--initial-advertise-peer-urls",
                    peer,
                ])
                .args(["--initial-cluster", &format!("default={peer}")]),
            &parts.logs(),
        )?;

        let key = self.run.join("service-accounts.key");
        shell::read(
            Command::new("openssl")
                .args(["genrsa", "-out"])
                .arg(&key)
                .arg("2048"),
        )?;
        let tokens = self.run.join("tokens.csv");
        parts::write(&tokens, format!("{TOKEN},admin,admin,system:masters\n"))?;
        parts::write(&self.run.join("kubeconfig"), kubeconfig())?;
        let file = |flag: &str, path: &PathBuf| format!("--{flag}={}", path.display());
        let mut api = Process::start(
            "kube-apiserver",
            Command::new(parts.bin.join("kube-apiserver"))
                .arg(format!("--etcd-servers={ETCD}"))
                .args([
                    "--bind-address=127.0.0.1",
                    "--advertise-address=127.0.0.1",
                    "--secure-port=6443",
                ])
                .args([
                    "--service-cluster-ip-range=10.96.0.0/16",
                    "--endpoint-reconciler-type=none",
                ])
                .args([
                    "--authorization-mode=RBAC",
                    "--disable-admission-plugins=ServiceAccount",
                ])
                .arg("--service-account-issuer=https://kubernetes.default.svc")
                .arg("--api-audiences=istio-ca,https://kubernetes.default.svc")
                .arg(file("service-account-key-file", &key))
                .arg(file("service-account-signing-key-file", &key))
                .arg(file("token-auth-file", &tokens))
                .arg(file("cert-dir", &self.run.join("certificates"))),
            &parts.logs(),
        )?;
        api.ready(READY_WITHIN, || self.kubectl(&["get", "--raw", "/readyz"]))?;
        api.ready(READY_WITHIN, || {
            self.kubectl(&["get", "namespace", "default"])
        })?;

        for namespace in ["istio-system", "demo"] {
            self.kubectl(&["create", "namespace", namespace])?;
        }
        let crds = parts.crds.to_string_lossy();
        self.kubectl(&["apply", "--server-side", "-f", &crds])?;
        self.kubectl(&[
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=60s",
        ])?;
        self.apply(parts, "webhook.yaml")?;

        let port = self.api.port().to_string();
        let mut proxy = Process::start(
            "kubectl-proxy",
            self.environment(Command::new(&self.kubectl).args(["proxy", "--port", &port])),
            &parts.logs(),
        )?;
        proxy.ready(READY_WITHIN, || answers(&self.api.to_string(), "/readyz"))?;
        Ok(())
    }

    fn start_istiod(&self, parts: &Parts) -> Result<()> {
        let home = self.run.join("istiod");
        fs::create_dir_all(&home)
            .with_context(|| format!("failed to create {}", home.display()))?;
        let mut istiod = Process::start(
            "istiod",
            Command::new(parts.bin.join("pilot-discovery"))
                .current_dir(&home)
                .env_clear()
                .env("HOME", &home)
                .envs([
                    ("POD_NAMESPACE", "istio-system"),
                    ("POD_NAME", "istiod-1"),
                    ("CLUSTER_ID", "Kubernetes"),
                    ("REVISION", "default"),
                    // Only Istio's own build of Envoy contains these filters.
                    ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
                    ("PILOT_ENABLE_ALPN_FILTER", "false"),
                ])
                .args([
                    "discovery",
                    "--registries=Kubernetes",
                    "--networksConfig=/nonexistent",
                ])
                .arg(format!(
                    "--kubeconfig={}",
                    self.run.join("kubeconfig").display()
                ))
                .arg(format!(
                    "--meshConfig={}",
                    parts.configuration.join("mesh.yaml").display()
                ))
                .args([
                    "--grpcAddr=127.0.0.1:15010",
                    "--secureGRPCAddr=127.0.0.1:15012",
                ])
                .args(["--httpAddr=127.0.0.1:8080", "--httpsAddr=127.0.0.1:15017"])
                .args([
                    "--monitoringAddr=127.0.0.1:15014",
                    "--ctrlz_address=127.0.0.1",
                ]),
            &parts.logs(),
        )?;
        istiod.ready(READY_WITHIN, || answers("127.0.0.1:8080", "/ready"))?;
        let webhook = [
            "get",
            "validatingwebhookconfiguration",
            "istio-validator-istio-system",
            "-o",
            "jsonpath={.webhooks[0].failurePolicy}",
        ];
        istiod.ready(READY_WITHIN, || {
            let policy = self.kubectl(&webhook)?;
            ensure!(
                policy == "Fail",
                "istiod's webhook has failurePolicy `{policy}`"
            );
            Ok(())
        })?;
        istiod.ready(READY_WITHIN, || {
            self.kubectl(&["-n", "demo", "get", "configmap", "istio-ca-root-cert"])
        })?;
        self.apply(parts, "workloads.yaml")
    }

    /// Applies a file from `tests/mesh`.
    fn apply(&self, parts: &Parts, file: &str) -> Result<()> {
        let path = parts.configuration.join(file);
        self.kubectl(&["apply", "-f", &path.to_string_lossy()])?;
        Ok(())
    }
}

/// Returns an error unless a server responds with 200.
pub fn answers(address: &str, path: &str) -> Result<()> {
    let status = http::get(address.parse().context("invalid address")?, path)?.status;
    ensure!(
        status == 200,
        "http://{address}{path} responded with {status}"
    );
    Ok(())
}

/// TLS verification is disabled, because the API server generates its own certificate for loopback.
fn kubeconfig() -> String {
    format!(
        "\
apiVersion: v1
kind: Config
current-context: mesh
contexts: [{{ name: mesh, context: {{ cluster: mesh, user: admin }} }}]
clusters: [{{ name: mesh, cluster: {{ server: \"{API}\", insecure-skip-tls-verify: true }} }}]
users: [{{ name: admin, user: {{ token: {TOKEN} }} }}]
"
    )
}
