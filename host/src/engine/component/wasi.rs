//! WASI 0.2 for components: what the standard libraries of their languages import, without any authority.
//!
//! Clocks, the environment and `exit` come from wasmtime-wasi, with a context that grants no access. Random numbers come
//! from the instance's own source, which may be seeded. Streams and polling are implemented here, because those of
//! wasmtime-wasi block, and blocking inside tokio panics: standard output and standard error go to the plugin's log
//! line by line, standard input is at its end, and every pollable is ready, so that nothing ever waits. Any other WASI
//! function that a component imports is refused when it is called, with an error of the function's own result type if
//! there is one: see `refusal`.

mod random;
mod refusal;
mod streams;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tidegate_semantics::clock::Clock;
use tidegate_semantics::context::Services;
use tidegate_semantics::logs::Level;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi::cli::{WasiCli, WasiCliCtxView};
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock, WasiClocks, WasiClocksCtxView};
use wasmtime_wasi::p2::bindings::{cli, clocks};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::engine::component::guest::Guest;

/// Creates a context without authority: it has a clock and the plugin's own environment.
pub(crate) fn context(services: &Rc<Services>) -> WasiCtx {
    WasiCtxBuilder::new()
        .envs(&services.environment)
        .wall_clock(WasiClock(services.clock.clone()))
        .monotonic_clock(WasiClock(services.clock.clone()))
        .allow_tcp(false)
        .allow_udp(false)
        .build()
}

/// Links WASI for a component, including functions that it imports and this host does not implement.
pub(crate) fn link(
    linker: &mut Linker<Guest>,
    engine: &Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    clocks::wall_clock::add_to_linker::<Guest, WasiClocks>(linker, clocks_of)?;
    clocks::monotonic_clock::add_to_linker::<Guest, WasiClocks>(linker, clocks_of)?;
    random::link(linker)?;
    cli::environment::add_to_linker::<Guest, WasiCli>(linker, cli_of)?;
    cli::exit::add_to_linker::<Guest, WasiCli>(linker, cli_of)?;
    // `streams` redefines the two functions of the clock that would wait.
    linker.allow_shadowing(true);
    streams::link(linker)?;
    linker.allow_shadowing(false);
    refusal::link(linker, engine, component)
}

fn clocks_of(guest: &mut Guest) -> WasiClocksCtxView<'_> {
    WasiClocksCtxView {
        ctx: guest.wasi.clocks(),
        table: &mut guest.table,
    }
}

fn cli_of(guest: &mut Guest) -> WasiCliCtxView<'_> {
    WasiCliCtxView {
        ctx: guest.wasi.cli(),
        table: &mut guest.table,
    }
}

/// The runtime's clock, as both of WASI's clocks.
struct WasiClock(Arc<dyn Clock>);

impl HostWallClock for WasiClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.now())
    }
}

impl HostMonotonicClock for WasiClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        self.0.monotonic()
    }
}

/// Collects a guest's output until it forms a line.
pub(crate) struct LineBuffer {
    level: Level,
    partial: Vec<u8>,
}

/// The number of bytes above which an incomplete line is logged without waiting for its end.
const MAX_PARTIAL_LINE: usize = 64 << 10;

impl LineBuffer {
    pub(crate) fn new(level: Level) -> Self {
        Self {
            level,
            partial: Vec::new(),
        }
    }

    /// Appends output, and calls `line` with each line that it completes, without the line feed.
    pub(crate) fn write(&mut self, bytes: &[u8], mut line: impl FnMut(Level, &str)) {
        for segment in bytes.split_inclusive(|byte| *byte == b'\n') {
            match segment.strip_suffix(b"\n") {
                Some(end) if self.partial.is_empty() => {
                    line(self.level, &String::from_utf8_lossy(end))
                }
                Some(end) => {
                    self.partial.extend_from_slice(end);
                    self.flush(&mut line);
                }
                None => self.partial.extend_from_slice(segment),
            }
            if self.partial.len() > MAX_PARTIAL_LINE {
                self.flush(&mut line);
            }
        }
    }

    /// Calls `line` with the incomplete line, if there is one.
    pub(crate) fn flush(&mut self, mut line: impl FnMut(Level, &str)) {
        if !self.partial.is_empty() {
            line(self.level, &String::from_utf8_lossy(&self.partial));
            self.partial.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_assembled_into_lines() {
        let mut got = Vec::new();
        let mut lines = LineBuffer::new(Level::Info);
        for segment in ["one", " line\ntwo\n\nth", "ree"] {
            lines.write(segment.as_bytes(), |level, line| {
                got.push((level, line.to_owned()))
            });
        }
        lines.flush(|level, line| got.push((level, line.to_owned())));
        lines.flush(|level, line| got.push((level, line.to_owned())));
        let expected = ["one line", "two", "", "three"].map(|line| (Level::Info, line.to_owned()));
        assert_eq!(got, expected);
    }

    #[test]
    fn overlong_line_is_split() {
        let mut got = 0;
        let mut lines = LineBuffer::new(Level::Error);
        for _ in 0..(MAX_PARTIAL_LINE / 1000 * 3) {
            lines.write(&[b'x'; 1000], |_, line| got += line.len());
            assert!(lines.partial.len() <= MAX_PARTIAL_LINE + 1000);
        }
        assert!(got > MAX_PARTIAL_LINE);
    }
}
