//! The options of `adapt`.

/// Which parts of a component are kept besides those that are needed to run it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Omits the name section. Backtraces in the proxy's log then show function indices instead of names.
    pub strip_names: bool,
    /// Keeps debug information (DWARF), with every address updated to the new position of its code.
    pub keep_debug: bool,
}
