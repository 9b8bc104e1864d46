//! [`KeyHasher`]: hashes the parts of a key to 64 bits, with a seed that clients do not know.
//!
//! A table stores no keys, only their hashes. Two keys share a bucket if 55 bits of their hashes are the same: among a million keys, the
//! probability that any two do is about 1 in 70000.

/// Hashes the parts of a key, in order. Keys are different if one of their parts is.
#[derive(Clone, Copy, Debug)]
pub struct KeyHasher {
    state: u64,
    seed: u64,
}

/// Odd numbers with as many ones as zeros, from the fraction of pi.
const FIRST: u64 = 0x243f_6a88_85a3_08d3;
const SECOND: u64 = 0x1319_8a2e_0370_7345;

impl KeyHasher {
    /// Begins a key.
    pub fn new(seed: u64) -> Self {
        KeyHasher {
            state: mix(seed ^ FIRST, SECOND),
            seed,
        }
    }

    /// Adds a part.
    pub fn part(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let word = chunk.try_into().map_or(0, u64::from_le_bytes);
            self.word(word);
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(chunks.remainder()) {
            *to = *from;
        }
        self.word(u64::from_le_bytes(last));
        // Where a part ends is a part of the key.
        self.word(bytes.len() as u64);
    }

    /// Adds a number.
    pub fn word(&mut self, word: u64) {
        self.state = mix(self.state ^ word, self.seed ^ SECOND);
    }

    /// Returns the hash.
    pub fn finish(self) -> u64 {
        mix(self.state ^ FIRST, self.seed ^ SECOND)
    }
}

/// The halves of a product, folded: each bit of the result depends on all bits.
fn mix(a: u64, b: u64) -> u64 {
    // 0 would lose what is hashed.
    let product = u128::from(a) * u128::from(b | 1);
    product as u64 ^ (product >> 64) as u64 ^ a.rotate_left(32)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn hash(seed: u64, parts: &[&[u8]]) -> u64 {
        let mut hasher = KeyHasher::new(seed);
        for part in parts {
            hasher.part(part);
        }
        hasher.finish()
    }

    #[test]
    fn parts_are_kept_apart() {
        let keys: [&[&[u8]]; 7] = [
            &[],
            &[b""],
            &[b"", b""],
            &[b"ab", b"c"],
            &[b"a", b"bc"],
            &[b"abc"],
            &[b"abc\0"],
        ];
        for seed in [0, 1, u64::MAX] {
            let hashes: HashSet<u64> = keys.iter().map(|parts| hash(seed, parts)).collect();
            assert_eq!(hashes.len(), keys.len());
        }
    }

    #[test]
    fn addresses_are_spread_evenly() {
        for seed in [0, 7, 0x9e37_79b9_7f4a_7c15] {
            let mut sets = [0_u32; 256];
            for address in 0..65536_u32 {
                let hash = hash(seed, &[&address.to_be_bytes()]);
                sets[(hash >> 56) as usize] += 1;
            }
            // 256 are expected, with a standard deviation of 16.
            assert!(
                sets.iter().all(|count| (160..352).contains(count)),
                "{sets:?}"
            );
        }
    }
}
