//! Names of interfaces, of their items, and of the contract.

/// The contract that this adapter knows.
pub const WORLD: &str = "tidegate:proxy@0.1.0";

/// The custom section that holds a plugin's name, its version and the schema of its configuration.
pub const METADATA: &str = "tidegate-plugin";

/// The name of an item and of its interface. For items of the world itself, the interface is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// `package:name/interface@version`.
    pub interface: String,
    /// The item's name in the interface, such as `[method]stream.write`.
    pub item: String,
}

/// Returns `wasi:cli/exit` for `wasi:cli/exit@0.2.6`. `None` if the interface is not WASI, or not of a 0.2 release.
pub fn wasi(interface: &str) -> Option<&str> {
    let (name, version) = interface.split_once('@')?;
    let patch = version.strip_prefix("0.2.")?;
    let released = !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit());
    (name.starts_with("wasi:") && released).then_some(name)
}
