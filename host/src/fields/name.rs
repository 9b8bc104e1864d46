//! Names of fields, and the few that a thread remembers.

use std::cell::RefCell;

use http::header::HeaderName;

use crate::fields::inline;
use crate::vocabulary::FieldMap;

/// The name of a field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// One of the five pseudo-headers.
    Pseudo(Pseudo),
    /// Any other: a token, in lower case.
    Header(HeaderName),
}

/// A pseudo-header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pseudo {
    /// `:authority`, of a request.
    Authority,
    /// `:path`, of a request, with its query.
    Path,
    /// `:method`, of a request.
    Method,
    /// `:scheme`, of a request.
    Scheme,
    /// `:status`, of a response.
    Status,
}

// === impl Name ===

impl Name {
    /// The name that these bytes spell, in any case, unless they spell none.
    pub fn parse(name: &[u8]) -> Option<Name> {
        Known::with(name, |known| known.name.clone())
    }

    /// Whether these bytes spell a name, in any case.
    pub fn is_valid(name: &[u8]) -> bool {
        // The standard says which bytes: RFC 9110, 5.6.2. `http` has no check that keeps nothing.
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        match name.strip_prefix(b":") {
            None => !name.is_empty() && name.iter().all(token),
            Some(_) => Name::parse(name).is_some(),
        }
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        match self {
            Name::Pseudo(pseudo) => pseudo.as_str(),
            Name::Header(name) => name.as_str(),
        }
    }

    /// Whether a second value joins the first, in this map.
    pub(crate) fn joins(&self, map: FieldMap) -> bool {
        inline::maps(self) & map.bit() != 0
    }

    /// Whether these bytes spell the name, in any case.
    pub(super) fn is(&self, other: &[u8]) -> bool {
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
    /// All five.
    pub const ALL: [Pseudo; 5] = [
        Pseudo::Authority,
        Pseudo::Path,
        Pseudo::Method,
        Pseudo::Scheme,
        Pseudo::Status,
    ];

    /// The name, with its colon.
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

// === impl Known ===

/// A name as plugins spell it, and what the proxy knows about it.
pub(crate) struct Known {
    name: Name,
    joins: u8,
}

/// How many names a thread remembers.
const KNOWN: usize = 64;

thread_local! {
    /// Names that were spelt lately. A plugin spells the same few for every stream, and parsing one copies it.
    static NAMES: RefCell<[Option<Known>; KNOWN]> = const { RefCell::new([const { None }; KNOWN]) };
}

impl Known {
    /// Does something with the name that these bytes spell, unless they spell none. The name is lent: moving it about costs more
    /// than finding it.
    #[inline]
    pub(crate) fn with<R>(spelt: &[u8], call: impl FnOnce(&Known) -> R) -> Option<R> {
        let place = place_of(spelt);
        let found = NAMES.try_with(|names| {
            let Ok(names) = names.try_borrow() else {
                return Err(call);
            };
            match names.get(place) {
                Some(Some(known)) if known.name.as_str().as_bytes() == spelt => Ok(call(known)),
                _ => Err(call),
            }
        });
        match found {
            Ok(Ok(result)) => Some(result),
            Ok(Err(call)) => {
                let known = Self::parse(spelt)?;
                let result = call(&known);
                Self::remember(place, known);
                Some(result)
            }
            // The thread ends, and nobody will be there for the answer.
            Err(_) => None,
        }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Whether a second value joins the first, in this map.
    pub(crate) fn joins(&self, map: FieldMap) -> bool {
        self.joins & map.bit() != 0
    }

    #[cold]
    fn parse(spelt: &[u8]) -> Option<Self> {
        let name = match spelt.strip_prefix(b":") {
            None => HeaderName::from_bytes(spelt).ok().map(Name::Header),
            Some(_) => Pseudo::ALL
                .into_iter()
                .find(|it| it.as_str().as_bytes().eq_ignore_ascii_case(spelt))
                .map(Name::Pseudo),
        }?;
        let joins = inline::maps(&name);
        Some(Self { name, joins })
    }

    #[cold]
    fn remember(place: usize, known: Known) {
        // Where that is not to be had, the name is parsed again the next time.
        _ = NAMES.try_with(|names| {
            if let Ok(mut names) = names.try_borrow_mut()
                && let Some(place) = names.get_mut(place)
            {
                *place = Some(known);
            }
        });
    }
}

/// Where a name is remembered: names in use together mostly differ in their length or at their ends.
fn place_of(name: &[u8]) -> usize {
    let end = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or_default());
    let middle = name.get(name.len() / 2);
    (name.len() ^ end(name.first()) << 2 ^ end(name.last()) << 1 ^ end(middle)) % KNOWN
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
