//! A minimal HTTP/1 client for known servers on loopback: one request per connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A response.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its complete body.
    pub body: String,
}

/// Sends a GET request.
pub fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    send(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"),
    )
}

/// Sends a complete request with `connection: close`, so that the body ends at the latest when the connection is closed.
pub fn send(address: SocketAddr, request: &str) -> Result<Answer> {
    let mut stream =
        TcpStream::connect(address).with_context(|| format!("failed to connect to {address}"))?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream
        .write_all(request.as_bytes())
        .with_context(|| format!("failed to send a request to {address}"))?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream
            .read(&mut chunk)
            .context("failed to read the response")?;
        bytes.extend_from_slice(&chunk[..read]);
        // Envoy keeps a connection open for a second after a local response.
        if read == 0 || is_complete(&bytes) {
            return Answer::parse(&String::from_utf8_lossy(&bytes));
        }
    }
}

/// Whether the body has the length in the headers, if there is one.
fn is_complete(bytes: &[u8]) -> bool {
    let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let Ok(answer) = Answer::parse(&String::from_utf8_lossy(&bytes[..head + 4])) else {
        return false;
    };
    let length = answer
        .values("content-length")
        .find_map(|value| value.parse().ok());
    length.is_some_and(|length: usize| bytes.len() - head - 4 >= length)
}

// === impl Answer ===

impl Answer {
    /// Returns the body unchanged: servers do not use chunked encoding for these requests.
    fn parse(text: &str) -> Result<Answer> {
        let (head, body) = text
            .split_once("\r\n\r\n")
            .context("the headers of the response are incomplete")?;
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|word| word.parse().ok());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok(Answer {
            status: status.context("the response has no status")?,
            headers,
            body: body.to_owned(),
        })
    }

    /// All values of a header.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(of, _)| of == name)
            .map(|(_, value)| value.as_str())
    }

    /// Fails unless the header has exactly this value.
    pub fn expect(&self, name: &str, value: &str) -> Result<()> {
        let found: Vec<&str> = self.values(name).collect();
        ensure!(
            found == [value],
            "expected `{name}: {value}`, got {found:?}"
        );
        Ok(())
    }
}
