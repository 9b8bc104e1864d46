//! `wasi:random`: all three interfaces draw from the instance's single source, in the order of the calls. An adapted
//! module does the same, so a seed yields the same numbers in both engines.

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use crate::engine::component::guest::Guest;

/// The maximum number of bytes for one call.
const MAX_BYTES: u64 = 64 << 10;

type Store<'a> = StoreContextMut<'a, Guest>;

/// Links the interfaces under the version that wasmtime-wasi has. A component may import any version 0.2.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for (interface, kind) in [("random", ""), ("insecure", "insecure-")] {
        let mut instance = linker.instance(&format!("wasi:random/{interface}@0.2.12"))?;
        instance.func_wrap(
            &format!("get-{kind}random-bytes"),
            |store: Store<'_>, (len,): (u64,)| {
                wasmtime::ensure!(
                    len <= MAX_BYTES,
                    "{len} random bytes were requested in one call; the limit is {MAX_BYTES}"
                );
                let mut bytes = vec![0; usize::try_from(len)?];
                fill(&store, &mut bytes)?;
                Ok((bytes,))
            },
        )?;
        instance.func_wrap(
            &format!("get-{kind}random-u64"),
            |store: Store<'_>, (): ()| Ok((random_u64(&store)?,)),
        )?;
    }
    let mut seed = linker.instance("wasi:random/insecure-seed@0.2.12")?;
    seed.func_wrap("insecure-seed", |store: Store<'_>, (): ()| {
        Ok(((random_u64(&store)?, random_u64(&store)?),))
    })
}

fn random_u64(store: &Store<'_>) -> wasmtime::Result<u64> {
    let mut bytes = [0; 8];
    fill(store, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn fill(store: &Store<'_>, bytes: &mut [u8]) -> wasmtime::Result<()> {
    let random = &store.data().services.random;
    random.fill(bytes).map_err(|error| {
        wasmtime::format_err!("the system's random number generator failed: {error}")
    })
}
