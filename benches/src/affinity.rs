//! Pins processes to cores: the server to one, the load generator to another.

use std::io;
use std::mem;

use anyhow::{Context, Result, ensure};

/// Two cores of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    /// The core for the measured server.
    pub server: usize,
    /// The core for the load generator and the upstream.
    pub load: usize,
}

impl Cores {
    /// Returns the first two cores that this process may use. Fails if there is only one, because the results would be meaningless.
    pub fn choose() -> Result<Cores> {
        let allowed = allowed().context("failed to ask which cores this process may use")?;
        let cores: Vec<usize> = (0..libc::CPU_SETSIZE as usize)
            .filter(|core| has(&allowed, *core))
            .take(2)
            .collect();
        ensure!(
            cores.len() == 2,
            "the load comparison requires two cores, one for the server and one for the load generator"
        );
        Ok(Cores {
            server: cores[0],
            load: cores[1],
        })
    }
}

/// Moves the calling thread, and processes that it starts later, to one core.
pub fn pin(core: usize) -> io::Result<()> {
    let mut set = empty();
    // SAFETY: `set` is a valid set, and CPU_SET checks the index against its size.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the size is that of the set that is pointed to; process 0 is the calling thread.
    let result =
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn allowed() -> io::Result<libc::cpu_set_t> {
    let mut set = empty();
    // SAFETY: the size is that of the set that is pointed to; process 0 is the calling thread.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    if result == 0 {
        Ok(set)
    } else {
        Err(io::Error::last_os_error())
    }
}

fn has(set: &libc::cpu_set_t, core: usize) -> bool {
    // SAFETY: `set` is a valid set, and CPU_ISSET checks the index against its size.
    unsafe { libc::CPU_ISSET(core, set) }
}

fn empty() -> libc::cpu_set_t {
    // SAFETY: a set of cores is a plain array of bits; all zeros is the empty set.
    unsafe { mem::zeroed() }
}
