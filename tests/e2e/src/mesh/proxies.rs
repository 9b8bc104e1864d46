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

/// What a proxy is called, and where it is.
pub struct Workload {
    /// Its service account, and its log.
    pub name: &'static str,
    /// As Istio's agent calls it.
    role: &'static str,
    /// As JSON.
    labels: &'static str,
    /// Which address istiod knows it by, and where it listens.
    pub address: SocketAddr,
    /// The admin interface; the agent's other ports follow it.
    admin: u16,
}

/// In front of the mesh.
pub const GATEWAY: Workload = Workload {
    name: "gateway",
    role: "router",
    labels: r#"{"app":"gateway","istio":"ingressgateway"}"#,
    address: address(11, 8080),
    admin: 15000,
};

/// In front of the application.
pub const SIDECAR: Workload = Workload {
    name: "httpbin",
    role: "sidecar",
    labels: r#"{"app":"httpbin"}"#,
    address: address(12, 8080),
    admin: 15100,
};

/// Where `tests/mesh/workloads.yaml` expects the application.
const APPLICATION: SocketAddr = address(1, 9000);

/// An agent and its Envoy.
pub struct Proxy {
    workload: &'static Workload,
    agent: Process,
}

/// Answers every request with 200.
pub fn start_application() -> Result<()> {
    let listener = TcpListener::bind(APPLICATION)
        .with_context(|| format!("failed to listen on {APPLICATION}"))?;
    // It ends with the program.
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || serve(connection));
        }
    });
    Ok(())
}

/// Requests without a body, until the proxy closes the connection.
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
    /// Starts the agent, which starts Envoy, and waits until it is ready.
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

    /// Ends Envoy; the agent ends after it.
    pub fn stop(&mut self) -> Result<()> {
        let admin = address(1, self.workload.admin);
        let quit =
            format!("POST /quitquitquit HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
        let answer = http::send(admin, &quit)?;
        ensure!(answer.status == 200, "Envoy will not quit: {}", answer.body);
        self.agent.ended(READY_WITHIN)
    }

    /// What Envoy has been given for plugins, as JSON.
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

    /// What agent and Envoy have written so far.
    pub fn log(&self) -> Result<String> {
        self.agent.log()
    }
}

/// What Kubernetes would mount: a token that istiod's certificate authority takes, and its root certificate.
fn prepare(workload: &Workload, home: &Path, plane: &ControlPlane) -> Result<()> {
    let secrets = home.join("var/run/secrets");
    for folder in ["tokens", "istio"] {
        let folder = secrets.join(folder);
        fs::create_dir_all(&folder)
            .with_context(|| format!("failed to make {}", folder.display()))?;
    }
    // There already, when a proxy is started again.
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

/// The agent as in a pod: its working directory is the root of its files, but for the constant `/var/lib/istio/data`, where it
/// keeps modules and which is new with each start.
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
            // One worker, since the tutorial counts requests in each.
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
