//! Server processes: started on a core, measured from outside, killed when dropped.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::affinity::{self, Cores};

/// The time limit for compiling a plugin and for starting Envoy on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// A running server.
pub struct Server {
    child: Child,
    /// The address on which it listens.
    pub address: SocketAddr,
}

/// How a server reports that it is ready.
#[derive(Clone, Copy)]
pub enum Says {
    /// On standard output: the first word that starts with `http://` is the address.
    Address,
    /// On standard error, when a line contains this text. The address is fixed in advance.
    Words(&'static str, SocketAddr),
}

impl Server {
    /// Starts a server on a core and waits until it is ready.
    pub fn start(mut command: Command, cores: Cores, says: Says) -> Result<Server> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null());
        match says {
            Says::Address => command.stdout(Stdio::piped()).stderr(Stdio::null()),
            Says::Words(..) => command.stdout(Stdio::null()).stderr(Stdio::piped()),
        };
        // A child process and its threads run on the cores that its parent had when it was started.
        affinity::pin(cores.server)?;
        let child = command.spawn();
        affinity::pin(cores.load)?;
        let mut child = child.with_context(|| format!("failed to start {program}"))?;
        let output: Option<Box<dyn Read + Send>> = match says {
            Says::Address => child.stdout.take().map(|pipe| Box::new(pipe) as _),
            Says::Words(..) => child.stderr.take().map(|pipe| Box::new(pipe) as _),
        };
        // From here on, the child is killed if an error occurs.
        let mut server = Server {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        server.address = ready(output.context("the server has no output")?, says)
            .with_context(|| format!("{program} did not get ready"))?;
        Ok(server)
    }

    /// Returns the processor time that the process has used so far, in all threads.
    pub fn cpu(&self) -> Result<Duration> {
        let mut clock = MaybeUninit::<libc::clockid_t>::uninit();
        let pid = libc::pid_t::try_from(self.child.id()).context("not a process id")?;
        // SAFETY: `clock` has space for one clock ID.
        let result = unsafe { libc::clock_getcpuclockid(pid, clock.as_mut_ptr()) };
        if result != 0 {
            bail!(
                "process {pid} has no processor clock: {}",
                std::io::Error::from_raw_os_error(result)
            );
        }
        let mut time = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: the call above succeeded, so it has written the clock's ID; `time` has space for one time.
        let result = unsafe { libc::clock_gettime(clock.assume_init(), time.as_mut_ptr()) };
        if result != 0 {
            return Err(std::io::Error::last_os_error())
                .context("failed to read a process's clock");
        }
        // SAFETY: the call above succeeded, so it has written the time.
        let time = unsafe { time.assume_init() };
        Ok(Duration::new(
            u64::try_from(time.tv_sec)?,
            u32::try_from(time.tv_nsec)?,
        ))
    }

    /// Returns the resident memory in bytes.
    pub fn resident(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("a status without VmRSS")?;
        let kilobytes: u64 = line
            .trim()
            .trim_end_matches("kB")
            .trim()
            .parse()
            .context("VmRSS is no number")?;
        Ok(kilobytes * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // This fails if the process has already exited.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Waits for the line. The thread continues to read, so that the server never blocks on a full pipe.
fn ready(output: Box<dyn Read + Send>, says: Says) -> Result<SocketAddr> {
    let (found, listening) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let address = match says {
                Says::Address => line
                    .split_whitespace()
                    .find_map(|word| word.strip_prefix("http://")?.parse().ok()),
                Says::Words(words, address) => line.contains(words).then_some(address),
            };
            if let Some(address) = address {
                // The receiver is dropped once it has the address.
                _ = found.send(address);
            }
        }
    });
    listening
        .recv_timeout(READY_WITHIN)
        .map_err(|error| match error {
            mpsc::RecvTimeoutError::Disconnected => {
                anyhow::anyhow!("it ended, or closed its output")
            }
            mpsc::RecvTimeoutError::Timeout => {
                anyhow::anyhow!("it said nothing for {} s", READY_WITHIN.as_secs())
            }
        })
}
