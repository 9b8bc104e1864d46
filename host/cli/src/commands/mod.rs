//! The subcommands, one file each: the arguments as a type, and what they do.

pub mod adapt;
pub mod inspect;
pub mod manifest;
pub mod run;
pub mod wit;
