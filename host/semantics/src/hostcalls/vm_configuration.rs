//! `vm-configuration`: the configuration that all plugins of an instance share.

use bytes::Bytes;

use crate::context::Services;

/// Returns the configuration, which is empty if none was given.
pub fn get(services: &Services) -> &Bytes {
    &services.vm_configuration
}
