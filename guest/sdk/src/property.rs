//! The paths and values of properties, for streams and for [`plugin_properties`](crate::plugin_properties).

use crate::Error;

/// Returns a path as the bindings take it.
pub(crate) fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|segment| (*segment).to_owned()).collect()
}

/// Returns the value of a string property. Returns [`Error::Malformed`] if it is not valid UTF-8.
pub(crate) fn text(value: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(value).map_err(|_| Error::Malformed)
}

/// Returns the value of an integer property. Returns [`Error::Malformed`] if its size is not eight bytes.
pub(crate) fn integer(value: Vec<u8>) -> Result<i64, Error> {
    match <[u8; 8]>::try_from(value) {
        Ok(value) => Ok(i64::from_le_bytes(value)),
        Err(_) => Err(Error::Malformed),
    }
}

/// Returns the value of a boolean property. Returns [`Error::Malformed`] if its size is not one byte.
pub(crate) fn boolean(value: Vec<u8>) -> Result<bool, Error> {
    match value.as_slice() {
        [byte] => Ok(*byte != 0),
        _ => Err(Error::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_utf_8() {
        assert_eq!(text(b"one".to_vec()), Ok("one".to_owned()));
        assert_eq!(text(Vec::new()), Ok(String::new()));
        assert_eq!(text(vec![0xff]), Err(Error::Malformed));
    }

    #[test]
    fn integers_have_eight_bytes() {
        assert_eq!(integer(vec![2, 1, 0, 0, 0, 0, 0, 0]), Ok(258));
        assert_eq!(integer(vec![0xff; 8]), Ok(-1));
        for length in [0, 1, 7, 9] {
            assert_eq!(integer(vec![0; length]), Err(Error::Malformed), "{length}");
        }
    }

    #[test]
    fn booleans_have_one_byte() {
        assert_eq!(boolean(vec![1]), Ok(true));
        assert_eq!(boolean(vec![0]), Ok(false));
        assert_eq!(boolean(Vec::new()), Err(Error::Malformed));
        assert_eq!(boolean(vec![0; 8]), Err(Error::Malformed));
    }
}
