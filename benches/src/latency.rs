//! Latency at a fixed rate: requests start on a schedule, whether or not earlier ones have been answered.
//!
//! The latency of a request is measured from the time at which it was due, so that a response that delays others counts for all of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::load::Connection;
use crate::messages::Messages;

/// The maximum number of requests in progress.
const CONNECTIONS: usize = 32;

/// How long the server may take in total, beyond the schedule.
const PATIENCE: Duration = Duration::from_secs(20);

/// Latencies of requests.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// The median.
    pub p50: Duration,
    /// The 99th percentile.
    pub p99: Duration,
}

/// A connection, and when the request in progress was due.
struct Slot {
    connection: Connection,
    due: Option<Instant>,
}

/// Sends small requests at `rate` per second for some time.
pub fn measure(server: SocketAddr, rate: f64, time: Duration) -> Result<Latency> {
    let request = Messages::Small.request();
    let mut slots = (0..CONNECTIONS)
        .map(|_| {
            let mut connection = Connection::open(server)?;
            connection.send(&request)?;
            connection.receive()?;
            Ok(Slot {
                connection,
                due: None,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    ensure!(rate > 0.0, "a rate of {rate} requests per second");
    let count = ((rate * time.as_secs_f64()) as usize).max(1);
    let mut latencies = Vec::with_capacity(count);
    let begun = Instant::now();
    let due = |number: usize| begun + Duration::from_secs_f64(number as f64 / rate);
    let mut sent = 0;
    while latencies.len() < count {
        ensure!(
            begun.elapsed() < time + PATIENCE,
            "the server did not respond in time"
        );
        let now = Instant::now();
        for slot in slots.iter_mut().filter(|slot| slot.due.is_none()) {
            if sent == count || due(sent) > now {
                break;
            }
            slot.connection.send(&request)?;
            slot.due = Some(due(sent));
            sent += 1;
        }
        let next = (sent < count).then(|| due(sent));
        for index in wait(&slots, next)? {
            let Some(slot) = slots.get_mut(index) else {
                continue;
            };
            // A small response arrives at once, so this does not keep others waiting.
            let status = slot.connection.receive()?.status;
            ensure!(
                status == 200,
                "the server responded with {status} under load"
            );
            if let Some(due) = slot.due.take() {
                latencies.push(due.elapsed());
            }
        }
    }
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies[index.min(latencies.len() - 1)]
    };
    Ok(Latency {
        p50: at(0.5),
        p99: at(0.99),
    })
}

/// Waits until responses arrive, or the next request is due. Returns the indices of the connections that have received something.
fn wait(slots: &[Slot], next: Option<Instant>) -> Result<Vec<usize>> {
    let busy = slots.iter().enumerate();
    let busy: Vec<(usize, &Slot)> = busy.filter(|(_, slot)| slot.due.is_some()).collect();
    let mut descriptors: Vec<libc::pollfd> = busy
        .iter()
        .map(|(_, slot)| libc::pollfd {
            fd: slot.connection.descriptor(),
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    // If all connections are busy, nothing can be sent before a response arrives.
    let next = next.filter(|_| busy.len() < slots.len());
    let limit = next.map_or(PATIENCE, |next| {
        next.saturating_duration_since(Instant::now())
    });
    let limit = libc::timespec {
        tv_sec: limit.as_secs().try_into()?,
        tv_nsec: limit.subsec_nanos().into(),
    };
    // SAFETY: the pointer and the length are those of a live vector, `limit` lives as long as the call, and no signal mask is given.
    let result = unsafe {
        libc::ppoll(
            descriptors.as_mut_ptr(),
            descriptors.len() as libc::nfds_t,
            &raw const limit,
            std::ptr::null(),
        )
    };
    if result < 0 {
        return Err(std::io::Error::last_os_error()).context("failed to wait for responses");
    }
    let ready = busy.iter().zip(&descriptors);
    Ok(ready
        .filter(|(_, descriptor)| descriptor.revents != 0)
        .map(|((index, _), _)| *index)
        .collect())
}
