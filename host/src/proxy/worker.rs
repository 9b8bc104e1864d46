//! A worker: one thread with its own plugin instances, connections and runtime.
//!
//! Everything that a request uses belongs to the worker that its connection was assigned to, so nothing here is locked
//! or shared. A worker receives only connections, new plugins and the stop signal from outside.
//!
//! A stream keeps the chain with which it began. Requests that arrive after a reload use the new chain, also on
//! existing connections. The plugins of the old instances end after the last of their streams.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use http::Version;
use tidegate_semantics::attributes::Connection;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};

use crate::error::StartError;
use crate::proxy::connection;
use crate::proxy::port::WorkerPort;
use crate::proxy::socket::Socket;
use crate::proxy::worker_state::WorkerState;
use crate::runtime::{Chain, WorkerChain};

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
    pub(super) fn new(number: usize, state: WorkerState, port: Rc<WorkerPort>) -> Self {
        Self {
            number,
            state: Rc::new(state),
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

    fn handle_message(&mut self, message: WorkerMessage, connections: &mut JoinSet<()>) {
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
    let mut connections = JoinSet::new();
    // The channel is closed once the listener is closed, and all connections that were queued there have been received.
    // Clients whose connections are closed from then on cannot reconnect to this proxy in vain.
    loop {
        tokio::select! {
            message = inbox.recv() => match message {
                Some(message) => worker.handle_message(message, &mut connections),
                None => break,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    let deadline = wait_for_stop(&mut stop).await;
    // Idle connections close soon, the others after their current response.
    worker.state.drain();
    let all_closed = async { while connections.join_next().await.is_some() {} };
    // Connections that are still open at the deadline are dropped.
    _ = tokio::time::timeout_at(deadline.into(), all_closed).await;
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
    connections: &mut JoinSet<()>,
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
    let (waker, registration) = state.register(id);
    let served = connection::serve(state.clone(), Socket::new(stream), connection, waker);
    connections.spawn_local(async move {
        served.await;
        drop(registration);
    });
}
