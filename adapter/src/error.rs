//! Why a file cannot be adapted.
//!
//! Each variant carries the names that its message is made of, so that tools can tell cases apart without reading text.
//! Messages are for a plugin's author: what is wrong, where, and what to do.

use crate::name::Name;
use crate::types::{FuncTy, Signature};
use crate::verify::VerifyError;

/// Why a file cannot be adapted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdaptError {
    /// Not WebAssembly at all.
    #[error("not a WebAssembly file: it does not begin with the bytes `\\0asm`")]
    NotWasm,

    /// A core module where a component is wanted.
    #[error(
        "this is a core WebAssembly module, not a component: build it with `cargo component build`, \
         `cargo build --target wasm32-wasip2` or your language's componentizing tool"
    )]
    CoreModule,

    /// A core module that is a Proxy-Wasm plugin already.
    #[error(
        "this is a Proxy-Wasm module already: Envoy and `tidegate run` take it as it is, there is nothing to adapt"
    )]
    AlreadyProxyWasm,

    /// The file stops in the middle.
    #[error("the file is cut off: it ends at byte {len}, before the component does")]
    Truncated {
        /// How long it is.
        len: usize,
    },

    /// Not a valid component.
    #[error("not a valid component: {message} (at byte {offset:#x})")]
    Invalid {
        /// What the validator says.
        message: String,
        /// Where.
        offset: usize,
    },

    /// Valid, but with something that the proxies' engines do not all have.
    #[error(
        "the component makes use of a WebAssembly feature that not every supported Envoy has: {message} (at byte \
         {offset:#x}); build it without that feature"
    )]
    Feature {
        /// What the validator says.
        message: String,
        /// Where.
        offset: usize,
    },

    /// The component could be validated but not taken apart.
    #[error("this component cannot be taken apart: {message}")]
    Translate {
        /// What the translator says.
        message: String,
    },

    /// Several components composed into one.
    #[error(
        "this is several components composed into one, {what}: a Proxy-Wasm module has room for one. Adapt the plugin \
         alone, before it is composed"
    )]
    Composed {
        /// How that is seen.
        what: &'static str,
    },

    /// Not exactly one memory.
    #[error(
        "the component has {count} linear memories, a Proxy-Wasm module has exactly one: adapt a component that was not \
         composed of others"
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
        /// The interface, or what stands for it.
        interface: String,
        /// The function.
        function: String,
    },

    /// Strings that are not UTF-8.
    #[error("`{interface}` `{function}` passes strings as {encoding}, only UTF-8 is supported")]
    StringEncoding {
        /// The interface.
        interface: String,
        /// The function.
        function: String,
        /// What it says.
        encoding: &'static str,
    },

    /// A type that the adapter does not know.
    #[error(
        "`{interface}` `{function}` uses `{ty}`, a component-model type that this version does not support"
    )]
    UnsupportedType {
        /// The interface.
        interface: String,
        /// The function.
        function: String,
        /// The type's name.
        ty: &'static str,
    },

    /// The contract, in another version.
    #[error("`{found}` is another version of the contract than the one this adapter knows, {known}: {advice}", known = crate::name::WORLD)]
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

    /// A component of some other world.
    #[error(
        "the component does not export `{missing}`, so it is not a plugin for {known}: its world must \
         `include tidegate:proxy/http-plugin@0.1.0`{extra}",
        known = crate::name::WORLD
    )]
    NotAPlugin {
        /// The interface that is missing.
        missing: String,
        /// What more is known of the reason.
        extra: &'static str,
    },

    /// No callback is exported.
    #[error(
        "the component exports no callback: a proxy would never call it. Export at least one interface of {known}",
        known = .known.join(", ")
    )]
    NoCallback {
        /// The callbacks that there are.
        known: Vec<String>,
    },

    /// What is imported or exported means nothing here.
    #[error("the component {direction} `{interface}` `{function}`, which {reason}: {advice}")]
    Unsupported {
        /// `imports` or `exports`.
        direction: &'static str,
        /// The interface.
        interface: String,
        /// The function.
        function: String,
        /// Why not.
        reason: &'static str,
        /// What to do.
        advice: &'static str,
    },

    /// A right name with a wrong type.
    #[error(
        "`{interface}` `{function}` has another type than in {known}\n  component: {found_text}\n  contract:  {expected_text}",
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

    /// A function of an exported interface is not there.
    #[error("the component exports `{interface}` without its function `{function}`")]
    MissingFunction {
        /// The interface.
        interface: String,
        /// The function.
        function: String,
    },

    /// The bridge's function has another core type than the component calls.
    #[error(
        "`{interface}` `{function}` is called as {found}, but the adapter provides it as {expected}: it is of another \
         version of that interface"
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

    /// A core module has something that cannot be merged into one module.
    #[error("core module {module} of the component cannot be linked: {message}")]
    Link {
        /// Which core module, by its place in the component.
        module: String,
        /// What stands in the way.
        message: String,
    },

    /// A guest with a garbage collector that reclaims what the bridge would keep.
    #[error(
        "the component was compiled from Go, whose garbage collector reclaims what `cabi_realloc` returns, and it does not \
         export `{export}`: add that export, an allocator whose memory is never reclaimed; `guest/go/allocator.go` has one"
    )]
    NoKeptMemory {
        /// The export that is missing.
        export: &'static str,
    },

    /// The adapter contradicts itself. This is a bug.
    #[error("internal error of the adapter: {message}; please report it")]
    Internal {
        /// What is inconsistent.
        message: String,
    },

    /// Debug information that was asked for cannot be carried along.
    #[error(
        "debug information of core module {module} cannot be kept: {message}; adapt it without debug information"
    )]
    DebugInfo {
        /// Which core module, by its place in the component.
        module: String,
        /// Why.
        message: String,
    },

    /// What the adapter made is not a module that a proxy would load.
    #[error("the adapted module would not load")]
    Verify(#[from] VerifyError),
}

impl AdaptError {
    /// Says that something of core module `module` cannot be linked.
    pub(crate) fn link(module: impl Into<String>, message: impl Into<String>) -> AdaptError {
        AdaptError::Link {
            module: module.into(),
            message: message.into(),
        }
    }

    /// Says which of the two names of a function the adapter cannot do anything with, and what to do.
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

/// What says which type a function of `interface` has.
fn contract_of(interface: &str) -> &'static str {
    match interface.starts_with("wasi:") {
        true => "WASI 0.2",
        false => crate::name::WORLD,
    }
}

/// Whether two types can only be told apart by where their resources are declared.
fn looks_same(one: &FuncTy, other: &FuncTy) -> bool {
    one.text(false) == other.text(false)
}
