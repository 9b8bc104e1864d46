//! WASI 0.2 for components: what their languages' libraries drag in, without any authority.
//!
//! Clocks and the environment come from wasmtime-wasi with an empty context. Random numbers are the instance's own, which may
//! have a seed. Streams and polling are ours,
//! because wasmtime-wasi's block, and blocking inside tokio panics: standard output and error go to the plugin's log by
//! line, standard input is at its end, and every pollable is ready, so that nothing is ever waited for. Whatever else of WASI a component
//! imports is refused when it is called, with the error of that function's own type where it has one: see `refusal`.

mod random;
mod refusal;
mod streams;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi::cli::{WasiCli, WasiCliCtxView};
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock, WasiClocks, WasiClocksCtxView};
use wasmtime_wasi::p2::bindings::{cli, clocks};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::clock::Clock;
use crate::context::Services;
use crate::engine::component::guest::Guest;
use crate::logs::Level;

/// A context without authority: a clock, and the plugin's own environment.
pub(crate) fn context(services: &Rc<Services>) -> WasiCtx {
    WasiCtxBuilder::new()
        .envs(&services.environment)
        .wall_clock(Time(services.clock.clone()))
        .monotonic_clock(Time(services.clock.clone()))
        .allow_tcp(false)
        .allow_udp(false)
        .build()
}

/// Links what this component imports of WASI.
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
    // Ours, over the two functions of the clock that would wait.
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

/// The runtime's clock, as WASI's two.
struct Time(Arc<dyn Clock>);

impl HostWallClock for Time {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.now())
    }
}

impl HostMonotonicClock for Time {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        self.0.monotonic()
    }
}

/// What a guest prints, until it makes a line.
pub(crate) struct Lines {
    level: Level,
    open: Vec<u8>,
}

/// A line that is longer is cut.
const MAX_LINE: usize = 64 << 10;

impl Lines {
    pub(crate) fn new(level: Level) -> Self {
        Self {
            level,
            open: Vec::new(),
        }
    }

    /// Takes bytes, and gives the lines that are complete by them, without their ends.
    pub(crate) fn write(&mut self, bytes: &[u8], mut line: impl FnMut(Level, &str)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(end) if self.open.is_empty() => {
                    line(self.level, &String::from_utf8_lossy(end))
                }
                Some(end) => {
                    self.open.extend_from_slice(end);
                    self.flush(&mut line);
                }
                None => self.open.extend_from_slice(piece),
            }
            if self.open.len() > MAX_LINE {
                self.flush(&mut line);
            }
        }
    }

    /// Gives what there is of a line.
    pub(crate) fn flush(&mut self, mut line: impl FnMut(Level, &str)) {
        if !self.open.is_empty() {
            line(self.level, &String::from_utf8_lossy(&self.open));
            self.open.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_assembled_into_lines() {
        let mut got = Vec::new();
        let mut lines = Lines::new(Level::Info);
        for piece in ["one", " line\ntwo\n\nth", "ree"] {
            lines.write(piece.as_bytes(), |level, line| {
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
        let mut lines = Lines::new(Level::Error);
        for _ in 0..(MAX_LINE / 1000 * 3) {
            lines.write(&[b'x'; 1000], |_, line| got += line.len());
            assert!(lines.open.len() <= MAX_LINE + 1000);
        }
        assert!(got > MAX_LINE);
    }
}
