//! The limit on open file descriptors, and thus on connections.

/// Raises the soft limit to the hard one. The soft limit is often 1024, for programs that use `select`, and each request takes
/// two or three descriptors. macOS rejects a limit above its own maximum, and then the soft limit stays.
#[cfg(unix)]
pub fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limits = getrlimit(Resource::Nofile);
    if limits.current == limits.maximum {
        return;
    }
    let raised = Rlimit {
        current: limits.maximum,
        ..limits
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => crate::logs::detail(|| match limits.maximum {
            Some(limit) => format!("raised the limit on open file descriptors to {limit}"),
            None => "removed the limit on open file descriptors".to_owned(),
        }),
        Err(error) => {
            crate::logs::detail(|| {
                format!("cannot raise the limit on open file descriptors: {error}")
            });
        }
    }
}

/// Other systems have no such limit.
#[cfg(not(unix))]
pub fn raise_limit() {}
