//! Large bodies, which pass through the callbacks of a plugin, with peers that are fast and peers that are slow.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use tidegate_components::guests::{self, Shape};

use crate::number;
use crate::server::{Memory, PATIENCE, Server, read_head};

/// The size of a body in MiB, unless `TIDEGATE_BODY_MIB` sets another one.
const BODY_MIB: u64 = 128;

/// The maximum memory of the process with two workers, with the tool that is built for releases: 80 MB, of 1000 KB each.
const MAX_MEMORY: u64 = 80_000_000;

/// The maximum growth of a process that has started.
const MAX_GROWTH: u64 = 16 << 20;

/// A peer that has not read anything for this time does not read.
const BLOCKED_AFTER: Duration = Duration::from_millis(500);

/// Large, so that the test takes little time itself. The proxy resets a response that takes longer than its route timeout of 15 seconds.
const PIECE: usize = 256 * 1024;

/// Transfers a body of this size.
type Case = fn(&Server, &Upstream, u64) -> Result<()>;

/// The plugin reads the size of each part, and continues.
const CONFIGURATION: &str =
    r#"{"on-request-body": [{"do": "arguments"}], "on-response-body": [{"do": "arguments"}]}"#;

#[test]
fn large_bodies_take_little_memory() -> Result<()> {
    let size = number("TIDEGATE_BODY_MIB").unwrap_or(BODY_MIB) << 20;
    let component = guests::build("probe", Shape::Wasip2)?.component;
    for engine in ["component", "proxy-wasm"] {
        measure(&component, engine, size).with_context(|| format!("engine {engine}"))?;
    }
    Ok(())
}

fn measure(component: &[u8], engine: &str, size: u64) -> Result<()> {
    let upstream = Upstream::start(size)?;
    let url = format!("http://{}", upstream.address);
    let options = ["--engine", engine, "--upstream", &url];
    let server = Server::start(component, CONFIGURATION, &options)?;
    server.reset_peak()?;
    let start = server.memory()?;
    let cases: [(&str, Case); 4] = [
        ("request", send_request),
        ("response", receive_response),
        ("request to a slow upstream", send_request_slowly),
        ("response to a slow client", receive_response_slowly),
    ];
    for (name, run) in cases {
        run(&server, &upstream, size).with_context(|| format!("the {name}"))?;
        let Memory { resident, peak } = server.memory()?;
        println!(
            "a {name} of {} MiB, engine {engine}: {} KB, at most {} KB; {} KB when it started",
            size >> 20,
            resident / 1024,
            peak / 1024,
            start.resident / 1024,
        );
        let limit = match std::env::var_os("TIDEGATE_TOOL") {
            Some(_) => MAX_MEMORY,
            None => start.resident + MAX_GROWTH,
        };
        ensure!(
            peak <= limit,
            "the {name} took {peak} bytes, more than {limit}"
        );
    }
    Ok(())
}

fn send_request(server: &Server, _: &Upstream, size: u64) -> Result<()> {
    let mut client = server.connect()?;
    begin_request(&mut client, "/", size)?;
    send(&mut client, size)?;
    expect_received(client, size)
}

fn send_request_slowly(server: &Server, upstream: &Upstream, size: u64) -> Result<()> {
    let mut client = server.connect()?;
    begin_request(&mut client, "/slow", size)?;
    let sent = send_until_blocked(&mut client, size)?;
    ensure!(sent < size, "the proxy has taken the whole body");
    upstream.proceed();
    send(&mut client, size - sent)?;
    expect_received(client, size)
}

fn receive_response(server: &Server, _: &Upstream, size: u64) -> Result<()> {
    let client = ask(server, "/")?;
    ensure!(receive(client)? == size, "the response was cut off");
    Ok(())
}

fn receive_response_slowly(server: &Server, upstream: &Upstream, size: u64) -> Result<()> {
    let client = ask(server, "/slow")?;
    let sent = upstream.blocked()?;
    ensure!(sent < size, "the proxy has taken the whole body");
    ensure!(receive(client)? == size, "the response was cut off");
    Ok(())
}

fn begin_request(client: &mut TcpStream, path: &str, size: u64) -> Result<()> {
    let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {size}\r\n\r\n");
    client.write_all(head.as_bytes())?;
    Ok(())
}

/// Checks the size that upstream has received.
fn expect_received(client: TcpStream, size: u64) -> Result<()> {
    let mut reader = BufReader::new(client);
    let (first, length) = read_head(&mut reader)?;
    ensure!(first == "HTTP/1.1 200 OK", "{first}");
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body)?;
    ensure!(body == size.to_string(), "upstream received {body} bytes");
    Ok(())
}

fn ask(server: &Server, path: &str) -> Result<TcpStream> {
    let mut client = server.connect()?;
    client.write_all(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes())?;
    Ok(client)
}

/// Receives a response, and returns the size of its body.
fn receive(client: TcpStream) -> Result<u64> {
    let mut reader = BufReader::with_capacity(PIECE, client);
    let (first, length) = read_head(&mut reader)?;
    ensure!(first == "HTTP/1.1 200 OK", "{first}");
    read_body(&mut reader, length)
}

/// Reads a body, and returns its size, which is less than `length` if it breaks off.
fn read_body(reader: &mut impl Read, length: u64) -> Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut received = 0;
    while received < length {
        let next = usize::try_from(length - received)?.min(PIECE);
        match reader.read(piece.get_mut(..next).unwrap_or_default())? {
            0 => break,
            count => received += count as u64,
        }
    }
    Ok(received)
}

fn send(to: &mut TcpStream, size: u64) -> Result<()> {
    let piece = vec![b'x'; PIECE];
    let mut sent = 0;
    while sent < size {
        let next = usize::try_from(size - sent)?.min(PIECE);
        sent += to.write(piece.get(..next).unwrap_or_default())? as u64;
    }
    Ok(())
}

/// Sends until the other side does not read. Returns the number of bytes that were sent.
fn send_until_blocked(to: &mut TcpStream, size: u64) -> Result<u64> {
    to.set_write_timeout(Some(BLOCKED_AFTER))?;
    let piece = vec![b'x'; PIECE];
    let mut sent = 0;
    while sent < size {
        let next = usize::try_from(size - sent)?.min(PIECE);
        match to.write(piece.get(..next).unwrap_or_default()) {
            Ok(count) => sent += count as u64,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    to.set_write_timeout(Some(PATIENCE))?;
    Ok(sent)
}

/// Receives the bodies of requests with POST, and sends one to others. If the path is `/slow`, it does not read before the test tells it to,
/// and tells the test when its peer does not read.
struct Upstream {
    address: SocketAddr,
    proceed: mpsc::Sender<()>,
    blocked: mpsc::Receiver<u64>,
}

impl Upstream {
    fn start(size: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (proceed, wait) = mpsc::channel();
        let (report, blocked) = mpsc::channel();
        let wait = Arc::new(Mutex::new(wait));
        // The threads end with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (wait, report) = (wait.clone(), report.clone());
                std::thread::spawn(move || {
                    // A failure is an error for the client, too.
                    _ = serve(stream, size, &wait, &report);
                });
            }
        });
        Ok(Self {
            address,
            proceed,
            blocked,
        })
    }

    fn proceed(&self) {
        // The thread that receives lives as long as this value.
        _ = self.proceed.send(());
    }

    /// Waits until the response to a slow request does not progress. Returns the number of bytes that were sent.
    fn blocked(&self) -> Result<u64> {
        let sent = self.blocked.recv_timeout(PATIENCE);
        sent.context("upstream has not sent a response")
    }
}

fn serve(
    mut stream: TcpStream,
    size: u64,
    wait: &Mutex<mpsc::Receiver<()>>,
    report: &mpsc::Sender<u64>,
) -> Result<()> {
    let mut reader = BufReader::with_capacity(PIECE, stream.try_clone()?);
    while let Ok((first, length)) = read_head(&mut reader) {
        let is_slow = first.contains(" /slow ");
        if first.starts_with("POST ") {
            if is_slow {
                let wait = wait.lock().map_err(|_| anyhow!("a test has failed"))?;
                wait.recv_timeout(PATIENCE)?;
            }
            let received = read_body(&mut reader, length)?;
            let body = received.to_string();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes())?;
        } else {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
            stream.write_all(head.as_bytes())?;
            let sent = match is_slow {
                true => send_until_blocked(&mut stream, size)?,
                false => 0,
            };
            if is_slow {
                report.send(sent)?;
            }
            send(&mut stream, size - sent)?;
        }
    }
    Ok(())
}
