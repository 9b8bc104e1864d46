//! A push that is interrupted leaves the tag unchanged or complete. A forwarder in front of a real registry fails before, within or after
//! each request.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_oci::{Error, Image, Labels, Layout, examine, push};

use crate::registries::{Distribution, Reply, Request, Scripted, forward, module};
use crate::{open, reference};

/// How a request fails.
#[derive(Clone, Copy, Debug)]
enum Break {
    /// It is not forwarded.
    Before,
    /// Half of it is forwarded.
    Within,
    /// It is forwarded, but the response is lost.
    Behind,
}

/// A first push has a layer and a configuration, each with three requests (`HEAD`, `POST`, `PUT`), and the manifest.
const REQUESTS: usize = 7;

#[test]
#[ignore = "needs docker-registry"]
fn interrupted_push_is_atomic_needs_docker_registry() {
    let registry = Distribution::open();
    let (old, new) = (
        module(""),
        module(r#"(import "env" "proxy_done" (func (result i32)))"#),
    );
    let labels = Labels::default();
    let image = |wasm: &[u8]| Image::plugin(wasm, Layout::Compat, &labels);
    std::thread::scope(|scope| {
        for breaks in [Break::Before, Break::Within, Break::Behind] {
            // One more than there are requests, to check the number.
            for at in 0..=REQUESTS {
                for before in [Some(&old), None] {
                    let case = format!(
                        "{breaks:?} at {at}, {}",
                        before.map_or("fresh", |_| "again")
                    );
                    let (image, new, address) = (&image, &new, &registry.address);
                    scope.spawn(move || breaks_at(breaks, at, before, new, image, address, &case));
                }
            }
        }
    });
}

/// Pushes through a forwarder that fails at one request, and examines what the registry contains then.
fn breaks_at(
    breaks: Break,
    at: usize,
    before: Option<&Vec<u8>>,
    new: &[u8],
    image: &impl Fn(&[u8]) -> Image,
    address: &str,
    case: &str,
) {
    let repository = case.replace([' ', ','], "").to_lowercase();
    let there = reference(address, &format!("{repository}:v1"));
    if let Some(before) = before {
        push(&mut open(&there), &image(before), "v1").expect("a push");
    }
    let (count, to) = (AtomicUsize::new(0), address.to_owned());
    let way = Scripted::start(move |request| {
        let now = count.fetch_add(1, Ordering::SeqCst);
        match breaks {
            _ if now < at => return forward(&to, request),
            Break::Within if now == at => part(&to, request),
            Break::Behind if now == at => drop(forward(&to, request)),
            _ => {}
        }
        Reply::Cut
    });
    let by_way = reference(&way.address, &format!("{repository}:v1"));
    let pushed = push(&mut open(&by_way), &image(new), "v1");
    let is_whole = at == REQUESTS;
    match pushed {
        Ok(_) => assert!(is_whole, "{case}"),
        Err(Error::Connection { .. }) => assert!(!is_whole, "{case}"),
        Err(error) => panic!("{case}: {error}"),
    }
    // Only the last request creates a tag.
    let is_new = is_whole || (matches!(breaks, Break::Behind) && at + 1 == REQUESTS);
    let expected = if is_new {
        Some(new)
    } else {
        before.map(Vec::as_slice)
    };
    match examine(&mut open(&there), &there, None) {
        Ok(examined) => {
            assert_eq!(examined.refusals, [], "{case}");
            assert_eq!(examined.wasm.as_deref(), expected, "{case}");
        }
        Err(Error::NotFound { .. }) => assert_eq!(None, expected, "{case}"),
        Err(error) => panic!("{case}: {error}"),
    }
}

/// Forwards half of a request, and closes the connection.
fn part(to: &str, request: &Request) {
    let mut stream = TcpStream::connect(to).expect("a connection");
    let head = format!(
        "{} {} HTTP/1.1\r\n{}\r\n",
        request.method, request.path, request.head
    );
    let mut bytes = head.into_bytes();
    let half = match request.body.len() {
        0 => bytes.len() / 2,
        length => bytes.len() + length / 2,
    };
    bytes.extend_from_slice(&request.body);
    bytes.truncate(half);
    stream.write_all(&bytes).expect("a request");
}
