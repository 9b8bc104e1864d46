//! Load on whole servers: what a request costs through Envoy and through `tidegate run`. `linux` is all of it: a process is pinned to
//! a core, and its time is read, by calls that other systems do not have.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod linux;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    return linux::main();
    #[cfg(not(target_os = "linux"))]
    {
        println!(
            "rps: SKIPPED: the load comparison pins processes to cores, which it can on Linux only"
        );
        ExitCode::SUCCESS
    }
}
