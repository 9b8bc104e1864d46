//! Macros that declare many similar functions by name.

/// Declares functions that trap. No plugin can call them correctly, because nothing returns the handle that they take.
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
