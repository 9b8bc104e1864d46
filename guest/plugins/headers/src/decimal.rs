//! Numbers as text.

/// A number with up to six decimal places. The formatting of the standard library would be a sixth of the plugin.
pub fn metadata_number(number: f64) -> Option<Vec<u8>> {
    let magnitude = number.abs();
    // Beyond this, doubles have no millionths.
    if magnitude.is_nan() || magnitude > 9.0e15 {
        return None;
    }
    let mut whole = magnitude.trunc() as u64;
    let mut millionths = ((magnitude - magnitude.trunc()) * 1e6 + 0.5) as u64;
    if millionths >= 1_000_000 {
        whole = whole.saturating_add(1);
        millionths = 0;
    }
    let mut text = Vec::new();
    if number < 0.0 && (whole, millionths) != (0, 0) {
        text.push(b'-');
    }
    push_decimal(&mut text, whole, 1);
    if millionths > 0 {
        text.push(b'.');
        push_decimal(&mut text, millionths, 6);
        while text.last() == Some(&b'0') {
            text.pop();
        }
    }
    Some(text)
}

/// Appends a number with at least `width` digits.
pub fn push_decimal(text: &mut Vec<u8>, mut number: u64, width: usize) {
    let start = text.len();
    while number > 0 || text.len() - start < width {
        text.push(b'0' + (number % 10) as u8);
        number /= 10;
    }
    if let Some(digits) = text.get_mut(start..) {
        digits.reverse();
    }
}
