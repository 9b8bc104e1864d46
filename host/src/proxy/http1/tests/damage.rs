//! Damages valid messages. `cargo xtask soak http1` does so more often.

use super::pieces::{Direction, check};
use super::{oracle, round_trip};

const REQUESTS: Direction = Direction::ALL[0];
const RESPONSES: Direction = Direction::ALL[1];
const RESPONSES_TO_HEAD: Direction = Direction::ALL[2];

/// The number of damaged messages, if the variable `TIDEGATE_DAMAGED_MESSAGES` is not set.
const DEFAULT_COUNT: u64 = 20_000;

/// Valid messages that together reach most of the codec.
pub(super) const SEEDS: &[(Direction, &[u8])] = &[
    (REQUESTS, b"GET /a HTTP/1.1\r\nhost: h\r\n\r\n"),
    (REQUESTS, b"\r\nGET\t/a  HTTP/1.1 \nhost: h\nX-A: 1\n\nGET /b HTTP/1.1\r\nhost: h\r\n\r\n"),
    (REQUESTS, b"POST /a?b HTTP/1.1\r\nhost: h\r\nhost: i\r\ncontent-length: 5\r\naccept: a\r\nx: 1\r\naccept: b\r\n\r\nhelloGET / HTTP/1.1\r\n\r\n"),
    (REQUESTS, b"PUT /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1a ; x=\"y\"\r\nabcdefghijklmnopqrstuvwxyz\n0\r\n\r\n"),
    (REQUESTS, b"PUT /a HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nconnection: te, close\r\nte: trailers\r\n\r\n0005;\r\nhello \r\n0\r\nx-t: 1\r\n 2\r\ny-t:\n\r\n"),
    (REQUESTS, b"GET http://u:p@other:81/a?b#c HTTP/1.1\r\nx-a: 1\r\n\t2\r\n 3\r\nx-b:\r\n\r\n"),
    (REQUESTS, b"GET https://[::1]:443 HTTP/1.1\r\n\r\nOPTIONS * HTTP/1.1\r\nhost:\r\n\r\nCONNECT h:443 HTTP/1.1\r\ncontent-length: 0\r\n\r\n"),
    (REQUESTS, b"GET / HTTP/1.0\r\nexpect: 100-continue\r\nupgrade: h2c\r\nkeep-alive: 1\r\nx: 1\r2\r\r\n\r\nGET /a\r\n\r\n"),
    (RESPONSES, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nset-cookie: a\r\nset-cookie: b\r\n\r\nhiHTTP/1.0 404 Not Found\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n"),
    (RESPONSES, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nlink: a\r\n\r\nHTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\ngrpc-status: 0\r\ngrpc-status: 1\r\n\r\n"),
    (RESPONSES, b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\nHTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\nHTTP/1.1\t200 \r\n\r\nuntil the end"),
    (RESPONSES_TO_HEAD, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
];

/// What is inserted into messages.
const FRAGMENTS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\r\n ",
    b"\n\t",
    b" ",
    b"\t",
    b":",
    b",",
    b"0",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"ffffffffffffffff\r\n",
    b";x=y",
    b"\0",
    b"\x7f",
    b"\xff",
    b"x: 1\r\n",
    b"host: h\r\n",
    b"content-length: 5\r\n",
    b"content-length: 0\r\n",
    b"transfer-encoding: chunked\r\n",
    b"transfer-encoding: gzip\r\n",
    b"connection: close\r\n",
    b"GET / HTTP/1.1\r\n",
    b"CONNECT h:1 ",
    b"http://h",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 X\r\n\r\n",
    b" 204 ",
    b"@",
    b"[::1]",
];

/// A generator of pseudo-random numbers (xorshift64*), so that a number determines a message.
struct Numbers(u64);

impl Numbers {
    fn new(seed: u64) -> Self {
        // Similar seeds lead to different numbers, and zero would lead to zeros only.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number that is less than `limit`, or 0.
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number)
            .expect("31 bits")
            .checked_rem(limit)
            .unwrap_or(0)
    }
}

/// Returns the message with a number.
pub(super) fn damaged(number: u64) -> Vec<u8> {
    let mut numbers = Numbers::new(number);
    let mut bytes = SEEDS[numbers.below(SEEDS.len())].1.to_vec();
    for _ in 0..numbers.below(6) {
        let start = numbers.below(bytes.len() + 1);
        let end = (start + numbers.below(9)).min(bytes.len());
        match numbers.below(6) {
            0 => _ = bytes.drain(start..end),
            1 => {
                _ = bytes.splice(
                    start..start,
                    FRAGMENTS[numbers.below(FRAGMENTS.len())].iter().copied(),
                )
            }
            2 => {
                _ = bytes.splice(
                    start..end,
                    FRAGMENTS[numbers.below(FRAGMENTS.len())].iter().copied(),
                )
            }
            3 => {
                let copied = bytes[start..end].to_vec();
                let to = numbers.below(bytes.len() + 1);
                bytes.splice(to..to, copied);
            }
            4 => {
                let value = u8::try_from(numbers.below(256)).expect("a byte");
                if let Some(byte) = bytes.get_mut(start) {
                    *byte = value;
                }
            }
            _ => {
                // A part of another message.
                let other = SEEDS[numbers.below(SEEDS.len())].1;
                let from = numbers.below(other.len());
                bytes.splice(start.., other[from..].iter().copied());
            }
        }
    }
    bytes
}

#[test]
fn damaged_messages_keep_all_properties() {
    let count = match std::env::var("TIDEGATE_DAMAGED_MESSAGES") {
        Ok(count) => count
            .parse()
            .expect("TIDEGATE_DAMAGED_MESSAGES is a number"),
        Err(_) => DEFAULT_COUNT,
    };
    let mut accepted = 0_u64;
    for number in 0..count {
        let bytes = damaged(number);
        let mut numbers = Numbers::new(!number);
        let sizes: Vec<usize> = (0..4).map(|_| 1 + numbers.below(40)).collect();
        for direction in Direction::ALL {
            let decoded = check(direction, &bytes, &sizes);
            accepted += u64::from(!decoded.messages.is_empty());
        }
        oracle::compare_request(&bytes);
        oracle::compare_response(&bytes);
        round_trip::forward(&bytes);
    }
    println!(
        "{accepted} of {} connections with {count} damaged messages have a valid head",
        count * 3
    );
    // Otherwise nothing but heads would be tested.
    assert!(accepted * 10 > count, "{accepted}");
}
