//! Parts of `:path`.

/// Returns a path without its query and fragment.
pub fn path_of(path: &str) -> &str {
    let end = path.bytes().position(|byte| matches!(byte, b'?' | b'#'));
    end.and_then(|end| path.get(..end)).unwrap_or(path)
}

/// Returns the first value of a parameter in the query of a path, percent-decoded. A parameter without `=` is empty.
pub fn query_parameter(path: &str, name: &str) -> Option<Vec<u8>> {
    let (_, query) = path.split_once('?')?;
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    query.split('&').find_map(|parameter| {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        // Few names are encoded.
        let same = key == name
            || (key.bytes().any(|byte| matches!(byte, b'%' | b'+'))
                && percent_decode(key) == name.as_bytes());
        same.then(|| percent_decode(value))
    })
}

/// Decodes a part of a query: `%` and two hexadecimal digits are a byte, and `+` is a space. Anything else stays as it is.
pub fn percent_decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => return decoded,
            [b'%', high, low, after @ ..] if digit(*high).is_some() && digit(*low).is_some() => {
                let byte = digit(*high).unwrap_or(0) << 4 | digit(*low).unwrap_or(0);
                decoded.push(byte);
                after
            }
            [byte, after @ ..] => {
                decoded.push(if *byte == b'+' { b' ' } else { *byte });
                after
            }
        };
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
