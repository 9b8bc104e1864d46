//! A progress bar for pushing and pulling blobs, which is removed at the end.

use std::cell::RefCell;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use tidegate_oci::{Digest, Direction, Transfer};

/// A progress bar for the blob that is being transferred.
pub struct Bar<T> {
    target: T,
    /// The blob that is being transferred, and its bar.
    shown: RefCell<Option<(Digest, ProgressBar)>>,
}

// === impl Bar ===

impl<T: Fn() -> ProgressDrawTarget> Bar<T> {
    /// Creates a bar that is drawn to this target.
    pub fn on(target: T) -> Self {
        Self {
            target,
            shown: RefCell::default(),
        }
    }

    /// Shows the progress of a transfer.
    pub fn show(&self, transfer: Transfer<'_>) {
        let mut shown = self.shown.borrow_mut();
        let bar = match shown.take_if(|(digest, _)| digest == transfer.digest) {
            Some((_, bar)) => bar,
            None => {
                // Remove the previous bar first.
                *shown = None;
                self.begin(&transfer)
            }
        };
        bar.set_position(transfer.done);
        *shown = Some((transfer.digest.clone(), bar));
    }

    /// Creates a bar with message and length set, so that the first frame is complete.
    fn begin(&self, transfer: &Transfer<'_>) -> ProgressBar {
        let deed = match transfer.direction {
            Direction::Up => "pushing",
            Direction::Down => "pulling",
        };
        let hex = transfer.digest.hex();
        let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}");
        ProgressBar::with_draw_target(Some(transfer.total), (self.target)())
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_message(format!("{deed} {}", hex.get(..12).unwrap_or(hex)))
            .with_finish(ProgressFinish::AndClear)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;
    use tidegate_oci::{Access, Image, Labels, Layout, Registry, push};

    use super::*;

    /// A terminal that records its frames.
    #[derive(Debug, Clone, Default)]
    struct Frames(Arc<Mutex<Vec<String>>>);

    impl Frames {
        fn all(&self) -> Vec<String> {
            self.0.lock().expect("the frames").clone()
        }
    }

    impl TermLike for Frames {
        fn width(&self) -> u16 {
            100
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, line: &str) -> io::Result<()> {
            self.write_str(line)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            if !text.trim().is_empty() {
                self.0
                    .lock()
                    .expect("the frames")
                    .push(text.trim().to_owned());
            }
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            self.0
                .lock()
                .expect("the frames")
                .push("cleared".to_owned());
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// An empty registry that accepts everything.
    fn registry() -> String {
        use std::io::{BufRead as _, BufReader, Read as _, Write as _};
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        std::thread::spawn(move || {
            // Three requests for each of three blobs, and one for the manifest.
            for stream in listener.incoming().take(10) {
                let mut reader = BufReader::new(stream.expect("a stream"));
                let (mut head, mut length) = (String::new(), 0);
                while !head.ends_with("\r\n\r\n")
                    && reader.read_line(&mut head).expect("a line") > 0
                {}
                for line in head.to_ascii_lowercase().lines() {
                    if let Some(value) = line.strip_prefix("content-length:") {
                        length = value.trim().parse().expect("a length");
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("a body");
                let answer = match head.split(' ').next() {
                    Some("HEAD") => "404 None\r\n",
                    Some("POST") => "202 Begin\r\nlocation: /v2/pp/blobs/uploads/1\r\n",
                    _ => "201 Done\r\n",
                };
                let answer =
                    format!("HTTP/1.1 {answer}connection: close\r\ncontent-length: 0\r\n\r\n");
                reader
                    .get_mut()
                    .write_all(answer.as_bytes())
                    .expect("an answer");
            }
        });
        address
    }

    #[test]
    fn progress_bar_shows_blob_and_size_from_the_first_frame() {
        let frames = Frames::default();
        let terminal = frames.clone();
        let bar = Bar::on(move || ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        let reference = format!("oci://{}/pp:v1", registry())
            .parse()
            .expect("a reference");
        let access = Access {
            watcher: Some(Box::new(move |transfer| bar.show(transfer))),
            ..Access::default()
        };
        let mut registry = Registry::open(&reference, access);
        let wasm = vec![7; 300_000];
        let image = Image::plugin(&wasm, Layout::Artifact, &Labels::default());
        push(&mut registry, &image, "v1").expect("a push");
        drop(registry);

        let all = frames.all();
        let drawn: Vec<_> = all.iter().filter(|frame| *frame != "cleared").collect();
        assert!(!drawn.iter().any(|frame| frame.contains("/0 B")), "{all:?}");
        for blob in &image.blobs {
            let begin = format!("pushing {} ", &blob.digest.hex()[..12]);
            assert!(
                drawn.iter().any(|frame| frame.starts_with(&begin)),
                "{all:?}"
            );
        }
        assert!(
            drawn.iter().all(|frame| frame.starts_with("pushing ")),
            "{all:?}"
        );
        assert!(
            drawn
                .iter()
                .any(|frame| frame.ends_with("292.97 KiB/292.97 KiB")),
            "{all:?}"
        );
        assert_eq!(all.last().map(String::as_str), Some("cleared"), "{all:?}");
    }
}
