//! A URL parser with the behavior of Go's `net/url`, limited to what determines whether a plugin's `url` is admitted.
//!
//! The rule for `url` is written in CEL with `isURL` and `url().getScheme()`, and the webhook calls the same functions
//! again. Both are based on Go's `ParseRequestURI`, followed by `Parse`. Neither follows RFC 3986, and no crate has the
//! same behavior: `registry:5000/x` has the scheme `registry`, and `127.0.0.1:5000/x` has no scheme. This module therefore
//! reimplements which URLs they accept, but not the parsed result. `tests/tables/urls.jsonl` contains results of the real
//! functions.

use std::net::Ipv6Addr;

/// The schemes with which a plugin can be fetched. The empty scheme means `oci`.
const SCHEMES: [&str; 5] = ["", "http", "https", "oci", "file"];

/// Why Go rejects a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The text is not a valid URL, even with `http://` prepended.
    Unreadable(&'static str),
    /// The scheme is not supported for fetching.
    Scheme(String),
}

/// The parsing mode, which depends on the origin of the text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// `ParseRequestURI`: only what is valid in a request.
    Request,
    /// `Parse`, without a fragment.
    Reference,
}

/// A component of a URL, which determines the permitted bytes and those that must not be percent-encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Host,
    Zone,
    Other,
}

/// Validates a plugin's URL like the API server.
pub fn admit(text: &str) -> Result<(), Refusal> {
    let scheme = match parse(text, Reading::Request) {
        Ok(_) => reference(text),
        Err(first) => {
            let prefixed = format!("http://{text}");
            match parse(&prefixed, Reading::Request) {
                Ok(_) => reference(&prefixed),
                Err(_) => Err(first),
            }
        }
    };
    let scheme = scheme.map_err(Refusal::Unreadable)?;
    if SCHEMES.contains(&scheme.as_str()) {
        Ok(())
    } else {
        Err(Refusal::Scheme(scheme))
    }
}

/// Go's `Parse`, which istiod uses for admitted URLs. Returns the scheme in lowercase, or an empty string if there is none.
pub fn reference(text: &str) -> Result<String, &'static str> {
    let (before, fragment) = text.split_once('#').unwrap_or((text, ""));
    let scheme = parse(before, Reading::Reference)?;
    unescape(fragment, Part::Other)?;
    Ok(scheme)
}

fn parse(text: &str, reading: Reading) -> Result<String, &'static str> {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("it contains a control character");
    }
    if text.is_empty() && reading == Reading::Request {
        return Err("it is empty");
    }
    if text == "*" {
        return Ok(String::new());
    }
    let (scheme, rest) = split_scheme(text)?;
    let scheme = scheme.to_ascii_lowercase();
    let rest = rest.split_once('?').map_or(rest, |(path, _)| path);
    if !rest.starts_with('/') {
        if !scheme.is_empty() {
            return Ok(scheme);
        }
        if reading == Reading::Request {
            return Err("it has neither a scheme nor a leading `/`");
        }
        let segment = rest.split('/').next().unwrap_or_default();
        if segment.contains(':') {
            return Err("the first path segment contains a colon");
        }
    }
    let may_name_host =
        !scheme.is_empty() || (reading == Reading::Reference && !rest.starts_with("///"));
    let path = match rest.strip_prefix("//").filter(|_| may_name_host) {
        Some(after) => {
            let end = after.find('/').unwrap_or(after.len());
            let (authority, path) = after.split_at(end);
            check_authority(&scheme, authority)?;
            path
        }
        None => rest,
    };
    unescape(path, Part::Other)?;
    Ok(scheme)
}

/// Returns the scheme, which is empty if there is none, and the text that follows it.
fn split_scheme(text: &str) -> Result<(&str, &str), &'static str> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("the scheme is missing before the colon"),
            b':' => {
                let (scheme, rest) = text.split_at(at);
                return Ok((scheme, rest.strip_prefix(':').unwrap_or(rest)));
            }
            _ => break,
        }
    }
    Ok(("", text))
}

fn check_authority(scheme: &str, authority: &str) -> Result<(), &'static str> {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (user, host),
        None => ("", authority),
    };
    check_host(scheme, host)?;
    let fits = |char: char| char.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(char);
    if !user.chars().all(fits) {
        return Err("its username or password contains a character that must be percent-encoded");
    }
    // Each part is checked separately, because an escape cannot span the colon.
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    unescape(name, Part::Other)?;
    unescape(password, Part::Other)
}

fn check_host(scheme: &str, host: &str) -> Result<(), &'static str> {
    match host.rfind('[') {
        Some(0) => return check_literal(host),
        Some(_) => return Err("its host contains `[`"),
        None => {}
    }
    if let Some(first) = host.find(':') {
        // Only for http and https does Go reject further colons in the host.
        let colon = match scheme {
            "http" | "https" => first,
            _ => host.rfind(':').unwrap_or(first),
        };
        check_port(host.get(colon..).unwrap_or_default())?;
    }
    unescape(host, Part::Host)
}

/// Checks an IPv6 address in brackets, with an optional zone and port.
fn check_literal(host: &str) -> Result<(), &'static str> {
    let Some((address, port)) = host
        .strip_prefix('[')
        .and_then(|inside| inside.rsplit_once(']'))
    else {
        return Err("its host contains `[` without `]`");
    };
    check_port(port)?;
    let (address, zone) = match address.find("%25") {
        Some(at) => {
            let (address, zone) = address.split_at(at);
            unescape(zone, Part::Zone)?;
            (address, zone.strip_prefix("%25"))
        }
        None => (address, None),
    };
    unescape(address, Part::Host)?;
    if zone == Some("") || address.parse::<Ipv6Addr>().is_err() {
        return Err("its host is not a valid IPv6 address in brackets");
    }
    Ok(())
}

fn check_port(port: &str) -> Result<(), &'static str> {
    let digits = port.strip_prefix(':').unwrap_or(port);
    if (port.is_empty() || port.starts_with(':'))
        && digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Ok(());
    }
    Err("its port is not a number")
}

/// Checks that every `%` begins an escape that is permitted in this component, and that every other byte is permitted
/// unescaped.
fn unescape(text: &str, part: Part) -> Result<(), &'static str> {
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            if part != Part::Other && byte.is_ascii() && !stands_in_host(*byte) {
                return Err("its host contains an invalid character");
            }
            continue;
        }
        let [high, low, after @ ..] = rest else {
            return Err("`%` must be followed by two hexadecimal digits");
        };
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
            return Err("`%` must be followed by two hexadecimal digits");
        };
        rest = after;
        let escaped = high << 4 | low;
        let forbidden = match part {
            Part::Host => escaped.is_ascii() && escaped != b'%',
            Part::Zone => escaped != b'%' && escaped != b' ' && !stands_in_host(escaped),
            Part::Other => false,
        };
        if forbidden {
            return Err("its host contains an invalid percent-encoding");
        }
    }
    Ok(())
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

fn stands_in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!\"$&'()*+,-.:;<=>[]_~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Results of Go's own functions, one `[url, admitted]` per line. `tests/istio` compares them with Go's.
    const VERDICTS: &str = include_str!("../../../tests/tables/urls.jsonl");

    #[test]
    fn url_verdicts_match_go() {
        // Allows a longer table than the one in the repository to be tested.
        let longer = std::env::var_os("TIDEGATE_URL_VERDICTS")
            .map(|path| std::fs::read_to_string(path).expect("failed to read the table"));
        let table = longer.as_deref().unwrap_or(VERDICTS);
        let mut wrong = Vec::new();
        for line in table.lines() {
            let (url, admitted): (String, bool) = serde_json::from_str(line).expect("valid row");
            if admit(&url).is_ok() != admitted {
                wrong.push(format!("{url:?}: Go says {admitted}, we {:?}", admit(&url)));
            }
        }
        assert!(table.lines().count() > 100);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn schemeless_url_with_port_is_rejected_or_unparsable() {
        assert_eq!(
            admit("registry:5000/x"),
            Err(Refusal::Scheme("registry".into()))
        );
        assert_eq!(admit("127.0.0.1:5000/x:v1"), Ok(()));
        // Admitted, although istiod cannot parse it.
        assert!(reference("127.0.0.1:5000/x:v1").is_err());
        assert_eq!(reference("host.tld/x:v1"), Ok(String::new()));
    }
}
