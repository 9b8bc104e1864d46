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

/// Where the registry listens; `tests/mesh/registry.yaml` says the same.
pub const REGISTRY: &str = "127.0.0.1:5000";

const ETCD: &str = "http://127.0.0.1:2379";
const API: &str = "https://127.0.0.1:6443";
const TOKEN: &str = "admin-token";

/// Enough on a busy machine: a first start takes five seconds.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Running, and ready for workloads.
pub struct ControlPlane {
    /// The API server on loopback without TLS and with an administrator's rights.
    pub api: SocketAddr,
    /// Where its files are.
    run: PathBuf,
    kubectl: PathBuf,
}

impl ControlPlane {
    /// Starts everything and waits for it.
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

    /// `kubectl`, as the administrator.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        shell::read(self.environment(Command::new(&self.kubectl).args(arguments)))
    }

    /// What makes `kubectl` speak to this API server.
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

    /// etcd, the API server, Istio's resource definitions and where its webhook is.
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
        fs::create_dir_all(&home).with_context(|| format!("failed to make {}", home.display()))?;
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
                    // These filters are in Istio's own build of Envoy only.
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

    /// Applies a file of `tests/mesh`.
    fn apply(&self, parts: &Parts, file: &str) -> Result<()> {
        let path = parts.configuration.join(file);
        self.kubectl(&["apply", "-f", &path.to_string_lossy()])?;
        Ok(())
    }
}

/// Asks a server that answers 200 when it is ready.
pub fn answers(address: &str, path: &str) -> Result<()> {
    let status = http::get(address.parse().context("an address")?, path)?.status;
    ensure!(status == 200, "http://{address}{path} answers {status}");
    Ok(())
}

/// The certificate is one that the API server has just made for itself, on loopback.
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
