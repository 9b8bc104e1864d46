//! The errors of the adapter: why a file cannot be adapted.
//!
//! Each variant carries the names that appear in its message, so that tools can tell cases apart without parsing text.
//! Messages are written for the plugin's author: they say what is wrong, where, and what to do about it.

use crate::name::Name;
use crate::types::{FuncTy, Signature};
use crate::verify::VerifyError;

/// Why a file cannot be adapted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdaptError {
    /// The file is not WebAssembly.
    #[error(
        "not a WebAssembly binary (it does not start with `\\0asm`): pass the `.wasm` file that the build produced"
    )]
    NotWasm,

    /// A core module instead of a component.
    #[error(
        "this is a core WebAssembly module, not a component: build it with `cargo component build`, \
         `cargo build --target wasm32-wasip2` or your language's componentizing tool"
    )]
    CoreModule,

    /// A core module that is a Proxy-Wasm plugin already.
    #[error(
        "this is already a Proxy-Wasm module, which Envoy and `tidegate run` load without adapting"
    )]
    AlreadyProxyWasm,

    /// The file is cut off.
    #[error("the file is truncated: it ends at byte {len}, before the end of the component")]
    Truncated {
        /// The file's length in bytes.
        len: usize,
    },

    /// Not a valid component.
    #[error("not a valid component: {message} (at byte {offset:#x})")]
    Invalid {
        /// The validator's message.
        message: String,
        /// The byte offset in the file.
        offset: usize,
    },

    /// A valid component that uses a feature which not every proxy's engine has.
    #[error(
        "the component uses a WebAssembly feature that is not available in every supported Envoy: {message} (at byte \
         {offset:#x}); build it without that feature"
    )]
    Feature {
        /// The validator's message.
        message: String,
        /// The byte offset in the file.
        offset: usize,
    },

    /// A valid component that could not be taken apart.
    #[error("cannot translate this component: {message}")]
    Translate {
        /// The translator's message.
        message: String,
    },

    /// Several components composed into one.
    #[error(
        "this is a composition of several components ({what}): only single components can be adapted. Adapt the plugin before it is composed"
    )]
    Composed {
        /// How it was detected, as part of the message.
        what: &'static str,
    },

    /// Not exactly one memory.
    #[error(
        "the component has {count} linear memories, and a Proxy-Wasm module has exactly one: adapt a component that is not composed of others"
    )]
    Memories {
        /// How many there are.
        count: usize,
    },

    /// Asynchronous functions.
    #[error(
        "`{interface}` `{function}` is asynchronous: Proxy-Wasm calls plugins synchronously. Export it as a plain `func`"
    )]
    Async {
        /// The interface, or a placeholder if there is none.
        interface: String,
        /// The function.
        function: String,
    },

    /// Strings that are not UTF-8.
    #[error("`{interface}` `{function}` passes strings as {encoding}: only UTF-8 is supported")]
    StringEncoding {
        /// The interface.
        interface: String,
        /// The function.
        function: String,
        /// The name of the encoding.
        encoding: &'static str,
    },

    /// A type that the adapter does not know.
    #[error(
        "`{interface}` `{function}` uses `{ty}`, a component-model type that this release of tidegate does not support"
    )]
    UnsupportedType {
        /// The interface.
        interface: String,
        /// The function.
        function: String,
        /// The type's name.
        ty: &'static str,
    },

    /// Another version of the contract.
    #[error("`{found}` belongs to a different version of the plugin API than {known}, which this release of tidegate supports: {advice}", known = crate::name::WORLD)]
    Version {
        /// The interface that was found.
        found: String,
        /// What to do.
        advice: &'static str,
    },

    /// A function of a later version of the contract.
    #[error(
        "the component {direction} `{interface}` `{function}`, which {known} does not have: use a release of tidegate that \
         knows this version, or build the plugin without that function",
        known = crate::name::WORLD
    )]
    Newer {
        /// `imports` or `exports`.
        direction: &'static str,
        /// The interface, in the version that the component was built against.
        interface: String,
        /// The function.
        function: String,
    },

    /// A component of another world.
    #[error(
        "the component does not export `{missing}`, so it is not a plugin for {known}: its world must \
         `include tidegate:proxy/http-plugin@0.1.0`{extra}",
        known = crate::name::WORLD
    )]
    NotAPlugin {
        /// The interface that is missing.
        missing: String,
        /// What else is known about the reason. May be empty.
        extra: &'static str,
    },

    /// No callback is exported.
    #[error(
        "the component exports no callback: a proxy would never call it. Export at least one of these interfaces: {known}",
        known = .known.join(", ")
    )]
    NoCallback {
        /// The callbacks of the contract.
        known: Vec<String>,
    },

    /// An import or export that the adapter does not support.
    #[error("the component {direction} `{interface}` `{function}`, which {reason}: {advice}")]
    Unsupported {
        /// `imports` or `exports`.
        direction: &'static str,
        /// The interface.
        interface: String,
        /// The function.
        function: String,
        /// Why it is not supported.
        reason: &'static str,
        /// What to do.
        advice: &'static str,
    },

    /// A function with a known name but a different type.
    #[error(
        "`{interface}` `{function}` has a different type than in {known}\n  component: {found_text}\n  contract:  {expected_text}",
        known = contract_of(interface),
        found_text = found.text(looks_same(found, expected)),
        expected_text = expected.text(looks_same(found, expected)),
    )]
    Type {
        /// The interface.
        interface: String,
        /// The function.
        function: String,
        /// Its type in the component.
        found: Box<FuncTy>,
        /// Its type in the contract.
        expected: Box<FuncTy>,
    },

    /// An exported interface lacks a function.
    #[error("the component exports `{interface}` without its function `{function}`")]
    MissingFunction {
        /// The interface.
        interface: String,
        /// The function.
        function: String,
    },

    /// The bridge's function has a different core type than the component's call.
    #[error(
        "`{interface}` `{function}` is called as {found}, but the adapter provides it as {expected}: the \
         component was built for a different version of that interface"
    )]
    Signature {
        /// The interface.
        interface: String,
        /// The function.
        function: String,
        /// The core type of the call.
        found: Box<Signature>,
        /// The core type that is provided.
        expected: Box<Signature>,
    },

    /// A core module contains something that cannot be linked into one module.
    #[error("core module {module} of the component cannot be linked: {message}")]
    Link {
        /// The core module: its index in the component, or a label such as `of the bridge`.
        module: String,
        /// Why it cannot be linked.
        message: String,
    },

    /// A guest whose garbage collector would reclaim the memory that the bridge keeps.
    #[error(
        "the component was compiled from Go, but does not export `{export}`. Go's garbage collector reclaims the memory that \
         `cabi_realloc` returns, so an allocator is required whose memory is never reclaimed: add the one in `guest/go/allocator.go`"
    )]
    NoKeptMemory {
        /// The export that is missing.
        export: &'static str,
    },

    /// An internal inconsistency, which is a bug in the adapter.
    #[error("internal error of the adapter: {message}; please report it")]
    Internal {
        /// What is inconsistent.
        message: String,
    },

    /// Debug information was requested but cannot be kept.
    #[error(
        "cannot preserve the debug information of core module {module}: {message}; adapt without `--keep-debug`"
    )]
    DebugInfo {
        /// The core module: its index in the component, or a label such as `of the bridge`.
        module: String,
        /// Why it cannot be kept.
        message: String,
    },

    /// The output is not a module that a proxy would load.
    #[error("proxies would not load the adapted module")]
    Verify(#[from] VerifyError),
}

impl AdaptError {
    /// The error for something in core module `module` that cannot be linked.
    pub(crate) fn link(module: impl Into<String>, message: impl Into<String>) -> AdaptError {
        AdaptError::Link {
            module: module.into(),
            message: message.into(),
        }
    }

    /// The error for an import or export that the adapter does not support, with the reason and what to do about it.
    pub(crate) fn unsupported(
        direction: &'static str,
        name: &Name,
        reason: &'static str,
        advice: &'static str,
    ) -> AdaptError {
        AdaptError::Unsupported {
            direction,
            interface: if name.interface.is_empty() {
                "(world)".to_owned()
            } else {
                name.interface.clone()
            },
            function: name.item.clone(),
            reason,
            advice,
        }
    }
}

/// The specification that defines the types of the functions of `interface`.
fn contract_of(interface: &str) -> &'static str {
    match interface.starts_with("wasi:") {
        true => "WASI 0.2",
        false => crate::name::WORLD,
    }
}

/// Whether two types look the same unless the interfaces that declare their resources are shown.
fn looks_same(one: &FuncTy, other: &FuncTy) -> bool {
    one.text(false) == other.text(false)
}
