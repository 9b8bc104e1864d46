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

/// The number of sets of the cache of names.
const CACHE_SETS: usize = 256;

/// The maximum size of a cached name, in bytes.
const MAX_CACHED: usize = 64;

/// Two names with the same hash: the one that was used for the first time last, and the one before it.
#[derive(Default)]
struct CacheSet {
    newer: Option<ParsedName>,
    older: Option<ParsedName>,
}

thread_local! {
    /// Recently used names. Messages and plugins use the same names again and again, and parsing one copies it.
    static NAME_CACHE: RefCell<[CacheSet; CACHE_SETS]> =
        const { RefCell::new([const { CacheSet { newer: None, older: None } }; CACHE_SETS]) };
}

impl ParsedName {
    /// Parses a name and calls `call` with it. Returns `None` if the name is invalid. `call` borrows the name, because
    /// moving it costs more than looking it up.
    #[inline]
    #[doc(hidden)]
    pub fn with<R>(bytes: &[u8], call: impl FnOnce(&ParsedName) -> R) -> Option<R> {
        let hash = hash(bytes);
        let found = NAME_CACHE.try_with(|names| {
            let Ok(names) = names.try_borrow() else {
                return Err(call);
            };
            match names.get(hash).and_then(|set| set.find(bytes)) {
                Some(parsed) => Ok(call(parsed)),
                None => Err(call),
            }
        });
        match found {
            Ok(Ok(result)) => Some(result),
            Ok(Err(call)) => {
                let parsed = Self::parse(bytes)?;
                let result = call(&parsed);
                // A name with an uppercase letter would never be found, and long names would take much memory.
                if bytes.len() <= MAX_CACHED && parsed.name.as_str().as_bytes() == bytes {
                    Self::cache(hash, parsed);
                }
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
    fn cache(hash: usize, parsed: ParsedName) {
        // If the cache is not available, the name is parsed again the next time.
        _ = NAME_CACHE.try_with(|names| {
            if let Ok(mut names) = names.try_borrow_mut()
                && let Some(set) = names.get_mut(hash)
            {
                set.older = set.newer.replace(parsed);
            }
        });
    }
}

// === impl CacheSet ===

impl CacheSet {
    #[inline]
    fn find(&self, name: &[u8]) -> Option<&ParsedName> {
        let is_wanted = |it: &&ParsedName| it.name.as_str().as_bytes() == name;
        let newer = self.newer.as_ref().filter(is_wanted);
        newer.or_else(|| self.older.as_ref().filter(is_wanted))
    }
}

/// Returns the set of a name. Names of applications often differ in a few bytes only, so all bytes count.
#[inline]
fn hash(name: &[u8]) -> usize {
    // 2^64 divided by the golden ratio.
    const MULTIPLIER: u128 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * MULTIPLIER;
        (product >> 64) as u64 ^ product as u64
    };
    let (words, rest) = name.as_chunks::<8>();
    let mut hash = name.len() as u64;
    for word in words {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    if let Some(last) = last.get_mut(..rest.len()) {
        last.copy_from_slice(rest);
    }
    mix(hash, u64::from_le_bytes(last)) as usize % CACHE_SETS
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

    /// Names of one application often differ in their ends only.
    #[test]
    fn names_of_usual_messages_stay_cached() {
        let numbered = (0..32).map(|number| format!("x-application-{number}"));
        let usual = [
            "accept",
            "accept-encoding",
            "accept-language",
            "authorization",
            "cache-control",
            "connection",
            "content-length",
            "content-type",
            "cookie",
            "date",
            "etag",
            "expires",
            "host",
            "referer",
            "server",
            "set-cookie",
            "user-agent",
            "vary",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-request-id",
        ];
        let names: Vec<String> = usual
            .map(str::to_owned)
            .into_iter()
            .chain(numbered)
            .collect();
        for name in &names {
            assert!(Name::parse(name.as_bytes()).is_some());
        }
        let is_cached = |name: &&String| {
            let name = name.as_bytes();
            NAME_CACHE.with_borrow(|names| names[hash(name)].find(name).is_some())
        };
        let missing: Vec<_> = names.iter().filter(|name| !is_cached(name)).collect();
        assert!(missing.len() <= 1, "{missing:?}");
    }

    #[test]
    fn names_that_are_long_or_not_in_lowercase_are_not_cached() {
        let is_cached = |name: &str| {
            assert!(Name::parse(name.as_bytes()).is_some());
            let name = name.as_bytes();
            NAME_CACHE.with_borrow(|names| {
                let set = &names[hash(name)];
                let all = [&set.newer, &set.older].into_iter().flatten();
                let mut all = all.map(|it| it.name.as_str().as_bytes());
                all.any(|it| it.eq_ignore_ascii_case(name))
            })
        };
        assert!(is_cached("x-powered-by"));
        assert!(!is_cached("X-Served-By"));
        assert!(!is_cached(&"x".repeat(MAX_CACHED + 1)));
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
