//! Cookies of a request.

use crate::Error;

/// Returns the value of the first cookie with a name, among the values of `cookie` headers. HTTP/2 requests can have several.
///
/// As in Envoy, quotes around the value are not part of it. Returns [`Error::Malformed`] if the value is not valid UTF-8.
pub(crate) fn cookie(headers: &[Vec<u8>], name: &str) -> Result<Option<String>, Error> {
    let mut cookies = headers
        .iter()
        .flat_map(|header| header.split(|byte| *byte == b';'));
    let value = cookies.find_map(|cookie| {
        cookie
            .trim_ascii()
            .strip_prefix(name.as_bytes())?
            .strip_prefix(b"=")
    });
    let Some(value) = value else {
        return Ok(None);
    };
    let value = match value {
        [b'"', value @ .., b'"'] => value,
        value => value,
    };
    match str::from_utf8(value) {
        Ok(value) => Ok(Some(value.to_owned())),
        Err(_) => Err(Error::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(headers: &[&[u8]], name: &str) -> Result<Option<String>, Error> {
        let headers: Vec<Vec<u8>> = headers.iter().map(|header| header.to_vec()).collect();
        cookie(&headers, name)
    }

    #[test]
    fn cookies_are_found_in_all_headers() {
        let headers: [&[u8]; 2] = [b"a=1; b=2;c=\"x y\";  d=e=f", b"g=; a=3; quote=\""];
        for (name, value) in [
            ("a", Some("1")),
            ("b", Some("2")),
            ("c", Some("x y")),
            ("d", Some("e=f")),
            ("g", Some("")),
            ("quote", Some("\"")),
            ("A", None),
            ("e", None),
            ("", None),
        ] {
            assert_eq!(
                found(&headers, name),
                Ok(value.map(str::to_owned)),
                "{name}"
            );
        }
        assert_eq!(found(&[], "a"), Ok(None));
    }

    #[test]
    fn other_cookies_may_have_any_bytes() {
        let headers: [&[u8]; 1] = [b"a=\xff; b=2; c"];
        assert_eq!(found(&headers, "a"), Err(Error::Malformed));
        assert_eq!(found(&headers, "b"), Ok(Some("2".to_owned())));
        assert_eq!(found(&headers, "c"), Ok(None));
    }
}
