//! [`cookie`]: a cookie in the header `cookie`.

/// Returns the value of the first cookie with a name, without quotes around it.
pub fn cookie<'a>(header: &'a [u8], name: &str) -> Option<&'a [u8]> {
    header.split(|byte| *byte == b';').find_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = pair.split_at(equals);
        if key.trim_ascii() != name.as_bytes() {
            return None;
        }
        let value = value.get(1..)?.trim_ascii();
        match value {
            [b'"', quoted @ .., b'"'] => Some(quoted),
            value => Some(value),
        }
    })
}
