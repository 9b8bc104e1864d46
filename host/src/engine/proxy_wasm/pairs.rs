//! The serialization of header maps.
//!
//! A count; for each pair the lengths of name and value; for each pair name and value, each followed by a zero byte. All
//! integers have 32 bits and are little-endian. Malformed input from a guest counts as an empty map, as in Envoy.

use tidegate_semantics::fields::Fields;
use tidegate_semantics::hostcalls::{MAX_CALL_FIELD_BYTES, MAX_CALL_FIELDS};

/// Returns the serialized size of fields in bytes. It is zero if there are no fields.
pub(crate) fn serialized_size(fields: &Fields) -> usize {
    if fields.is_empty() {
        return 0;
    }
    4 + fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 10)
        .sum::<usize>()
}

/// Serializes fields into a buffer of exactly their size. Returns `false` if the buffer has another size.
pub(crate) fn serialize(fields: &Fields, buffer: &mut [u8]) -> bool {
    let mut rest = buffer;
    let mut put = |bytes: &[u8]| match rest.split_off_mut(..bytes.len()) {
        Some(destination) => {
            destination.copy_from_slice(bytes);
            true
        }
        None => false,
    };
    let length = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes();
    let mut fits = put(&length(fields.len()));
    for (name, value) in fields.iter() {
        fits = fits && put(&length(name.as_str().len())) && put(&length(value.len()));
    }
    for (name, value) in fields.iter() {
        fits = fits
            && put(name.as_str().as_bytes())
            && put(&[0])
            && put(value.as_bytes())
            && put(&[0]);
    }
    fits && rest.is_empty()
}

/// Deserializes pairs. Input that is too large or malformed yields none.
pub(crate) fn deserialize(buffer: &[u8]) -> Vec<(&[u8], &[u8])> {
    if buffer.len() > MAX_CALL_FIELD_BYTES {
        return Vec::new();
    }
    parse(buffer).unwrap_or_default()
}

fn parse(buffer: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut rest = buffer;
    let count = usize::try_from(read_u32(&mut rest)?).ok()?;
    if count > MAX_CALL_FIELDS {
        return None;
    }
    let mut lengths = rest.split_off(..count.checked_mul(8)?)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name, value) = (read_u32(&mut lengths)?, read_u32(&mut lengths)?);
        pairs.push((
            read_terminated(&mut rest, name)?,
            read_terminated(&mut rest, value)?,
        ));
    }
    rest.is_empty().then_some(pairs)
}

fn read_u32(rest: &mut &[u8]) -> Option<u32> {
    let bytes = rest.split_off(..4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn read_terminated<'a>(rest: &mut &'a [u8], length: u32) -> Option<&'a [u8]> {
    let bytes = rest.split_off(..usize::try_from(length).ok()?)?;
    (rest.split_off(..1)? == [0]).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use tidegate_semantics::fields::Name;

    #[test]
    fn encoding_matches_the_specification() {
        let fields: Fields = [("a", "1"), ("bc", "")]
            .into_iter()
            .map(|(name, value)| field(name, value))
            .collect();
        let expected = b"\x02\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0a\x001\0bc\0\0";
        let mut buffer = vec![0xff; serialized_size(&fields)];
        assert!(serialize(&fields, &mut buffer));
        assert_eq!(buffer, expected);
        assert_eq!(
            deserialize(expected),
            [(&b"a"[..], &b"1"[..]), (b"bc", b"")]
        );
    }

    #[test]
    fn empty_map_has_three_encodings() {
        for empty in [&b""[..], b"\0", b"\0\0\0\0"] {
            assert_eq!(deserialize(empty), []);
        }
        assert_eq!(serialized_size(&Fields::new()), 0);
    }

    #[test]
    fn malformed_input_decodes_as_empty() {
        let good = b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a\x001\0";
        assert_eq!(deserialize(good).len(), 1);
        for cut in 0..good.len() {
            assert_eq!(deserialize(&good[..cut]), [], "cut at {cut}");
        }
        assert_eq!(
            deserialize(b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a\x001\0more"),
            []
        );
        assert_eq!(deserialize(b"\x01\0\0\0\x01\0\0\0\x01\0\0\0axb\0"), []);
        assert_eq!(deserialize(b"\xff\xff\xff\xff"), []);
        assert_eq!(
            deserialize(b"\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"),
            []
        );
    }

    fn field(name: &str, value: &str) -> (Name, HeaderValue) {
        (
            Name::parse(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        )
    }

    proptest! {
        #[test]
        fn written_pairs_round_trip(list in proptest::collection::vec(("[a-z]{1,8}", "[ -~]{0,12}"), 1..20)) {
            let fields: Fields = list.iter().map(|(name, value)| field(name, value)).collect();
            let mut buffer = vec![0; serialized_size(&fields)];
            prop_assert!(serialize(&fields, &mut buffer));
            let read: Vec<_> = deserialize(&buffer).into_iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            let expected: Vec<_> = list.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes())).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn arbitrary_bytes_are_read_within_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for (name, value) in deserialize(&bytes) {
                prop_assert!(name.len() + value.len() <= bytes.len());
            }
        }
    }
}
