//! How the bytes of a connection are divided into reads has no influence on the messages. Whatever arrives, decoding ends,
//! and only an incomplete head or trailer waits for the rest.

use bytes::BytesMut;
use proptest::prelude::*;
use tidegate_semantics::vocabulary::FieldMap;

use super::damage::{SEEDS, damaged};
use super::{HeadError, HeadScanner, lines_of};
use crate::proxy::http1::body::{BodyDecoder, End};
use crate::proxy::http1::{Framing, MAX_HEAD_SIZE, request, response};

/// What the bytes of a connection are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Direction {
    Requests,
    Responses {
        /// Whether they are responses to `HEAD` requests.
        to_head_requests: bool,
    },
}

/// A decoded message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// What the head contains.
    head: String,
    data: Vec<u8>,
    /// The trailers, or `None` if the message has no end.
    end: Option<Vec<String>>,
}

/// The messages of a connection, and the error at which it ends.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) messages: Vec<Message>,
    error: Option<HeadError>,
}

impl Direction {
    pub(super) const ALL: [Self; 3] = [
        Self::Requests,
        Self::Responses {
            to_head_requests: false,
        },
        Self::Responses {
            to_head_requests: true,
        },
    ];

    /// Decodes a head. Returns its contents and the framing of the body.
    fn decode_head(
        self,
        input: &mut BytesMut,
        scanner: &mut HeadScanner,
    ) -> Result<Option<(String, Framing)>, HeadError> {
        Ok(match self {
            Self::Requests => request::decode(input, scanner)?.map(|head| {
                let text = format!(
                    "{:?} {:?} {} {}",
                    lines_of(&head.fields),
                    head.version,
                    head.has_connection_fields,
                    head.has_absolute_target
                );
                (text, head.framing)
            }),
            Self::Responses { to_head_requests } => {
                response::decode(input, scanner, to_head_requests)?.map(|head| {
                    let text = format!("{:?} {}", lines_of(&head.fields), head.keeps_alive);
                    (text, head.framing)
                })
            }
        })
    }

    fn trailers(self) -> FieldMap {
        match self {
            Self::Requests => FieldMap::RequestTrailers,
            Self::Responses { .. } => FieldMap::ResponseTrailers,
        }
    }
}

/// Decodes what a connection receives in several reads.
pub(super) fn decode<'a>(direction: Direction, reads: impl Iterator<Item = &'a [u8]>) -> Decoded {
    let mut input = BytesMut::new();
    let mut scanner = HeadScanner::default();
    let mut body = BodyDecoder::new(Framing::None);
    let mut decoded = Decoded::default();
    for read in reads {
        input.extend_from_slice(read);
        // Each message has at least a line, and takes two steps.
        let mut steps = read.len() + 4;
        let waits = |decoded: &mut Decoded| -> Result<(), HeadError> {
            loop {
                steps = steps.checked_sub(1).expect("each step makes progress");
                if body.has_ended() {
                    let Some((head, framing)) = direction.decode_head(&mut input, &mut scanner)?
                    else {
                        return Ok(());
                    };
                    body = BodyDecoder::new(framing);
                    decoded.messages.push(Message {
                        head,
                        data: Vec::new(),
                        end: body.has_ended().then(Vec::new),
                    });
                    continue;
                }
                let message = decoded.messages.last_mut().expect("the body has a head");
                let part = body.decode(&mut input, direction.trailers())?;
                message.data.extend_from_slice(&part.data);
                match part.end {
                    Some(End::Body) => message.end = Some(Vec::new()),
                    Some(End::Trailers(trailers)) => message.end = Some(lines_of(&trailers)),
                    None if body.needs_input() => return Ok(()),
                    None => {}
                }
            }
        };
        if let Err(error) = { waits }(&mut decoded) {
            decoded.error = Some(error);
            return decoded;
        }
        assert!(input.len() <= MAX_HEAD_SIZE, "{} bytes wait", input.len());
    }
    decoded
}

/// Decodes bytes that arrive together, and in reads of the given sizes, and compares the results. Returns the result.
pub(super) fn check(direction: Direction, bytes: &[u8], sizes: &[usize]) -> Decoded {
    let mut together = decode(direction, [bytes].into_iter());
    let mut rest = bytes;
    let mut sizes = sizes.iter().cycle();
    let reads = std::iter::from_fn(|| {
        let size = sizes
            .next()
            .map_or(rest.len(), |size| (*size).max(1).min(rest.len()));
        let (read, later) = rest.split_at(size);
        rest = later;
        (!read.is_empty()).then_some(read)
    });
    let mut divided = decode(direction, reads);
    if together.error.is_some() {
        // Data is dropped if it arrives together with the error.
        let data = |decoded: &mut Decoded| {
            let last = decoded.messages.last_mut().filter(|it| it.end.is_none());
            last.map(|message| std::mem::take(&mut message.data))
                .unwrap_or_default()
        };
        let (all, part) = (data(&mut divided), data(&mut together));
        assert!(
            all.starts_with(&part),
            "{direction:?} {}",
            bytes.escape_ascii()
        );
    }
    assert_eq!(together, divided, "{direction:?} {}", bytes.escape_ascii());
    together
}

/// Bytes of which many are meaningful in a message.
fn syntax() -> impl Strategy<Value = u8> {
    prop_oneof![
        4 => prop::sample::select(b"\r\n :;,\t0123aAfFGETHP/.-x".as_slice()),
        1 => any::<u8>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn arbitrary_bytes(
        bytes in prop::collection::vec(syntax(), 0..120),
        sizes in prop::collection::vec(1..20_usize, 1..6),
    ) {
        for direction in Direction::ALL {
            check(direction, &bytes, &sizes);
        }
    }

    #[test]
    fn arbitrary_fields_and_bodies(
        body in prop::collection::vec(syntax(), 0..120),
        fields in prop::sample::subsequence(&["transfer-encoding: chunked\r\n", "content-length: 7\r\n", "x: 1\r\n 2\r\n"], 0..2),
        sizes in prop::collection::vec(1..20_usize, 1..6),
    ) {
        let fields = fields.concat();
        let request = [b"POST / HTTP/1.1\r\n", fields.as_bytes(), b"\r\n", &body].concat();
        check(Direction::Requests, &request, &sizes);
        let response = [b"HTTP/1.1 200 OK\r\n", fields.as_bytes(), b"\r\n", &body].concat();
        for direction in &Direction::ALL[1..] {
            check(*direction, &response, &sizes);
        }
    }

    #[test]
    fn damaged_messages(seed in any::<u64>(), sizes in prop::collection::vec(1..200_usize, 1..6)) {
        let bytes = damaged(seed);
        for direction in Direction::ALL {
            check(direction, &bytes, &sizes);
        }
    }
}

#[test]
fn seeds_in_all_divisions_into_two_reads() {
    for (direction, seed) in SEEDS {
        let decoded = check(*direction, seed, &[1]);
        assert_eq!(decoded.error, None, "{}", seed.escape_ascii());
        assert!(!decoded.messages.is_empty());
        for size in 1..seed.len() {
            check(*direction, seed, &[size, usize::MAX]);
        }
    }
}

#[test]
fn endless_input_is_bounded() {
    let start: &[(&str, Direction)] = &[
        ("", Direction::Requests),
        ("GET /", Direction::Requests),
        ("GET / HTTP/1.1\r\nx: ", Direction::Requests),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
            Direction::Requests,
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5;",
            Direction::Requests,
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na",
            Direction::Requests,
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
            Direction::Requests,
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            Direction::Requests,
        ),
        ("", Direction::ALL[1]),
        ("HTTP/1.1 200 OK\r\n\r\n", Direction::ALL[1]),
    ];
    for (start, direction) in start {
        for byte in [b'a', b'0', b'\r', b'\n', b' ', b';', b':', 0xff] {
            let endless = vec![byte; 1000];
            // `decode` asserts how much waits.
            decode(
                *direction,
                std::iter::once(start.as_bytes()).chain(std::iter::repeat_n(&endless[..], 200)),
            );
        }
    }
}
