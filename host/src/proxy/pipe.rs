//! A body that is written while it is sent.
//!
//! The exchange pushes chunks in at one end, and hyper's client, in a separate task, takes them out at the other. There
//! is room for one chunk: a larger buffer would only hide a slow upstream from the downstream side. Channels from
//! libraries either cannot be polled for capacity or hold more than their nominal capacity.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// Creates a body and the writer for it.
pub(super) fn pipe() -> (Writer, PipeBody) {
    let state = Arc::new(Mutex::new(PipeState::default()));
    (
        Writer {
            state: Arc::clone(&state),
            finished: false,
        },
        PipeBody(Source::Pipe(Reader { state })),
    )
}

/// The write end of a body. Dropping it before the body is finished aborts the body.
pub(super) struct Writer {
    state: Arc<Mutex<PipeState>>,
    finished: bool,
}

/// The body of a request, as hyper's client consumes it.
pub(super) struct PipeBody(Source);

/// The read end was dropped: the upstream connection is closed, or the response arrived before the end of the request.
#[derive(Debug)]
pub(super) struct ReaderDropped;

/// The request was aborted downstream, so the request upstream is aborted too.
#[derive(Debug, thiserror::Error)]
#[error("the request was aborted before its end")]
pub(super) struct RequestAborted;

enum Source {
    Empty,
    Pipe(Reader),
}

struct Reader {
    state: Arc<Mutex<PipeState>>,
}

#[derive(Default)]
struct PipeState {
    frame: Option<Frame<Bytes>>,
    end: Option<End>,
    reader_dropped: bool,
    /// The waker of the waiting side: the writer waits for room, the reader for a chunk. Both cannot wait at once.
    waker: Option<Waker>,
}

#[derive(Clone, Copy)]
enum End {
    Finished,
    Aborted,
}

// === impl Writer ===

impl Writer {
    /// Waits until there is room for a chunk.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), ReaderDropped>> {
        let mut state = lock(&self.state);
        if state.reader_dropped {
            return Poll::Ready(Err(ReaderDropped));
        }
        if state.frame.is_none() {
            return Poll::Ready(Ok(()));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Writes a chunk of the body. `last` ends the body. There must be room.
    pub(super) fn write_data(&mut self, data: Bytes, last: bool) {
        let frame = (!data.is_empty()).then(|| Frame::data(data));
        self.push(frame, last);
    }

    /// Writes the trailers, which end the body. There must be room.
    pub(super) fn write_trailers(&mut self, trailers: HeaderMap) {
        self.push(Some(Frame::trailers(trailers)), true);
    }

    fn push(&mut self, frame: Option<Frame<Bytes>>, last: bool) {
        let mut state = lock(&self.state);
        if frame.is_some() {
            state.frame = frame;
        }
        if last {
            state.end = Some(End::Finished);
            self.finished = true;
        }
        state.wake();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.finished {
            let mut state = lock(&self.state);
            state.end = Some(End::Aborted);
            state.wake();
        }
    }
}

// === impl PipeBody ===

impl PipeBody {
    /// Creates an empty body.
    pub(super) fn empty() -> Self {
        Self(Source::Empty)
    }
}

impl Body for PipeBody {
    type Data = Bytes;
    type Error = RequestAborted;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestAborted>>> {
        let Source::Pipe(reader) = &self.0 else {
            return Poll::Ready(None);
        };
        let mut state = lock(&reader.state);
        if let Some(frame) = state.frame.take() {
            state.wake();
            return Poll::Ready(Some(Ok(frame)));
        }
        match state.end {
            Some(End::Finished) => Poll::Ready(None),
            Some(End::Aborted) => Poll::Ready(Some(Err(RequestAborted))),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Empty => true,
            Source::Pipe(reader) => {
                let state = lock(&reader.state);
                state.frame.is_none() && matches!(state.end, Some(End::Finished))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Empty => SizeHint::with_exact(0),
            // The length is in the head, where a plugin may have changed it; hyper reads it there.
            Source::Pipe(_) => SizeHint::default(),
        }
    }
}

// === impl Reader ===

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.reader_dropped = true;
        state.frame = None;
        state.wake();
    }
}

// === impl PipeState ===

impl PipeState {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Locks the state. A poisoned lock still guards a consistent state, because every change is a sequence of assignments.
fn lock(state: &Mutex<PipeState>) -> MutexGuard<'_, PipeState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn noop() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn pipe_buffers_one_chunk() {
        let (mut writer, mut body) = pipe();
        assert!(matches!(
            writer.poll_ready(&mut noop()),
            Poll::Ready(Ok(()))
        ));
        writer.write_data(Bytes::from_static(b"one"), false);
        assert!(writer.poll_ready(&mut noop()).is_pending());
        let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut noop()) else {
            panic!("no piece")
        };
        assert_eq!(frame.into_data().expect("data"), "one");
        assert!(matches!(
            writer.poll_ready(&mut noop()),
            Poll::Ready(Ok(()))
        ));
    }

    #[tokio::test]
    async fn pipe_ends_after_the_last_chunk() {
        let (mut writer, body) = pipe();
        writer.write_data(Bytes::from_static(b"all"), true);
        drop(writer);
        assert_eq!(
            body.collect().await.expect("a whole body").to_bytes(),
            "all"
        );
    }

    #[tokio::test]
    async fn body_fails_if_writer_is_dropped_early() {
        let (mut writer, body) = pipe();
        writer.write_data(Bytes::from_static(b"half"), false);
        drop(writer);
        assert!(body.collect().await.is_err());
    }

    #[test]
    fn writer_reports_a_dropped_reader() {
        let (mut writer, body) = pipe();
        writer.write_data(Bytes::from_static(b"lost"), false);
        drop(body);
        assert!(matches!(
            writer.poll_ready(&mut noop()),
            Poll::Ready(Err(ReaderDropped))
        ));
    }
}
