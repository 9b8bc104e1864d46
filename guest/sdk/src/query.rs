//! Parameters of a query, as forms and links encode them.

use crate::Error;

/// Returns the value of the first parameter with a name. `path` may have a query; without one there are no parameters.
///
/// `+` is a space, and `%` with two hexadecimal digits is a byte, in names and values. A `%` without them stands for itself. Returns
/// [`Error::Malformed`] if the value is not valid UTF-8.
pub(crate) fn parameter(path: &str, name: &str) -> Result<Option<String>, Error> {
    let (path, _) = path.split_once('#').unwrap_or((path, ""));
    let (_, query) = path.split_once('?').unwrap_or((path, ""));
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if key == name || decode(key) == name.as_bytes() {
            return match String::from_utf8(decode(value)) {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(Error::Malformed),
            };
        }
    }
    Ok(None)
}

fn decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        rest = others;
        decoded.push(match (*first, others) {
            (b'+', _) => b' ',
            (b'%', [high, low, others @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = others;
                    (high << 4) | low
                }
                _ => b'%',
            },
            (byte, _) => byte,
        });
    }
    decoded
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, name: &str) -> Option<String> {
        parameter(path, name).expect("valid UTF-8")
    }

    #[test]
    fn first_parameter_of_the_name_is_found() {
        let path = "/a?one=1&two=2&one=3&flag&empty=&=none#one=4";
        for (name, value) in [
            ("one", Some("1")),
            ("two", Some("2")),
            ("flag", Some("")),
            ("empty", Some("")),
            ("", Some("none")),
            ("three", None),
            ("on", None),
        ] {
            assert_eq!(found(path, name).as_deref(), value, "{name}");
        }
        for path in ["", "/", "/?", "?", "/one=1", "/#?one=1", "/?&&"] {
            assert_eq!(found(path, "one"), None, "{path}");
        }
        assert_eq!(found("/?a?b=c=d", "a?b").as_deref(), Some("c=d"));
    }

    #[test]
    fn names_and_values_are_decoded() {
        let cases = [
            ("/?q=a+b%20c", "a b c"),
            ("/?%71=%C3%A9%c3%a9", "éé"),
            ("/?q=%2B%26%3d", "+&="),
            ("/?q=100%", "100%"),
            ("/?q=%4", "%4"),
            ("/?q=%zz%", "%zz%"),
            ("/?q=%%41", "%A"),
        ];
        for (path, value) in cases {
            assert_eq!(found(path, "q").as_deref(), Some(value), "{path}");
        }
        assert_eq!(parameter("/?q=%ff", "q"), Err(Error::Malformed));
        assert_eq!(parameter("/?%ff=1&q=2", "q"), Ok(Some("2".to_owned())));
    }
}
