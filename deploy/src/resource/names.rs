//! Kubernetes' syntax rules for the names of objects, namespaces, labels, annotations and finalizers.

/// The maximum length of a DNS name in Kubernetes.
const MOST_DNS: usize = 253;

/// The maximum length of a DNS label, and of the name part of a qualified name.
const MOST_LABEL: usize = 63;

/// Returns whether the text is a DNS subdomain: labels of lowercase letters, digits and inner hyphens, separated by dots.
/// The length of a label is not limited.
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= MOST_DNS && text.split('.').all(is_between_dots)
}

/// Returns whether the text is a DNS label, as in the names of namespaces.
pub fn is_dns_label(text: &str) -> bool {
    text.len() <= MOST_LABEL && is_between_dots(text)
}

/// Returns whether the text is a qualified name: a name with an optional DNS prefix and a slash, as in label keys.
pub fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        None => is_name_part(text),
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_name_part(name),
    }
}

/// Returns whether the text is a valid label value.
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name_part(text)
}

fn is_between_dots(text: &str) -> bool {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    has_ends(text, inner) && text.bytes().all(|byte| inner(&byte) || byte == b'-')
}

fn is_name_part(text: &str) -> bool {
    text.len() <= MOST_LABEL
        && has_ends(text, u8::is_ascii_alphanumeric)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Returns whether the text is not empty and its first and last bytes are valid.
fn has_ends(text: &str, fits: impl Fn(&u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(&fits) && bytes.last().is_some_and(&fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualified_names_follow_kubernetes_rules() {
        for name in ["a", "A.b_c-d", "example.com/a", "a/1"] {
            assert!(is_qualified_name(name), "{name}");
        }
        for name in [
            "",
            "/a",
            "a/",
            "a/b/c",
            "Example.com/a",
            "-a",
            "a b",
            "ä",
            "a_b/c",
        ] {
            assert!(!is_qualified_name(name), "{name}");
        }
    }

    #[test]
    fn only_standalone_labels_are_limited_to_63_characters() {
        let long = "a".repeat(64);
        assert!(is_dns_subdomain(&long) && is_dns_subdomain(&format!("{long}.b")));
        assert!(!is_dns_label(&long) && is_dns_label(&long[1..]));
        assert!(!is_dns_subdomain(&"a".repeat(254)));
        assert!(is_label_value("") && !is_label_value(&long));
    }
}
