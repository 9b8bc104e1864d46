//! Claims of a JSON Web Token, which is not verified.

/// Returns the bytes of a claim in the payload of a token: of a string between its quotes, and as they are of a number or a boolean.
/// `value` is the token, perhaps after a scheme such as `Bearer`.
pub fn claim(value: &[u8], name: &str) -> Option<Vec<u8>> {
    let token = value
        .trim_ascii()
        .rsplit(|byte| *byte == b' ')
        .next()
        .unwrap_or(value);
    let payload = decode(token.split(|byte| *byte == b'.').nth(1)?)?;
    member(&payload, name.as_bytes()).map(<[u8]>::to_vec)
}

/// Decodes base64url without padding.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut number) = (0, 0_u32);
    for byte in text {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        number = number << 6 | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            decoded.push((number >> bits) as u8);
        }
    }
    Some(decoded)
}

/// Finds a member of a JSON object whose value is no object and no array. Escapes are not decoded: a name that has any is not found.
fn member<'a>(json: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = json.trim_ascii().strip_prefix(b"{")?;
    let mut depth = 0_u32;
    let mut key: Option<&[u8]> = None;
    let mut is_value = false;
    loop {
        let here = rest;
        let (byte, after) = here.split_first()?;
        rest = after;
        match byte {
            b'"' => {
                let end = end_of_string(rest)?;
                let (text, after) = rest.split_at_checked(end)?;
                rest = after.get(1..)?;
                if depth == 0 {
                    if !is_value {
                        key = Some(text);
                    } else if key == Some(name) {
                        return Some(text);
                    }
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b':' if depth == 0 => is_value = true,
            b',' if depth == 0 => is_value = false,
            byte if depth == 0 && is_value && key == Some(name) && !byte.is_ascii_whitespace() => {
                let end = here
                    .iter()
                    .position(|byte| matches!(byte, b',' | b'}') || byte.is_ascii_whitespace())?;
                return here.get(..end);
            }
            _ => {}
        }
    }
}

fn end_of_string(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|byte| {
        let end = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        end
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn claims_of_a_payload() {
        // {"sub":"alice","n":42,"aud":["x","y"],"o":{"sub":"no"},"e":"a\"b"}
        let token = b"Bearer e30.eyJzdWIiOiJhbGljZSIsIm4iOjQyLCJhdWQiOlsieCIsInkiXSwibyI6eyJzdWIiOiJubyJ9LCJlIjoiYVwiYiJ9.c2ln";
        let of = |name| claim(token, name).map(|claim| String::from_utf8(claim).expect("UTF-8"));
        assert_eq!(of("sub").as_deref(), Some("alice"));
        assert_eq!(of("n").as_deref(), Some("42"));
        assert_eq!(of("e").as_deref(), Some("a\\\"b"));
        assert_eq!(of("aud"), None);
        assert_eq!(of("none"), None);
        assert_eq!(claim(b"e30.e30", "sub"), None);
        assert_eq!(claim(b"opaque", "sub"), None);
    }

    #[test]
    fn members_are_those_of_the_outermost_object() {
        let json = br#" { "a" : { "b": "no" }, "c": "b", "b" : true } "#;
        assert_eq!(member(json, b"b"), Some(&b"true"[..]));
        assert_eq!(member(json, b"c"), Some(&b"b"[..]));
        assert_eq!(member(b"[\"b\",1]", b"b"), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>, text in r#"[{}\[\]":,a\\ ]{0,40}"#) {
            let _ = claim(&bytes, "a");
            let _ = decode(&bytes);
            let _ = member(&bytes, b"a");
            let _ = member(text.as_bytes(), b"a");
        }
    }
}
