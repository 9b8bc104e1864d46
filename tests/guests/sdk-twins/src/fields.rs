//! Headers and trailers that do not depend on the proxy.

/// Removes the fields that Envoy adds before plugins run, and sorts the others by name, because the order of different names is not
/// defined. The values of one name stay in order.
pub fn comparable(mut fields: Vec<(String, String)>) -> Vec<(String, String)> {
    fields.retain(|(name, _)| name != "x-forwarded-proto" && !name.starts_with("x-envoy-"));
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
}
