//! The subcommands, one file each: the arguments as a type, and what they do.

pub mod adapt;
pub mod build;
pub mod chain;
pub mod check;
pub mod completions;
pub mod dev;
pub mod doctor;
pub mod inspect;
pub mod man;
pub mod manifest;
pub mod new;
pub mod pull;
pub mod push;
pub mod run;
pub mod test;
pub mod wit;
