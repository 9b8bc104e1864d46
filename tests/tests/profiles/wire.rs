//! Envoy with the configuration of a profile, a client and an upstream that exchange raw bytes with it, and the outcomes in text.
//!
//! The upstream responds with the head of the request that it has received, and with `server: upstream` if the path is `/server`. Envoy adds
//! two fields to requests: `x-scheme` with `:scheme`, and `x-source` with the address of the client as plugins see it.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tidegate_deploy::envoy::{self, Bootstrap, Upstream};
use tidegate_host::proxy::profile::Profile;
use tidegate_testkit::envoy::{NoWheel, Release};
use tidegate_testkit::runtimes::envoy::Listeners;

/// The timeout for everything that is expected to happen. Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The fields of a response that are compared.
const COMPARED: [&str; 4] = ["connection", "grpc-status", "location", "server"];

/// A running Envoy. Dropping it ends the process.
pub struct Envoy {
    address: SocketAddr,
    _listeners: Listeners,
}

/// The head of a message: the start line, and the fields in order.
pub struct Head {
    /// The request line or the status line.
    pub start: String,
    /// The names and values of the fields.
    pub fields: Vec<(String, String)>,
}

// === impl Envoy ===

impl Envoy {
    /// Starts Envoy, or returns why there is none.
    pub fn start(release: Release, profile: Profile) -> Result<Result<Self, NoWheel>> {
        let binary = match tidegate_tests::envoy(release)? {
            Ok(binary) => binary,
            Err(no_wheel) => return Ok(Err(no_wheel)),
        };
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let upstream = upstream()?;
        let upstream = Upstream::new(upstream.ip().to_string(), upstream.port());
        let mut bootstrap = Bootstrap::new(any_port, upstream);
        bootstrap.admin = Some(any_port);
        bootstrap.profile = match profile {
            Profile::Envoy => envoy::Profile::Envoy,
            Profile::Istio => envoy::Profile::Istio,
            Profile::EnvoyGateway => envoy::Profile::EnvoyGateway,
        };
        let mut bootstrap = bootstrap.to_json();
        let listener = &mut bootstrap["static_resources"]["listeners"][0];
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        let shown = |name: &str, value: &str| json!({ "header": { "key": name, "value": value } });
        manager["route_config"]["request_headers_to_add"] = json!([
            shown("x-scheme", "%REQ(:scheme)%"),
            shown("x-source", "%DOWNSTREAM_REMOTE_ADDRESS%"),
        ]);
        let listeners = Listeners::start(&binary, &bootstrap)?;
        Ok(Ok(Self {
            address: listeners.address("listener")?,
            _listeners: listeners,
        }))
    }

    /// Sends a request with this target. Returns the path that the upstream receives, or the status and the location.
    pub fn path(&self, target: &str) -> Result<String> {
        let request = format!("GET {target} HTTP/1.1\r\nhost: a.test\r\n\r\n");
        let (_, response, body) = self.send(&request)?;
        Ok(match (response.status(), response.value("location")) {
            ("200", _) => Head::parse(&body)?.target().to_owned(),
            (status, Some(location)) => format!("{status} {location}"),
            (status, None) => status.to_owned(),
        })
    }

    /// Sends a request. Returns the fields that the upstream and the client receive.
    pub fn fields(&self, request: &str) -> Result<String> {
        let (client, response, body) = self.send(request)?;
        let mut text = String::new();
        if response.status() == "200" && !body.is_empty() {
            let mut received = Head::parse(&body)?;
            let scheme = received.take("x-scheme").context("no x-scheme")?;
            let source = received.take("x-source").context("no x-source")?;
            received.take("host").context("no host")?;
            let source = match source == client.to_string() {
                true => "peer".to_owned(),
                false => source,
            };
            text += &accepted(request, &received.fields, &scheme, &source)?;
        }
        text += &answered(response.status(), &response.fields)?;
        Ok(text)
    }

    /// Sends a request. Returns the client's address, the head of the response and the body.
    fn send(&self, request: &str) -> Result<(SocketAddr, Head, String)> {
        let mut stream = TcpStream::connect(self.address).context("cannot connect to Envoy")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut received = String::new();
        let mut chunk = [0; 4096];
        loop {
            let read = stream.read(&mut chunk).context("no response")?;
            ensure!(
                read > 0,
                "the response to {request:?} is incomplete: {received:?}"
            );
            received += std::str::from_utf8(&chunk[..read])?;
            let Some((head, body)) = received.split_once("\r\n\r\n") else {
                continue;
            };
            let head = Head::parse(head)?;
            let length: usize = head.value("content-length").unwrap_or("0").parse()?;
            if body.len() >= length {
                let body = body.to_owned();
                return Ok((stream.local_addr()?, head, body));
            }
        }
    }
}

/// Returns the lines for a request that is passed on.
pub fn accepted(
    request: &str,
    fields: &[(String, String)],
    scheme: &str,
    source: &str,
) -> Result<String> {
    let mut text = String::new();
    for (name, value) in fields {
        let value = match name.as_str() {
            "x-request-id" if !request.contains(value) => "(generated)",
            _ => value,
        };
        // The last address is that of the peer. If this is a local address, Envoy appends the address of the machine.
        let appended = value.rsplit_once(',').map_or(("", value), |it| it);
        match (name.as_str(), request.contains(appended.1)) {
            ("x-forwarded-for", false) if appended.0.is_empty() => {
                writeln!(text, "> {name}: (peer)")?;
            }
            ("x-forwarded-for", false) => writeln!(text, "> {name}: {},(peer)", appended.0)?,
            _ => writeln!(text, "> {name}: {value}")?,
        }
    }
    writeln!(text, "> :scheme: {scheme}\n> source: {source}")?;
    Ok(text)
}

/// Returns the lines for a response.
pub fn answered(status: &str, fields: &[(String, String)]) -> Result<String> {
    let mut text = format!("< {status}\n");
    let mut compared: Vec<_> = fields
        .iter()
        .filter(|(name, _)| COMPARED.contains(&name.as_str()))
        .collect();
    compared.sort();
    for (name, value) in compared {
        writeln!(text, "< {name}: {value}")?;
    }
    Ok(text)
}

// === impl Head ===

impl Head {
    /// Parses a head without its end.
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = text.trim_end().split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let field = |line: &str| -> Result<_> {
            let (name, value) = line.split_once(':').context("a line without a colon")?;
            Ok((name.to_lowercase(), value.trim().to_owned()))
        };
        let fields = lines.map(field).collect::<Result<_>>()?;
        Ok(Self { start, fields })
    }

    /// Returns the second word of the start line: the target of a request, or the status of a response.
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    fn status(&self) -> &str {
        self.target()
    }

    fn value(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(it, _)| it == name);
        field.map(|(_, value)| value.as_str())
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let number = self.fields.iter().position(|(it, _)| it == name)?;
        Some(self.fields.remove(number).1)
    }
}

/// Starts the upstream on threads that end with the process.
fn upstream() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // The error is that of the connection, which Envoy reports to the client.
            std::thread::spawn(move || drop(serve(stream)));
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream) -> Result<()> {
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        received.extend_from_slice(&chunk[..read]);
        // There are no bodies.
        if !received.ends_with(b"\r\n\r\n") {
            continue;
        }
        let server = match received.starts_with(b"GET /server ") {
            true => "server: upstream\r\n",
            false => "",
        };
        let length = received.len();
        let head = format!("HTTP/1.1 200 OK\r\n{server}content-length: {length}\r\n\r\n");
        // With two writes, the second one would wait for an acknowledgment.
        stream.write_all(&[head.as_bytes(), &received].concat())?;
        received.clear();
    }
}
