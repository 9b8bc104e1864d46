//! The workloads: Istio's agent with Envoy, as a gateway and as a sidecar, and the application.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::control_plane::{ControlPlane, answers};
use super::parts::{self, Parts};
use super::process::Process;
use xtask::http;

const READY_WITHIN: Duration = Duration::from_secs(60);

/// A workload and its addresses.
pub struct Workload {
    /// The name of the service account and of the log.
    pub name: &'static str,
    /// The role, as Istio's agent names it.
    role: &'static str,
    /// The labels as JSON.
    labels: &'static str,
    /// The address at which the proxy listens, by which istiod identifies it.
    pub address: SocketAddr,
    /// The port of the admin interface. The agent uses the ports that follow it.
    admin: u16,
}

/// The gateway, through which requests enter the mesh.
pub const GATEWAY: Workload = Workload {
    name: "gateway",
    role: "router",
    labels: r#"{"app":"gateway","istio":"ingressgateway"}"#,
    address: address(11, 8080),
    admin: 15000,
};

/// The sidecar of the application.
pub const SIDECAR: Workload = Workload {
    name: "httpbin",
    role: "sidecar",
    labels: r#"{"app":"httpbin"}"#,
    address: address(12, 8080),
    admin: 15100,
};

/// The address of the application, as in `tests/mesh/workloads.yaml`.
const APPLICATION: SocketAddr = address(1, 9000);

/// A running agent and its Envoy.
pub struct Proxy {
    workload: &'static Workload,
    agent: Process,
}

/// Starts the application, which responds to every request with 200.
pub fn start_application() -> Result<()> {
    let listener = TcpListener::bind(APPLICATION)
        .with_context(|| format!("failed to listen on {APPLICATION}"))?;
    // The thread ends with the program.
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || serve(connection));
        }
    });
    Ok(())
}

/// Responds to requests without a body, until the proxy closes the connection.
fn serve(mut connection: TcpStream) -> Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        if line == "\r\n" {
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello\n")?;
        }
        line.clear();
    }
    Ok(())
}

const fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::new(
        std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, host)),
        port,
    )
}

// === impl Proxy ===

impl Proxy {
    /// Starts the agent, which starts Envoy, and waits until Envoy is ready.
    pub fn start(
        workload: &'static Workload,
        parts: &Parts,
        plane: &ControlPlane,
    ) -> Result<Proxy> {
        let home = parts.run().join(workload.name);
        prepare(workload, &home, plane)?;
        let mut agent = Process::start(
            workload.name,
            &mut command(workload, &home, parts),
            &parts.logs(),
        )?;
        let health = format!("127.0.0.1:{}", workload.admin + 21);
        agent.ready(READY_WITHIN, || answers(&health, "/healthz/ready"))?;
        Ok(Proxy { workload, agent })
    }

    /// Stops Envoy, and with it the agent.
    pub fn stop(&mut self) -> Result<()> {
        let admin = address(1, self.workload.admin);
        let quit =
            format!("POST /quitquitquit HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
        let answer = http::send(admin, &quit)?;
        ensure!(
            answer.status == 200,
            "Envoy failed to quit: {}",
            answer.body
        );
        self.agent.ended(READY_WITHIN)
    }

    /// Returns the plugin configurations that Envoy has received, as JSON.
    pub fn plugins(&self) -> Result<String> {
        let admin = address(1, self.workload.admin);
        let answer = http::get(admin, "/config_dump?resource=ecds_filters")?;
        Ok(answer.body)
    }

    /// The value of a counter that a plugin defined. 0 if there is none.
    pub fn counter(&self, name: &str) -> Result<u64> {
        let admin = address(1, self.workload.admin);
        let answer = http::get(admin, &format!("/stats?filter=^wasmcustom.{name}$"))?;
        let line = answer.body.lines().find_map(|line| line.rsplit_once(": "));
        match line {
            Some((_, value)) => {
                let value = value.trim();
                value.parse().with_context(|| format!("{name}: `{value}`"))
            }
            None => Ok(0),
        }
    }

    /// Returns the log of the agent and Envoy so far.
    pub fn log(&self) -> Result<String> {
        self.agent.log()
    }
}

/// Writes the files that Kubernetes would mount: a token that istiod's certificate authority accepts, and its root certificate.
fn prepare(workload: &Workload, home: &Path, plane: &ControlPlane) -> Result<()> {
    let secrets = home.join("var/run/secrets");
    for folder in ["tokens", "istio"] {
        let folder = secrets.join(folder);
        fs::create_dir_all(&folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
    }
    // The service account exists if the proxy is being restarted.
    if plane
        .kubectl(&["-n", "demo", "get", "serviceaccount", workload.name])
        .is_err()
    {
        plane.kubectl(&["-n", "demo", "create", "serviceaccount", workload.name])?;
    }
    let token = plane.kubectl(&[
        "-n",
        "demo",
        "create",
        "token",
        workload.name,
        "--audience=istio-ca",
        "--duration=24h",
    ])?;
    parts::write(&secrets.join("tokens/istio-token"), token)?;
    let root = plane.kubectl(&[
        "-n",
        "demo",
        "get",
        "configmap",
        "istio-ca-root-cert",
        "-o",
        r"jsonpath={.data.root-cert\.pem}",
    ])?;
    parts::write(&secrets.join("istio/root-cert.pem"), root)
}

/// Returns the command that starts the agent as in a pod. Its files are in the working directory, except for those in
/// `/var/lib/istio/data`, a constant path where the agent stores modules. That directory is empty at each start.
fn command(workload: &Workload, home: &Path, parts: &Parts) -> Command {
    let Workload {
        name,
        role,
        labels,
        address,
        admin,
    } = workload;
    let mut command = Command::new("unshare");
    command
        .current_dir(home)
        .args(["--mount", "--", "bash", "-c"])
        .arg("mount -t tmpfs tmpfs /var/lib && mkdir -p /var/lib/istio/data && exec \"$0\" \"$@\"")
        .arg(parts.bin.join("pilot-agent"))
        .args(["proxy", role, "--meshConfig=/nonexistent"])
        .args([
            "--proxyLogLevel=warning,wasm:info",
            "--log_output_level=default:info,wasm:debug",
        ])
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .env("HOME", home)
        .env("DOCKER_CONFIG", home)
        .envs([
            ("POD_NAMESPACE", "demo"),
            ("TRUST_DOMAIN", "cluster.local"),
            ("ISTIOD_SAN", "istiod.istio-system.svc"),
            ("ISTIO_META_CLUSTER_ID", "Kubernetes"),
            ("ISTIO_META_INTERCEPTION_MODE", "NONE"),
        ])
        .env("POD_NAME", format!("{name}-1"))
        .env("SERVICE_ACCOUNT", name)
        .env("ISTIO_META_WORKLOAD_NAME", name)
        .env("ISTIO_METAJSON_LABELS", labels)
        .env("INSTANCE_IP", address.ip().to_string())
        .env("ENVOY_STATUS_PORT", (admin + 21).to_string())
        .env("ENVOY_PROMETHEUS_PORT", (admin + 90).to_string())
        .env(
            "PROXY_CONFIG",
            // One worker, because the tutorial's plugin counts requests per worker.
            format!(
                "\
binaryPath: {envoy}
configPath: ./etc/istio/proxy
proxyBootstrapTemplatePath: {bootstrap}
discoveryAddress: 127.0.0.1:15012
statusPort: {status}
proxyAdminPort: {admin}
concurrency: 1
",
                envoy = parts.envoy.display(),
                bootstrap = parts.bootstrap.display(),
                status = admin + 20,
            ),
        );
    command
}
