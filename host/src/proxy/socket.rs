//! A TCP connection with a buffer for each direction.

use std::io::{self, IoSlice};
#[cfg(unix)]
use std::os::fd::AsFd as _;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
#[cfg(unix)]
use tokio::io::Interest;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::net::TcpStream;

use crate::proxy::http1::output::Output;

/// How many bytes are read at first. It suffices for most heads, and an idle connection has no buffer.
const MIN_READ: usize = 8 * 1024;

/// How many bytes are read at once from a connection that has sent so many before.
const MAX_READ: usize = 64 * 1024;

/// How many slices are passed to the operating system at once.
const MAX_SLICES: usize = 16;

/// How many bytes may wait to be sent before more are produced. A single chunk may exceed it.
pub(super) const OUTPUT_LIMIT: usize = 64 * 1024;

/// A connection.
pub(super) struct Socket {
    stream: TcpStream,
    /// What has been received, and not been processed yet.
    pub(super) input: BytesMut,
    /// What has to be sent.
    pub(super) output: Output,
    read_size: usize,
    /// Waits for the end of a connection that is not read.
    #[cfg(unix)]
    watch: Option<TcpStream>,
}

// === impl Socket ===

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            output: Output::default(),
            read_size: MIN_READ,
            #[cfg(unix)]
            watch: None,
        }
    }

    /// Receives more bytes. Returns 0 if the other side has closed the connection.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // The buffer is allocated when there is something to read.
        ready!(self.stream.poll_read_ready(cx))?;
        self.input.reserve(self.read_size);
        // Unlike `try_read_buf`, it knows after a short read that nothing is left, so that the next call makes no system call.
        let count = ready!(pin!(self.stream.read_buf(&mut self.input)).poll(cx))?;
        if count >= self.read_size {
            self.read_size = (self.read_size * 2).min(MAX_READ);
        }
        Poll::Ready(Ok(count))
    }

    /// Sends what is in `output`.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = self.output.slices(&mut slices);
            let slices = slices.get(..count).unwrap_or_default();
            match self.stream.try_write_vectored(slices) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => self.output.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Returns whether nothing has been received on an idle connection, and the other side has not closed it. When this
    /// changes, the task is woken.
    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            match self.stream.poll_read_ready(cx) {
                // Also if the task has used up its budget, so the connection is checked again when it is used.
                Poll::Pending => return self.input.is_empty(),
                Poll::Ready(Ok(())) if self.is_idle() => {}
                Poll::Ready(_) => return false,
            }
        }
    }

    /// Like [`poll_idle`](Self::poll_idle), but no task is woken.
    pub(super) fn is_idle(&self) -> bool {
        let result = self.stream.try_read(&mut [0; 1]);
        self.input.is_empty()
            && result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Waits until the other side has closed the connection, without reading what it has sent before.
    #[cfg(unix)]
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The stream itself only reports that it can be read, which is no news if nothing reads it. A second handle has a readiness of its
        // own, which can be reset.
        let watch = match &mut self.watch {
            Some(watch) => watch,
            none => match second_handle(&self.stream) {
                Ok(handle) => none.insert(handle),
                // Without it, the end is noticed when the stream is read again.
                Err(_) => return Poll::Pending,
            },
        };
        while ready!(watch.poll_read_ready(cx)).is_ok() {
            match ready!(pin!(watch.ready(Interest::READABLE)).poll(cx)) {
                Ok(state) if !state.is_read_closed() => {
                    // Waits for a change.
                    let reset = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                    let _ = watch.try_io(Interest::READABLE, reset);
                }
                Ok(_) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }

    /// Waits until the other side has closed the connection. Here, this is noticed only when the stream is read.
    #[cfg(not(unix))]
    pub(super) fn poll_closed(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// Releases the buffers of a connection that waits for the other side.
    pub(super) fn release_buffers(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
            self.read_size = MIN_READ;
        }
        if self.output.is_empty() {
            self.output.clear();
        }
        #[cfg(unix)]
        {
            self.watch = None;
        }
    }

    /// Closes the connection for sending.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// Discards what is received until the other side closes the connection.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A fast sender must not occupy the worker, so other tasks get a turn after some iterations.
        for _ in 0..16 {
            self.input.clear();
            if ready!(self.poll_read(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(unix)]
fn second_handle(stream: &TcpStream) -> io::Result<TcpStream> {
    let handle = stream.as_fd().try_clone_to_owned()?;
    TcpStream::from_std(handle.into())
}
