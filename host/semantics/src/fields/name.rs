//! Field names, and a per-thread cache of recently used ones.

use std::cell::RefCell;

use http::header::HeaderName;

use crate::fields::inline;
use crate::vocabulary::FieldMap;

/// The name of a field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// One of the five pseudo-headers.
    Pseudo(Pseudo),
    /// Any other name: a token in lowercase.
    Header(HeaderName),
}

/// A pseudo-header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pseudo {
    /// `:authority` of a request.
    Authority,
    /// `:path` of a request, including the query.
    Path,
    /// `:method` of a request.
    Method,
    /// `:scheme` of a request.
    Scheme,
    /// `:status` of a response.
    Status,
}

// === impl Name ===

impl Name {
    /// Parses a name, ignoring case. Returns `None` if it is invalid.
    pub fn parse(name: &[u8]) -> Option<Name> {
        ParsedName::with(name, |parsed| parsed.name.clone())
    }

    /// Returns whether the bytes are a valid name, ignoring case.
    pub fn is_valid(name: &[u8]) -> bool {
        // RFC 9110, section 5.6.2. The `http` crate cannot validate a name without creating one.
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        match name.strip_prefix(b":") {
            None => !name.is_empty() && name.iter().all(token),
            Some(_) => Name::parse(name).is_some(),
        }
    }

    /// Returns the name in lowercase.
    pub fn as_str(&self) -> &str {
        match self {
            Name::Pseudo(pseudo) => pseudo.as_str(),
            Name::Header(name) => name.as_str(),
        }
    }

    /// Returns whether a second value is joined to the first in this map.
    #[doc(hidden)]
    pub fn is_inline(&self, map: FieldMap) -> bool {
        inline::maps(self) & map.bit() != 0
    }

    /// Compares the name with bytes, ignoring case.
    pub(super) fn eq_ignore_case(&self, other: &[u8]) -> bool {
        self.as_str().as_bytes().eq_ignore_ascii_case(other)
    }
}

impl From<HeaderName> for Name {
    fn from(name: HeaderName) -> Self {
        Name::Header(name)
    }
}

impl From<Pseudo> for Name {
    fn from(pseudo: Pseudo) -> Self {
        Name::Pseudo(pseudo)
    }
}

// === impl Pseudo ===

impl Pseudo {
    /// All pseudo-headers.
    pub const ALL: [Pseudo; 5] = [
        Pseudo::Authority,
        Pseudo::Path,
        Pseudo::Method,
        Pseudo::Scheme,
        Pseudo::Status,
    ];

    /// Returns the name, including the colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Pseudo::Authority => ":authority",
            Pseudo::Path => ":path",
            Pseudo::Method => ":method",
            Pseudo::Scheme => ":scheme",
            Pseudo::Status => ":status",
        }
    }
}

// === impl ParsedName ===

/// A parsed name, and the maps in which its values are joined.
#[doc(hidden)]
pub struct ParsedName {
    name: Name,
    inline_maps: u8,
}

/// The number of names that each thread caches.
const CACHE_SIZE: usize = 64;

thread_local! {
    /// Recently used names. Plugins use the same few names for every stream, and parsing one copies it.
    static NAME_CACHE: RefCell<[Option<ParsedName>; CACHE_SIZE]> = const { RefCell::new([const { None }; CACHE_SIZE]) };
}

impl ParsedName {
    /// Parses a name and calls `call` with it. Returns `None` if the name is invalid. `call` borrows the name, because
    /// moving it costs more than looking it up.
    #[inline]
    #[doc(hidden)]
    pub fn with<R>(bytes: &[u8], call: impl FnOnce(&ParsedName) -> R) -> Option<R> {
        let slot = cache_slot(bytes);
        let found = NAME_CACHE.try_with(|names| {
            let Ok(names) = names.try_borrow() else {
                return Err(call);
            };
            match names.get(slot) {
                Some(Some(parsed)) if parsed.name.as_str().as_bytes() == bytes => Ok(call(parsed)),
                _ => Err(call),
            }
        });
        match found {
            Ok(Ok(result)) => Some(result),
            Ok(Err(call)) => {
                let parsed = Self::parse(bytes)?;
                let result = call(&parsed);
                Self::cache(slot, parsed);
                Some(result)
            }
            // The thread is terminating and has destroyed its cache. Nothing needs the result.
            Err(_) => None,
        }
    }

    #[doc(hidden)]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Returns whether a second value is joined to the first in this map.
    #[doc(hidden)]
    pub fn is_inline(&self, map: FieldMap) -> bool {
        self.inline_maps & map.bit() != 0
    }

    #[cold]
    fn parse(bytes: &[u8]) -> Option<Self> {
        let name = match bytes.strip_prefix(b":") {
            None => HeaderName::from_bytes(bytes).ok().map(Name::Header),
            Some(_) => Pseudo::ALL
                .into_iter()
                .find(|it| it.as_str().as_bytes().eq_ignore_ascii_case(bytes))
                .map(Name::Pseudo),
        }?;
        let inline_maps = inline::maps(&name);
        Some(Self { name, inline_maps })
    }

    #[cold]
    fn cache(slot: usize, parsed: ParsedName) {
        // If the cache is not available, the name is parsed again the next time.
        _ = NAME_CACHE.try_with(|names| {
            if let Ok(mut names) = names.try_borrow_mut()
                && let Some(slot) = names.get_mut(slot)
            {
                *slot = Some(parsed);
            }
        });
    }
}

/// Returns the slot of a name in the cache. Names that are used together mostly differ in length, or in their first,
/// middle or last byte.
fn cache_slot(name: &[u8]) -> usize {
    let end = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or_default());
    let middle = name.get(name.len() / 2);
    (name.len() ^ end(name.first()) << 2 ^ end(name.last()) << 1 ^ end(middle)) % CACHE_SIZE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cached_names_are_not_confused() {
        let names: Vec<String> = (0..1000).map(|number| format!("x-{number}-x")).collect();
        for _ in 0..2 {
            for name in &names {
                assert_eq!(Name::parse(name.as_bytes()).unwrap().as_str(), name);
                assert_eq!(
                    Name::parse(name.to_uppercase().as_bytes())
                        .unwrap()
                        .as_str(),
                    name
                );
            }
        }
    }

    proptest! {
        #[test]
        fn name_validity_matches_the_http_crate(bytes in proptest::collection::vec(any::<u8>(), 0..6)) {
            let pseudo = Pseudo::ALL.iter().any(|it| it.as_str().as_bytes().eq_ignore_ascii_case(&bytes));
            let expected = pseudo || HeaderName::from_bytes(&bytes).is_ok();
            prop_assert_eq!(Name::is_valid(&bytes), expected);
            prop_assert_eq!(Name::parse(&bytes).is_some(), expected);
        }
    }
}
