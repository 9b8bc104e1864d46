//! Idle connections.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tidegate_components::guests::{self, Shape};

use crate::number;
use crate::server::{Server, read_head};

/// The number of connections, unless `TIDEGATE_CONNECTIONS` sets another one. It exceeds the limit with which the tool starts.
const CONNECTIONS: u64 = 500;

/// The maximum memory of an idle connection: 13 KB, of 1024 bytes each.
const MAX_MEMORY: u64 = 13 * 1024;

/// The number of requests before memory is measured for the first time.
const WARM_UP: usize = 2000;

#[test]
fn idle_connections_take_little_memory() -> Result<()> {
    let count = number("TIDEGATE_CONNECTIONS").unwrap_or(CONNECTIONS);
    allow_descriptors(count + 100)?;
    let component = guests::build("istio-tutorial", Shape::Wasip2)?.component;
    for engine in ["component", "proxy-wasm"] {
        for is_used in [false, true] {
            measure(&component, engine, is_used, count)?;
        }
    }
    Ok(())
}

/// Opens connections that have sent nothing or, if `is_used`, one request.
fn measure(component: &[u8], engine: &str, is_used: bool, count: u64) -> Result<()> {
    let configuration = r#"{"requests_per_second": 1000000000, "log": false}"#;
    let server = Server::start(component, configuration, &["--engine", engine])?;
    let mut others = (0..8)
        .map(|_| server.connect())
        .collect::<Result<Vec<_>>>()?;
    ask_each(&mut others, WARM_UP)?;
    let before = server.memory()?;
    let mut idle = Vec::new();
    for _ in 0..count {
        let mut connection = server.connect()?;
        if is_used {
            ask(&mut connection)?;
        }
        idle.push(connection);
    }
    // Connections are accepted in order, so those before are served as well: by every worker, there are two.
    let mut last = [server.connect()?, server.connect()?];
    ask_each(&mut last, 2)?;
    ask_each(&mut others, WARM_UP)?;
    let after = server.memory()?;
    let each = after.resident.saturating_sub(before.resident) / count;
    let kind = if is_used { "used once" } else { "never used" };
    println!(
        "{count} connections, {kind}, engine {engine}: {each} bytes each, {} KB to {} KB",
        before.resident / 1024,
        after.resident / 1024
    );
    ensure!(
        each <= MAX_MEMORY,
        "an idle connection that was {kind} takes {each} bytes, more than {MAX_MEMORY}"
    );
    ask_each(&mut idle, usize::try_from(count)?)
}

/// Sends requests on these connections in turn.
fn ask_each(connections: &mut [TcpStream], requests: usize) -> Result<()> {
    let count = connections.len();
    for request in 0..requests {
        let connection = connections.get_mut(request % count);
        ask(connection.context("no connection")?)?;
    }
    Ok(())
}

fn ask(connection: &mut TcpStream) -> Result<()> {
    connection.write_all(b"GET /bytes/2 HTTP/1.1\r\nhost: h\r\n\r\n")?;
    let mut reader = BufReader::with_capacity(1024, connection);
    let (first, length) = read_head(&mut reader)?;
    ensure!(first == "HTTP/1.1 200 OK", "{first}");
    let mut body = vec![0; usize::try_from(length)?];
    reader.read_exact(&mut body)?;
    Ok(())
}

/// Raises the limit of this process, if necessary.
fn allow_descriptors(count: u64) -> Result<()> {
    let limits = getrlimit(Resource::Nofile);
    let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= count);
    ensure!(
        is_enough(limits.maximum),
        "the hard limit on open file descriptors, `ulimit -Hn`, must be at least {count}"
    );
    if !is_enough(limits.current) {
        let raised = Rlimit {
            current: limits.maximum,
            ..limits
        };
        setrlimit(Resource::Nofile, raised)?;
    }
    Ok(())
}
