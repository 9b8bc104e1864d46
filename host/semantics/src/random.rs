//! Random numbers for plugins. They come from the system, or from a seed, so that a test sees the same numbers in every
//! run.

use std::cell::RefCell;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// The random number generator of one instance.
pub enum Random {
    /// The system's random number generator.
    System,
    /// A generator that was created from a seed.
    Seeded(Box<RefCell<ChaCha8Rng>>),
}

// === impl Random ===

impl Random {
    pub fn new(seed: Option<u64>) -> Self {
        match seed {
            None => Self::System,
            Some(seed) => Self::Seeded(Box::new(RefCell::new(ChaCha8Rng::seed_from_u64(seed)))),
        }
    }

    /// Fills a slice with the next random bytes.
    pub fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        match self {
            Self::System => getrandom::fill(bytes),
            Self::Seeded(generator) => {
                generator.borrow_mut().fill_bytes(bytes);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_yields_the_same_bytes() {
        let bytes = |seed| {
            let mut bytes = [0; 32];
            Random::new(seed).fill(&mut bytes).expect("bytes");
            bytes
        };
        assert_eq!(bytes(Some(7)), bytes(Some(7)));
        assert_ne!(bytes(Some(7)), bytes(Some(8)));
        assert_ne!(bytes(None), bytes(None));
    }
}
