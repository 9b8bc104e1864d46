//! The listener: one thread that accepts connections and distributes them to the workers in round-robin order.
//!
//! Each worker could instead accept connections from its own socket (`SO_REUSEPORT`). The kernel would then choose a
//! worker by hash, and a small number of connections, as in a test or from one client's connection pool, would be
//! distributed unevenly. A second proxy on the same port would share the port instead of failing, and outside Linux
//! there would be no load balancing. The current design costs one hand-over for each connection and none for each
//! request.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc::UnboundedSender;

use crate::proxy::worker::{StopSignal, WorkerMessage, wait_for_stop};

/// The number of connections that the kernel queues while this thread is busy.
const BACKLOG: i32 = 1024;

/// How long to wait when the process is out of file descriptors, so that some are closed meanwhile.
const EXHAUSTION_DELAY: Duration = Duration::from_millis(50);

/// Opens the listening socket. `std` would suffice, but for its short backlog.
pub(super) fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a proxy that has just ended must not block the port for the next one.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts connections until the stop signal.
pub(super) fn run(
    runtime: &tokio::runtime::Runtime,
    listener: TcpListener,
    workers: &[UnboundedSender<WorkerMessage>],
    mut stop: StopSignal,
) {
    runtime.block_on(async {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot accept connections"
                );
                return;
            }
        };
        let mut round_robin = workers.iter().cycle();
        let mut id = 0;
        loop {
            let accepted = tokio::select! {
                biased;
                _ = wait_for_stop(&mut stop) => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted.and_then(|(stream, peer)| {
                stream.set_nodelay(true)?;
                Ok((stream.into_std()?, peer))
            }) {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "connection lost");
                    if !is_connection_error(&error) {
                        tokio::time::sleep(EXHAUSTION_DELAY).await;
                    }
                    continue;
                }
            };
            if let Some(worker) = round_robin.next() {
                id += 1;
                // A worker ends only when all have to stop, and then this loop is about to receive the stop signal too.
                let _ = worker.send(WorkerMessage::Connection { stream, peer, id });
            }
        }
        // For the clients, the connections that the kernel has queued are established, and they may have sent a request.
        let Ok(listener) = listener.into_std() else {
            return;
        };
        while let Ok((stream, peer)) = take_queued(&listener) {
            if let Some(worker) = round_robin.next() {
                id += 1;
                let _ = worker.send(WorkerMessage::Connection { stream, peer, id });
            }
        }
    });
}

/// Returns a connection that is waiting to be accepted. The listener does not block.
fn take_queued(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept()?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok((stream, peer))
}

/// Returns whether only the connection failed, and not the listener.
fn is_connection_error(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected
    )
}
