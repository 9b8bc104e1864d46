//! Cookies that a response sets: values of `set-cookie`, each of which is about one cookie.

/// An attribute of a cookie, and its value. One without a value is `None` to remove it, and empty to add it alone.
pub type Attribute = (&'static str, Option<String>);

/// The name of the cookie that a value of `set-cookie` sets.
pub fn name_of(value: &[u8]) -> &[u8] {
    let pair = value.split(|byte| *byte == b';').next().unwrap_or_default();
    match pair.split(|byte| *byte == b'=').next() {
        Some(name) if name.len() < pair.len() => name.trim_ascii(),
        // Browsers take a pair without `=` for the value of a cookie without a name.
        _ => b"",
    }
}

/// Returns a value of `set-cookie` with these attributes, which replace those of the same name.
pub fn with_attributes(value: &[u8], attributes: &[Attribute]) -> Vec<u8> {
    let mut parts = value.split(|byte| *byte == b';');
    let mut changed = parts.next().unwrap_or_default().trim_ascii().to_vec();
    for part in parts {
        let name = part
            .split(|byte| *byte == b'=')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        let is_replaced = attributes
            .iter()
            .any(|(other, _)| other.as_bytes().eq_ignore_ascii_case(name));
        if !is_replaced && !part.trim_ascii().is_empty() {
            changed.extend_from_slice(b"; ");
            changed.extend_from_slice(part.trim_ascii());
        }
    }
    for (name, value) in attributes {
        if let Some(value) = value {
            changed.extend_from_slice(b"; ");
            changed.extend_from_slice(name.as_bytes());
            if !value.is_empty() {
                changed.push(b'=');
                changed.extend_from_slice(value.as_bytes());
            }
        }
    }
    changed
}
