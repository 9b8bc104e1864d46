//! Data shared between the workers of a proxy, as in Envoy: byte values by key, each with a version that changes with
//! every update.
//!
//! The data is protected by a lock, which is held for the duration of one lookup. The data lives as long as its owner: a server
//! keeps it across `reload`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// The maximum total size in bytes. The limit exists because plugins often derive keys from client input. Envoy has no
/// limit.
pub const MAX_SHARED: usize = 64 << 20;

/// The approximate overhead of an entry, in bytes.
const ENTRY_OVERHEAD: usize = 192;

/// Values by key, shared by all plugins and all workers of a proxy.
#[derive(Debug, Default)]
pub struct SharedData {
    entries: Mutex<Entries>,
}

/// A stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The bytes.
    pub value: Bytes,
    /// The version. It is never 0 and is reused only after about four billion stored values.
    pub version: u32,
}

/// The error for a value that could not be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The stored version differs from the given one.
    #[error("the value was changed since it was read")]
    Changed,
    /// The value would exceed the size limit.
    #[error("shared data would exceed {MAX_SHARED} bytes")]
    Full,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<Box<[u8]>, Stored>,
    /// The total size of the entries, including overhead.
    size: usize,
    /// The most recently assigned version.
    last_version: u32,
}

// === impl SharedData ===

impl SharedData {
    /// Returns the value stored under a key.
    pub fn get(&self, key: &[u8]) -> Option<Stored> {
        self.lock().by_key.get(key).cloned()
    }

    /// Stores a value. If `version` is not 0, the value is stored only if the key is absent or has that version.
    pub fn set(&self, key: &[u8], value: Bytes, version: u32) -> Result<(), StoreError> {
        let mut entries = self.lock();
        let existing = entries.by_key.get(key);
        if existing.is_some_and(|existing| version != 0 && version != existing.version) {
            return Err(StoreError::Changed);
        }
        let freed = existing.map_or(0, |existing| {
            ENTRY_OVERHEAD + key.len() + existing.value.len()
        });
        let size = (entries.size - freed).saturating_add(ENTRY_OVERHEAD + key.len() + value.len());
        if size > MAX_SHARED {
            return Err(StoreError::Full);
        }
        entries.size = size;
        // `u32::MAX` is never assigned: plugins use it as a condition that holds only if the key is absent.
        entries.last_version = match entries.last_version + 1 {
            u32::MAX => 1,
            next => next,
        };
        let stored = Stored {
            value,
            version: entries.last_version,
        };
        match entries.by_key.get_mut(key) {
            Some(existing) => *existing = stored,
            None => _ = entries.by_key.insert(key.into(), stored),
        }
        Ok(())
    }

    /// Locks the entries. A poisoned lock can be used, because a panic here leaves no update incomplete.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"key";

    fn version(data: &SharedData) -> u32 {
        data.get(KEY).expect("a value").version
    }

    #[test]
    fn cas_is_checked_only_against_an_existing_value() {
        let data = SharedData::default();
        assert_eq!(data.get(KEY), None);
        data.set(KEY, "one".into(), 7).expect("nothing to compare");
        let first = version(&data);
        assert_ne!(first, 0);
        data.set(KEY, "two".into(), first).expect("the same still");
        assert_ne!(version(&data), first);
        assert_eq!(
            data.set(KEY, "three".into(), first),
            Err(StoreError::Changed)
        );
        assert_eq!(data.get(KEY).expect("a value").value, "two");
        data.set(KEY, "three".into(), 0).expect("no condition");
        assert_eq!(data.get(KEY).expect("a value").value, "three");
    }

    #[test]
    fn versions_wrap_around_skipping_zero_and_max() {
        let data = SharedData::default();
        data.lock().last_version = u32::MAX - 2;
        data.set(KEY, Bytes::new(), 0).expect("room");
        assert_eq!(version(&data), u32::MAX - 1);
        data.set(KEY, Bytes::new(), 0).expect("room");
        assert_eq!(version(&data), 1);
    }

    #[test]
    fn size_is_bounded_and_replaced_values_free_space() {
        let data = SharedData::default();
        let half = Bytes::from(vec![0; MAX_SHARED / 2]);
        data.set(KEY, half.clone(), 0).expect("room");
        data.set(KEY, half.clone(), 0)
            .expect("the room of the former");
        assert_eq!(data.set(b"other", half, 0), Err(StoreError::Full));
        data.set(KEY, "small".into(), 0).expect("room");
        assert_eq!(data.lock().size, ENTRY_OVERHEAD + KEY.len() + "small".len());
        assert_eq!(data.get(b"other"), None);
    }

    #[test]
    fn concurrent_cas_updates_are_not_lost() {
        let data = SharedData::default();
        let number = |bytes: &Bytes| u64::from_le_bytes(bytes[..].try_into().expect("eight bytes"));
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..1000 {
                        loop {
                            let (count, version) = match data.get(KEY) {
                                Some(stored) => (number(&stored.value), stored.version),
                                // A version that is never assigned. It does not match if another thread was first.
                                None => (0, u32::MAX),
                            };
                            let more = Bytes::copy_from_slice(&(count + 1).to_le_bytes());
                            if data.set(KEY, more, version).is_ok() {
                                break;
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(number(&data.get(KEY).expect("a value").value), 4000);
    }
}
