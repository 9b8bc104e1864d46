//! `wasi:filesystem`: there are no directories, so nothing can be opened.

use super::macros::{drops, unreachable_functions};
use crate::memory::{List, RetPtr};

#[unsafe(export_name = "wasi:filesystem/preopens#get-directories")]
extern "C" fn get_directories(ret: *mut u8) {
    // SAFETY: the caller provides space for a `list<tuple<descriptor, string>>`.
    unsafe { RetPtr::new(ret) }.list(0, List::empty(4));
}

/// Returns `none`, because no error of a stream comes from a file.
#[unsafe(export_name = "wasi:filesystem/types#filesystem-error-code")]
extern "C" fn filesystem_error_code(_: u32, ret: *mut u8) {
    // SAFETY: the caller provides space for an `option<error-code>`.
    unsafe { RetPtr::new(ret) }.byte(0, 0);
}

drops! {
    "wasi:filesystem/types#[resource-drop]descriptor";
    "wasi:filesystem/types#[resource-drop]directory-entry-stream";
}

unreachable_functions! {
    "wasi:filesystem/types#[method]descriptor.read-via-stream" (u32, u64, *mut u8);
    "wasi:filesystem/types#[method]descriptor.write-via-stream" (u32, u64, *mut u8);
    "wasi:filesystem/types#[method]descriptor.append-via-stream" (u32, *mut u8);
    "wasi:filesystem/types#[method]descriptor.advise" (u32, u64, u64, u32, *mut u8);
    "wasi:filesystem/types#[method]descriptor.sync-data" (u32, *mut u8);
    "wasi:filesystem/types#[method]descriptor.get-flags" (u32, *mut u8);
    "wasi:filesystem/types#[method]descriptor.get-type" (u32, *mut u8);
    "wasi:filesystem/types#[method]descriptor.set-size" (u32, u64, *mut u8);
    "wasi:filesystem/types#[method]descriptor.set-times" (u32, u32, u64, u32, u32, u64, u32, *mut u8);
    "wasi:filesystem/types#[method]descriptor.read" (u32, u64, u64, *mut u8);
    "wasi:filesystem/types#[method]descriptor.write" (u32, *const u8, usize, u64, *mut u8);
    "wasi:filesystem/types#[method]descriptor.read-directory" (u32, *mut u8);
    "wasi:filesystem/types#[method]descriptor.sync" (u32, *mut u8);
    "wasi:filesystem/types#[method]descriptor.create-directory-at" (u32, *const u8, usize, *mut u8);
    "wasi:filesystem/types#[method]descriptor.stat" (u32, *mut u8);
    "wasi:filesystem/types#[method]descriptor.stat-at" (u32, u32, *const u8, usize, *mut u8);
    "wasi:filesystem/types#[method]descriptor.set-times-at" (u32, u32, *const u8, usize, u32, u64, u32, u32, u64, u32, *mut u8);
    "wasi:filesystem/types#[method]descriptor.link-at" (u32, u32, *const u8, usize, u32, *const u8, usize, *mut u8);
    "wasi:filesystem/types#[method]descriptor.open-at" (u32, u32, *const u8, usize, u32, u32, *mut u8);
    "wasi:filesystem/types#[method]descriptor.readlink-at" (u32, *const u8, usize, *mut u8);
    "wasi:filesystem/types#[method]descriptor.remove-directory-at" (u32, *const u8, usize, *mut u8);
    "wasi:filesystem/types#[method]descriptor.rename-at" (u32, *const u8, usize, u32, *const u8, usize, *mut u8);
    "wasi:filesystem/types#[method]descriptor.symlink-at" (u32, *const u8, usize, *const u8, usize, *mut u8);
    "wasi:filesystem/types#[method]descriptor.unlink-file-at" (u32, *const u8, usize, *mut u8);
    "wasi:filesystem/types#[method]descriptor.is-same-object" (u32, u32) -> u32;
    "wasi:filesystem/types#[method]descriptor.metadata-hash" (u32, *mut u8);
    "wasi:filesystem/types#[method]descriptor.metadata-hash-at" (u32, u32, *const u8, usize, *mut u8);
    "wasi:filesystem/types#[method]directory-entry-stream.read-directory-entry" (u32, *mut u8);
}
