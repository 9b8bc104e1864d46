//! A server that responds as scripted by a test, including wrong, truncated and missing responses, and records requests.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A recorded request.
#[derive(Clone)]
pub struct Request {
    pub method: String,
    /// The path with the query.
    pub path: String,
    pub head: String,
    pub body: Vec<u8>,
}

/// A response. Each connection gets one.
pub enum Reply {
    /// A status, header lines, and a body with its length.
    Whole(u16, Vec<String>, Vec<u8>),
    /// These bytes, unchanged.
    Raw(Vec<u8>),
    /// The connection is closed.
    Cut,
}

/// A running server. It stops when dropped.
pub struct Scripted {
    pub address: String,
    asked: Arc<Mutex<Vec<Request>>>,
    is_over: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

// === impl Scripted ===

impl Scripted {
    pub fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (log, over, script) = (asked.clone(), is_over.clone(), Arc::new(script));
        let serving = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, log, script) =
                    (stream.expect("a stream"), log.clone(), script.clone());
                std::thread::spawn(move || {
                    let Some(request) = receive(&stream) else {
                        return;
                    };
                    log.lock().expect("the log").push(request.clone());
                    answer(stream, script(&request));
                });
            }
        });
        Self {
            address,
            asked,
            is_over,
            serving: Some(serving),
        }
    }

    /// The requests until now, as `METHOD PATH`.
    pub fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().expect("the log");
        let lines = asked.iter().map(|it| format!("{} {}", it.method, it.path));
        lines.collect()
    }

    /// The complete requests until now.
    pub fn requests(&self) -> Vec<Request> {
        self.asked.lock().expect("the log").clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // The server waits for another connection.
        let _ = TcpStream::connect(&self.address);
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}

// === impl Reply ===

impl Reply {
    pub fn status(status: u16) -> Self {
        Self::Whole(status, Vec::new(), Vec::new())
    }

    pub fn ok(headers: &[&str], body: impl Into<Vec<u8>>) -> Self {
        let headers = headers.iter().map(|line| (*line).to_owned());
        Self::Whole(200, headers.collect(), body.into())
    }
}

/// Forwards a request, and returns the response.
pub fn forward(to: &str, request: &Request) -> Reply {
    let mut stream = TcpStream::connect(to).expect("a connection");
    let head = format!(
        "{} {} HTTP/1.1\r\n{}connection: close\r\n\r\n",
        request.method, request.path, request.head
    );
    stream.write_all(head.as_bytes()).expect("a request");
    stream.write_all(&request.body).expect("a request");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("a response");
    Reply::Raw(bytes)
}

fn receive(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut words = first.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        match line.trim() {
            "" => break,
            _ if lower.starts_with("connection:") => {}
            _ => head.push_str(&line),
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        path,
        head,
        body,
    })
}

fn answer(mut stream: TcpStream, reply: Reply) {
    let bytes = match reply {
        Reply::Cut => Vec::new(),
        Reply::Raw(bytes) => bytes,
        Reply::Whole(status, headers, body) => {
            let mut bytes = format!("HTTP/1.1 {status} Said\r\nconnection: close\r\n").into_bytes();
            for line in headers {
                bytes.extend_from_slice(line.as_bytes());
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
            bytes.extend_from_slice(&body);
            bytes
        }
    };
    // The client may have closed the connection.
    let _ = stream.write_all(&bytes);
    let _ = stream.shutdown(Shutdown::Both);
}
