//! HTTP calls, timers and queues do not increase the memory of instances or the number of the proxy's file descriptors.
//!
//! Each case sends a few hundred requests. `cargo xtask soak events` sends many more, most of them with timers and queues, and adds plugins
//! in Go, JavaScript and Python. There is a single test, because file descriptors are counted for the whole process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tidegate_components::guests::{self, Shape};
use tidegate_components::languages::{self, Language};
use tidegate_components::{go, workspace};
use tidegate_host::{
    CircuitBreakers, Cluster, Clusters, Level, LogLine, LogSink, PluginSpec, Profile, Server,
    ServerConfig, SystemClock, Timeouts, Upstream,
};

/// The number of requests in one case. `cargo xtask soak events` sets a higher number in `TIDEGATE_EVENTS`.
const REQUESTS: usize = 400;

/// The ratio of requests with timers and queues to requests with HTTP calls, if the number of requests is not the default.
const EVENTS_PER_CALL: usize = 10;

/// The timeout for a response.
const PATIENCE: Duration = Duration::from_secs(60);

/// Prints errors, which are the cause of responses other than 200.
struct Errors;

impl LogSink for Errors {
    fn line(&self, line: &LogLine<'_>) {
        if line.level >= Level::Error {
            eprintln!("{}: {}", line.plugin, line.message);
        }
    }
}

/// A plugin and its configuration.
struct Case {
    name: String,
    module: Bytes,
    configuration: &'static str,
    requests: usize,
    /// The number of bytes that may remain allocated, in addition to a tenth of the memory.
    leak: u64,
}

/// How much more the greeter in Python may leak than the smallest plugin in Python, in percent. componentize-py 0.25 never releases
/// filters, and a filter with fields is larger than one without.
const LARGER_FILTER: u64 = 100;

const CALLS: &str =
    r#"{ "cluster": "service", "timeout-ms": 30000, "remember-ms": 0, "refresh-ms": 1 }"#;

/// Each request starts the timer, and adds a value to a queue, which the listener removes.
const EVENTS: &str = r#"{
    "configure": [{ "do": "shared-queues.queue.register", "name": "flat" }],
    "on-request-headers": [
        { "do": "timers.set-period", "by": 1 },
        { "do": "keep", "name": "last" },
        { "do": "shared-queues.queue.enqueue", "name": "flat", "data": "value" }
    ],
    "on-tick": [{ "do": "timers.set-period", "by": 0 }, { "do": "stream-control.resume", "of": "last" }],
    "on-queue-ready": [{ "do": "shared-queues.queue.dequeue", "name": "flat" }]
}"#;

const GREETER: &str = r#"{ "cluster": "service" }"#;

#[test]
fn events_leave_memory_and_descriptors_flat() -> Result<()> {
    let requests = match std::env::var("TIDEGATE_EVENTS") {
        Ok(requests) => requests
            .parse()
            .context("TIDEGATE_EVENTS is not a number")?,
        Err(_) => REQUESTS,
    };
    let streams = match requests {
        ..=REQUESTS => requests,
        _ => requests * EVENTS_PER_CALL,
    };
    let mut cases = Vec::new();
    for (guest, configuration, requests) in
        [("ext-auth", CALLS, requests), ("probe", EVENTS, streams)]
    {
        let built = guests::build(guest, Shape::Wasip2)?;
        for (engine, module) in [("component", built.component), ("module", built.module)] {
            cases.push(Case {
                name: format!("{guest}, {engine}"),
                module,
                configuration,
                requests,
                leak: 0,
            });
        }
    }
    if requests > REQUESTS {
        cases.extend(in_other_languages(requests)?);
    }
    for case in cases {
        is_flat(case)?;
    }
    Ok(())
}

/// Returns the cases for the greeter in other languages whose tools are installed.
fn in_other_languages(requests: usize) -> Result<Vec<Case>> {
    let case = |name: &str, module, leak| Case {
        name: name.to_owned(),
        module,
        configuration: GREETER,
        requests,
        leak,
    };
    let mut cases = Vec::new();
    if go::is_there() {
        let target = workspace::target().join("languages");
        let module = Bytes::from(go::build("greeter", &target)?);
        cases.push(case("Go", module, 0));
    }
    match languages::build(Language::JavaScript)? {
        Ok(module) => cases.push(case("JavaScript", module, 0)),
        Err(missing) => eprintln!("SKIPPED: JavaScript: {missing}"),
    }
    match (
        languages::build_bare_python()?,
        languages::build(Language::Python)?,
    ) {
        (Ok(bare), Ok(greeter)) => {
            let bare = Case {
                configuration: "",
                ..case("Python, the smallest plugin", bare, 0)
            };
            let leak = growth(bare)?.bytes();
            let leak = leak + leak * LARGER_FILTER / 100;
            cases.push(case("Python", greeter, leak));
        }
        (Err(missing), _) | (_, Err(missing)) => eprintln!("SKIPPED: Python: {missing}"),
    }
    Ok(cases)
}

/// The memory of an instance in bytes, and the number of this process's open file descriptors.
type Used = (u64, usize);

/// The usage after three quarters of the requests and after all of them.
struct Growth {
    before: Used,
    after: Used,
}

impl Growth {
    fn bytes(&self) -> u64 {
        self.after.0.saturating_sub(self.before.0)
    }
}

fn is_flat(case: Case) -> Result<()> {
    let (name, leak) = (case.name.clone(), case.leak);
    let growth = growth(case)?;
    let (before, after) = (growth.before, growth.after);
    ensure!(
        growth.bytes() <= before.0 / 10 + leak,
        "{name}: memory grows from {} to {} bytes; the known leak is {leak} bytes",
        before.0,
        after.0
    );
    // The number of pooled connections depends on how many calls are in progress at the same time.
    ensure!(
        after.1 <= before.1 + 16,
        "{name}: descriptors grow from {} to {}",
        before.1,
        after.1
    );
    Ok(())
}

/// Sends requests, and measures the usage after the third quarter and after the last one.
fn growth(case: Case) -> Result<Growth> {
    let requests = case.requests;
    let server = start(case.module, case.configuration, service()?).context(case.name.clone())?;
    let address = server.local_addr();
    let admin = server.admin_addr().context("no admin listener")?;
    let mut client = Client::connect(address)?;
    let mut measure = |count: usize| -> Result<Used> {
        for _ in 0..count {
            let status = client.get("/")?;
            ensure!(
                status == 200,
                "{}: the proxy responds with {status}",
                case.name
            );
        }
        Ok((memory(admin)?, descriptors()))
    };
    // The first requests open connections and fill buffers.
    measure(requests / 2)?;
    let before = measure(requests / 4)?;
    let after = measure(requests / 4)?;
    println!(
        "{}: {requests} requests: {before:?}, then {after:?} (bytes, descriptors)",
        case.name
    );
    server.shutdown(Duration::ZERO);
    Ok(Growth { before, after })
}

fn start(module: Bytes, configuration: &str, service: SocketAddr) -> Result<Server> {
    let mut clusters = Clusters::default();
    let service = Cluster::new(&service.ip().to_string(), service.port())?;
    clusters.insert("service", service);
    let plugin = PluginSpec {
        configuration: configuration.as_bytes().to_vec(),
        ..PluginSpec::new("flat".to_owned(), module)
    };
    Ok(Server::start(ServerConfig {
        listen: any_port(),
        admin: Some(any_port()),
        upstream: Upstream::Echo,
        workers: 1,
        timeouts: Timeouts::default(),
        circuit_breakers: CircuitBreakers::default(),
        profile: Profile::default(),
        plugins: vec![plugin],
        clock: Arc::new(SystemClock),
        logs: Arc::new(Errors),
        shared_data: Arc::default(),
        queues: Arc::default(),
        metrics: Arc::default(),
        clusters,
        attributes: Arc::default(),
        observer: None,
        code: None,
        code_cache_dir: None,
    })?)
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Starts a service that responds to every request with 200 and a body of two bytes. It ends with the process.
fn service() -> Result<SocketAddr> {
    let listener = TcpListener::bind(any_port())?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || serve(connection));
        }
    });
    Ok(address)
}

/// Responds to requests without a body, until the proxy closes the connection.
fn serve(mut connection: TcpStream) -> Result<()> {
    connection.set_nodelay(true)?;
    let mut lines = BufReader::new(connection.try_clone()?);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        if line == "\r\n" {
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        }
        line.clear();
    }
    Ok(())
}

/// Returns the size of the linear memory of the plugin's instance, in bytes.
fn memory(admin: SocketAddr) -> Result<u64> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let line = text
        .lines()
        .find(|line| line.starts_with("tidegate_plugin_memory_bytes{"))
        .with_context(|| format!("no memory in {text}"))?;
    let (_, value) = line.rsplit_once(' ').context("the metric has no value")?;
    Ok(value.parse()?)
}

/// Returns the number of this process's open file descriptors, or 0 if the system does not report them.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// A client with a persistent connection.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a request and returns the status of its response.
    fn get(&mut self, path: &str) -> Result<u16> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: flat.test\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line
            .split(' ')
            .nth(1)
            .context("the response has no status")?
            .parse()?;
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(status)
    }
}
