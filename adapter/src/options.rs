//! What a caller may ask for.

/// What of a component is carried along besides what runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Leaves out the name section. Backtraces in the proxy's log then show numbers instead of names.
    pub strip_names: bool,
    /// Carries debug information (DWARF) along, with every address changed to where its code went.
    pub keep_debug: bool,
}
