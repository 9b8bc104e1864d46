//! Functions that are all alike, declared by name.

/// Declares functions that no plugin can call rightly, since nothing gives the handle that they want.
macro_rules! unreachable_functions {
    ($($name:literal ($($parameter:ty),*) $(-> $result:ty)?;)*) => {
        $(const _: () = {
            #[unsafe(export_name = $name)]
            extern "C" fn function($(_: $parameter),*) $(-> $result)? {
                $crate::abi::trap()
            }
        };)*
    };
}
pub(super) use unreachable_functions;

/// Declares the drops of resources that hold nothing.
macro_rules! drops {
    ($($name:literal;)*) => {
        $(const _: () = {
            #[unsafe(export_name = $name)]
            extern "C" fn function(_: u32) {}
        };)*
    };
}
pub(super) use drops;
