//! Tests with registries: what is pushed can be pulled, and each fault of a registry has one clear error.

mod authentication;
mod broken;
mod examine;
mod hostile;
mod patience;
mod push;
#[expect(dead_code, reason = "the command line tool's tests need more of it")]
mod registries;
mod shelf;

use std::time::Duration;

use tidegate_oci::{Access, Credentials, Reference, Registry};

/// A repository in a registry on this machine.
fn reference(address: &str, rest: &str) -> Reference {
    format!("oci://{address}/{rest}")
        .parse()
        .expect("a reference")
}

fn open(reference: &Reference) -> Registry {
    open_as(reference, Credentials::Anonymous)
}

fn open_as(reference: &Reference, credentials: Credentials) -> Registry {
    let access = Access {
        credentials,
        timeout: Duration::from_secs(60),
        ..Access::default()
    };
    Registry::open(reference, access)
}
