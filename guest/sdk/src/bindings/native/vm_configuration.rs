//! `vm-configuration`: the configuration that all plugins of an instance share.

use tidegate_semantics::hostcalls;

use super::current::current;

#[track_caller]
pub fn get() -> Vec<u8> {
    hostcalls::vm_configuration::get(&current().services).to_vec()
}
