//! The client and the upstream of the proxy under test.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tidegate_host::{
    CircuitBreakers, Clusters, LogLine, LogSink, Profile, ServeError, Server, ServerConfig,
    SystemClock, Timeouts, Upstream,
};

/// How long any operation may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct NoLogs;

impl LogSink for NoLogs {
    fn line(&self, _: &LogLine<'_>) {}
}

pub fn config(upstream: Upstream) -> ServerConfig {
    ServerConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        admin: None,
        upstream,
        workers: 1,
        timeouts: Timeouts::default(),
        circuit_breakers: CircuitBreakers::default(),
        profile: Profile::default(),
        plugins: Vec::new(),
        clock: Arc::new(SystemClock),
        logs: Arc::new(NoLogs),
        shared_data: Arc::default(),
        queues: Arc::default(),
        metrics: Arc::default(),
        clusters: Clusters::default(),
        attributes: Arc::default(),
        observer: None,
        code: None,
        code_cache_dir: None,
    }
}

/// Starts a proxy in front of the echo server.
pub fn before_echo() -> Server {
    Server::start(config(Upstream::Echo)).expect("a proxy")
}

/// Starts a proxy in front of this upstream.
pub fn before(origin: &Origin) -> Server {
    Server::start(to(origin.address)).expect("a proxy")
}

pub fn to(address: SocketAddr) -> ServerConfig {
    config(Upstream::Http {
        host: address.ip().to_string(),
        port: address.port(),
    })
}

pub fn start(config: ServerConfig) -> Result<Server, ServeError> {
    Server::start(config)
}

/// An upstream. The test decides how it handles connections.
pub struct Origin {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Origin {
    pub fn new(serve: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let (serve, count) = (Arc::new(serve), Arc::clone(&connections));
        // The thread ends with the test process, so nothing waits for it.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let (serve, peer) = (Arc::clone(&serve), Peer::new(stream.expect("a connection")));
                std::thread::spawn(move || serve(peer));
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// Creates an upstream that sends the same response to every request.
    pub fn answering(response: &'static [u8]) -> Self {
        Self::new(move |mut peer| {
            while peer.head().is_some() {
                peer.send(response);
            }
        })
    }

    /// Returns the number of connections that it has accepted.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// One end of a connection.
pub struct Peer {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

/// The first line and the fields of a message. Names are as received, which is in lower case.
#[derive(Debug)]
pub struct Head {
    pub first: String,
    pub fields: Vec<(String, Vec<u8>)>,
}

impl Peer {
    pub fn connect(server: &Server) -> Self {
        Self::new(TcpStream::connect(server.local_addr()).expect("a connection to the proxy"))
    }

    fn new(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a read timeout");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a write timeout");
        let reader = BufReader::new(stream.try_clone().expect("a second handle"));
        Self { stream, reader }
    }

    /// Returns another handle for the same connection.
    pub fn second_handle(&self) -> Self {
        Self::new(self.stream.try_clone().expect("a second handle"))
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .expect("a peer that takes bytes");
    }

    /// Sends until the other side accepts no more for a while, and returns the number of bytes sent.
    pub fn send_until_full(&mut self, limit: usize) -> usize {
        self.send_until_full_with(b"x", limit)
    }

    /// Sends the same bytes again and again, until the other side accepts no more for a while. Returns the number of bytes sent.
    pub fn send_until_full_with(&mut self, bytes: &[u8], limit: usize) -> usize {
        self.stream
            .set_write_timeout(Some(Duration::from_millis(500)))
            .expect("a write timeout");
        let block = bytes.repeat(64 * 1024 / bytes.len());
        let mut sent = 0;
        while sent < limit {
            match self.stream.write(&block[sent % block.len()..]) {
                Ok(count) => sent += count,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    break;
                }
                Err(error) => panic!("the connection broke after {sent} bytes: {error}"),
            }
        }
        self.stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a write timeout");
        sent
    }

    /// Closes the connection for writing.
    pub fn half_close(&self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("an open connection");
    }

    /// Resets the connection.
    pub fn reset(self) {
        let linger = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        linger.expect("an open connection");
    }

    /// Reads the head of the next message. Returns `None` if the connection is closed before it.
    pub fn head(&mut self) -> Option<Head> {
        let mut first = Vec::new();
        if self.reader.read_until(b'\n', &mut first).unwrap_or(0) == 0 {
            return None;
        }
        let mut fields = Vec::new();
        loop {
            let mut line = Vec::new();
            self.reader.read_until(b'\n', &mut line).ok()?;
            let line = line.strip_suffix(b"\r\n")?;
            if line.is_empty() {
                break;
            }
            let colon = line.iter().position(|byte| *byte == b':').expect("a field");
            let name = String::from_utf8(line[..colon].to_vec()).expect("a name in ASCII");
            fields.push((name, line[colon + 1..].trim_ascii().to_vec()));
        }
        Some(Head {
            first: String::from_utf8(first)
                .expect("a first line in ASCII")
                .trim_end()
                .to_owned(),
            fields,
        })
    }

    /// Reads this number of bytes of a body.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).expect("bytes of a body");
        bytes
    }

    /// Reads a chunked body and its trailers.
    pub fn chunked(&mut self) -> (Vec<u8>, Vec<String>) {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(&self.line(), 16).expect("a chunk's size");
            if size == 0 {
                break;
            }
            body.extend(self.bytes(size));
            assert_eq!(self.line(), "", "a chunk ends with its line");
        }
        let mut trailers = Vec::new();
        loop {
            match self.line() {
                line if line.is_empty() => return (body, trailers),
                line => trailers.push(line),
            }
        }
    }

    /// Reads the body of the message with this head.
    pub fn body(&mut self, head: &Head) -> Vec<u8> {
        match head.get("content-length") {
            Some(length) => self.bytes(length.parse().expect("a length")),
            None if head.get("transfer-encoding").as_deref() == Some("chunked") => self.chunked().0,
            None => Vec::new(),
        }
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// Reads until the connection is closed, gracefully or by a reset.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        if let Err(error) = self.reader.read_to_end(&mut rest) {
            assert_eq!(
                error.kind(),
                ErrorKind::ConnectionReset,
                "the connection should be closed: {error}"
            );
        }
        rest
    }

    /// Sends a request and reads its response.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> (Head, Vec<u8>) {
        self.send(request);
        let head = self.head().expect("a response");
        let body = self.body(&head);
        (head, body)
    }
}

impl Head {
    /// Returns the values of a field, joined by commas.
    pub fn get(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self
            .fields
            .iter()
            .filter(|(it, _)| it == name)
            .map(|(_, value)| String::from_utf8_lossy(value))
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// Returns the names of the fields, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.fields.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }
}
