//! A worker: one thread with its own plugin instances, connections and runtime.
//!
//! Everything that a request uses belongs to the worker that its connection was assigned to, so nothing here is locked
//! or shared. A worker receives only connections, new plugins and the stop signal from outside.
//!
//! A stream keeps the chain with which it began. Requests that arrive after a reload use the new chain, also on
//! existing connections. The plugins of the old instances end after the last of their streams.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use http::Version;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use hyper_util::server::graceful::GracefulShutdown;
use tidegate_semantics::attributes::Connection;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};

use crate::error::StartError;
use crate::proxy::exchange::{self, WorkerState};
use crate::proxy::linger::{LingeringStream, UnreadRequest};
use crate::proxy::port::WorkerPort;
use crate::proxy::upstream::UpstreamClient;
use crate::runtime::{Chain, WorkerChain};

/// The maximum time to receive a request head, including the idle time before it.
const HEAD_READ_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(300);

/// The maximum size of a request head in bytes. It is Envoy's limit.
const MAX_HEAD_SIZE: usize = 60 * 1024;

/// The stop signal: `None` until it is sent, and then the deadline at which active requests are aborted.
pub(super) type StopSignal = watch::Receiver<Option<Instant>>;

/// A message to a worker. Messages are processed in order.
pub(super) enum WorkerMessage {
    /// Serve a connection.
    Connection {
        stream: std::net::TcpStream,
        /// The address of the client. It is no longer known to the socket once the client has reset the connection.
        peer: SocketAddr,
        /// The ID of the connection, unique within this proxy.
        id: u64,
    },
    /// Start plugins, and hold them until all workers have started them. Plugins that are already held are dropped.
    Prepare {
        chain: Chain,
        answer: SyncSender<Result<(), StartError>>,
    },
    /// Use the held plugins for new streams.
    Commit { done: SyncSender<()> },
    /// Drop the held plugins.
    DropPrepared,
}

/// The receiving end of a worker's channel.
pub(super) type Inbox = mpsc::UnboundedReceiver<WorkerMessage>;

/// A worker: what serves its streams now, and the chain that a reload has prepared.
pub(super) struct Worker {
    number: usize,
    state: Rc<WorkerState>,
    prepared: Option<WorkerChain>,
    port: Rc<WorkerPort>,
}

// === impl Worker ===

impl Worker {
    pub(super) fn new(
        number: usize,
        chain: WorkerChain,
        upstream: UpstreamClient,
        port: Rc<WorkerPort>,
    ) -> Self {
        let chain = RefCell::new(chain);
        Self {
            number,
            state: Rc::new(WorkerState { chain, upstream }),
            prepared: None,
            port,
        }
    }

    /// Processes messages until the stop signal, then serves active requests until the deadline. Tasks that are left then are dropped
    /// with the set, and their streams end.
    pub(super) fn run(
        self,
        runtime: &tokio::runtime::Runtime,
        tasks: &LocalSet,
        inbox: Inbox,
        stop: StopSignal,
    ) {
        tasks.block_on(runtime, serve(self, inbox, stop));
    }

    fn handle_message(&mut self, message: WorkerMessage, connections: &GracefulShutdown) {
        match message {
            WorkerMessage::Connection { stream, peer, id } => {
                spawn_connection(&self.state, stream, peer, id, connections);
            }
            WorkerMessage::Prepare { chain, answer } => {
                self.discard_prepared();
                let started = chain.start_worker_with(self.number, self.port.clone());
                let _ = answer.send(started.map(|chain| self.prepared = Some(chain)));
            }
            WorkerMessage::Commit { done } => {
                if let Some(chain) = self.prepared.take() {
                    self.state.chain.replace(chain);
                }
                let _ = done.send(());
            }
            WorkerMessage::DropPrepared => self.discard_prepared(),
        }
    }

    fn discard_prepared(&mut self) {
        if let Some(chain) = self.prepared.take() {
            chain.discard();
        }
    }
}

async fn serve(mut worker: Worker, mut inbox: Inbox, mut stop: StopSignal) {
    let connections = GracefulShutdown::new();
    let deadline = loop {
        tokio::select! {
            biased;
            deadline = wait_for_stop(&mut stop) => break deadline,
            message = inbox.recv() => match message {
                Some(message) => worker.handle_message(message, &connections),
                // All senders are gone. The stop signal follows.
                None => break wait_for_stop(&mut stop).await,
            },
        }
    };
    // Idle connections close now, the others after their current response.
    tokio::select! {
        () = connections.shutdown() => {}
        () = tokio::time::sleep_until(deadline.into()) => {}
    }
}

/// Waits for the stop signal, and returns its deadline.
pub(super) async fn wait_for_stop(stop: &mut StopSignal) -> Instant {
    match stop.wait_for(Option::is_some).await {
        Ok(deadline) => deadline.unwrap_or_else(Instant::now),
        // The sender is gone, so the signal cannot be sent any more.
        Err(_) => Instant::now(),
    }
}

fn spawn_connection(
    state: &Rc<WorkerState>,
    stream: std::net::TcpStream,
    peer: SocketAddr,
    id: u64,
    connections: &GracefulShutdown,
) {
    let opened = TcpStream::from_std(stream).and_then(|stream| {
        let connection = Connection {
            id,
            source: peer,
            destination: stream.local_addr()?,
            version: Version::HTTP_11,
        };
        Ok((stream, connection))
    });
    let (stream, connection) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "connection lost");
            return;
        }
    };
    let unread = UnreadRequest::default();
    let service = service_fn({
        let (state, unread) = (Rc::clone(state), unread.clone());
        move |request| exchange::serve(Rc::clone(&state), connection, unread.clone(), request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_READ_TIMEOUT)
        .max_header_size(MAX_HEAD_SIZE)
        .serve_connection(LingeringStream::new(stream, unread), service);
    let served = connections.watch(served);
    spawn_local(async move {
        if let Err(error) = served.await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "connection closed"
            );
        }
    });
}
