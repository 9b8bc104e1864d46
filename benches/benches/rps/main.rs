//! Load on whole servers: the cost of a request in Envoy and in `tidegate run`. `linux` contains the bench: other systems lack the system
//! calls that pin a process to a core and read its processor time.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod tables;

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
