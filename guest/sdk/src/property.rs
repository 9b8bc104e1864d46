//! The paths and values of properties, for streams and for [`plugin_properties`](crate::plugin_properties).

use crate::Error;

#[cfg(not(target_family = "wasm"))]
pub(crate) use generated::get;
#[cfg(target_family = "wasm")]
pub(crate) use lowered::get;

/// The generated function takes the segments of a path as owned strings, and allocates a list of their addresses. Plugins read properties
/// for each request, so in wasm the import is called without them.
#[cfg(target_family = "wasm")]
mod lowered {
    use std::ptr;

    use crate::{Error, bindings::http_streams::HttpStream};

    #[link(wasm_import_module = "tidegate:proxy/properties@0.1.0")]
    unsafe extern "C" {
        #[link_name = "get"]
        fn get_property(http: u32, path: *const Segment, len: usize, result: *mut Found);
    }

    /// A string, as the canonical ABI passes it.
    #[derive(Clone, Copy)]
    #[repr(C)]
    struct Segment {
        start: *const u8,
        len: usize,
    }

    /// A `result<option<list<u8>>, error>`, as the canonical ABI stores it. Of the first two words, it stores only the first byte.
    #[repr(C)]
    struct Found {
        is_error: u32,
        error_or_is_some: u32,
        start: *mut u8,
        len: usize,
    }

    /// The number of segments that are passed without an allocation.
    const FEW: usize = 8;

    /// Returns the property of a stream at a path.
    pub(crate) fn get(http: &HttpStream, path: &[&str]) -> Result<Option<Vec<u8>>, Error> {
        let segment = |text: &&str| Segment {
            start: text.as_ptr(),
            len: text.len(),
        };
        let mut few = [segment(&""); FEW];
        let many: Vec<Segment>;
        let segments = match few.get_mut(..path.len()) {
            Some(few) => {
                for (to, from) in few.iter_mut().zip(path) {
                    *to = segment(from);
                }
                &*few
            }
            None => {
                many = path.iter().map(segment).collect();
                &many
            }
        };
        let mut found = Found {
            is_error: 0,
            error_or_is_some: 0,
            start: ptr::null_mut(),
            len: 0,
        };
        // SAFETY: the function has this signature in core WebAssembly. The segments are valid during the call, and `found` has the
        // size and the alignment of the result.
        unsafe { get_property(http.handle(), segments.as_ptr(), segments.len(), &mut found) };
        if found.is_error != 0 {
            // SAFETY: an error is one of the enum's cases.
            return Err(unsafe { Error::_lift(found.error_or_is_some as u8) });
        }
        if found.error_or_is_some == 0 {
            return Ok(None);
        }
        if found.len == 0 {
            return Ok(Some(Vec::new()));
        }
        // SAFETY: the list has been allocated with `cabi_realloc`, which is the global allocator's, and is owned by the caller.
        Ok(Some(unsafe {
            Vec::from_raw_parts(found.start, found.len, found.len)
        }))
    }
}

#[cfg(not(target_family = "wasm"))]
mod generated {
    use crate::{
        Error,
        bindings::{http_streams::HttpStream, properties},
    };

    /// Returns the property of a stream at a path.
    pub(crate) fn get(http: &HttpStream, path: &[&str]) -> Result<Option<Vec<u8>>, Error> {
        properties::get(http, &super::owned(path))
    }
}

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
