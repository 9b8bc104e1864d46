//! Closes a connection in such a way that the last response arrives.
//!
//! Closing a socket with unread input resets the connection. A client that is still sending, because the response
//! arrived before the request was complete, might then never see that response. Such a connection is therefore closed
//! in two steps: the write side is shut down, and further input is discarded until the client closes the connection or
//! a timeout expires.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// How long a client may continue to send. Envoy uses the same delay.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// A downstream connection.
pub(super) struct LingeringStream {
    io: TokioIo<TcpStream>,
    unread: UnreadRequest,
    linger_timer: Option<Pin<Box<Sleep>>>,
}

/// Records whether a request on a connection was answered before it was read completely.
#[derive(Clone, Default)]
pub(super) struct UnreadRequest(Rc<Cell<bool>>);

// === impl LingeringStream ===

impl LingeringStream {
    pub(super) fn new(stream: TcpStream, unread: UnreadRequest) -> Self {
        Self {
            io: TokioIo::new(stream),
            unread,
            linger_timer: None,
        }
    }

    fn io(self: Pin<&mut Self>) -> Pin<&mut TokioIo<TcpStream>> {
        Pin::new(&mut self.get_mut().io)
    }
}

// === impl UnreadRequest ===

impl UnreadRequest {
    pub(super) fn mark(&self) {
        self.0.set(true);
    }
}

impl Read for LingeringStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.io().poll_read(cx, buf)
    }
}

impl Write for LingeringStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let linger_timer = match &mut this.linger_timer {
            Some(linger_timer) => linger_timer,
            None => {
                ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
                if !this.unread.0.get() {
                    return Poll::Ready(Ok(()));
                }
                this.linger_timer.insert(Box::pin(sleep(LINGER_TIMEOUT)))
            }
        };
        let stream = this.io.inner_mut();
        let mut discarded = [0; 8192];
        // A fast sender must not occupy the worker for the whole second, so other tasks get a turn after some iterations.
        for _ in 0..16 {
            if linger_timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut discarded = ReadBuf::new(&mut discarded);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut discarded)) {
                Ok(()) if !discarded.filled().is_empty() => {}
                // The client has closed the connection, gracefully or not.
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write_vectored(cx, bufs)
    }
}
