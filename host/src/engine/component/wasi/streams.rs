//! `wasi:io`, and the functions of `wasi:cli` and `wasi:clocks` that return its resources. Nothing here waits.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType};

use crate::engine::component::guest::Guest;

/// A pollable. It is always ready, whatever it was created for.
pub(crate) enum Pollable {}

/// Standard input. It is always at its end.
pub(crate) enum Input {}

/// Standard output or standard error, depending on the representation of the resource.
pub(crate) enum Output {}

/// An error of `wasi:io/error`. None is ever created.
pub(crate) enum IoError {}

/// A terminal. None is ever created.
pub(crate) enum Terminal {}

const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// The number of bytes that `check-write` permits. A guest that calls it does so before each chunk.
const WRITE_PERMIT: u64 = 1 << 20;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

type Store<'a> = StoreContextMut<'a, Guest>;
type StreamResult<T> = wasmtime::Result<(Result<T, StreamError>,)>;

/// Links the interfaces under the version that wasmtime-wasi has. A component may import any version 0.2.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut error = linker.instance("wasi:io/error@0.2.12")?;
    error.resource("error", ResourceType::host::<IoError>(), |_, _| Ok(()))?;
    error.func_wrap(
        "[method]error.to-debug-string",
        |_: Store<'_>, (_,): (Resource<IoError>,)| Ok((String::new(),)),
    )?;

    let mut poll = linker.instance("wasi:io/poll@0.2.12")?;
    poll.resource("pollable", ResourceType::host::<Pollable>(), |_, _| Ok(()))?;
    poll.func_wrap(
        "[method]pollable.ready",
        |_: Store<'_>, (_,): (Resource<Pollable>,)| Ok((true,)),
    )?;
    poll.func_wrap(
        "[method]pollable.block",
        |_: Store<'_>, (_,): (Resource<Pollable>,)| Ok(()),
    )?;
    poll.func_wrap(
        "poll",
        |_: Store<'_>, (list,): (Vec<Resource<Pollable>>,)| {
            // The specification requires a trap for an empty list.
            wasmtime::ensure!(
                !list.is_empty(),
                "`wasi:io/poll` was called with an empty list"
            );
            let count = u32::try_from(list.len())?;
            Ok(((0..count).collect::<Vec<u32>>(),))
        },
    )?;

    let mut streams = linker.instance("wasi:io/streams@0.2.12")?;
    streams.resource("input-stream", ResourceType::host::<Input>(), |_, _| Ok(()))?;
    for name in ["read", "blocking-read"] {
        streams.func_wrap(
            &format!("[method]input-stream.{name}"),
            |_: Store<'_>, (_, _): (Resource<Input>, u64)| -> StreamResult<Vec<u8>> {
                Ok((Err(StreamError::Closed),))
            },
        )?;
    }
    for name in ["skip", "blocking-skip"] {
        streams.func_wrap(
            &format!("[method]input-stream.{name}"),
            |_: Store<'_>, (_, _): (Resource<Input>, u64)| -> StreamResult<u64> {
                Ok((Err(StreamError::Closed),))
            },
        )?;
    }
    streams.func_wrap(
        "[method]input-stream.subscribe",
        |_: Store<'_>, (_,): (Resource<Input>,)| ready_pollable(),
    )?;

    streams.resource("output-stream", ResourceType::host::<Output>(), |_, _| {
        Ok(())
    })?;
    streams.func_wrap(
        "[method]output-stream.check-write",
        |_: Store<'_>, (_,): (Resource<Output>,)| -> StreamResult<u64> { Ok((Ok(WRITE_PERMIT),)) },
    )?;
    for name in ["write", "blocking-write-and-flush"] {
        streams.func_wrap(
            &format!("[method]output-stream.{name}"),
            |store: Store<'_>, (stream, bytes): (Resource<Output>, Vec<u8>)| -> StreamResult<()> {
                write(store, &stream, &bytes);
                Ok((Ok(()),))
            },
        )?;
    }
    for name in ["flush", "blocking-flush"] {
        // A log line ends where the guest wrote a line feed, not where it flushes.
        streams.func_wrap(
            &format!("[method]output-stream.{name}"),
            |_: Store<'_>, (_,): (Resource<Output>,)| -> StreamResult<()> { Ok((Ok(()),)) },
        )?;
    }
    streams.func_wrap(
        "[method]output-stream.subscribe",
        |_: Store<'_>, (_,): (Resource<Output>,)| ready_pollable(),
    )?;
    for name in ["write-zeroes", "blocking-write-zeroes-and-flush"] {
        streams.func_wrap(
            &format!("[method]output-stream.{name}"),
            |store: Store<'_>, (stream, count): (Resource<Output>, u64)| -> StreamResult<()> {
                wasmtime::ensure!(
                    count <= WRITE_PERMIT,
                    "more written than `check-write` allowed"
                );
                write(store, &stream, &vec![0; usize::try_from(count)?]);
                Ok((Ok(()),))
            },
        )?;
    }
    for name in ["splice", "blocking-splice"] {
        streams.func_wrap(
            &format!("[method]output-stream.{name}"),
            |_: Store<'_>,
             (_, _, _): (Resource<Output>, Resource<Input>, u64)|
             -> StreamResult<u64> { Ok((Err(StreamError::Closed),)) },
        )?;
    }

    let mut clock = linker.instance("wasi:clocks/monotonic-clock@0.2.12")?;
    clock.func_wrap("subscribe-instant", |_: Store<'_>, (_,): (u64,)| {
        ready_pollable()
    })?;
    clock.func_wrap("subscribe-duration", |_: Store<'_>, (_,): (u64,)| {
        ready_pollable()
    })?;

    linker
        .instance("wasi:cli/stdin@0.2.12")?
        .func_wrap("get-stdin", |_: Store<'_>, (): ()| {
            Ok((Resource::<Input>::new_own(0),))
        })?;
    linker
        .instance("wasi:cli/stdout@0.2.12")?
        .func_wrap("get-stdout", |_: Store<'_>, (): ()| {
            Ok((Resource::<Output>::new_own(STDOUT),))
        })?;
    linker
        .instance("wasi:cli/stderr@0.2.12")?
        .func_wrap("get-stderr", |_: Store<'_>, (): ()| {
            Ok((Resource::<Output>::new_own(STDERR),))
        })?;
    for (interface, resource) in [
        ("terminal-input", "terminal-input"),
        ("terminal-output", "terminal-output"),
    ] {
        let mut terminal = linker.instance(&format!("wasi:cli/{interface}@0.2.12"))?;
        terminal.resource(resource, ResourceType::host::<Terminal>(), |_, _| Ok(()))?;
    }
    for name in ["stdin", "stdout", "stderr"] {
        let mut terminal = linker.instance(&format!("wasi:cli/terminal-{name}@0.2.12"))?;
        terminal.func_wrap(&format!("get-terminal-{name}"), |_: Store<'_>, (): ()| {
            Ok((Option::<Resource<Terminal>>::None,))
        })?;
    }
    Ok(())
}

fn ready_pollable() -> wasmtime::Result<(Resource<Pollable>,)> {
    Ok((Resource::new_own(0),))
}

fn write(mut store: Store<'_>, stream: &Resource<Output>, bytes: &[u8]) {
    let guest = store.data_mut();
    let plugin = guest.plugin();
    guest.last_writer = plugin;
    let Guest {
        stdout,
        stderr,
        services,
        ..
    } = guest;
    let lines = if stream.rep() == STDERR {
        stderr
    } else {
        stdout
    };
    lines.write(bytes, |level, line| services.log(plugin, level, line));
}
