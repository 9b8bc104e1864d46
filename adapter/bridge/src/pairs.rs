//! Proxy-Wasm's serialised form of a list of fields: their number, the lengths of each name and value, then the names
//! and values, each followed by a zero byte.

use crate::memory::{List, bytes, list, string};
use crate::state::State;
use crate::syntax;
use crate::types::Error;

/// The maximum number of fields that the host reads. It treats a longer list as an empty one, and reports no error.
const MAX_FIELDS: usize = 1024;
/// The maximum number of bytes that the host reads.
const MAX_SIZE: usize = 1 << 20;

/// A stored `tuple<string, list<u8>>`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) name: List,
    pub(crate) value: List,
}

impl Entry {
    /// The name and the value.
    pub(crate) fn parts(&self) -> (&[u8], &[u8]) {
        // SAFETY: the entry was borrowed from the guest together with what it points to.
        unsafe {
            (
                bytes(self.name.start, self.name.len),
                bytes(self.value.start, self.value.len),
            )
        }
    }
}

/// A `list<tuple<string, list<u8>>>` that the guest passed. Traps if it violates its type.
///
/// # Safety
/// The list stays there, unchanged, for `'a`.
pub(crate) unsafe fn lift<'a>(start: *const Entry, len: usize) -> &'a [Entry] {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let entries = list(start, len);
        for entry in entries {
            string(entry.name.start, entry.name.len);
        }
        entries
    }
}

/// The names that a list may contain.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Names {
    /// Names of fields only.
    Fields,
    /// Names of fields and of pseudo-headers.
    FieldsAndPseudo,
}

/// Checks a list and writes it into the scratch buffer for the host.
pub(crate) fn write(state: &State, entries: &[Entry], names: Names) -> Result<List, Error> {
    if entries.len() > MAX_FIELDS {
        return Err(Error::TooLarge);
    }
    let mut size = 4_usize;
    for entry in entries {
        size = size
            .saturating_add(10)
            .saturating_add(entry.name.len)
            .saturating_add(entry.value.len);
    }
    if size > MAX_SIZE {
        return Err(Error::TooLarge);
    }
    let start = state.scratch(size);
    let mut sizes = start.cast::<u32>();
    // SAFETY: `size` counts the four bytes here and, for each entry, the eight and the bytes that follow below.
    let mut text = unsafe { start.add(4 + 8 * entries.len()) };
    // SAFETY: see above.
    unsafe { sizes.write(entries.len() as u32) };
    for entry in entries {
        let (name, value) = entry.parts();
        syntax::check_field(name, value)?;
        if names == Names::Fields && syntax::is_pseudo(name) {
            return Err(Error::InvalidArgument);
        }
        for part in [name, value] {
            // SAFETY: see above.
            unsafe {
                sizes = sizes.add(1);
                sizes.write(part.len() as u32);
                core::ptr::copy_nonoverlapping(part.as_ptr(), text, part.len());
                text = text.add(part.len());
                text.write(0);
                text = text.add(1);
            }
        }
    }
    Ok(List { start, len: size })
}

/// A list that the host wrote and that a `list<tuple<string, list<u8>>>` can hold.
///
/// All entries have been validated, so copying them cannot fail. A list that is not passed to the guest would never be freed.
#[derive(Clone, Copy)]
pub(crate) struct CheckedPairs<'a>(Pairs<'a>);

impl<'a> CheckedPairs<'a> {
    /// Checks a list.
    #[inline(always)]
    pub(crate) fn read(data: &'a [u8]) -> Result<CheckedPairs<'a>, Error> {
        let Some(pairs) = Pairs::read(data) else {
            return Err(Error::Malformed);
        };
        let mut rest = pairs;
        for _ in 0..pairs.count {
            // A name becomes a `string`, and hosts do not guarantee that their names are UTF-8.
            match rest.next() {
                Some((name, _)) if name.is_ascii() => {}
                _ => return Err(Error::Malformed),
            }
        }
        Ok(CheckedPairs(pairs))
    }

    /// Copies the list into memory from `allocate`. The guest will own it.
    #[inline(always)]
    pub(crate) fn copied(self, allocate: impl Copy + Fn(usize, usize) -> *mut u8) -> List {
        let CheckedPairs(mut pairs) = self;
        let len = pairs.count;
        let start = allocate(4, len * size_of::<Entry>());
        let mut next = start.cast::<Entry>();
        while let Some((name, value)) = pairs.next() {
            // SAFETY: there is room for `len` fields, and `pairs` has no more.
            unsafe {
                next.write(Entry {
                    name: List::copied(name, allocate),
                    value: List::copied(value, allocate),
                });
                next = next.add(1);
            }
        }
        List { start, len }
    }
}

/// A list that the host wrote, read from front to back.
#[derive(Clone, Copy)]
pub(crate) struct Pairs<'a> {
    sizes: &'a [u8],
    text: &'a [u8],
    /// The number of fields that the list declares.
    pub(crate) count: usize,
}

impl<'a> Pairs<'a> {
    /// Reads the number and the lengths. Empty data is an empty list, too.
    pub(crate) fn read(data: &'a [u8]) -> Option<Pairs<'a>> {
        if data.is_empty() {
            return Some(Pairs {
                sizes: data,
                text: data,
                count: 0,
            });
        }
        let (count, rest) = data.split_first_chunk::<4>()?;
        let count = u32::from_le_bytes(*count) as usize;
        let (sizes, text) = rest.split_at_checked(count.checked_mul(8)?)?;
        Some(Pairs { sizes, text, count })
    }

    /// The next field. `None` at the end, or if the list is malformed.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        Some((self.part()?, self.part()?))
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let (len, sizes) = self.sizes.split_first_chunk::<4>()?;
        self.sizes = sizes;
        let (part, rest) = self
            .text
            .split_at_checked(u32::from_le_bytes(*len) as usize)?;
        let (_, rest) = rest.split_first()?;
        self.text = rest;
        Some(part)
    }
}
